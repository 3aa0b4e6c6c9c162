//! What was seen, in figures: the fields that a runbook's conditions mention, with their units from the one table of fields.
//! Why only those: a person wants the numbers that decided, not everything that a look returned. Deliberately no judgement.

use std::collections::BTreeSet;

use runbook::book::{Remedy, Runbook};
use runbook::condition::Value;
use runbook::finding::{Field, Findings, fields};
use runbook::text::inert;

use crate::prose::Prose;

/// The longest text value that is shown.
const TEXT: usize = 80;
/// The most members of a list that are shown.
const MEMBERS: usize = 8;

/// The fields that decide about a rung: what must hold before, what chooses the rung, what ends it, what proves it,
/// what would be harm.
pub(crate) fn deciding(runbook: &Runbook, remedy: Option<&Remedy>) -> BTreeSet<String> {
    let mut paths: BTreeSet<String> = runbook.require.paths().iter().cloned().collect();
    if let Some(remedy) = remedy {
        let ends = remedy.steps.iter().filter_map(|step| step.until.as_ref());
        let watched = remedy.guard.iter().flat_map(|guard| &guard.stop_if);
        for condition in remedy.when.iter().chain(ends).chain([&remedy.verify.until]).chain(watched) {
            paths.extend(condition.paths().iter().cloned());
        }
    }
    paths
}

/// The fields that decide about any rung.
pub(crate) fn deciding_at_all(runbook: &Runbook) -> BTreeSet<String> {
    let mut paths = deciding(runbook, None);
    paths.extend(runbook.remedies.iter().flat_map(|remedy| deciding(runbook, Some(remedy))));
    paths
}

/// The row of the table of fields for `look.field`, where the runbook has such a look and the probe such a field.
pub(crate) fn field(runbook: &Runbook, path: &str) -> Option<&'static Field> {
    let (look, name) = path.split_once('.')?;
    let probe = runbook.look.get(look)?.probe.name();
    fields(probe).iter().find(|field| field.name == name)
}

/// A value that can steer nothing, whatever a server put into it.
pub(crate) fn tame(value: Value) -> Value {
    match value {
        Value::Text(text) => Value::Text(inert(&text, TEXT)),
        Value::Unknown(why) => Value::Unknown(inert(&why, 200)),
        Value::List(members) => Value::List(members.into_iter().take(MEMBERS).map(tame).collect()),
        other => other,
    }
}

/// A value with its unit, as a person reads it.
pub(crate) fn figure(value: &Value, unit: &str) -> String {
    match value {
        Value::Number(number) => number_in(*number, unit),
        Value::Flag(true) => "yes".to_owned(),
        Value::Flag(false) => "no".to_owned(),
        Value::Text(text) if text.is_empty() => "(empty)".to_owned(),
        Value::Text(text) => inert(text, TEXT),
        Value::List(members) => {
            let shown: Vec<_> = members.iter().take(MEMBERS).map(|member| figure(member, unit)).collect();
            format!("[{}]", shown.join(", "))
        }
        Value::Unknown(_) => "unknown".to_owned(),
    }
}

fn number_in(number: f64, unit: &str) -> String {
    match unit {
        "share" => format!("{} %", short(number * 100.0)),
        "bytes" => bytes(number),
        "seconds" => format!("{} s", short(number)),
        "" | "code" | "ratio" => short(number),
        unit if number == 1.0 => format!("1 {}", unit.trim_end_matches('s')),
        unit => format!("{} {unit}", short(number)),
    }
}

// At most two decimals, and none that say nothing: 93, 69.99, 0.5.
fn short(number: f64) -> String {
    let rounded = format!("{number:.2}");
    match rounded.contains('.') {
        true => rounded.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => rounded,
    }
}

fn bytes(number: f64) -> String {
    let mut left = number;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if left.abs() < 1024.0 {
            return format!("{} {unit}", short(left));
        }
        left /= 1024.0;
    }
    format!("{} TiB", short(left))
}

/// The named fields of what was seen, in one line: `sessions.used_ratio` 93 %, `sessions.idle` 14 sessions.
pub(crate) fn line(runbook: &Runbook, paths: &BTreeSet<String>, findings: &Findings) -> Prose {
    let mut line = Prose::new();
    for (index, path) in paths.iter().enumerate() {
        let value = findings.value(path);
        let unit = field(runbook, path).map_or("", |field| field.unit);
        line = line.say(if index > 0 { ", " } else { "" }).code(path).say(" ").say(figure(&value, unit));
        if let Value::Unknown(why) = &value {
            line = line.say(" (").say(inert(why, 160)).say(")");
        }
    }
    if line.is_empty() { Prose::of("nothing that a condition mentions") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_say_them() {
        let table = [
            (Value::Number(0.93), "share", "93 %"),
            (Value::Number(0.699_99), "share", "70 %"),
            (Value::Number(0.6994), "share", "69.94 %"),
            (Value::Number(14.0), "sessions", "14 sessions"),
            (Value::Number(1.0), "sessions", "1 session"),
            (Value::Number(1_610_612_736.0), "bytes", "1.5 GiB"),
            (Value::Number(0.25), "seconds", "0.25 s"),
            (Value::Number(503.0), "code", "503"),
            (Value::Flag(true), "", "yes"),
            (Value::Text("a\u{1b}b".into()), "", "a\\u{1b}b"),
            (Value::Unknown("refused".into()), "share", "unknown"),
            (Value::List(vec![Value::Number(1.0), Value::Number(2.5)]), "", "[1, 2.5]"),
        ];
        for (value, unit, wanted) in table {
            assert_eq!(figure(&value, unit), wanted);
        }
    }
}
