//! Alerting rules of Prometheus: their names and the labels that the file itself fixes. Which labels an expression
//! leaves is known only where it aggregates all others away (`carries`); Prometheus's own `promtool` judges the rest.

use std::collections::{BTreeMap, BTreeSet};

use runbook::Span;
use runbook::alert::ALERTNAME;
use runbook::matcher::Matcher;
use serde::Deserialize;

use super::Certainty;
use super::carries::labels_left;
use crate::config::yaml::{Bytes, Document, Entries, Placed, Reader};

/// The label by which a rule says what it is to runbookd.
pub const ABOUT_US: &str = runbook::alert::NOT_FOR_US.0;

#[derive(Deserialize)]
struct WrittenRules {
    groups: Option<Placed<Vec<Placed<WrittenGroup>>>>,
}

#[derive(Deserialize)]
struct WrittenGroup {
    rules: Option<Placed<Vec<Placed<WrittenRule>>>>,
}

#[derive(Deserialize)]
struct WrittenRule {
    /// Absent in a recording rule.
    alert: Option<Placed<String>>,
    expr: Option<Placed<String>>,
    #[serde(rename = "for")]
    pending: Option<Placed<Span>>,
    labels: Option<Placed<Entries<Placed<String>>>>,
}

/// One alerting rule.
pub struct Rule<'d> {
    /// The file.
    pub document: &'d Document,
    /// Where its name stands.
    pub at: Bytes,
    /// The alert's name.
    pub name: String,
    /// Labels that the file fixes; none where a template makes the value.
    labels: BTreeMap<String, Option<String>>,
    /// How long its expression must hold before it fires.
    pub pending: Span,
    /// All labels that its expression can leave; none where that cannot be told.
    left: Option<BTreeSet<String>>,
}

/// All alerting rules of a file.
pub fn rules(document: &Document) -> Vec<Rule<'_>> {
    let written = document.root().and_then(|root| Reader::new(document, root).lenient().read::<WrittenRules>());
    let mut all = Vec::new();
    let groups = written.and_then(|written| written.groups);
    for group in groups.iter().filter_map(Placed::get).flatten().filter_map(Placed::get) {
        for rule in group.rules.iter().filter_map(Placed::get).flatten().filter_map(Placed::get) {
            let Some(placed) = &rule.alert else { continue };
            let Some(name) = placed.get() else { continue };
            let mut labels = BTreeMap::new();
            for (key, value) in rule.labels.iter().filter_map(Placed::get).flat_map(|entries| &entries.0) {
                if let (Some(key), Some(value)) = (key.get(), value.get()) {
                    labels.insert(key.clone(), (!value.contains("{{")).then(|| value.clone()));
                }
            }
            labels.insert(ALERTNAME.to_owned(), Some(name.clone()));
            let pending = rule.pending.as_ref().and_then(Placed::get).copied().unwrap_or(Span::secs(0));
            let left = rule.expr.as_ref().and_then(Placed::get).and_then(|expression| labels_left(expression));
            all.push(Rule { document, at: placed.at(), name: name.clone(), labels, pending, left });
        }
    }
    if all.is_empty() && document.root().is_some() {
        let first = document.root().map_or(0..0, |root| document.at(root));
        document.complain(first, "there is no alerting rule in this file", "name a rule file of Prometheus, with `groups:`");
    }
    all
}

/// The alert that runbookd raises itself when it gives up, as if a rule fired it; complaints about it go to `at`.
pub fn our_own(document: &Document, at: Bytes) -> Rule<'_> {
    let (label, never) = runbook::alert::NOT_FOR_US;
    let name = crate::giving_up::ALERT.to_owned();
    let fixed = [(ALERTNAME, name.as_str()), (label, never), ("job", "runbookd")];
    let mut labels: BTreeMap<String, Option<String>> =
        fixed.into_iter().map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).collect();
    labels.extend(["severity", "instance", "incident", "runbook", "target", "class"].map(|name| (name.to_owned(), None)));
    Rule { document, at, name, labels, pending: Span::secs(0), left: Some(BTreeSet::new()) }
}

impl Rule<'_> {
    /// Whether alerts of this rule satisfy all matchers, as far as the file can tell.
    pub fn satisfies(&self, matchers: &[Matcher]) -> Certainty {
        matchers.iter().map(|matcher| self.satisfies_one(matcher)).min().unwrap_or(Certainty::Yes)
    }

    fn satisfies_one(&self, matcher: &Matcher) -> Certainty {
        match self.labels.get(matcher.name()) {
            Some(Some(value)) => {
                let labels = BTreeMap::from([(matcher.name().to_owned(), value.clone())]);
                if matcher.matches(&labels) { Certainty::Yes } else { Certainty::No }
            }
            // No exporter has our own label; only a rule sets it.
            None if matcher.name() == ABOUT_US => {
                if matcher.matches_absence() {
                    Certainty::Yes
                } else {
                    Certainty::No
                }
            }
            Some(None) | None => Certainty::Perhaps,
        }
    }

    /// Whether its alerts have a label, and its value where the file fixes it. A label that Prometheus adds to all it sends
    /// (`external_labels`, relabelling) is not seen here.
    pub fn carries(&self, label: &str) -> (Certainty, Option<&str>) {
        match (self.labels.get(label), &self.left) {
            (Some(value), _) => (Certainty::Yes, value.as_deref()),
            (None, Some(left)) if !left.contains(label) => (Certainty::No, None),
            (None, _) => (Certainty::Perhaps, None),
        }
    }

    /// What its expression leaves, in words.
    pub fn left(&self) -> String {
        let left: Vec<String> = self.left.iter().flatten().map(|label| format!("`{label}`")).collect();
        if left.is_empty() { "no label".to_owned() } else { format!("only {}", left.join(", ")) }
    }

    /// Whether the rule itself says what it is to runbookd, by a label of that name: it is about runbookd, and not for it.
    pub fn is_about_us(&self) -> bool {
        self.labels.contains_key(ABOUT_US)
    }
}
