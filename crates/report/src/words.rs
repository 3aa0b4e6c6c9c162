//! How moments, counts, orders, endings and commands are put into words, once, so that Slack, the terminal and the report agree.
//! Deliberately nothing that depends on a reader's locale or zone: times are UTC and say so.

use std::time::Duration;

use runbook::identity::{Identity, Selection};
use runbook::incident::settled::{GIVES_UP_AFTER, LOOKS_EVERY};
use runbook::incident::{Aim, Ask, How, Incident, IncidentId};
use runbook::order::{Order, Purpose, Verdict};
use runbook::silence::{Became, Quieted};
use runbook::time::{Span, Stamp};

use crate::prose::Prose;

/// What rendering needs to know besides the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manner {
    /// How the reader calls the command line: `runbookd`, with whatever it needs to find the daemon.
    pub command: String,
    /// Base address of the page, where there is one; incidents are linked below it.
    pub page: Option<String>,
    /// Beginnings of addresses that may be linked (Prometheus, Alertmanager). Every other address stays text.
    pub linked: Vec<String>,
}

impl Default for Manner {
    fn default() -> Self {
        Self { command: "runbookd".to_owned(), page: None, linked: Vec::new() }
    }
}

impl Manner {
    /// The command that says yes to exactly this question.
    pub(crate) fn approve(&self, ask: &Ask) -> String {
        format!("{} approve {}", self.command, ask.id)
    }

    /// The command that says no to it.
    pub(crate) fn deny(&self, ask: &Ask) -> String {
        format!("{} deny {}", self.command, ask.id)
    }

    /// The command that shows all of an incident.
    pub(crate) fn show(&self, id: IncidentId) -> String {
        format!("{} incidents show {id}", self.command)
    }

    /// The command that shows every decision of an incident.
    pub(crate) fn explain(&self, id: IncidentId) -> String {
        format!("{} explain {id}", self.command)
    }

    /// The command that says that somebody is at it, which ends the call.
    pub(crate) fn note(&self, id: IncidentId) -> String {
        format!("{} note {id} \"I am at it\"", self.command)
    }

    /// The command that keeps runbookd from acting on an incident's target.
    pub(crate) fn pause(&self, incident: &Incident) -> String {
        format!("{} pause target:{}", self.command, incident.target)
    }

    /// The command that marks an incident, where its runbook goes by marks and this one has none yet.
    pub(crate) fn mark(&self, incident: &Incident) -> Option<String> {
        let wanted = incident.runbook.mode.earned.is_some() && incident.weighed.judged.is_none();
        (wanted && incident.may_be_judged(true).is_ok()).then(|| format!("{} mark {} right", self.command, incident.id))
    }

    /// An address as a link where we vouch for its beginning, and as text otherwise.
    pub(crate) fn address(&self, url: &str, words: &str) -> Prose {
        let ours = self.linked.iter().any(|base| {
            let base = base.trim_end_matches('/');
            !base.is_empty() && url.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
        });
        if ours { Prose::new().link(url, words) } else { Prose::of(words).say(" ").code(url) }
    }
}

/// A moment: the time of day in UTC on the day of `near`, and the whole date on any other.
pub(crate) fn moment(at: Stamp, near: Stamp) -> String {
    const DAY: i64 = 86_400_000;
    if at.millis().div_euclid(DAY) == near.millis().div_euclid(DAY) {
        format!("{} UTC", at.clock_time())
    } else {
        let whole = at.to_string();
        let (day, _) = whole.split_once('T').unwrap_or((whole.as_str(), ""));
        format!("{day} {} UTC", at.clock_time())
    }
}

/// A length of time.
pub(crate) fn span(length: Duration) -> String {
    runbook::text::humanize_duration(length)
}

/// Whether two reasons are the same but for what they count: seconds, tries, sessions.
pub(crate) fn same_but_for_numbers(one: &str, other: &str) -> bool {
    let words = |text: &str| text.chars().filter(|character| !character.is_ascii_digit()).collect::<String>();
    words(one) == words(other)
}

/// `1 session`, `3 sessions`.
pub(crate) fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// What sort of thing an identity names.
pub(crate) const fn sort(identity: &Identity) -> &'static str {
    match identity {
        Identity::Session { .. } => "session",
        Identity::Container { .. } => "container",
        Identity::Clone { .. } => "clone",
        Identity::Rehearsal(_) => "effect",
    }
}

/// How many of what a selection has.
pub(crate) fn counted(selection: &Selection) -> String {
    count(selection.count(), selection.iter().next().map_or("thing", sort))
}

/// An identity so that nothing else can be meant.
pub(crate) fn exactly(identity: &Identity) -> String {
    match identity {
        Identity::Session { pid, backend_start } => {
            let whole = Stamp::from_millis(backend_start.div_euclid(1000)).to_string();
            let micros = backend_start.rem_euclid(1000);
            format!("pid {pid} started {}{micros:03}Z", whole.trim_end_matches('Z'))
        }
        Identity::Container { id, started_at } => format!("container {} started {started_at}", id.get(..12).unwrap_or(id)),
        Identity::Clone { .. } | Identity::Rehearsal(_) => identity.to_string(),
    }
}

