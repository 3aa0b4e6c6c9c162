//! One sentence for each event, and how loudly it is said. Why one place: the thread in Slack, the timeline in the terminal and the
//! history of a report then tell the same story in the same words. Every kind of event has its arm, so that a new kind breaks the
//! build here. Deliberately no opinion on where a sentence goes: `story` and `terminal` choose by [`Voice`].

use runbook::incident::{Answer, Event, Incident, Proof, Reply, Trigger, Waiting};
use runbook::order::Verdict;
use runbook::time::Stamp;

use crate::figures;
use crate::prose::Prose;
use crate::walk::Step;
use crate::words::{self, Manner};

/// How loudly an event is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Voice {
    /// In the full timeline only.
    Detail,
    /// To whoever follows the incident.
    Follow,
    /// To everybody in the channel: a person is wanted.
    Channel,
}

/// How many identities a sentence names before it only counts.
const NAMED: usize = 12;

/// What is said about one event.
pub(crate) fn sentence(incident: &Incident, step: &Step<'_>, manner: &Manner) -> (Voice, Prose) {
    let remedy = incident.runbook.remedies.get(step.rung);
    let seen = |findings| figures::line(&incident.runbook, &figures::deciding(&incident.runbook, remedy), findings);
    let rung = remedy.map_or_else(|| format!("remedy {}", step.rung + 1), |remedy| remedy.name.clone());
    match step.event {
        Event::Opened(opening) => {
            let what = Prose::of(" on ").code(opening.target.to_string()).say("; runbook ").code(&opening.runbook).say(".");
            let line = match &opening.trigger {
                Trigger::Alert(alert) => {
                    let since = words::moment(alert.starts_at, step.at);
                    Prose::of("Opened for the alert ").code(alert.name()).say(format!(", firing since {since},"))
                }
                Trigger::Person { by, words } => Prose::of("Opened by ").code(by).say(": ").code(words),
                Trigger::Clock { entry } => Prose::of("Opened by the calendar entry ").code(entry),
            };
            (Voice::Follow, line.join(what))
        }
        Event::AlertHeard { name, status, .. } => {
            let word = match status {
                runbook::alert::AlertStatus::Firing => " fires.",
                runbook::alert::AlertStatus::Resolved => " is reported as resolved, which proves nothing.",
            };
            (Voice::Detail, Prose::of("The alert ").code(name).say(word))
        }
        Event::Stopped { why } => (Voice::Follow, Prose::of("Stopped by a person: ").say(why).stop()),
        Event::Noted { by, words } => (Voice::Follow, Prose::new().code(by).say(" noted: ").code(words).stop()),
        Event::Judged { by, right, why } => {
            let line = Prose::new().code(by).say(if *right { " marked it as right" } else { " marked it as wrong" });
            (Voice::Follow, if why.is_empty() { line.say(".") } else { line.say(": ").code(why).stop() })
        }
        Event::Looked { findings } => {
            // Which rung comes next is not decided yet.
            let line = figures::line(&incident.runbook, &figures::deciding_at_all(&incident.runbook), findings);
            (Voice::Detail, Prose::of("Looked: ").join(line).say("."))
        }
        Event::Stale { why } => (Voice::Detail, Prose::of("Looks again: ").say(why).stop()),
        Event::Waits { on: Waiting::Person(ask), until, why, .. } => {
            let lines = Prose::of("Asks a person, until ").strong(words::moment(*until, step.at)).say(": ");
            let named = names(ask.shown.iter().map(|(identity, words)| shown(identity, words)).collect());
            let how = Prose::of(". ")
                .say(why)
                .stop()
                .say(" To agree: ")
                .code(manner.approve(ask))
                .say(", to refuse: ")
                .code(manner.deny(ask));
            (Voice::Channel, lines.join(words::order(&ask.order)).say(": ").join(named).join(how))
        }
        Event::Waits { on: Waiting::Held { by }, why, .. } => {
            (Voice::Follow, Prose::of(format!("Waits for {by}: ")).say(why).stop())
        }
        Event::Waits { on: Waiting::Pause, why, .. } => {
            (Voice::Follow, Prose::of("Waits for the pause to end: ").say(why).stop())
        }
        Event::Waits {
            on:
                Waiting::Cause { .. }
                | Waiting::Turn
                | Waiting::Quiet
                | Waiting::Clock
                | Waiting::Trial { .. }
                | Waiting::Remedy
                | Waiting::Sight,
            until,
            why,
            ..
        } => {
            let line = Prose::of(format!("Waits; looks again at {}: ", words::moment(*until, step.at)));
            (Voice::Follow, line.say(why).stop())
        }
        Event::Waits { until, why, .. } => {
            (Voice::Follow, Prose::of(format!("Waits, until {}: ", words::moment(*until, step.at))).say(why).stop())
        }
        Event::Woke { why } => (Voice::Detail, Prose::of("Goes on: ").say(why).stop()),
        Event::Answered { answer, .. } => {
            let line = match answer {
                Answer::Granted { by, proof } => {
                    who(by, *proof).say(" agreed. Looks again, and acts only on what was shown and is still there.")
                }
                Answer::Denied { by, proof, why } if why.is_empty() => who(by, *proof).say(" said no."),
                Answer::Denied { by, proof, why } => who(by, *proof).say(" said no: ").code(why).stop(),
                Answer::Expired => Prose::of("Nobody answered in time, which is a no."),
            };
            (Voice::Follow, line)
        }
        Event::Reminded { ask, through } => {
            let line = Prose::new().strong("Still waits for a person");
            (Voice::Channel, again(line, incident, ask, *through, step.at, manner))
        }
        Event::AnswerRefused { by, proof, why, .. } => {
            let line = Prose::of("An answer was not taken: ").join(who(by, *proof)).say(" tried to agree. ").say(why).stop();
            (Voice::Follow, line.say(" The question still stands."))
        }
        Event::RungSkipped { why, .. } => (Voice::Follow, Prose::of("Does not do ").code(rung).say(": ").say(why).stop()),
        Event::Enough { why } => (Voice::Follow, Prose::of("Leaves out the rest of ").code(rung).say(": ").say(why).stop()),
        Event::EvidenceCaptured { captured, .. } => {
            let kept = Prose::of(format!("Kept {} of evidence", words::count(captured.evidence.len(), "piece")));
            match captured.missing.as_slice() {
                [] => (Voice::Detail, kept.say(".")),
                missing => (Voice::Follow, kept.say("; could not be had: ").say(missing.join("; ")).stop()),
            }
        }
        Event::ActionStarted { order, deadline, .. } => {
            let known = step.seen.map(|findings| order.describe(findings)).unwrap_or_default();
            let named = order
                .selection
                .iter()
                .map(|identity| shown(&identity.to_string(), known.get(identity).map_or("", String::as_str)));
            let line = Prose::new().strong(words::started(order.purpose)).say(format!(" #{}: ", step.started + 1));
            let until = format!(". Deadline {}.", words::moment(*deadline, step.at));
            (Voice::Follow, line.join(words::order(order)).say(": ").join(names(named.collect())).say(until))
        }
        Event::Quieted { alerts } => (Voice::Follow, words::quieted(alerts, step.at)),
        Event::ActionReplied { reply } => match reply {
            Reply::Done(words) => {
                (Voice::Detail, Prose::of("The call says that it is done, which is no proof: ").code(words).stop())
            }
            Reply::Refused(words) => (Voice::Follow, Prose::of("The call was refused: ").code(words).say(". A look settles it.")),
            Reply::Failed(words) => (Voice::Follow, Prose::of("The call failed: ").code(words).say(". A look settles it.")),
            Reply::NoAnswer(words) => {
                (Voice::Follow, Prose::of("The call got no answer: ").code(words).say(". A look settles it."))
            }
        },
        Event::Unsettled { since, why } => {
            let line = Prose::new().strong(format!("Cannot see how #{} ended", step.started));
            let line = line.say(format!(", since {}: ", words::moment(*since, step.at))).say(why).stop();
            if incident.unsettled().is_none() || step.started != incident.attempts.len() {
                // Whoever hears of it late has nothing more to do for it.
                return (Voice::Follow, line);
            }
            let line = line
                .say(" ")
                .say(words::looks_on())
                .say(". Somebody has to look there: what was begun may be half done. ")
                .code(manner.note(incident.id));
            let line = line.say(" ends the call; ").code(manner.pause(incident)).say(" keeps it from acting when it can see.");
            (Voice::Channel, line)
        }
        Event::Settled { verdict, .. } => {
            let (Verdict::Landed(why) | Verdict::Partly(why) | Verdict::NotLanded(why) | Verdict::Unknowable(why)) = verdict;
            let word = format!("{}:", words::verdict(step.purpose, verdict));
            (Voice::Follow, Prose::new().strong(word).say(" ").say(why).stop())
        }
        Event::Verified { findings, since } => {
            let held = words::span(step.at.since(*since));
            let until = remedy.map_or("", |remedy| remedy.verify.until.source());
            let line = Prose::new().strong("Verified:").say(" ").code(until).say(format!(" held for {held}. "));
            (Voice::Follow, line.join(seen(findings)).say("."))
        }
        Event::NotVerified { findings, why, unseen } => {
            let word = if *unseen { "Cannot be verified:" } else { "Did not help:" };
            (Voice::Follow, Prose::new().strong(word).say(" ").say(why).stop().say(" ").join(seen(findings)).say("."))
        }
        // The figures are in the reason; the looks in between see only what is watched.
        Event::Harmed { why, unseen, .. } => {
            let word = if *unseen { "Ends it, out of sight:" } else { "Stops it:" };
            (Voice::Channel, Prose::new().strong(word).say(" ").say(why).stop())
        }
        Event::EndDue { why, findings, .. } => (
            Voice::Follow,
            Prose::of("The lasting effect is to be ended: ").say(why).stop().say(" ").join(seen(findings)).say("."),
        ),
        Event::Ending { how, why, .. } => {
            (Voice::Detail, Prose::of("Decided: ").say(words::ending(*how)).say(": ").say(why).stop())
        }
        Event::Closed { how, why } => {
            let voice = if how.wants_a_person() { Voice::Channel } else { Voice::Follow };
            (voice, Prose::new().strong(words::ending(*how)).say(": ").say(why).stop())
        }
    }
}

