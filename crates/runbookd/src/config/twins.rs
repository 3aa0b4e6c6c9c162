//! Runbooks that stand in each other's way: two of one name, and two of one priority for one alert. Why an error: which of
//! them would run is decided by the alphabet. Only what can be shown by an example is complained about: either the matchers
//! are the same, or there is an alert, named in the complaint, that satisfies both.

use std::collections::{BTreeMap, BTreeSet};

use runbook::alert::{ALERTNAME, Labels};
use runbook::book::Runbook;
use runbook::matcher::Matchers;
use runbook::text::inert;

use super::check::matching::{Room, room};
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
            } else if let Room::For(labels) = room(matchers.as_slice().iter().chain(others.as_slice())) {
                format!("{} matches this and `{}`", alert(&labels), other.name)
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
    matchers.as_slice().iter().map(ToString::to_string).collect()
}

/// An example of an alert, by its name and the labels that matter.
fn alert(labels: &Labels) -> String {
    let name = labels.get(ALERTNAME).map_or("", String::as_str);
    let more = labels.iter().filter(|(label, value)| *label != ALERTNAME && !value.is_empty());
    let more: Vec<String> = more.map(|(label, value)| format!("{}={}", inert(label, 40), inert(value, 40))).collect();
    match more.is_empty() {
        true => format!("the alert `{}`", inert(name, 80)),
        false => format!("the alert `{}` with {}", inert(name, 80), more.join(", ")),
    }
}
