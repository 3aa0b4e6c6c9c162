//! Why a value could not be read, in the house's sentences. Serde's own wording is for programmers; an author gets what was
//! wanted, what stands there, and the mend. Deliberately holds no place: the reader knows it.

use std::fmt;

use runbook::text::closest;
use serde::de;

use super::document::{Bytes, Document};

/// Why a value could not be read. Whatever reaches a caller has already been put on the document's list.
#[derive(Debug)]
pub struct Unread {
    message: String,
    mend: String,
    said: bool,
    hidden: bool,
}

impl Unread {
    pub(super) fn new(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { message: message.into(), mend: mend.into(), said: false, hidden: false }
    }

    /// With a better mend.
    pub(super) fn mended(self, mend: impl Into<String>) -> Self {
        Self { mend: mend.into(), ..self }
    }

    /// What stands there may be a secret and is not shown.
    pub(super) fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    pub(super) const fn said() -> Self {
        Self { message: String::new(), mend: String::new(), said: true, hidden: false }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Unread {}

impl de::Error for Unread {
    /// Sentences of the house say what is wrong, then a semicolon, then the mend.
    fn custom<T: fmt::Display>(sentence: T) -> Self {
        let sentence = sentence.to_string();
        match sentence.split_once("; ") {
            Some((message, mend)) => Self::new(message, mend),
            None => Self::new(sentence, "write what is meant"),
        }
    }

    fn invalid_type(found: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self::new(format!("{wanted} is wanted here, and this is {}", words(found)), mend_for(found))
    }

    fn invalid_value(found: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self::new(format!("{wanted} is wanted here, and this is {}", words(found)), mend_for(found))
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Self::new(format!("`{found}` is none of the words that are known here"), meant(found, known))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("`{field}` is missing here"), format!("add `{field}:`"))
    }
}

fn words(found: de::Unexpected<'_>) -> String {
    match found {
        // Never the text itself: where a map is wanted, a password may stand.
        de::Unexpected::Str(_) => "a text".to_owned(),
        de::Unexpected::Seq => "a list".to_owned(),
        de::Unexpected::Map => "a map".to_owned(),
        de::Unexpected::Unit => "nothing".to_owned(),
        other => other.to_string(),
    }
}

fn mend_for(found: de::Unexpected<'_>) -> &'static str {
    match found {
        de::Unexpected::Unit => "write it behind the colon, or remove the key",
        _ => "write that instead",
    }
}

/// The mend for a word that is not known.
pub(in crate::config) fn meant(found: &str, known: &[&str]) -> String {
    // What this build does not have is not offered.
    let there = |word: &&str| cfg!(feature = "rehearsal") || !word.starts_with("rehearsal");
    let known: Vec<&str> = known.iter().copied().filter(there).collect();
    match closest(found, known.iter().copied()) {
        Some(word) => format!("write `{word}`, if that was meant"),
        None if known.is_empty() => "remove it".to_owned(),
        None => {
            let list: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
            format!("known are {}", list.join(", "))
        }
    }
}

/// Puts an error on the list, unless it is there already.
pub(super) fn refuse(document: &Document, at: Bytes, error: Unread) -> Unread {
    match (error.said, error.hidden) {
        (true, _) => {}
        (false, true) => document.complain_hidden(at, error.message, error.mend),
        (false, false) => document.complain(at, error.message, error.mend),
    }
    Unread::said()
}
