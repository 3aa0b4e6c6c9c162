//! What a step raises by itself, and the exact labels by which Alertmanager is asked to keep quiet about it. Why types and not maps: a
//! silence that is too wide hides a fault that nobody else tells of, so no pattern, no empty value and no name without a further
//! label can be written here, not even from disk. Deliberately no request and no clock: `runbookd` asks, and the step's deadline
//! ends it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::alert::{ALERTNAME, Labels, NOT_FOR_US};
use crate::incident::Trigger;
use crate::text::inert;
use crate::time::Stamp;

/// What a value begins with that is taken from the alert which opened the incident.
const TAKEN: &str = "labels.";
/// How the alerts about runbookd itself begin: whoever watches it must always hear.
const OURS: &str = "Runbookd";
/// The usual name of the alert that always fires.
const HEARTBEAT: &str = "Watchdog";
/// Longer values name nothing that anybody would write down.
const LONGEST: usize = 200;
/// More labels than this narrow nothing down any more.
const MOST_LABELS: usize = 16;

/// Why labels are no side effect: what is wrong, at which label, and how it is mended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flaw {
    /// The label that it is about; none where it is about all of them.
    pub label: Option<String>,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub mend: &'static str,
}

/// An alert that a step raises by itself, as its runbook declares it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "Labels", into = "Labels")]
pub struct SideEffect(Labels);

/// The labels of an alert that may be silenced: its name and at least one more, none of them empty, each to be equal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Exact(Labels);

impl SideEffect {
    /// A side effect with these labels. A value `labels.NAME` is that label's value of the alert which opened the incident.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(labels: Labels) -> Result<Self, Flaw> {
        if let Some((label, _)) = labels.iter().find(|(_, value)| value.strip_prefix(TAKEN) == Some("")) {
            return Err(flaw(label, "names no label of the alert", "write labels.NAME, for example labels.queue"));
        }
        if labels.get(ALERTNAME).is_some_and(|name| name.starts_with(TAKEN)) {
            return Err(flaw(ALERTNAME, "is not written out", "name the alert that the step raises"));
        }
        // Whatever a label of the alert says has to pass the same test again.
        exact(&labels)?;
        Ok(Self(labels))
    }

    /// The alert's name.
    pub fn name(&self) -> &str {
        self.0.get(ALERTNAME).map_or("", String::as_str)
    }

    /// The labels whose values stand in the runbook, the name included.
    pub fn fixed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter(|(_, value)| !value.starts_with(TAKEN)).map(|(label, value)| (label.as_str(), value.as_str()))
    }

    /// The labels whose values are taken, each with the label of the alert that it is taken from.
    pub fn taken(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(label, value)| Some((label.as_str(), value.strip_prefix(TAKEN)?)))
    }

    /// The exact labels, for an incident that was opened so.
    ///
    /// # Errors
    /// Why they are not known, in words for people.
    pub fn exact(&self, trigger: &Trigger) -> Result<Exact, String> {
        let mut labels: Labels = self.fixed().map(|(label, value)| (label.to_owned(), value.to_owned())).collect();
        for (label, from) in self.taken() {
            let Trigger::Alert(alert) = trigger else {
                return Err(format!("no alert opened the incident, so nothing says what `{}` is", inert(from, 60)));
            };
            let Some(value) = alert.labels.get(from) else {
                return Err(format!("the alert has no label `{}`", inert(from, 60)));
            };
            labels.insert(label.to_owned(), value.clone());
        }
        exact(&labels).map_err(|flaw| flaw.message)?;
        Ok(Exact(labels))
    }
}

impl Exact {
    /// The labels.
    pub fn labels(&self) -> &Labels {
        &self.0
    }

    /// Each as a matcher in Alertmanager's own form, all of which must hold.
    pub fn matchers(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(label, value)| equal(label, value))
    }
}