// A person's name, and whether it is known to be theirs.
fn who(by: &str, proof: Proof) -> Prose {
    let line = Prose::new().code(by);
    if proof.holds() { line.say(" (proved by their token)") } else { line }
}

// A question told again: what it asks, until when, and how it is answered. Of one that is no longer open only that it was told.
fn again(line: Prose, incident: &Incident, id: &str, through: u32, at: Stamp, manner: &Manner) -> Prose {
    let Some(ask) = incident.question().filter(|ask| ask.id == id) else {
        return line.say(format!(" (told again, {through})."));
    };
    let left = words::span(ask.expires.since(at));
    let last = if ask.remind.len() <= through as usize { ", for the last time" } else { "" };
    line.say(format!("{last}: no answer within {left} is a no. May it do "))
        .join(words::order(&ask.order))
        .say("? To agree: ")
        .code(manner.approve(ask))
        .say(", to refuse: ")
        .code(manner.deny(ask))
}

// Who, and what it is; the words often begin with the name already.
fn shown(identity: &str, words: &str) -> String {
    if words.is_empty() || words == identity {
        identity.to_owned()
    } else if words.starts_with(identity) {
        words.to_owned()
    } else {
        format!("{identity}: {words}")
    }
}

/// The first few names, and how many more there are.
pub(crate) fn names(all: Vec<String>) -> Prose {
    named(all, NAMED)
}

/// As many names as wanted, and how many more there are.
pub(crate) fn named(all: Vec<String>, most: usize) -> Prose {
    let mut line = Prose::new();
    for (index, name) in all.iter().take(most).enumerate() {
        line = line.say(if index > 0 { "; " } else { "" }).code(name);
    }
    match all.len().saturating_sub(most) {
        0 => line,
        more => line.say(format!("; and {more} more")),
    }
}
