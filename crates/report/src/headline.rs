//! The one message per incident, kept current: state in words, what fires, what is done or waits for whom, how to agree, where to read
//! on. Rendered from the incident and its events alone and without a "now", so that the same events give the same message, an
//! unchanged one is not sent again, and intermediate states may be dropped. Deliberately short: the story is in the thread.

use runbook::alert::AlertStatus;
use runbook::incident::{Ask, Event, Incident, Stage, Trigger, Waiting};
use runbook::order::Purpose;
use runbook::time::Stamp;

use crate::account;
use crate::message::{Draft, Message};
use crate::prose::Prose;
use crate::report::Report;
use crate::sections::{self, Detail};
use crate::sentence::named;
use crate::words::{self, Manner, moment};

/// How many identities a question names: whoever agrees should see what they agree to.
const ASKED: usize = 60;
/// How many alerts and acts are listed before the rest is counted.
const LISTED: usize = 5;

/// The message of an incident as it is now.
pub fn headline(incident: &Incident, events: &[(Stamp, Event)], manner: &Manner) -> Message {
    let report = account::read(incident, events, manner);
    let state = state(incident, events, &report);
    let title =
        Prose::of(format!("{} {}  ", words::mark(incident), incident.id)).say(&report.runbook).say(" on ").say(&report.target);
    let fallback = Prose::of(format!("{} {}: ", incident.id, report.target)).join(state.clone());
    let mut draft = Draft::new(Some(&title), &fallback, &footer(incident, manner), Prose::new().code(manner.show(incident.id)));

    draft.heading(&state);
    if let Stage::Waiting { on: Waiting::Person(ask), .. } = &incident.stage {
        for line in question(ask, incident, events, manner) {
            draft.line(&line);
        }
    }
    let ended_with_a_person = match &incident.stage {
        Stage::Closing { how, .. } | Stage::Closed { how, .. } => how.wants_a_person(),
        _ => false,
    };
    if ended_with_a_person || incident.unsettled().is_some() {
        for line in &report.todo {
            draft.line(&Prose::of("• ").say(line));
        }
    }
    if let Some(mark) = manner.mark(incident) {
        draft.line(&Prose::of("Was that right? ").code(mark).say(", or ").code("wrong").say("."));
    }
    draft.heading(&fires(incident, manner));
    if let Trigger::Alert(alert) = &incident.trigger
        && let Some(said) = alert.annotations.get("summary").or_else(|| alert.annotations.get("description"))
    {
        draft.line(&Prose::of("It says: ").code(said));
    }
    draft.line(&Prose::of("What runbookd has for it: ").say(&report.summary).stop());
    for (index, line) in done(&report).iter().enumerate() {
        if index == 0 { draft.heading(line) } else { draft.line(line) }
    }
    if !report.acts.is_empty()
        && let Some(proof) =
            sections::sections(&report, Detail::Brief).into_iter().find(|section| section.heading == "Before and after")
    {
        for (index, line) in proof.lines.iter().enumerate() {
            if index == 0 { draft.heading(line) } else { draft.line(&Prose::of("• ").join(line.clone())) }
        }
    }
    draft.finish()
}