impl TryFrom<Labels> for SideEffect {
    type Error = String;
    fn try_from(labels: Labels) -> Result<Self, String> {
        Self::new(labels).map_err(|flaw| flaw.message)
    }
}

impl From<SideEffect> for Labels {
    fn from(SideEffect(labels): SideEffect) -> Self {
        labels
    }
}

impl fmt::Display for SideEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        written(f, &self.0)
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        written(f, &self.0)
    }
}

/// A silence that Alertmanager took.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Silence {
    /// Its id there.
    pub id: String,
    /// The address of the Alertmanager.
    pub at: String,
    /// When it ends by itself: never after the step's deadline.
    pub ends: Stamp,
    /// Why it should not be there, where it could not be ended again at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub although: Option<String>,
}

/// What became of the wish to keep one alert quiet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// It is silenced.
    Silenced(Silence),
    /// It is not, and why.
    Not {
        /// Why, for people.
        why: String,
    },
}

/// One side effect, and what became of the wish to keep it quiet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Quieted {
    /// The alert, by its labels, as text.
    pub alert: String,
    /// What became of it.
    pub became: Became,
}

fn flaw(label: &str, what: &str, mend: &'static str) -> Flaw {
    Flaw { label: Some(label.to_owned()), message: format!("`{}` {what}", inert(label, 60)), mend }
}

/// Everything that must hold of labels that are silenced by.
fn exact(labels: &Labels) -> Result<(), Flaw> {
    for (label, value) in labels {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !label.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') || !label.chars().all(plain) {
            return Err(flaw(label, "is no name of a label", "write letters, digits and _, not a digit first"));
        }
        if value.is_empty() {
            return Err(flaw(label, "is empty, which means every alert without that label", "write its value"));
        }
        if value.chars().count() > LONGEST || value.chars().any(char::is_control) {
            return Err(flaw(
                label,
                "has a value with control characters, or one that is too long",
                "write at most 200 characters in one line",
            ));
        }
        if label == NOT_FOR_US.0 {
            return Err(flaw(label, "marks what is said about runbookd itself, which is never silenced", "remove it"));
        }
    }
    let all = |message: &str, mend| Flaw { label: None, message: message.to_owned(), mend };
    let Some(name) = labels.get(ALERTNAME) else {
        return Err(all("no alert is named", "add `alertname`: the alert that the step raises by itself"));
    };
    if name.starts_with(OURS) || name == HEARTBEAT {
        return Err(flaw(ALERTNAME, "names an alert about runbookd itself, which is never silenced", "remove it"));
    }
    if labels.len() < 2 {
        return Err(all(
            "with the name alone, the same alert of everything else would be silenced too",
            "add a label that only this step's own alert has, as in `service: backend`",
        ));
    }
    if labels.len() > MOST_LABELS {
        return Err(all("these are more labels than an alert is told apart by", "write at most 16"));
    }
    Ok(())
}

