//! What a caller shows: a bearer token, or basic authentication with the token as its password (Alertmanager can send either,
//! and the two exclude each other there). Deliberately says nothing of whether it is right; [`crate::token`] does, in constant
//! time.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Where a caller shows a person's own token beside the API's, or over the socket, which wants none.
pub(crate) const PERSON: HeaderName = HeaderName::from_static("x-runbookd-person");

/// Who was recognised by the token that let the request in, where that was a person's own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Recognised(pub(super) Option<String>);

/// The token that is shown, if one is.
pub(super) fn shown(headers: &HeaderMap) -> Option<Cow<'_, [u8]>> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = value.split_at(space);
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"Bearer") {
        return Some(Cow::Borrowed(rest));
    }
    if scheme.eq_ignore_ascii_case(b"Basic") {
        let pair = STANDARD.decode(rest).ok()?;
        let colon = pair.iter().position(|byte| *byte == b':')?;
        return Some(Cow::Owned(pair.get(colon + 1..)?.to_vec()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn both_ways_are_read_and_anything_else_shows_nothing() {
        let table: [(&str, Option<&[u8]>); 9] = [
            ("Bearer abc", Some(b"abc")),
            ("bearer  abc ", Some(b"abc")),
            ("Basic dXNlcjp0b2tlbg==", Some(b"token")),
            ("basic OnRvOmtlbg==", Some(b"to:ken")),
            ("Basic dXNlcg==", None),
            ("Basic !!!", None),
            ("Digest abc", None),
            ("Bearer", None),
            ("", None),
        ];
        for (value, wanted) in table {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(shown(&headers).as_deref(), wanted, "{value}");
        }
        assert_eq!(shown(&HeaderMap::new()), None);
    }
}