// Where it is, in one sentence.
fn state(incident: &Incident, events: &[(Stamp, Event)], report: &Report) -> Prose {
    let near = incident.opened;
    let target = incident.target.to_string();
    match &incident.stage {
        Stage::Looking(aim) => Prose::new().strong("Looking").say(" at ").code(target).say(" ").say(words::aim(*aim)).say("."),
        Stage::Deciding { aim, .. } => Prose::new().strong("Deciding").say(", having looked ").say(words::aim(*aim)).say("."),
        Stage::Waiting { on: Waiting::Person(ask), .. } => {
            let line =
                Prose::new().strong("Waits for a person").say(format!(", until {}: may it do ", moment(ask.expires, near)));
            line.join(words::order(&ask.order)).say("?")
        }
        Stage::Waiting { until, on, .. } => {
            let what = match on {
                // These two are waited for until they end, and looked at again then.
                Waiting::Held { by } => format!(" for {by}, which holds the same target"),
                Waiting::Pause => " for the pause to end".to_owned(),
                Waiting::Cause { of, by: Some(by) } => {
                    format!(" for {by}, which works on {of}; looks again at {}", moment(*until, near))
                }
                Waiting::Cause { of, by: None } => format!(" for {of} to be well; looks again at {}", moment(*until, near)),
                Waiting::Turn => format!(" for its turn; looks again at {}", moment(*until, near)),
                Waiting::Quiet => format!(" for the end of a quiet time; looks again at {}", moment(*until, near)),
                Waiting::Clock => format!(" for the clock to be trusted; looks again at {}", moment(*until, near)),
                Waiting::Trial { by } => {
                    format!(" for what becomes of {by}, which tries whether cures help; looks again at {}", moment(*until, near))
                }
                Waiting::Remedy => format!(" for a second look at which remedy applies, at {}", moment(*until, near)),
                Waiting::Sight => format!(" until it can see; looks again at {}", moment(*until, near)),
                Waiting::Time | Waiting::Person(_) => format!(" until {}", moment(*until, near)),
            };
            let line = Prose::new().strong("Waits").say(what);
            match last_wait(events) {
                Some(why) => line.say(": ").say(why).stop(),
                None => line.say("."),
            }
        }
        Stage::InDoubt => match incident.last_attempt() {
            Some(attempt) => {
                let verb = match (&attempt.unsettled, attempt.order.purpose) {
                    (Some(_), _) => "Cannot see how it ended",
                    (None, Purpose::Do) => "Acting",
                    (None, Purpose::Undo) => "Undoing",
                    (None, Purpose::End) => "Ending",
                };
                let line = Prose::new().strong(verb).say(format!(" (#{}): ", attempt.number)).join(words::order(&attempt.order));
                let line = line.say(format!(", since {}. ", moment(attempt.started, near)));
                let line = match &attempt.unsettled {
                    None => line.say("No look has settled it yet."),
                    Some(unsettled) => line
                        .say(format!("No look could tell since {}: ", moment(unsettled.since, near)))
                        .say(&unsettled.why)
                        .stop(),
                };
                match &incident.harm {
                    Some(why) if attempt.order.purpose == Purpose::Do => line.say(" Nothing more is done: ").say(why).stop(),
                    _ => line,
                }
            }
            None => Prose::new().strong("In doubt").say("."),
        },
        Stage::Verifying { since } => {
            let line = Prose::new().strong("Verifying").say(format!(" since {}: ", moment(*since, near)));
            match incident.remedy() {
                Some(remedy) => {
                    let verify = &remedy.verify;
                    line.code(verify.until.source()).say(format!(" must hold for {}, within {}.", verify.hold, verify.within))
                }
                None => line.say("whether it helped."),
            }
        }
        Stage::Sustaining { since } => {
            let line = Prose::new().strong("Helped").say(format!(" at {}; the effect lasts", moment(*since, near)));
            let steps = incident.remedy().map(|remedy| remedy.steps.as_slice()).unwrap_or_default();
            let until = steps.iter().rev().find_map(|step| step.until.as_ref());
            let line = match until {
                Some(until) => line.say(" until ").code(until.source()),
                None => line,
            };
            match steps.iter().filter_map(|step| step.at_most_for).max() {
                Some(most) => line.say(format!(", for {most} at most.")),
                None => line.say(", and is then ended."),
            }
        }
        Stage::Closing { how, why } | Stage::Closed { how, why } => {
            // Not the last event's stamp: a note written afterwards must not change how long it took.
            let took = report.after_opening(report.times.closed.unwrap_or(incident.last));
            Prose::new().strong(words::ending(*how)).say(format!(", {took} after it was opened: ")).say(why).stop()
        }
    }
}

fn last_wait(events: &[(Stamp, Event)]) -> Option<&str> {
    events.iter().rev().find_map(|(_, event)| match event {
        Event::Waits { why, .. } => Some(why.as_str()),
        _ => None,
    })
}