/// What an order does to what.
pub(crate) fn order(order: &Order) -> Prose {
    let what = Prose::new().code(order.action.to_string()).say(" on ").code(order.target.to_string());
    let what = what.say(format!(", {}", counted(&order.selection)));
    match order.action.details().filter(|_| order.purpose == Purpose::Do) {
        Some(details) => what.say(" (").say(details).say(")"),
        None => what,
    }
}

/// What was silenced because a step raises it by itself, and what was not.
pub fn quieted(alerts: &[Quieted], near: Stamp) -> Prose {
    let mut line = Prose::of("What the step raises by itself: ");
    for (index, one) in alerts.iter().enumerate() {
        line = line.say(if index > 0 { "; " } else { "" }).code(&one.alert);
        line = match &one.became {
            Became::Silenced(silence) => {
                let until = format!(" is silenced until {} at the latest (", moment(silence.ends, near));
                line = line.say(until).code(&silence.id).say(")");
                silence.although.iter().fold(line, |line, why| line.say(", although ").say(why))
            }
            Became::Not { why } => line.say(" is not silenced: ").say(why),
        };
    }
    line.stop()
}

/// The verb of an order's purpose, as its call begins.
pub(crate) const fn started(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Do => "Started",
        Purpose::Undo => "Started to undo",
        Purpose::End => "Started to end",
    }
}

/// What became of an order, for what it was for.
pub(crate) const fn verdict(purpose: Purpose, verdict: &Verdict) -> &'static str {
    match (verdict, purpose) {
        (Verdict::Unknowable(_), _) => "Cannot be known",
        (Verdict::Landed(_), Purpose::Do) => "Landed",
        (Verdict::Landed(_), Purpose::Undo) => "Undone",
        (Verdict::Landed(_), Purpose::End) => "Ended",
        (Verdict::Partly(_), Purpose::Do) => "Landed in part",
        (Verdict::Partly(_), Purpose::Undo) => "Undone in part",
        (Verdict::Partly(_), Purpose::End) => "Ended in part",
        (Verdict::NotLanded(_), Purpose::Do) => "Did not land",
        (Verdict::NotLanded(_), Purpose::Undo) => "Not undone",
        (Verdict::NotLanded(_), Purpose::End) => "Not ended",
    }
}

/// What goes on where nobody can see how an act ended, and what anybody can do meanwhile.
pub(crate) fn looks_on() -> String {
    let (every, most) = (Span::from(LOOKS_EVERY), Span::from(GIVES_UP_AFTER));
    format!(
        "runbookd goes on looking, every {every} and for {most} at most, keeps its other incidents away from there meanwhile, and acts \
         by itself again as soon as it can see"
    )
}

/// What a look is for.
pub(crate) const fn aim(aim: Aim) -> &'static str {
    match aim {
        Aim::Do => "to decide what is to be done",
        Aim::Undo => "before it undoes what did not help",
        Aim::End => "before it ends what lasts",
    }
}

/// An ending in words.
pub(crate) const fn ending(how: How) -> &'static str {
    match how {
        How::Cured => "Cured",
        How::Subsided => "Over before anything was done",
        How::Refused => "Nothing was done",
        How::Denied => "A person said no",
        How::Stopped => "Stopped by a person",
        How::HandedOver => "Handed over to a person",
        How::Stuck => "Stuck: a person has to go on now",
    }
}

/// The coloured mark in front of a title: green is cured, yellow waits for an answer, red wants a person, blue works, white is over.
pub(crate) fn mark(incident: &Incident) -> &'static str {
    use runbook::incident::{Stage, Waiting};
    match &incident.stage {
        Stage::Closing { how, .. } | Stage::Closed { how, .. } => match how {
            How::Cured => "🟢",
            How::Subsided | How::Refused | How::Stopped => "⚪",
            How::Denied | How::HandedOver | How::Stuck => "🔴",
        },
        Stage::Waiting { on: Waiting::Person(_), .. } => "🟡",
        _ if incident.unsettled().is_some() => "🔴",
        _ => "🔵",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_say_their_day_when_it_is_another() {
        let at = |text: i64| Stamp::from_millis(text);
        let three = at(1_750_000_000_000);
        assert_eq!(moment(three, at(1_750_000_500_000)), "15:06:40 UTC");
        assert_eq!(moment(three, at(1_750_100_000_000)), "2025-06-15 15:06:40 UTC");
    }

    #[test]
    fn only_addresses_that_we_vouch_for_become_links() {
        let manner = Manner { linked: vec!["https://prometheus.example/".to_owned()], ..Manner::default() };
        let shown = |url: &str| manner.address(url, "graph").mrkdwn(300);
        assert_eq!(shown("https://prometheus.example/graph?g0"), "<https://prometheus.example/graph?g0|graph>");
        for foreign in
            ["https://prometheus.example.evil/x", "https://evil/https://prometheus.example/", "http://prometheus.example/"]
        {
            assert_eq!(shown(foreign), format!("graph `{foreign}`"));
        }
        let nobody = Manner { linked: vec![String::new()], ..Manner::default() };
        assert_eq!(nobody.address("https://a", "x").mrkdwn(90), "x `https://a`");
    }

    #[test]
    fn a_session_is_named_with_its_start_in_the_servers_resolution() {
        let session = Identity::Session { pid: 4242, backend_start: 1_750_000_000_123_456 };
        assert_eq!(exactly(&session), "pid 4242 started 2025-06-15T15:06:40.123456Z");
    }
}
