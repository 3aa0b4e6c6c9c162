//! One incident that was given up, or of which nobody can see how its act ended, as an alert in Alertmanager's form. Why these labels:
//! `runbookd="never"` keeps it from every runbook; `instance` is the incident, so that no rule which inhibits a warning by a critical
//! of the same name and place can take one call for another. Pure.

use journal::GivenUp;
use runbook::alert::NOT_FOR_US;
use runbook::incident::Stage;
use runbook::target::{Class, Inventory};
use runbook::text::inert;
use runbook::time::Stamp;
use serde_json::{Value, json};
use std::time::Duration;

/// The alert's name.
pub const ALERT: &str = "RunbookdGaveUp";
/// An Alertmanager that is not told again in this time lets the call go: runbookd is gone then, which has its own alert.
pub(super) const STAYS: Duration = Duration::from_secs(300);

/// The alert for an incident, in force until `ends`.
pub fn call(one: &GivenUp, inventory: &Inventory, ends: Stamp) -> Value {
    let class = class(one, inventory);
    let (label, never) = NOT_FOR_US;
    let (said, why) = match one.how.as_str() {
        Stage::UNSETTLED => {
            ("cannot see how its act ended", "What was begun may be half done; it looks on, and goes on when it can see")
        }
        "stuck" => ("gave up", "It is stuck: what was done is not proved, was not taken back, or left something down"),
        "denied" => ("gave up", "What it asked for was refused, or nobody answered"),
        _ => ("gave up", "It can do no more"),
    };
    let id = one.incident;
    json!({
        "labels": {
            "alertname": ALERT,
            label: never,
            "severity": severity(one, class),
            "job": "runbookd",
            "instance": id.to_string(),
            "incident": id.to_string(),
            "runbook": inert(&one.runbook, 100),
            "target": inert(&one.target, 100),
            "class": class.map_or_else(|| "unknown".to_owned(), |class| format!("{class:?}")),
        },
        "annotations": {
            "summary": format!("runbookd {said} on {}: {} ({id})", inert(&one.target, 100), inert(&one.title, 120)),
            "description": format!("{why}: {}", inert(&one.why, 1_000)),
            "look": format!("runbookd explain {id}"),
            "acknowledge": format!("runbookd note {id} \"I am at it\" ends this call"),
        },
        "startsAt": one.at.to_string(),
        "endsAt": ends.to_string(),
    })
}

/// Whether both are one alert to Alertmanager: the one that was raised goes on as the other, and needs no end of its own.
pub(super) fn is_same_call(one: &GivenUp, other: &GivenUp, inventory: &Inventory) -> bool {
    let severity = |one: &GivenUp| severity(one, class(one, inventory));
    one.incident == other.incident && severity(one) == severity(other)
}

fn class(one: &GivenUp, inventory: &Inventory) -> Option<Class> {
    one.target.parse().ok().and_then(|id| inventory.get(&id)).map(|target| target.traits.class)
}

/// What is not in the inventory any more may be anything.
fn severity(one: &GivenUp, class: Option<Class>) -> &'static str {
    let half = one.how == "stuck" || one.how == Stage::UNSETTLED;
    if half || matches!(class, None | Some(Class::P1 | Class::P2)) { "critical" } else { "warning" }
}

#[cfg(test)]
mod tests {
    use runbook::incident::IncidentId;
    use runbook::target::{Place, Target, Traits};

    use super::*;

    fn inventory(class: Class) -> Inventory {
        let traits = Traits { depends_on: vec![], stateful: true, may_be_cloned: false, class, owner: String::new() };
        let place = Place::Rehearsal { ledger: String::new() };
        Inventory::new([Target { id: "rehearsal/main".parse().unwrap(), traits, place, known_as: vec![] }])
    }

    fn given_up(how: &str, target: &str) -> GivenUp {
        GivenUp {
            incident: IncidentId(4),
            runbook: "too-many".to_owned(),
            target: target.to_owned(),
            title: "HighDatabaseConnections".to_owned(),
            how: how.to_owned(),
            why: "it did not\u{1b}[31m help".to_owned(),
            at: Stamp::from_millis(1_800_000_000_000),
        }
    }

    #[test]
    fn what_hurts_is_critical_and_nothing_in_it_steers() {
        let table = [
            (Class::P1, "handed_over", "rehearsal/main", "critical", "P1"),
            (Class::P3, "handed_over", "rehearsal/main", "warning", "P3"),
            (Class::P3, "stuck", "rehearsal/main", "critical", "P3"),
            (Class::P3, "denied", "rehearsal/gone", "critical", "unknown"),
            (Class::P3, "unsettled", "rehearsal/main", "critical", "P3"),
        ];
        for (class, how, target, severity, says) in table {
            let alert = call(&given_up(how, target), &inventory(class), Stamp::from_millis(1_800_000_300_000));
            let labels = &alert["labels"];
            assert_eq!((labels["severity"].as_str(), labels["class"].as_str()), (Some(severity), Some(says)), "{alert}");
            assert_eq!(labels["runbookd"], "never");
            assert_eq!(labels["instance"], "INC-4");
            assert!(!alert.to_string().contains("\\u001b"), "{alert}");
            assert_eq!(alert["endsAt"], "2027-01-15T08:05:00.000Z");
        }
    }
    #[test]
    fn what_cannot_be_seen_becomes_another_call_only_where_its_labels_change() {
        let becomes = |how: &str, class: Class| {
            is_same_call(&given_up("unsettled", "rehearsal/main"), &given_up(how, "rehearsal/main"), &inventory(class))
        };
        assert!(becomes("stuck", Class::P3) && becomes("handed_over", Class::P1));
        assert!(!becomes("handed_over", Class::P3), "it is a warning now, and the critical one is over");
        let alert = call(&given_up("unsettled", "rehearsal/main"), &inventory(Class::P3), Stamp::from_millis(0));
        let summary = alert["annotations"]["summary"].as_str().unwrap();
        assert_eq!(summary, "runbookd cannot see how its act ended on rehearsal/main: HighDatabaseConnections (INC-4)");
    }
}
