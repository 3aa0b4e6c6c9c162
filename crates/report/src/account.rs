//! Reads a report off an incident and its events. Why apart from the report's shape: this is where an event's meaning is decided
//! (which look was "before", which attempt an effect belongs to), and it is worth reading in one go. Deliberately total: whatever the
//! events are, there is a report.

use runbook::alert::AlertStatus;
use runbook::condition::Value;
use runbook::finding::Findings;
use runbook::incident::{Answer, Event, Gate, How, Incident, Reply, Stage, Trigger, Waiting};
use runbook::order::{Purpose, Verdict};
use runbook::text::inert;
use runbook::time::Stamp;

use crate::figures;
use crate::report::{Act, Compared, Evidence, JoinedAlert, Note, Proof, Question, Refused, Report, Times, Touched};
use crate::walk::{Step, steps};
use crate::words::{self, Manner};

/// The longest name that is taken over.
const NAME: usize = 200;
/// The longest sentence that is taken over.
const SENTENCE: usize = 1_000;

pub(crate) fn read(incident: &Incident, events: &[(Stamp, Event)], manner: &Manner) -> Report {
    let steps = steps(incident, events);
    let ending = match &incident.stage {
        Stage::Closing { how, why } | Stage::Closed { how, why } => Some((*how, why.as_str())),
        _ => None,
    };
    let asks = matches!(&incident.stage, Stage::Waiting { on: Waiting::Person(_), .. });
    Report {
        incident: incident.id,
        runbook: inert(&incident.runbook.name, NAME),
        summary: inert(&incident.runbook.summary, SENTENCE),
        target: incident.target.to_string(),
        state: incident.word().to_owned(),
        why: ending.map(|(_, why)| why).or(incident.unsettled().map(|one| one.why.as_str())).map(|why| inert(why, SENTENCE)),
        over: incident.is_closed(),
        wants_a_person: asks || incident.unsettled().is_some() || ending.is_some_and(|(how, _)| how.wants_a_person()),
        cause: cause(&incident.trigger),
        alerts: incident.alerts.values().map(alert).collect(),
        acts: acts(incident, &steps),
        proof: proof(incident, &steps),
        questions: questions(&steps),
        refused: refused(incident, &steps),
        evidence: steps.iter().filter_map(evidence).collect(),
        notes: steps.iter().filter_map(note).collect(),
        times: times(incident, &steps),
        todo: todo(incident, ending.map(|(how, _)| how), manner),
    }
}

fn cause(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Alert(alert) => {
            let said = alert.annotations.get("summary").or_else(|| alert.annotations.get("description"));
            let said = said.map(|words| format!(": {}", inert(words, 300))).unwrap_or_default();
            format!("the alert {}{said}", inert(alert.name(), NAME))
        }
        Trigger::Person { by, words } => format!("the report of {}: {}", inert(by, NAME), inert(words, SENTENCE)),
        Trigger::Clock { entry } => format!("the calendar entry {}", inert(entry, NAME)),
    }
}

fn alert(joined: &runbook::incident::JoinedAlert) -> JoinedAlert {
    JoinedAlert { name: inert(&joined.name, NAME), firing: joined.status == AlertStatus::Firing, since: joined.starts_at }
}

