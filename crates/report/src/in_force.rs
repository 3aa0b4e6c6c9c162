//! What a configuration said of a runbook, in a line: an old decision is read with the configuration of its moment, and not with the
//! one of today. Deliberately only what decides *whether* and *how often*; the looks and steps an incident keeps from its opening.

use runbook::book::{Configuration, Mode};
use runbook::text::inert;
use runbook::time::Span;

/// More characters of a hash than tell two configurations apart.
const SHORT: usize = 12;

/// What was in force for a runbook, by the hash that the journal keeps the configuration under.
pub fn in_force(hash: &str, configuration: Option<&Configuration>, runbook: &str) -> String {
    let hash = hash.get(..SHORT).unwrap_or(hash);
    let Some(configuration) = configuration else {
        return format!("By configuration {hash}, which the journal no longer has.");
    };
    let Some(rules) = configuration.runbooks.get(runbook) else {
        return format!("By configuration {hash}: it has no runbook {}.", inert(runbook, 60));
    };
    let during = rules.mode.during.iter().map(|(name, mode)| format!(", {}: {}", inert(name, 40), word(*mode)));
    let rates = rules.limits.rate.iter().map(|rate| format!(", {}/{}", rate.count, rate.per));
    let recurrence = rules.limits.recurrence.map(|limit| format!("; a mask from {} cures within {}", limit.times, limit.within));
    let approval = &configuration.approval;
    let people = match approval.proves_names() {
        true => format!("; of {} people who may agree, by {} rules", approval.people.len(), approval.who.len()),
        false => String::new(),
    };
    format!(
        "By configuration {hash}: mode {}{}; cooldown {}{}{}; a question stands for {}{people}.",
        word(rules.mode.default),
        during.collect::<String>(),
        rules.limits.cooldown,
        rates.collect::<String>(),
        recurrence.unwrap_or_default(),
        Span::from(configuration.approval_expiry()),
    )
}

const fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Ask => "ask",
        Mode::Auto => "auto",
    }
}
