//! Puts together what was seen. Why: a field that could not be had is *unknown* with a reason, never missing and never zero.

use std::collections::BTreeMap;

use runbook::condition::Value;
use runbook::finding::{Field, Seen, Subject};

/// Fields of a finding, while they are being collected.
#[derive(Default)]
pub(crate) struct Fields(BTreeMap<String, Value>);

impl Fields {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn put(&mut self, name: &str, value: Value) -> &mut Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn number(&mut self, name: &str, number: f64) -> &mut Self {
        self.put(name, Value::number(number))
    }

    pub(crate) fn flag(&mut self, name: &str, flag: bool) -> &mut Self {
        self.put(name, Value::Flag(flag))
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.put(name, Value::Text(text.to_owned()))
    }

    pub(crate) fn unknown(&mut self, names: &[&str], why: &str) -> &mut Self {
        for name in names {
            self.put(name, Value::Unknown(why.to_owned()));
        }
        self
    }

    /// All that was seen, with nothing to select among.
    pub(crate) fn seen(self) -> Seen {
        self.seen_with(Vec::new())
    }

    /// All that was seen, with things to select among.
    pub(crate) fn seen_with(self, subjects: Vec<Subject>) -> Seen {
        Seen::Known { fields: self.0, subjects }
    }
}

/// Gives every field of the table a value, and drops what is not in it.
pub(crate) fn complete(seen: Seen, table: &[Field]) -> Seen {
    match seen {
        Seen::Known { mut fields, subjects } => {
            let value = |field: &Field| {
                let value = fields.remove(field.name);
                (field.name.to_owned(), value.unwrap_or_else(|| Value::Unknown("the server did not say".to_owned())))
            };
            Seen::Known { fields: table.iter().map(value).collect(), subjects }
        }
        unknown => unknown,
    }
}
