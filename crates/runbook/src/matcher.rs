//! Alert matchers in Alertmanager's own syntax: which alerts a runbook is for.
//!
//! An operator copies a line from `alertmanager.yml` and it means the same here: the four operators, regular expressions
//! in RE2's dialect and anchored at both ends, a missing label equal to the empty string, all matchers together a logical
//! *and*. A line is read as Alertmanager reads it since 0.27 by default: by the UTF-8 grammar, falling back to the classic
//! one, and by the classic one where the two disagree (`matcher/compat` in Alertmanager's source).
//!
//! Deliberate differences, all of them stricter: braces are both there or both absent (the classic grammar drops a lone
//! one, which turns `a=~x{2}` into the pattern `x{2`), a label name is never empty, and sizes are bounded.
//! This file does not decide between runbooks; that is `policy`'s part.

mod classic;
mod dialect;
mod grammar;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use dialect::{Anchoring, compile};

/// The longest `match:` entry that is read, in bytes.
pub const MAX_ENTRY_BYTES: usize = 8 * 1024;
/// The most matchers that one entry may hold.
pub const MAX_MATCHERS: usize = 64;

/// How a matcher compares a label's value with its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// `=`: the values are the same.
    Equal,
    /// `!=`: the values differ.
    NotEqual,
    /// `=~`: the whole label value matches the pattern.
    Matches,
    /// `!~`: the label value as a whole does not match the pattern.
    NotMatches,
}

impl Op {
    /// The operator as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Equal => "=",
            Op::NotEqual => "!=",
            Op::Matches => "=~",
            Op::NotMatches => "!~",
        }
    }
}

/// Why a `match:` entry cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {message}; {mend}")]
pub struct MatcherError {
    /// Where, in bytes from the start of the entry.
    pub offset: usize,
    /// What is wrong, without a full stop.
    pub message: String,
    /// How to mend it, without a full stop.
    pub mend: String,
}

impl MatcherError {
    fn new(offset: usize, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { offset, message: message.into(), mend: mend.into() }
    }
}

/// A read entry, with what its author should hear about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The matchers, in the order written; none for an empty entry or `{}`.
    pub matchers: Vec<Matcher>,
    /// Set where Alertmanager itself would warn: only the classic grammar reads the entry, or the two grammars read it
    /// differently. Says what was understood and how to write it so that both agree.
    pub warning: Option<String>,
}

/// What a pattern demands of a whole value.
///
/// Why two forms: nearly every pattern of a real route is a few names with `|` between them, an alert is compared with all that all
/// runbooks have, and comparing text costs a tenth of running an automaton. (Prometheus does the same.) The names stay in the
/// pattern as it is written.
#[derive(Clone)]
enum Pattern {
    OneOf,
    Automaton(Regex),
}

impl Pattern {
    fn read(text: &str) -> Result<Pattern, String> {
        let automaton = compile(text, Anchoring::Whole)?;
        // Nothing among these means anything to RE2 but itself, save the bar, which outside of a group parts the whole.
        let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | ':' | '/' | ' ' | '|');
        if text.chars().all(plain) {
            return Ok(Pattern::OneOf);
        }
        Ok(Pattern::Automaton(automaton))
    }

    fn is_match(&self, written: &str, found: &str) -> bool {
        match self {
            Pattern::OneOf => written.split('|').any(|name| name == found),
            Pattern::Automaton(automaton) => automaton.is_match(found),
        }
    }
}

/// One comparison of one label, its pattern compiled.
#[derive(Clone)]
pub struct Matcher {
    name: String,
    op: Op,
    value: String,
    /// Set exactly for the two pattern operators.
    pattern: Option<Pattern>,
}

impl Matcher {
    /// Reads one entry of a `match:` list, which may hold several comma-separated matchers, in braces or not.
    ///
    /// # Errors
    /// The first thing that is wrong with the entry, its place, and the mend. The UTF-8 grammar's complaint is given, as it
    /// knows the place.
    pub fn parse(entry: &str) -> Result<Vec<Matcher>, MatcherError> {
        Self::read(entry).map(|reading| reading.matchers)
    }

    /// Like [`Matcher::parse`], and also says what Alertmanager would warn about.
    ///
    /// # Errors
    /// As [`Matcher::parse`].
    pub fn read(entry: &str) -> Result<Reading, MatcherError> {
        if entry.len() > MAX_ENTRY_BYTES {
            return Err(MatcherError::new(
                MAX_ENTRY_BYTES,
                format!("the entry is {} bytes long, more than {MAX_ENTRY_BYTES}", entry.len()),
                "split it into several entries",
            ));
        }
        match (grammar::parse(entry), classic::parse(entry)) {
            (Ok(matchers), Some(classic)) if matchers != classic => {
                let warning = format!(
                    "the two grammars of Alertmanager read this differently; the classic reading counts: {}",
                    written(&classic)
                );
                Ok(Reading { matchers: classic, warning: Some(warning) })
            }
            (Ok(matchers), _) => Ok(Reading { matchers, warning: None }),
            (Err(error), Some(classic)) => {
                let warning = format!(
                    "only the classic grammar of Alertmanager reads this ({} at byte {}); write {}",
                    error.message,
                    error.offset,
                    written(&classic)
                );
                Ok(Reading { matchers: classic, warning: Some(warning) })
            }
            (Err(error), None) => Err(error),
        }
    }

