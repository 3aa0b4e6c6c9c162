//! Alertmanager's two ways of spelling an alert, turned into [`runbook::alert::Alert`]: the webhook payload, version "4", and
//! the list of API v2. Why private wire types: what is sent changes between releases (fields appear, are renamed, may be
//! missing), and none of that may reach the rest. Unknown fields are ignored, nearly all are optional, and a group's own
//! status is never read (with `max_alerts`, "resolved" is sent while a truncated alert still fires). Deliberately no I/O.
//!
//! Facts: Alertmanager's notify/webhook/webhook.go, template/template.go and api/v2/openapi.yaml, releases 0.25 to 0.34.

mod alert;
mod listed;
mod webhook;

pub use listed::{Listed, State, read_listed};
pub use webhook::{Malformed, Payload, check, read};

/// A receiver's name as Alertmanager writes it into a payload, and as its `receiver` filter wants it: Go's
/// `regexp.QuoteMeta`. So `team.db` arrives as `team\.db`.
pub fn quoted_receiver(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len());
    for character in name.chars() {
        if matches!(character, '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted
}

#[cfg(test)]
mod tests;
