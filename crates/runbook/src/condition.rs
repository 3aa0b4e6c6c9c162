//! Conditions: what a runbook's author writes about findings, and what it comes to.
//!
//! The language is a small subset of CEL, so that what an operator knows from elsewhere works and nothing else does:
//! numbers, texts and `true`/`false`; field paths (`sessions.idle`); `&& || !`; `== != < <= > >=`; `+ - * /`; parentheses;
//! `x in [..]`; `size(x)`; and on texts `.startsWith(..)`, `.endsWith(..)`, `.contains(..)`, `.matches("RE2")`. All numbers
//! are doubles, as findings have no other. A Unicode character counts as one for `size`. Only numbers are ordered.
//!
//! # Three values
//! A condition is true, false or **unknown**, and unknown opens and closes nothing. One rule is stricter than Kleene's
//! logic: when *any* field that the condition mentions is unknown, the whole condition is unknown, even where the rest would
//! decide it (`false && unknown` is unknown). A look that could not see must never hide behind an operator. Unknowns that
//! arise from the arithmetic of known numbers (a division by zero, an overflow) follow Kleene: `total == 0 || used / total >
//! 0.8` is true for a total of zero.
//!
//! # Bounds
//! A source is at most [`MAX_SOURCE_BYTES`] long and nests at most [`MAX_NESTING`] deep. It is checked by
//! [`Condition::check`] against the table of fields before it is trusted; evaluating an unchecked condition is safe and gives
//! unknown where types do not fit. This file names no CEL crate: `parse.rs` alone does.

mod check;
mod eval;
mod expr;
mod parse;
mod scan;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use check::{Complaint, Type};
use expr::Node;

/// The longest condition, in bytes.
pub const MAX_SOURCE_BYTES: usize = 1024;
/// How deep parentheses, brackets and calls may nest.
pub const MAX_NESTING: usize = 16;

/// What was seen of one field.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// A number; its unit is the field's. Anything not finite counts as unknown.
    Number(f64),
    /// Yes or no.
    Flag(bool),
    /// A text, as foreign as its source.
    Text(String),
    /// Several values of one kind.
    List(Vec<Value>),
    /// It could not be seen, and why.
    Unknown(String),
}

impl Value {
    /// A number, or unknown where it is not finite.
    pub fn number(number: f64) -> Value {
        if number.is_finite() { Value::Number(number) } else { Value::Unknown(format!("{number} is no usable number")) }
    }

    /// Why this is unknown, if it is. A number that is not finite is unknown, and so is a list that holds an unknown.
    pub fn unknown(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::Unknown(why) => Some(Cow::Borrowed(why)),
            Value::Number(number) if !number.is_finite() => Some(Cow::Owned(format!("{number} is no usable number"))),
            Value::List(members) => members.iter().find_map(Value::unknown),
            _ => None,
        }
    }
}

// By hand, because JSON has no infinity and no NaN: written as null they could not be read back.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Number(number) if !number.is_finite() => Value::number(*number).serialize(serializer),
            Value::Number(number) => serializer.serialize_newtype_variant("Value", 0, "number", number),
            Value::Flag(flag) => serializer.serialize_newtype_variant("Value", 1, "flag", flag),
            Value::Text(text) => serializer.serialize_newtype_variant("Value", 2, "text", text),
            Value::List(members) => serializer.serialize_newtype_variant("Value", 3, "list", members),
            Value::Unknown(why) => serializer.serialize_newtype_variant("Value", 4, "unknown", why),
        }
    }
}

/// For people: the bare value; texts in quotes. Not made inert: that is the printer's part.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::List(members) => {
                f.write_str("[")?;
                for (index, member) in members.iter().enumerate() {
                    write!(f, "{}{member}", if index > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
            Value::Unknown(why) => write!(f, "unknown ({why})"),
        }
    }
}

/// What a condition comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be said, and why.
    Unknown(String),
}

impl Truth {
    /// True only for [`Truth::True`]: the one value that lets something happen.
    pub fn holds(&self) -> bool {
        *self == Truth::True
    }
}