    /// A matcher from its parts.
    ///
    /// # Errors
    /// An empty name, or a pattern that RE2 would refuse or that is too large once compiled.
    pub fn new(name: &str, op: Op, value: &str) -> Result<Matcher, MatcherError> {
        Self::build(name, op, value, 0, 0)
    }

    /// As [`Matcher::new`], with the places of name and value for errors.
    fn build(name: &str, op: Op, value: &str, name_at: usize, value_at: usize) -> Result<Matcher, MatcherError> {
        if name.is_empty() {
            return Err(MatcherError::new(name_at, "the label name is empty", "no alert has such a label: name the label"));
        }
        let pattern = match op {
            Op::Equal | Op::NotEqual => None,
            Op::Matches | Op::NotMatches => Some(Pattern::read(value).map_err(|complaint| {
                MatcherError::new(
                    value_at,
                    format!("the pattern cannot be used: {complaint}"),
                    "write a regular expression of RE2, which is matched against the whole value",
                )
            })?),
        };
        Ok(Matcher { name: name.into(), op, value: value.into(), pattern })
    }

    /// The label that is looked at.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is compared.
    pub fn op(&self) -> Op {
        self.op
    }

    /// The value or the pattern, as written after unquoting and without the implied anchors.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether these labels satisfy the matcher. A label that is missing is compared as the empty string.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let found = labels.get(&self.name).map_or("", String::as_str);
        match (self.op, &self.pattern) {
            (Op::Equal, _) => found == self.value,
            (Op::NotEqual, _) => found != self.value,
            (Op::Matches, pattern) => pattern.as_ref().is_some_and(|pattern| pattern.is_match(&self.value, found)),
            // A pattern is always there for this operator; were it not, nothing is matched rather than everything.
            (Op::NotMatches, pattern) => pattern.as_ref().is_some_and(|pattern| !pattern.is_match(&self.value, found)),
        }
    }

    /// The only values of its label for which it holds, where that is a list.
    fn values(&self) -> Option<Vec<&str>> {
        match (self.op, &self.pattern) {
            (Op::Equal, _) => Some(vec![&self.value]),
            (Op::Matches, Some(Pattern::OneOf)) => Some(self.value.split('|').collect()),
            _ => None,
        }
    }

    /// Whether the matcher also holds for alerts that lack the label.
    pub fn matches_absence(&self) -> bool {
        self.matches(&BTreeMap::new())
    }
}

// The compiled pattern follows from operator and value, so it takes no part in comparisons.
impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matcher({self})")
    }
}

/// The form in which both grammars agree: the value in quotes, and only `\`, `"` and a line feed escaped.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name: Cow<'_, str> =
            if self.name.contains(grammar::is_reserved) { Cow::Owned(quoted(&self.name)) } else { Cow::Borrowed(&self.name) };
        write!(f, "{name}{}{}", self.op.as_str(), quoted(&self.value))
    }
}

/// Quotes as OpenMetrics does. Other control characters stay as they are: the classic grammar has no escape for them.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// Several matchers on one line, as an author may write them.
fn written(matchers: &[Matcher]) -> String {
    matchers.iter().map(Matcher::to_string).collect::<Vec<_>>().join(", ")
}

/// All matchers of a `match:` list. They hold together or not at all; none at all hold for every alert.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matchers(Vec<Matcher>);

impl Matchers {
    /// All of these.
    pub fn of(all: Vec<Matcher>) -> Self {
        Self(all)
    }

    /// Each of them, in their order.
    pub fn as_slice(&self) -> &[Matcher] {
        &self.0
    }

    /// Reads a whole `match:` list.
    ///
    /// # Errors
    /// Every entry that cannot be read, with its place in the list.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Matchers, Vec<(usize, MatcherError)>> {
        let mut all = Vec::new();
        let mut errors = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            match Matcher::parse(entry) {
                Ok(matchers) => all.extend(matchers),
                Err(error) => errors.push((index, error)),
            }
        }
        if errors.is_empty() { Ok(Matchers::of(all)) } else { Err(errors) }
    }

    /// The only values of this label for which all of them may hold, where that is a list; `None` says nothing.
    pub(crate) fn values_of(&self, label: &str) -> Option<Vec<&str>> {
        self.0.iter().filter(|matcher| matcher.name == label).find_map(Matcher::values)
    }

    /// Whether every matcher holds for these labels.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|matcher| matcher.matches(labels))
    }

    /// True when the list says nothing at all and so holds for every alert.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Matchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", written(&self.0))
    }
}

impl Serialize for Matchers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Matcher::to_string))
    }
}

impl<'de> Deserialize<'de> for Matchers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Vec::<String>::deserialize(deserializer)?;
        Matchers::parse(entries.iter().map(String::as_str)).map_err(|errors| {
            let all: Vec<String> = errors.iter().map(|(index, error)| format!("entry {}: {error}", index + 1)).collect();
            serde::de::Error::custom(all.join("; "))
        })
    }
}

impl schemars::JsonSchema for Matchers {
    fn schema_name() -> Cow<'static, str> {
        "Matchers".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "array",
            "description": "Matchers in Alertmanager's syntax; all must hold. A missing label is the empty string, patterns are anchored.",
            "items": { "type": "string", "maxLength": MAX_ENTRY_BYTES },
            "examples": [["alertname=~\"HighDatabaseConnections|PostgresqlTooManyConnections\"", "severity!=info"]]
        })
    }
}

#[cfg(test)]
mod tests;
