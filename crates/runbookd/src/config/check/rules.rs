//! Alerting rules of Prometheus: their names and the labels that the file itself fixes. Deliberately no PromQL: which
//! labels a query produces is left open, and Prometheus's own `promtool` judges the rest.

use std::collections::BTreeMap;

use runbook::matcher::Matcher;
use serde::Deserialize;

use super::Certainty;
use crate::config::yaml::{Bytes, Document, Entries, Placed, Reader};

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
            labels.insert("alertname".to_owned(), Some(name.clone()));
            all.push(Rule { document, at: placed.at(), name: name.clone(), labels });
        }
    }
    if all.is_empty() && document.root().is_some() {
        let first = document.root().map_or(0..0, |root| document.at(root));
        document.complain(first, "there is no alerting rule in this file", "name a rule file of Prometheus, with `groups:`");
    }
    all
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
            Some(None) | None => Certainty::Perhaps,
        }
    }
}