impl From<bool> for Truth {
    fn from(truth: bool) -> Truth {
        if truth { Truth::True } else { Truth::False }
    }
}

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Truth::True => f.write_str("true"),
            Truth::False => f.write_str("false"),
            Truth::Unknown(why) => write!(f, "unknown ({why})"),
        }
    }
}

/// Where a condition finds its fields.
pub trait Scope {
    /// What was seen of the field `look.field`; [`Value::Unknown`] with the reason when nothing was.
    fn get(&self, path: &str) -> Value;
}

/// Findings by their whole path. A path that is not there is unknown.
impl Scope for BTreeMap<String, Value> {
    fn get(&self, path: &str) -> Value {
        BTreeMap::get(self, path).cloned().unwrap_or_else(|| Value::Unknown(format!("{path} was not looked at")))
    }
}

/// Why a source is not a condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at column {column}: {message}; {mend}")]
pub struct ConditionError {
    /// Where, in characters from the start of the source, counting from 1. A line break counts as one character.
    pub column: usize,
    /// What is wrong, without a full stop.
    pub message: String,
    /// How to mend it, without a full stop.
    pub mend: String,
}

impl ConditionError {
    fn new(column: usize, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { column, message: message.into(), mend: mend.into() }
    }
}

/// A parsed condition. Two are equal when their sources are.
#[derive(Clone)]
pub struct Condition {
    source: String,
    root: Node,
    /// Sorted, each once.
    paths: Vec<String>,
}

impl Condition {
    /// Parses a source. Types and names of fields are [`Condition::check`]'s part.
    ///
    /// # Errors
    /// The first thing that is not part of the language, its column, and the mend.
    pub fn parse(source: &str) -> Result<Condition, ConditionError> {
        let root = parse::parse(source)?;
        let mut paths = Vec::new();
        root.visit(&mut |node| {
            if let expr::Kind::Path(path) = &node.kind {
                paths.push(path.clone());
            }
        });
        paths.sort();
        paths.dedup();
        Ok(Condition { source: source.into(), root, paths })
    }

    /// Everything that is wrong with types and fields; empty when the condition can be trusted. `types` knows the fields.
    pub fn check(&self, types: &dyn Fn(&str) -> Option<Type>) -> Vec<Complaint> {
        check::check(&self.root, types, &[], &|_| false)
    }

    /// Like [`Condition::check`], against a table of all fields; a mistyped field is answered with the nearest one. `shares` are those
    /// that lie between 0 and 1: what compares one with a percentage is always true or never.
    pub fn check_among(&self, fields: &BTreeMap<String, Type>, shares: &BTreeSet<String>) -> Vec<Complaint> {
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        check::check(&self.root, &|path| fields.get(path).copied(), &names, &|path| shares.contains(path))
    }

    /// What the condition comes to, given what was seen. Unknown whenever a mentioned field is (see the file's head).
    pub fn evaluate(&self, scope: &dyn Scope) -> Truth {
        let mut seen = Vec::with_capacity(self.paths.len());
        for path in &self.paths {
            let value = scope.get(path);
            if let Some(why) = value.unknown() {
                return Truth::Unknown(format!("{path} is unknown: {why}"));
            }
            seen.push((path.as_str(), value));
        }
        eval::evaluate(&self.root, &seen)
    }

    /// The source, as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The fields it mentions, sorted, each once.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Condition {}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({})", self.source)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl std::str::FromStr for Condition {
    type Err = ConditionError;

    fn from_str(source: &str) -> Result<Self, ConditionError> {
        Condition::parse(source)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = Cow::<str>::deserialize(deserializer)?;
        Condition::parse(&source).map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Condition {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A condition in a subset of CEL over the fields of the looks. True, false, or unknown when a field it mentions is.",
            "maxLength": MAX_SOURCE_BYTES,
            "examples": ["sessions.used_ratio > 0.8 && sessions.idle > 0"]
        })
    }
}

#[cfg(test)]
mod tests;
