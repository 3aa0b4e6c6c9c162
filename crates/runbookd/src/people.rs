//! Who shows a token: the people of `approval`, each with one of their own. Hashes are compared, all of them each time and in
//! constant time, and every token is read anew, so that one that was replaced or taken away counts no longer. Deliberately
//! no opinion on what somebody may do, and no way to print a token.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::PersonToken;
use crate::token::SHORTEST;

/// How long the files of all tokens may take to be read; whose cannot be read is not recognised.
const WITHIN: Duration = Duration::from_secs(2);

/// A token's hash, or why it cannot be used.
type Hash = Result<[u8; 32], String>;

/// Whose token this is. Nobody's where it is a token of two: then it tells them not apart.
pub async fn recognise(people: &BTreeMap<String, PersonToken>, shown: &[u8]) -> Option<String> {
    let shown: [u8; 32] = Sha256::digest(shown).into();
    let mut found = Vec::new();
    for (name, hash) in hashes(people).await {
        match hash {
            Ok(hash) if bool::from(hash.ct_eq(&shown)) => found.push(name),
            Ok(_) => {}
            Err(why) => tracing::error!(person = name, "nobody can be recognised by this token: {why}"),
        }
    }
    match found.as_slice() {
        [one] => Some((*one).clone()),
        [] => None,
        several => {
            tracing::error!(people = ?several, "these have one and the same token, so it counts for none of them");
            None
        }
    }
}

/// Who is recognised by the API's own token, where no other token is shown.
pub fn by_the_api_token(people: &BTreeMap<String, PersonToken>) -> Option<&str> {
    people.iter().find(|(_, token)| **token == PersonToken::Api).map(|(name, _)| name.as_str())
}

/// What is wrong with the tokens, for the examination.
pub async fn faults(people: &BTreeMap<String, PersonToken>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen: BTreeMap<[u8; 32], &String> = BTreeMap::new();
    for (name, hash) in hashes(people).await {
        match hash {
            Ok(hash) => {
                if let Some(other) = seen.insert(hash, name) {
                    faults.push(format!("{other} and {name} have one and the same token, so it counts for neither"));
                }
            }
            Err(why) => faults.push(format!("{name} cannot be recognised: {why}")),
        }
    }
    faults
}

/// The hash of every token that is one, by name.
async fn hashes(people: &BTreeMap<String, PersonToken>) -> Vec<(&String, Hash)> {
    let all = people.iter().map(async |(name, token)| match token {
        PersonToken::Secret(reference) => {
            let secret = connect::secret::resolve(reference, WITHIN).await;
            Some((name, secret.and_then(|secret| hash(secret.expose_secret()))))
        }
        PersonToken::Sha256(hash) => Some((name, Ok(*hash))),
        PersonToken::Api => None,
    });
    join_all(all).await.into_iter().flatten().collect()
}

fn hash(token: &str) -> Hash {
    if token.len() < SHORTEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("its token is none: {SHORTEST} or more visible ASCII characters on one line are wanted"));
    }
    Ok(Sha256::digest(token.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use runbook::target::SecretRef;

    #[tokio::test]
    async fn a_token_is_its_owners_alone_and_read_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let kept = |name: &str| PersonToken::Secret(SecretRef::File(file(name).display().to_string()));
        for (name, token) in [("dba", "the-token-of-the-dba\n"), ("twin", "the-token-of-twins"), ("short", "short")] {
            std::fs::write(file(name), token).unwrap();
        }
        let hashed = PersonToken::Sha256(Sha256::digest(b"known-by-its-hash").into());
        let people = BTreeMap::from([
            ("console".to_owned(), PersonToken::Api),
            ("dba".to_owned(), kept("dba")),
            ("gone".to_owned(), kept("gone")),
            ("lead".to_owned(), hashed),
            ("one".to_owned(), kept("twin")),
            ("other".to_owned(), kept("twin")),
            ("weak".to_owned(), kept("short")),
        ]);
        for (shown, wanted) in [
            ("the-token-of-the-dba", Some("dba")),
            ("known-by-its-hash", Some("lead")),
            ("the-token-of-twins", None),
            ("short", None),
            ("", None),
            ("the-token-of-the-dbb", None),
        ] {
            assert_eq!(recognise(&people, shown.as_bytes()).await.as_deref(), wanted, "{shown}");
        }
        assert_eq!(by_the_api_token(&people), Some("console"));
        let faults = faults(&people).await;
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(!faults.iter().any(|fault| fault.contains("the-token")), "{faults:?}");
        std::fs::write(file("dba"), "another-token-of-the-dba").unwrap();
        assert_eq!(recognise(&people, b"the-token-of-the-dba").await, None, "a replaced token counts no longer");
        assert_eq!(recognise(&people, b"another-token-of-the-dba").await.as_deref(), Some("dba"));
    }
}
