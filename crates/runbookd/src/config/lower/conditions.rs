//! Conditions against the fields of a runbook's looks. Why the fields come from the looks and not from a list: the same
//! table feeds what the probes report. Maps a condition's column to the file's bytes wherever the text stands there as such.

use std::collections::{BTreeMap, BTreeSet};

use runbook::condition::{Condition, Type};

use crate::config::yaml::{Bytes, Document, Placed};

/// What conditions of one runbook may speak of.
#[derive(Default)]
pub struct Fields {
    /// `look.field` and its type.
    pub types: BTreeMap<String, Type>,
    /// Those that are shares.
    pub shares: BTreeSet<String>,
    /// Names of looks that could not be read: nothing is said about their fields.
    pub broken: BTreeSet<String>,
}

/// Reads and checks a condition; complains about everything in it.
pub fn condition(document: &Document, placed: &Placed<String>, fields: &Fields) -> Option<Condition> {
    let source = placed.get()?;
    let condition = match Condition::parse(source) {
        Ok(condition) => condition,
        Err(error) => {
            document.complain(place(document, placed.at(), source, error.column), error.message, error.mend);
            return None;
        }
    };
    let of_broken = |path: &String| path.split('.').next().is_some_and(|look| fields.broken.contains(look));
    if condition.paths().iter().any(of_broken) {
        return Some(condition);
    }
    let complaints = condition.check_among(&fields.types, &fields.shares);
    for complaint in &complaints {
        let at = place(document, placed.at(), source, complaint.column);
        document.complain(at, complaint.message.clone(), complaint.mend.clone());
    }
    if complaints.is_empty() && condition.paths().is_empty() {
        document.complain(
            placed.at(),
            "this condition speaks of nothing that was looked at, so it proves nothing",
            "compare a field of a look, as in sessions.used_ratio < 0.7",
        );
    }
    Some(condition)
}

/// The bytes of the word that stands at a column (from 1) of a condition.
fn place(document: &Document, at: Bytes, source: &str, column: usize) -> Bytes {
    let text = document.text();
    let start = [0, 1]
        .into_iter()
        .map(|quote| at.start + quote)
        .find(|start| text.get(*start..).is_some_and(|rest| rest.starts_with(source)));
    let offset = source.char_indices().nth(column.saturating_sub(1)).map_or(source.len(), |(offset, _)| offset);
    let Some(start) = start else { return at };
    let rest = source.get(offset..).unwrap_or_default();
    let word = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.'))).unwrap_or(rest.len());
    let length = word.max(rest.chars().next().map_or(0, char::len_utf8));
    start + offset..start + offset + length
}
