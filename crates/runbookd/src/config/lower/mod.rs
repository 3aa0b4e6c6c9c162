//! From what was written to what is meant. Every check that needs more than a type stands in this folder, one file per
//! subject. Why each function returns an `Option` and complains on the side: a part that is wrong must not keep the next
//! part from being looked at. Deliberately pure: files were read before, and nothing is asked of the world.

pub mod approval;
pub mod conditions;
mod containers;
pub mod daemon;
mod guard;
pub mod ladder;
pub mod looks;
pub mod places;
pub mod rules;
pub mod runbook;
pub mod secrets;
mod silence;
pub mod targets;

use std::path::Path;

use ::runbook::text::inert;

use super::yaml::{Bytes, Document, Placed};

/// A value that has to be there; complains in the map that lacks it.
pub fn need<'a, T>(document: &Document, within: Bytes, placed: &'a Placed<T>, key: &str) -> Option<&'a T> {
    if placed.is_missing() {
        document.complain(within, format!("`{key}` is missing here"), format!("add `{key}:`"));
    }
    placed.get()
}

/// A value that may be there.
pub fn may<T>(placed: &Option<Placed<T>>) -> Option<&T> {
    placed.as_ref().and_then(Placed::get)
}

/// A text that has to be there and to say something.
pub fn need_text<'a>(document: &Document, within: Bytes, placed: &'a Placed<String>, key: &str) -> Option<&'a str> {
    let text = need(document, within, placed, key)?;
    if text.trim().is_empty() {
        document.complain(placed.at(), format!("`{key}` is empty"), "write what is meant");
        return None;
    }
    Some(text)
}

/// A path as it was written, starting at `base` where it is relative.
pub fn path_from(base: &Path, written: &str) -> std::path::PathBuf {
    base.join(written)
}

/// An address of a server that speaks HTTP: checked, and without a slash at the end.
pub fn http_url(document: &Document, placed: &Placed<String>, example: &str) -> Option<String> {
    let text = placed.get()?;
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let host = rest.unwrap_or(text).split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        user_in_address(document, placed);
        return None;
    }
    let mend = format!("write it like {example}");
    if rest.is_none() {
        document.complain(placed.at(), format!("`{}` is no address of HTTP", inert(text, 80)), mend);
        return None;
    }
    if host.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        document.complain(placed.at(), format!("`{}` is no address of HTTP", inert(text, 80)), mend);
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}

/// An address with a user in it may hold a password too, so it is not repeated.
pub fn user_in_address(document: &Document, placed: &Placed<String>) {
    document.complain_hidden(
        placed.at(),
        "a user or a password stands in this address",
        "secrets are kept apart: name the login with its own keys, the password as {file: PATH}",
    );
}
