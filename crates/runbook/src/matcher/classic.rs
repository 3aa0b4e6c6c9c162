//! The classic grammar of matchers (before Alertmanager 0.27, `pkg/labels`), tolerant as it is.
//!
//! It exists because Alertmanager still falls back to it: `job=~"\d+"` and `env=` are legal there and common. Its errors
//! carry no place, so this file only says *yes, and this* or *no*; the UTF-8 grammar explains. It takes braces only in
//! pairs, unlike the original.

use super::{MAX_MATCHERS, Matcher, Op};

/// The matchers of the entry, or none when this grammar does not read it.
pub(super) fn parse(entry: &str) -> Option<Vec<Matcher>> {
    let inner = match (entry.strip_prefix('{'), entry.ends_with('}')) {
        (Some(rest), true) => rest.strip_suffix('}')?,
        (None, false) => entry,
        _ => return None,
    };
    let parts = split(inner);
    if parts.len() > MAX_MATCHERS {
        return None;
    }
    parts.into_iter().map(one).collect()
}

/// Splits at commas outside quotes. Whitespace after the last comma is nothing; an empty part elsewhere stays and is refused.
fn split(inner: &str) -> Vec<&str> {
    let (mut quoted, mut escaped, mut start) = (false, false, 0);
    let mut parts = Vec::new();
    for (at, character) in inner.char_indices() {
        match character {
            ',' if !quoted => {
                parts.push(inner.get(start..at).unwrap_or(""));
                start = at + 1;
                // The original leaves `escaped` as it is here, and so does this.
            }
            '"' if escaped => escaped = false,
            '"' => quoted = !quoted,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    let last = inner.get(start..).unwrap_or("").trim();
    if !last.is_empty() {
        parts.push(last);
    }
    parts
}

/// One matcher: `name op value`, with the whitespace of Go's `\s` around each.
fn one(part: &str) -> Option<Matcher> {
    let space = [' ', '\t', '\n', '\u{c}', '\r'];
    let part = part.trim_matches(space);
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let name_length = part.find(|c| !is_word(c)).unwrap_or(part.len());
    let (name, rest) = part.split_at(name_length);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let rest = rest.trim_start_matches(space);
    let op = [Op::Matches, Op::NotEqual, Op::NotMatches, Op::Equal].into_iter().find(|op| rest.starts_with(op.as_str()))?;
    let value = rest.get(op.as_str().len()..)?.trim_start_matches(space);
    Matcher::new(name, op, &unescape(value)?).ok()
}

/// Reads a value: `\n`, `\"` and `\\` are escapes, any other backslash is itself, quotes stand only around the whole.
fn unescape(raw: &str) -> Option<String> {
    let (inner, mut open) = match raw.strip_prefix('"') {
        Some(inner) => (inner, true),
        None => (raw, false),
    };
    let mut value = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(character) = rest.next() {
        match character {
            '\\' => match rest.next() {
                Some('n') => value.push('\n'),
                Some(escaped @ ('"' | '\\')) => value.push(escaped),
                Some(other) => value.extend(['\\', other]),
                None => value.push('\\'),
            },
            '"' if open && rest.as_str().is_empty() => open = false,
            '"' => return None,
            other => value.push(other),
        }
    }
    (!open).then_some(value)
}
