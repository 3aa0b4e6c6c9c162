//! The layout of a report: headings and lines, the same for Slack and for a terminal. What matters most stands first, because a
//! message has a budget and what does not fit is left out from the end. Deliberately no numbers are computed here.

use runbook::incident::Stage;
use runbook::order::Purpose;

use crate::figures::figure;
use crate::prose::Prose;
use crate::report::{Act, Report};
use crate::sentence::names;
use crate::words::{self, moment};

/// How much of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// As much as a message holds.
    Brief,
    /// Everything.
    Full,
}

/// A heading and its lines.
pub(crate) struct Section {
    pub(crate) heading: &'static str,
    pub(crate) lines: Vec<Prose>,
}

/// The outcome in one sentence.
pub(crate) fn outcome(report: &Report) -> Prose {
    // A call is under way in the ordinary course of things: `in doubt` would read as an alarm.
    let state = match report.state.as_str() {
        "in_doubt" => "acting, not settled yet".to_owned(),
        Stage::UNSETTLED => "acted, and how that ended cannot be seen".to_owned(),
        word => word.replace('_', " "),
    };
    let line = Prose::new().strong(state);
    let line = line.say(": ").say(&report.runbook).say(" on ").say(&report.target);
    match &report.why {
        Some(why) => line.say(": ").say(why).stop(),
        None => line,
    }
}

/// All sections that have something to say.
pub(crate) fn sections(report: &Report, detail: Detail) -> Vec<Section> {
    let mut sections = vec![
        Section { heading: "Outcome", lines: vec![outcome(report)] },
        Section { heading: "What a person must do now", lines: report.todo.iter().map(Prose::of).collect() },
        Section { heading: "What was wrong", lines: wrong(report) },
        Section { heading: "Before and after", lines: proof(report) },
        Section { heading: "What was done", lines: report.acts.iter().flat_map(|act| done(report, act, detail)).collect() },
        Section { heading: "Who was asked", lines: asked(report, detail) },
        Section { heading: "What was not done, and why", lines: refused(report, detail) },
        Section { heading: "How long it took", lines: vec![times(report)] },
        Section { heading: "Evidence", lines: evidence(report, detail) },
        Section { heading: "Notes", lines: notes(report) },
    ];
    if report.acts.is_empty() {
        let nothing = Section { heading: "What was done", lines: vec![Prose::of("Nothing was changed.")] };
        sections.insert(4, nothing);
    }
    sections.retain(|section| !section.lines.is_empty());
    sections
}

fn wrong(report: &Report) -> Vec<Prose> {
    let mut lines = vec![Prose::of("Opened for ").code(&report.cause)];
    for alert in &report.alerts {
        let word = if alert.firing { " fires since " } else { " is reported as resolved; it fired since " };
        lines.push(Prose::new().code(&alert.name).say(word).say(moment(alert.since, report.times.opened)));
    }
    lines
}

fn proof(report: &Report) -> Vec<Prose> {
    let proof = &report.proof;
    let mut lines = Vec::new();
    match (proof.held, proof.since) {
        (Some(true), since) => {
            let held = match (since, report.times.verified) {
                (Some(since), Some(verified)) => {
                    format!(" held for {}, from {}", words::span(verified.since(since)), moment(since, report.times.opened))
                }
                _ => " held".to_owned(),
            };
            lines.push(Prose::of("Proved: ").code(&proof.condition).say(held));
        }
        (Some(false), _) => lines.push(Prose::of("Not proved: ").code(&proof.condition).say(" did not hold")),
        (None, _) if report.acts.is_empty() => {}
        (None, _) => lines.push(Prose::of("Not proved yet: ").code(&proof.condition)),
    }
    for field in &proof.fields {
        let shown = |value: &Option<runbook::condition::Value>| value.as_ref().map(|value| figure(value, &field.unit));
        let line = Prose::new().code(&field.field).say(": ");
        lines.push(match (shown(&field.before), shown(&field.after)) {
            (Some(before), Some(after)) => line.say(before).say(" before, ").strong(after).say(" after"),
            (Some(before), None) => line.say(before),
            (None, Some(after)) => line.say("not seen before, ").strong(after).say(" after"),
            (None, None) => continue,
        });
    }
    lines
}

