//! What is left on an Engine of acts that nobody may know any more: clones, what a recreate keeps, and what one made and never started.
//!
//! Why by label and name alone: after a lost journal they are all that tells of it. A replacement that runs is no leftover: it serves
//! until the next `docker-compose up`. Deliberately no judgement whether its incident is open; the journal knows that.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum as State};
use bollard::query_parameters::ListContainersOptionsBuilder;
use connect::Looking;
use connect::container::{kept_for, label};
use runbook::target::Target;
use runbook::text::inert;

/// More lines than anybody reads.
const MOST: usize = 50;

/// A container that runbookd made or put aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leftover {
    /// Its name, safe to show.
    pub name: String,
    /// The incident that its label or its name says: `INC-7`.
    pub incident: String,
    /// When it was made, in seconds since 1970; of a kept one that was before its incident.
    pub created: i64,
    /// What it is: `a clone`, and the like.
    pub what: &'static str,
    /// A recreate put it aside, and did not make it.
    pub kept: bool,
}

/// All of them on this Engine.
///
/// # Errors
/// When it does not answer, for people.
pub async fn leftovers(looking: &Looking, engine: &Target, within: Duration) -> Result<Vec<Leftover>, String> {
    let docker = looking.docker(engine, within).map_err(|error| format!("{error:#}"))?;
    let mut found = Vec::new();
    for (filter, value) in [("label", label::INCIDENT), ("name", ".runbookd-INC-")] {
        let filters = HashMap::from([(filter, vec![value])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = tokio::time::timeout(within, docker.list_containers(Some(options))).await;
        let listed = listed.map_err(|_| "no answer in time".to_owned())?.map_err(|error| inert(&error.to_string(), 300))?;
        found.extend(listed.iter().filter_map(read));
    }
    found.sort_by(|a: &Leftover, b| a.name.cmp(&b.name));
    found.dedup();
    found.truncate(MOST);
    Ok(found)
}

fn read(listed: &ContainerSummary) -> Option<Leftover> {
    let name = listed.names.as_ref()?.first()?.trim_start_matches('/');
    let said = |name: &str| listed.labels.as_ref().and_then(|labels| labels.get(name)).filter(|value| !value.is_empty());
    let (kept, incident) = (kept_for(name), said(label::INCIDENT));
    let (incident, what) = match (kept, incident) {
        (Some(incident), _) => (incident, "kept by a recreate"),
        (None, Some(incident)) if said(label::CLONE_OF).is_some() => (incident.as_str(), "a clone"),
        (None, Some(incident)) if listed.state == Some(State::CREATED) => {
            (incident.as_str(), "made by a recreate and never started")
        }
        _ => return None,
    };
    let created = listed.created.unwrap_or(0);
    Some(Leftover { name: inert(name, 120), incident: inert(incident, 30), created, what, kept: kept.is_some() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, labels: &[(&str, &str)], state: State) -> ContainerSummary {
        ContainerSummary {
            names: Some(vec![format!("/{name}")]),
            labels: Some(labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()),
            state: Some(state),
            created: Some(7),
            ..ContainerSummary::default()
        }
    }

    #[test]
    fn only_what_nobody_would_take_away_is_left_over() {
        let inc = (label::INCIDENT, "INC-7");
        let table = [
            (listed("shop_a_2", &[inc, (label::CLONE_OF, "x")], State::RUNNING), Some("a clone")),
            (listed("shop_a_1", &[inc, (label::REPLACES, "x")], State::RUNNING), None),
            (listed("shop_a_1", &[inc, (label::REPLACES, "x")], State::CREATED), Some("made by a recreate and never started")),
            (listed("shop_a_1.always.runbookd-INC-9", &[], State::EXITED), Some("kept by a recreate")),
            (listed("shop_a_1", &[], State::RUNNING), None),
        ];
        for (listed, wanted) in table {
            let read = read(&listed);
            assert_eq!(read.as_ref().map(|left| left.what), wanted, "{listed:?}");
            assert!(read.is_none_or(|left| left.incident == if left.kept { "INC-9" } else { "INC-7" }));
        }
    }
}