// Everything that a person agrees to, and how.
fn question(ask: &Ask, incident: &Incident, events: &[(Stamp, Event)], manner: &Manner) -> Vec<Prose> {
    let facts = ask.order.action.facts();
    let shown =
        ask.shown.iter().map(
            |(identity, words)| if words.starts_with(identity.as_str()) { words.clone() } else { format!("{identity}: {words}") },
        );
    let undo = if facts.undo { "can be undone" } else { "cannot be undone" };
    // The commands first: whatever has no room, they have.
    let mut lines = vec![
        Prose::of("To agree: ").code(manner.approve(ask)),
        Prose::of("To refuse: ").code(manner.deny(ask)),
        Prose::of(format!("No answer by {} is a no.", moment(ask.expires, incident.opened))),
        Prose::of(format!(
            "At most {} of them, and only those that are still there then. It {undo}; it disturbs: {}.",
            ask.at_most, facts.disturbs
        )),
    ];
    if !ask.who.is_empty() {
        lines.push(Prose::of("May agree: ").join(named(ask.who.clone(), ASKED)).say("; anybody may refuse."));
    }
    let told = |event: &Event| matches!(event, Event::Reminded { ask: told, .. } if *told == ask.id);
    if let Some((at, _)) = events.iter().rev().find(|(_, event)| told(event)) {
        lines.push(Prose::of(format!("Told again at {}.", moment(*at, incident.opened))));
    }
    lines.extend(Prose::of("Exactly: ").join(named(shown.collect(), ASKED)).broken(1_000));
    lines
}

fn fires(incident: &Incident, manner: &Manner) -> Prose {
    let mut line = Prose::new();
    for alert in incident.alerts.values().take(LISTED) {
        let word = match alert.status {
            AlertStatus::Firing => " fires since ",
            AlertStatus::Resolved => " is reported as resolved; it fired since ",
        };
        let gap = if line.is_empty() { "" } else { ", " };
        line = line.say(gap).code(&alert.name).say(word).say(moment(alert.starts_at, incident.opened));
    }
    match incident.alerts.len().saturating_sub(LISTED) {
        0 => {}
        more => line = line.say(format!(", and {}", words::count(more, "more alert"))),
    }
    match &incident.trigger {
        Trigger::Alert(alert) if !alert.generator_url.is_empty() => {
            line.say(". ").join(manner.address(&alert.generator_url, "Where it came from"))
        }
        Trigger::Alert(_) => line,
        Trigger::Person { by, words } => Prose::new().code(by).say(" opened it: ").code(words),
        Trigger::Clock { entry } => Prose::of("The calendar opened it: ").code(entry),
    }
}

fn done(report: &Report) -> Vec<Prose> {
    let mut lines = Vec::new();
    let hidden = report.acts.len().saturating_sub(LISTED);
    if hidden > 0 {
        lines.push(Prose::of(words::count(hidden, "earlier act")).say(" not listed here"));
    }
    for act in report.acts.iter().skip(hidden) {
        let sort = act.touched.first().map_or("thing", |touched| words::sort(&touched.identity));
        let line = Prose::of(format!("{} #{} ", words::started(act.purpose), act.number))
            .code(&act.action)
            .say(" on ")
            .code(&act.target);
        let line = line.say(format!(", {}: ", words::count(act.count, sort)));
        lines.push(match (&act.became, &act.settled) {
            (Some(became), Some(why)) => line.strong(became).say(", ").say(why),
            _ => line.say("not settled yet"),
        });
    }
    lines
}

fn footer(incident: &Incident, manner: &Manner) -> Prose {
    let line = Prose::of(format!("Opened {}. ", words::moment(incident.opened, incident.last))).code(manner.show(incident.id));
    match &manner.page {
        Some(page) => line.say(" or ").link(&format!("{}/incidents/{}", page.trim_end_matches('/'), incident.id.0), "its page"),
        None => line,
    }
}
