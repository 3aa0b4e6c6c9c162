//! `docker.service`: the replicas of a Compose service. Its subjects are what every order about containers is chosen from and
//! proved by; `runbook::order` reads the attributes written here. A container that a recreate keeps in reserve is a
//! subject and counts nowhere, unless it runs: then somebody started it, and it serves.

use std::time::Duration;

use chrono::DateTime;
use connect::Looking;
use connect::container::Container;
use runbook::condition::Value;
use runbook::finding::{Attribute, Attributes, Seen, Subject};
use runbook::identity::Identity;
use runbook::target::{Inventory, Target};
use runbook::text::inert;
use runbook::time::Stamp;

use super::Service;
use super::round::Round;
use crate::seen::Fields;

pub(crate) async fn look(
    looking: &Looking,
    inventory: &Inventory,
    target: &Target,
    now: Stamp,
    within: Duration,
    round: Option<&Round>,
) -> Result<Seen, String> {
    let service = Service::of(looking, inventory, target, within)?.within_round(round);
    let (found, taken) = tokio::join!(service.containers(), service.numbers_taken());
    let containers: Vec<Container> = found?.into_iter().map(|replica| replica.container).collect();
    let mut seen = read(&containers, now);
    let named: Vec<u32> = containers.iter().filter_map(|container| container.number).collect();
    let strange: Vec<String> = taken.iter().filter(|number| !named.contains(number)).map(u32::to_string).collect();
    if let (false, Seen::Known { subjects, .. }) = (strange.is_empty(), &mut seen) {
        for subject in subjects {
            subject.attributes.set(Attribute::Taken, Value::Text(strange.join(" ")));
        }
    }
    Ok(seen)
}

fn read(containers: &[Container], now: Stamp) -> Seen {
    let replicas: Vec<&Container> = containers.iter().filter(|container| !container.kept || container.runs()).collect();
    let count = |wanted: &dyn Fn(&Container) -> bool| replicas.iter().filter(|container| wanted(container)).count() as f64;
    let highest = |numbers: &mut dyn Iterator<Item = i64>| numbers.max().unwrap_or(0) as f64;
    let mut fields = Fields::new();
    fields.number("replicas", replicas.len() as f64);
    fields.number("running", count(&|c| c.runs()));
    fields.number("healthy", count(&|c| c.runs() && matches!(c.health.as_str(), "" | "healthy")));
    fields.number("unhealthy", count(&|c| c.runs() && c.health == "unhealthy"));
    fields.number("restarting", count(&|c| c.state == "restarting"));
    fields.number("exited", count(&|c| c.exited()));
    fields.number("restarts", highest(&mut replicas.iter().map(|c| c.restarts)));
    fields.flag("oom_killed", replicas.iter().any(|c| c.down_for_memory()));
    fields.number("exit_code", highest(&mut replicas.iter().filter(|c| c.exited()).map(|c| c.exit_code)));
    fields.number("failing", count(&|c| c.failing()));
    fields.number("clones", count(&|c| c.clone));
    fields.number("stopped_by_person", count(&|c| c.stopped_by_person));
    // One whose start cannot be read may be the youngest.
    let ran: Option<Vec<f64>> = replicas.iter().filter(|c| c.runs()).map(|c| running_seconds(c, now)).collect();
    fields.put(
        "youngest_seconds",
        match ran.map(|ran| ran.into_iter().reduce(f64::min)) {
            Some(Some(youngest)) => Value::number(youngest),
            Some(None) => Value::Unknown("no container of it runs".to_owned()),
            None => Value::Unknown("the Engine did not say since when each has run".to_owned()),
        },
    );
    fields.seen_with(containers.iter().map(|container| subject(container, now)).collect())
}

/// For how long a running container has run. A start ahead of our clock is a start just now.
fn running_seconds(container: &Container, now: Stamp) -> Option<f64> {
    let started = DateTime::parse_from_rfc3339(&container.started_at).ok()?.timestamp_millis();
    Some(now.millis().saturating_sub(started).max(0) as f64 / 1000.0)
}

/// A container with everything that orders read of it.
pub(super) fn subject(container: &Container, now: Stamp) -> Subject {
    let short = container.id.get(..12).unwrap_or(&container.id);
    let mut words = format!("{} ({short}), {}", inert(&container.name, 80), container.state);
    if !container.health.is_empty() {
        words.push_str(&format!(", {}", container.health));
    }
    words.push_str(&format!(", {} restarts", container.restarts));
    if container.kept {
        words.push_str(", kept in reserve");
    }
    if container.clone {
        words.push_str(", a clone");
    }
    if container.stopped_by_person {
        words.push_str(", somebody stopped it");
    } else if let Some(why) = &container.at_rest {
        words.push_str(&format!(", {why}"));
    }
    let mut attributes = Attributes::default();
    for (attribute, flag) in [
        (Attribute::OomKilled, container.down_for_memory()),
        (Attribute::StoppedByPerson, container.stopped_by_person),
        (Attribute::Clone, container.clone),
        (Attribute::Kept, container.kept),
    ] {
        attributes.set(attribute, Value::Flag(flag));
    }
    for (attribute, text) in [
        (Attribute::Name, Some(&container.name)),
        (Attribute::State, Some(&container.state)),
        (Attribute::Health, Some(&container.health)),
        (Attribute::Policy, Some(&container.policy)),
        (Attribute::Compose, Some(&container.compose)),
        (Attribute::Incident, container.incident.as_ref()),
        (Attribute::Replaces, container.replaces.as_ref()),
        (Attribute::CloneOf, container.clone_of.as_ref()),
        (Attribute::Refused, container.refused.as_ref()),
        (Attribute::NoClone, container.no_clone.as_ref()),
        (Attribute::AtRest, container.at_rest.as_ref()),
    ] {
        if let Some(text) = text {
            attributes.set(attribute, Value::Text(text.clone()));
        }
    }
    for (attribute, number) in [
        (Attribute::Number, container.number.map(f64::from)),
        (Attribute::Restarts, Some(container.restarts as f64)),
        (Attribute::ExitCode, Some(container.exit_code as f64)),
        (Attribute::RunningSeconds, running_seconds(container, now).filter(|_| container.runs())),
    ] {
        if let Some(number) = number {
            attributes.set(attribute, Value::number(number));
        }
    }
    let identity = Identity::Container { id: container.id.clone(), started_at: container.started_at.clone() };
    Subject { identity, words, attributes }
}