fn acts(incident: &Incident, steps: &[Step<'_>]) -> Vec<Act> {
    let mut acts: Vec<Act> = Vec::new();
    for step in steps {
        match step.event {
            Event::ActionStarted { order, .. } => {
                let known = step.seen.map(|findings| order.describe(findings)).unwrap_or_default();
                let touched = order.selection.iter().map(|identity| Touched {
                    identity: identity.clone(),
                    words: inert(known.get(identity).map_or("", String::as_str), NAME),
                });
                let remedy = incident.attempts.get(acts.len()).and_then(|attempt| incident.runbook.remedies.get(attempt.at.rung));
                acts.push(Act {
                    number: u32::try_from(acts.len()).unwrap_or(u32::MAX).saturating_add(1),
                    purpose: order.purpose,
                    remedy: remedy.map(|remedy| inert(&remedy.name, NAME)).unwrap_or_default(),
                    action: order.action.to_string(),
                    details: order.action.details().filter(|_| order.purpose == Purpose::Do),
                    target: order.target.to_string(),
                    count: order.selection.count(),
                    touched: touched.collect(),
                    started: step.at,
                    quieted: None,
                    reply: None,
                    became: None,
                    settled: None,
                    landed: None,
                    settled_at: None,
                    in_force: incident.applied.contains(&acts.len()) && order.purpose == Purpose::Do,
                });
            }
            Event::Quieted { alerts } => {
                if let Some(act) = acts.last_mut() {
                    act.quieted = Some(inert(&words::quieted(alerts, step.at).plain(), SENTENCE));
                }
            }
            Event::ActionReplied { reply } => {
                if let Some(act) = acts.last_mut() {
                    let (word, words) = match reply {
                        Reply::Done(words) => ("done", words),
                        Reply::Refused(words) => ("refused", words),
                        Reply::Failed(words) => ("failed", words),
                        Reply::NoAnswer(words) => ("no answer", words),
                    };
                    act.reply = Some(format!("{word}: {}", inert(words, SENTENCE)));
                }
            }
            Event::Settled { verdict, .. } => {
                if let Some(act) = acts.last_mut() {
                    let (landed, why) = match verdict {
                        Verdict::Landed(why) | Verdict::Partly(why) => (Some(true), why),
                        Verdict::NotLanded(why) => (Some(false), why),
                        Verdict::Unknowable(why) => (None, why),
                    };
                    act.landed = landed;
                    act.became = Some(words::verdict(act.purpose, verdict).to_lowercase());
                    act.settled = Some(inert(why, SENTENCE));
                    act.settled_at = Some(step.at);
                }
            }
            _ => {}
        }
    }
    acts
}

// Before: what was seen last when the first order was started. After: what the last verification saw, and where it did not come to
// one, what was seen last.
fn proof(incident: &Incident, steps: &[Step<'_>]) -> Proof {
    let first = steps.iter().position(|step| matches!(step.event, Event::ActionStarted { .. }));
    let last_seen = |steps: &[Step<'_>]| -> Option<Findings> {
        steps.iter().rev().find_map(|step| match step.event {
            Event::Looked { findings } | Event::Verified { findings, .. } | Event::NotVerified { findings, .. } => {
                Some(findings.clone())
            }
            _ => None,
        })
    };
    let last_judged = |steps: &[Step<'_>]| -> Option<Findings> {
        steps.iter().rev().find_map(|step| match step.event {
            Event::Verified { findings, .. } | Event::NotVerified { findings, .. } => Some(findings.clone()),
            _ => None,
        })
    };
    let (before, after) = match first {
        Some(first) => {
            let (before, after) = steps.split_at(first);
            (last_seen(before), last_judged(after).or_else(|| last_seen(after)))
        }
        None => (last_seen(steps), None),
    };
    let done = incident.attempts.iter().rev().find(|attempt| attempt.order.purpose == Purpose::Do);
    let rung = done.map_or(incident.at.rung, |attempt| attempt.at.rung);
    let remedy = incident.runbook.remedies.get(rung).or(incident.runbook.remedies.last());
    let judged = steps.iter().rev().find_map(|step| match step.event {
        Event::Verified { since, .. } => Some((Some(true), Some(*since))),
        Event::NotVerified { unseen, .. } => Some(((!unseen).then_some(false), None)),
        _ => None,
    });
    let (held, since) = judged.unwrap_or((None, None));
    let at = |findings: &Option<Findings>| {
        findings.as_ref().and_then(|findings| findings.looks.values().map(|finding| finding.at).max())
    };
    let value = |findings: &Option<Findings>, path: &str| -> Option<Value> {
        findings.as_ref().map(|findings| figures::tame(findings.value(path)))
    };
    let fields = figures::deciding(&incident.runbook, remedy).into_iter().map(|path| {
        let field = figures::field(&incident.runbook, &path);
        Compared {
            unit: field.map_or("", |field| field.unit).to_owned(),
            means: field.map_or("", |field| field.means).to_owned(),
            before: value(&before, &path),
            after: value(&after, &path),
            field: path,
        }
    });
    Proof {
        condition: remedy.map(|remedy| inert(remedy.verify.until.source(), SENTENCE)).unwrap_or_default(),
        held,
        since,
        before_at: at(&before),
        after_at: at(&after),
        fields: fields.collect(),
    }
}

fn questions(steps: &[Step<'_>]) -> Vec<Question> {
    let mut questions: Vec<(String, Question)> = Vec::new();
    for step in steps {
        match step.event {
            Event::Waits { on: Waiting::Person(ask), .. } => {
                let shown = ask.shown.iter().map(|(identity, words)| inert(&format!("{identity}: {words}"), NAME));
                let question = Question {
                    asked: step.at,
                    expires: ask.expires,
                    what: words::order(&ask.order).plain(),
                    shown: shown.collect(),
                    answer: None,
                    answered: None,
                };
                questions.push((ask.id.clone(), question));
            }
            Event::Answered { ask, answer } => {
                let words = match answer {
                    Answer::Granted { by, .. } => format!("{} agreed", inert(by, NAME)),
                    Answer::Denied { by, why, .. } if why.is_empty() => format!("{} said no", inert(by, NAME)),
                    Answer::Denied { by, why, .. } => format!("{} said no: {}", inert(by, NAME), inert(why, SENTENCE)),
                    Answer::Expired => "nobody answered in time, which is a no".to_owned(),
                };
                if let Some((_, question)) = questions.iter_mut().rev().find(|(id, _)| id == ask) {
                    question.answer = Some(words);
                    question.answered = Some(step.at);
                }
            }
            _ => {}
        }
    }
    questions.into_iter().map(|(_, question)| question).collect()
}

fn refused(incident: &Incident, steps: &[Step<'_>]) -> Vec<Refused> {
    let mut all: Vec<Refused> = Vec::new();
    for step in steps {
        let (what, why, gates) = match step.event {
            Event::Waits { on: Waiting::Person(_), .. } => continue,
            Event::Waits { why, gates, .. } => ("waited".to_owned(), why, gates.as_slice()),
            Event::RungSkipped { why, gates } => {
                let name = incident.runbook.remedies.get(step.rung).map_or("a remedy", |remedy| remedy.name.as_str());
                (format!("did not do “{}”", inert(name, NAME)), why, gates.as_slice())
            }
            Event::Ending { how: How::Refused | How::HandedOver | How::Stuck, why, gates } => {
                ("did nothing more".to_owned(), why, gates.as_slice())
            }
            Event::Harmed { why, gates, .. } => ("stopped what it had begun".to_owned(), why, gates.as_slice()),
            Event::Stopped { why } => ("was stopped".to_owned(), why, [].as_slice()),
            Event::AnswerRefused { by, why, .. } => {
                (format!("did not take the answer of {}", inert(by, NAME)), why, [].as_slice())
            }
            _ => continue,
        };
        let why = inert(why, SENTENCE);
        match all.last_mut() {
            Some(last) if last.what == what && words::same_but_for_numbers(&last.why, &why) => {
                last.times = last.times.saturating_add(1);
            }
            _ => {
                let closed = gates.iter().filter(|gate| !gate.open).map(tame_gate).collect();
                all.push(Refused { at: step.at, what, why, times: 1, closed });
            }
        }
    }
    all
}

fn tame_gate(gate: &Gate) -> Gate {
    Gate { name: gate.name, open: gate.open, why: inert(&gate.why, SENTENCE).into() }
}

fn evidence(step: &Step<'_>) -> Option<Evidence> {
    let Event::EvidenceCaptured { captured, .. } = step.event else { return None };
    let tame = |texts: &[String]| texts.iter().map(|text| inert(text, NAME)).collect();
    Some(Evidence { at: step.at, kept: tame(&captured.evidence), missing: tame(&captured.missing) })
}

fn note(step: &Step<'_>) -> Option<Note> {
    let Event::Noted { by, words } = step.event else { return None };
    Some(Note { at: step.at, by: inert(by, NAME), words: inert(words, SENTENCE) })
}

fn times(incident: &Incident, steps: &[Step<'_>]) -> Times {
    let first = |wanted: fn(&Event) -> bool| steps.iter().find(|step| wanted(step.event)).map(|step| step.at);
    let last = |wanted: fn(&Event) -> bool| steps.iter().rev().find(|step| wanted(step.event)).map(|step| step.at);
    Times {
        began: incident.alerts.values().map(|alert| alert.starts_at).min(),
        opened: incident.opened,
        seen: first(|event| matches!(event, Event::Looked { .. })),
        first_act: first(|event| matches!(event, Event::ActionStarted { .. })),
        verified: last(|event| matches!(event, Event::Verified { .. })),
        closed: last(|event| matches!(event, Event::Closed { .. })),
    }
}

fn todo(incident: &Incident, ending: Option<How>, manner: &Manner) -> Vec<String> {
    let target = &incident.target;
    let mut todo = Vec::new();
    match (ending, &incident.stage) {
        (None, Stage::Waiting { on: Waiting::Person(ask), .. }) => {
            todo.push(format!("Agree with “{}”, or refuse with “{}”.", manner.approve(ask), manner.deny(ask)));
        }
        (None, _) if let Some(unsettled) = incident.unsettled() => {
            let number = incident.attempts.len();
            todo.push(format!(
                "Look at {target} now: since {} nobody can see how #{number} ended, and what it began may be half done.",
                words::moment(unsettled.since, incident.opened)
            ));
            todo.push(format!("It is not given up: {}.", words::looks_on()));
            todo.push(format!(
                "“{}” ends the call; “{}” keeps runbookd from acting there when it can see.",
                manner.note(incident.id),
                manner.pause(incident)
            ));
        }
        (None, Stage::Waiting { on: Waiting::Pause, .. }) => {
            todo.push("Nothing yet: runbookd waits for the pause to end, and looks again then.".to_owned());
        }
        (None, Stage::Waiting { on: Waiting::Held { by }, .. }) => {
            todo.push(format!(
                "Nothing yet: runbookd waits for {by}, which holds the same target, and looks again when it is free."
            ));
        }
        (None, Stage::Waiting { until, .. }) => {
            let until = words::moment(*until, incident.opened);
            todo.push(format!("Nothing yet: runbookd waits, and looks again at {until} at the latest."));
        }
        (None, _) => todo.push("Nothing: runbookd is at work on it.".to_owned()),
        (Some(How::Cured), _) => match &incident.runbook.limits.recurrence {
            Some(limit) => todo.push(format!(
                "Nothing now. What caused it was not looked for; after {} within {} the next one goes to a person.",
                words::count(limit.times as usize, "cure"),
                limit.within
            )),
            None => todo.push("Nothing now. What caused it was not looked for.".to_owned()),
        },
        (Some(How::Subsided | How::Stopped), _) => todo.push("Nothing: runbookd has let go of it.".to_owned()),
        (Some(How::Refused), _) => {
            todo.push(
                "Read why nothing was done. If the alert goes on, it needs a person: runbookd will not act on it.".to_owned(),
            );
        }
        (Some(How::Denied | How::HandedOver), _) => {
            todo.push(format!("Look at {target}: runbookd does nothing more about it by itself."));
        }
        (Some(How::Stuck), _) => {
            todo.push(match incident.left_behind() {
                Some(left) => format!("Start it, or see that it runs: {}.", inert(left, 300)),
                None => format!("Look at {target} now: runbookd does not know, or could not take back, what it did there."),
            });
        }
    }
    if let Some(mark) = manner.mark(incident) {
        todo.push(format!("Say whether that was right: “{mark}”, or “wrong”. What the runbook may do by itself goes by it."));
    }
    if ending.is_some_and(|how| how.wants_a_person()) {
        for attempt in incident.applied.iter().filter_map(|index| incident.attempts.get(*index)) {
            let facts = attempt.order.action.facts();
            if facts.undo || facts.has_an_end() {
                todo.push(format!(
                    "Take back #{}, which is still in force: {}.",
                    attempt.number,
                    words::order(&attempt.order).plain()
                ));
            }
        }
        if incident.still_fires() {
            let firing = incident.alerts.values().filter(|alert| alert.status == AlertStatus::Firing);
            let names: Vec<_> = firing.take(5).map(|alert| inert(&alert.name, 80)).collect();
            todo.push(format!("Still firing: {}.", names.join(", ")));
        }
        todo.push(format!("Read every decision with “{}”.", manner.explain(incident.id)));
    }
    todo
}