fn done(report: &Report, act: &Act, detail: Detail) -> Vec<Prose> {
    let verb = match act.purpose {
        Purpose::Do => "",
        Purpose::Undo => "to undo: ",
        Purpose::End => "to end: ",
    };
    let line = Prose::of(format!("#{} {verb}", act.number)).code(&act.action).say(" on ").code(&act.target);
    let sort = act.touched.first().map_or("thing", |touched| words::sort(&touched.identity));
    let line = line.say(format!(", {} at {}", words::count(act.count, sort), moment(act.started, report.times.opened)));
    let line = if act.remedy.is_empty() { line } else { line.say(" (").say(&act.remedy).say(")") };
    let line = match &act.details {
        Some(details) => line.say(" (").say(details).say(")"),
        None => line,
    };
    let line = match (&act.became, &act.settled) {
        (Some(became), Some(why)) => line.say(format!(": {became}, ")).say(why),
        _ => line.say(": no look has settled it yet"),
    };
    let exact = |touched: &crate::report::Touched| match touched.words.as_str() {
        seen if seen.is_empty() || seen == words::exactly(&touched.identity) => words::exactly(&touched.identity),
        seen => format!("{} ({seen})", words::exactly(&touched.identity)),
    };
    let mut lines = vec![line];
    match detail {
        Detail::Brief => lines.push(Prose::of("exactly: ").join(names(act.touched.iter().map(exact).collect()))),
        Detail::Full => {
            lines.extend(act.touched.iter().map(|touched| Prose::of("   ").code(exact(touched))));
            if let Some(reply) = &act.reply {
                lines.push(Prose::of("   the call's reply, which is no proof: ").code(reply));
            }
        }
    }
    lines.extend(act.quieted.iter().map(Prose::of));
    if act.in_force && report.wants_a_person {
        lines.push(Prose::of(format!("#{} is still in force", act.number)));
    }
    lines
}

fn asked(report: &Report, detail: Detail) -> Vec<Prose> {
    let mut lines = Vec::new();
    for question in &report.questions {
        let at = moment(question.asked, report.times.opened);
        let line = Prose::of(format!("{at} asked for ")).say(&question.what).say(": ");
        lines.push(match (&question.answer, question.answered) {
            (Some(answer), Some(answered)) => {
                line.say(answer).say(format!(", after {}", words::span(answered.since(question.asked))))
            }
            _ => line.say(format!("open until {}", moment(question.expires, report.times.opened))),
        });
        if detail == Detail::Full {
            lines.extend(question.shown.iter().map(|shown| Prose::of("   shown: ").code(shown)));
        }
    }
    lines
}

fn refused(report: &Report, detail: Detail) -> Vec<Prose> {
    let mut lines = Vec::new();
    for refused in &report.refused {
        let again = if refused.times > 1 { format!(" ({} times)", refused.times) } else { String::new() };
        let at = moment(refused.at, report.times.opened);
        lines.push(Prose::of(format!("{at} ")).say(&refused.what).say(format!("{again}: ")).say(&refused.why));
        if detail == Detail::Full {
            lines.extend(
                refused.closed.iter().map(|gate| Prose::of("   closed: ").say(gate.name.word()).say(": ").say(&gate.why)),
            );
        }
    }
    lines
}

fn times(report: &Report) -> Prose {
    let times = &report.times;
    let opened = moment(times.opened, times.opened);
    let mut line = match times.began {
        Some(began) => Prose::of(format!("opened {opened}, {} after the alert began", words::span(times.opened.since(began)))),
        None => Prose::of(format!("opened {opened}")),
    };
    let after =
        [("first look", times.seen), ("first act", times.first_act), ("verified", times.verified), ("closed", times.closed)];
    for (name, at) in after {
        if let Some(at) = at {
            line = line.say(format!(", {name} after {}", report.after_opening(at)));
        }
    }
    line
}

fn evidence(report: &Report, detail: Detail) -> Vec<Prose> {
    let mut lines = Vec::new();
    for evidence in &report.evidence {
        let at = moment(evidence.at, report.times.opened);
        lines.push(Prose::of(format!("{at} kept {}", words::count(evidence.kept.len(), "piece"))));
        if detail == Detail::Full {
            lines.extend(evidence.kept.iter().map(|hash| Prose::of("   ").code(hash)));
        }
        lines.extend(evidence.missing.iter().map(|missing| Prose::of("could not be had: ").say(missing)));
    }
    lines
}

fn notes(report: &Report) -> Vec<Prose> {
    let opened = report.times.opened;
    report
        .notes
        .iter()
        .map(|note| Prose::of(format!("{} ", moment(note.at, opened))).code(&note.by).say(": ").code(&note.words))
        .collect()
}
