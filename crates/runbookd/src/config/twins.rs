//! Runbooks that stand in each other's way: two of one name, and two of one priority for one alert. Why an error: which of
//! them would run is decided by the alphabet. Only what can be shown by an example is complained about: either the matchers
//! are the same, or there is an alert, named in the complaint, that satisfies both.

use std::collections::{BTreeMap, BTreeSet};

use runbook::alert::Labels;
use runbook::book::Runbook;
use runbook::matcher::{Matcher, Matchers, Op};
use runbook::text::inert;

use super::lower::runbook::Found;
use super::yaml::Document;

/// Complains about twins in the later of the two files.
pub fn complain(all: &[(&Document, Found)]) {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for (file, found) in all {
        match names.get(found.name.as_str()) {
            Some(first) => {
                let message = format!("a runbook `{}` is in {first} already", found.name);
                file.complain(found.name_at.clone(), message, "give it another name");
            }
            None => {
                names.insert(&found.name, file.name());
            }
        }
    }
    let heads: Vec<(&Document, &Found, &Runbook, &Matchers)> = all
        .iter()
        .filter_map(|(file, found)| {
            let runbook = found.runbook.as_ref()?;
            Some((*file, found, runbook, runbook.matches.as_ref()?))
        })
        .collect();
    for (index, (file, found, runbook, matchers)) in heads.iter().enumerate() {
        let earlier =
            heads.iter().take(index).filter(|(_, _, other, _)| other.name != runbook.name && other.priority == runbook.priority);
        for (_, _, other, others) in earlier {
            let message = if written(matchers) == written(others) {
                format!("this matches the same alerts as `{}`", other.name)
            } else if let Some(alert) = shared_alert(matchers, others) {
                format!("the alert `{}` matches this and `{}`", inert(&alert, 80), other.name)
            } else {
                continue;
            };
            let message = format!("{message}, with the same priority {}", other.priority);
            let mend = "give one of the two a higher `priority`; it runs, and the other is on record as refused";
            file.complain(found.match_at.clone(), message, mend);
            break;
        }
    }
}

fn written(matchers: &Matchers) -> BTreeSet<String> {
    matchers.0.iter().map(ToString::to_string).collect()
}

/// The name of an alert that satisfies both, where one can be made from what both spell out.
fn shared_alert(one: &Matchers, other: &Matchers) -> Option<String> {
    let mut labels: Labels = BTreeMap::new();
    for matcher in one.0.iter().chain(&other.0).filter(|matcher| matcher.op() == Op::Equal && matcher.name() != "alertname") {
        labels.insert(matcher.name().to_owned(), matcher.value().to_owned());
    }
    let names = one.0.iter().chain(&other.0).filter(|matcher| matcher.name() == "alertname").flat_map(spelt_out);
    names.into_iter().find(|name| {
        labels.insert("alertname".to_owned(), name.clone());
        one.matches(&labels) && other.matches(&labels)
    })
}

/// The names in `A` or `A|B`; none where a pattern says more than that.
fn spelt_out(matcher: &Matcher) -> Vec<String> {
    let plain = |text: &str| text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '-'));
    match matcher.op() {
        Op::Equal => vec![matcher.value().to_owned()],
        Op::Matches => matcher.value().split('|').filter(|name| !name.is_empty() && plain(name)).map(str::to_owned).collect(),
        Op::NotEqual | Op::NotMatches => Vec::new(),
    }
}