// A value without control characters needs no other escapes, in Alertmanager's old grammar and in its new one.
fn equal(label: &str, value: &str) -> String {
    format!("{label}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn written(f: &mut fmt::Formatter<'_>, labels: &BTreeMap<String, String>) -> fmt::Result {
    let all: Vec<String> = labels.iter().map(|(label, value)| equal(label, value)).collect();
    write!(f, "{{{}}}", inert(&all.join(", "), 1_000))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::alert::{Alert, AlertStatus, Fingerprint};
    use crate::matcher::{Matcher, Matchers, Op};

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
    }

    fn by_alert(pairs: &[(&str, &str)]) -> Trigger {
        let labels = labels(pairs);
        Trigger::Alert(Alert {
            fingerprint: Fingerprint::of(&labels),
            status: AlertStatus::Firing,
            labels,
            annotations: Labels::new(),
            starts_at: Stamp::from_millis(0),
            generator_url: String::new(),
        })
    }

    #[test]
    fn what_would_silence_too_much_is_no_side_effect() {
        type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>);
        let table: [Case<'_>; 11] = [
            (&[("alertname", "BackendDown"), ("service", "backend")], None),
            (&[("alertname", "QueueStalls"), ("queue", "labels.queue")], None),
            (&[("service", "backend")], Some("no alert is named")),
            (&[("alertname", "BackendDown")], Some("alone")),
            (&[("alertname", "BackendDown"), ("service", "")], Some("every alert without that label")),
            (&[("alertname", "labels.alertname"), ("service", "backend")], Some("not written out")),
            (&[("alertname", "BackendDown"), ("service", "labels.")], Some("names no label")),
            (&[("alertname", "BackendDown"), ("a label", "x")], Some("no name of a label")),
            (&[("alertname", "BackendDown"), ("runbookd", "never")], Some("about runbookd")),
            (&[("alertname", "RunbookdGaveUp"), ("instance", "INC-1")], Some("about runbookd")),
            (&[("alertname", "Watchdog"), ("severity", "none")], Some("about runbookd")),
        ];
        for (pairs, wrong) in table {
            let made = SideEffect::new(labels(pairs));
            match wrong {
                None => assert!(made.is_ok(), "{pairs:?}: {made:?}"),
                Some(part) => assert!(made.as_ref().err().unwrap().message.contains(part), "{pairs:?}: {made:?}"),
            }
            let stored = serde_json::to_string(&labels(pairs)).unwrap();
            assert_eq!(serde_json::from_str::<SideEffect>(&stored).is_ok(), wrong.is_none(), "from disk: {stored}");
        }
    }

    #[test]
    fn a_taken_value_is_the_alerts_or_nothing_is_silenced() {
        let effect = SideEffect::new(labels(&[("alertname", "QueueStalls"), ("queue", "labels.queue")])).unwrap();
        let exact = effect.exact(&by_alert(&[("alertname", "TasksPileUp"), ("queue", "mail \"x\\")])).unwrap();
        assert_eq!(exact.to_string(), r#"{alertname="QueueStalls", queue="mail \"x\\"}"#);
        assert!(effect.exact(&by_alert(&[("alertname", "TasksPileUp")])).is_err(), "without the label");
        assert!(effect.exact(&by_alert(&[("alertname", "TasksPileUp"), ("queue", "")])).is_err(), "with an empty one");
        let person = Trigger::Person { by: "ana".to_owned(), words: String::new() };
        assert!(effect.exact(&person).unwrap_err().contains("no alert opened"));
    }

    proptest! {
        /// Whatever is declared and whatever an alert says: the matchers name the alert, have one more label, and are equal to nothing
        /// that is absent; and Alertmanager reads from them what was meant.
        #[test]
        fn no_matcher_is_empty_or_a_pattern(
            declared in prop::collection::btree_map("[a-z_]{1,6}|alertname", ".{0,8}|labels\\.[ab]|\\.\\*", 0..5),
            said in prop::collection::btree_map("[ab]", ".{0,8}", 0..3),
        ) {
            let Ok(effect) = SideEffect::new(declared) else { return Ok(()) };
            let said: Vec<(&str, &str)> = said.iter().map(|(label, value)| (label.as_str(), value.as_str())).collect();
            let Ok(exact) = effect.exact(&by_alert(&said)) else { return Ok(()) };
            let texts: Vec<String> = exact.matchers().collect();
            let read = Matchers::parse(texts.iter().map(String::as_str)).unwrap();
            prop_assert!(read.as_slice().len() >= 2 && read.as_slice().iter().any(|matcher| matcher.name() == "alertname"));
            let back: Labels = read.as_slice().iter().map(|matcher| (matcher.name().to_owned(), matcher.value().to_owned())).collect();
            prop_assert_eq!(&back, exact.labels());
            let never_absent = |matcher: &Matcher| matcher.op() == Op::Equal && !matcher.matches_absence();
            prop_assert!(read.as_slice().iter().all(never_absent));
        }
    }
}
