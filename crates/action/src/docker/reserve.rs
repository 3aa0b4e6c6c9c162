//! What becomes of the container that a recreate keeps: it is put back, or it is given up once the new one is proved.
//!
//! Both find what is there and go on from it, whatever came before: the process may have died between any two calls, and a person may
//! have run Compose meanwhile. A container that somebody else made is theirs: it is neither stopped nor removed for ours.
//! Putting back ends with the old container under its own name, running, and no new one. Giving up writes the file first and
//! removes the old container last, so that whoever finds it gone knows that the file has been written.
//! The name of a kept one says whose it is and, where its restart policy was taken from it, which that was: nothing else of it can
//! be written on, and the new one, which has the policy too, may be gone (Compose 1 takes the younger of two for one too many).
//! Deliberately no force and no removal of volumes: the new one lives on the anonymous volumes of the old.

use std::collections::BTreeMap;

use bollard::models::{RestartPolicy, RestartPolicyNameEnum as Policy};
use connect::container::kept_name;
use runbook::action::Recreate;
use runbook::identity::Identity;
use runbook::incident::{IncidentId, Reply};
use runbook::text::inert;

use super::agreement::variables;
use super::env::{self, Written};
use super::hand::{Hand, Seen};
use super::recreate::{remove, rename, restart_policy, start, stop, update};
use super::reply::Trouble;

/// Whether a container was made in the stead of this one.
pub(super) fn replaces(seen: &Seen, old: &str) -> bool {
    seen.container.replaces.as_deref() == Some(old)
}

/// The full id of the container that the order is about.
fn named<'a>(hand: &Hand<'a>) -> Result<&'a str, Reply> {
    let named: Vec<_> = hand.order().selection.iter().collect();
    match named.as_slice() {
        [Identity::Container { id, .. }] => Ok(id),
        _ => Err(hand.no("the order does not name exactly one container")),
    }
}

/// The name under which a container is kept. `taken` is the restart policy that is taken from it meanwhile.
pub(super) fn name_in_reserve(name: &str, taken: Option<&RestartPolicy>, incident: IncidentId) -> String {
    let taken = taken.map(|policy| format!(".{}", word(policy))).unwrap_or_default();
    kept_name(&format!("{name}{taken}"), &incident.to_string())
}

/// The name that a container of the service has when it is not kept, and the restart policy that was taken from it.
fn own_name(name: &str, incident: IncidentId) -> (&str, Option<RestartPolicy>) {
    let Some(kept) = name.strip_suffix(&kept_name("", &incident.to_string())) else { return (name, None) };
    match kept.rsplit_once('.') {
        Some((name, last)) if policy(last).is_some() => (name, policy(last)),
        _ => (kept, None),
    }
}

/// Whether a name ends as if a restart policy had been taken from its container.
pub(super) fn reads_as_taken(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, last)| policy(last).is_some())
}

fn word(policy: &RestartPolicy) -> String {
    match (policy.name, policy.maximum_retry_count.unwrap_or(0)) {
        (Some(Policy::ON_FAILURE), 0) => "on-failure".to_owned(),
        (Some(Policy::ON_FAILURE), times) => format!("on-failure-{times}"),
        _ => "always".to_owned(),
    }
}

fn policy(word: &str) -> Option<RestartPolicy> {
    let (name, times) = match word.strip_prefix("on-failure") {
        None if word == "always" => (Policy::ALWAYS, None),
        Some("") => (Policy::ON_FAILURE, None),
        Some(times) => (Policy::ON_FAILURE, Some(times.strip_prefix('-')?.parse().ok()?)),
        None => return None,
    };
    Some(RestartPolicy { name: Some(name), maximum_retry_count: times })
}

/// Removes the new container and starts the old one under its own name.
pub(super) async fn put_back(hand: &Hand<'_>, recreate: &Recreate) -> Result<String, Reply> {
    let id = named(hand)?;
    let all = hand.service().await?;
    let Some(old) = all.iter().find(|seen| seen.container.id == id) else {
        let words = "the old container is gone, so it cannot be put back; what is there is left as it is";
        return Err(hand.no(words));
    };
    let (name, taken) = own_name(&old.container.name, hand.incident());
    let shown = inert(name, 80);
    let new: Vec<&Seen> = all.iter().filter(|seen| replaces(seen, id)).collect();
    let stranger = all.iter().find(|seen| seen.container.name == name && seen.container.id != id && !replaces(seen, id));
    if stranger.is_some() {
        return Err(hand.no(format!("somebody else made another {shown} meanwhile; it and {} are left as they are", old.name())));
    }
    if let Some(why) = [old].into_iter().chain(new.iter().copied()).find_map(left_alone) {
        return Err(hand.no(why));
    }
    let ended = |so_far: &str, trouble: Trouble| hand.ended(&format!("putting the old {shown} back, {so_far}"), trouble);
    for new in &new {
        stop(hand, new, recreate.stop_timeout).await.map_err(|trouble| ended("stopping the new one", trouble))?;
        remove(hand, new).await.map_err(|trouble| ended("removing the new one", trouble))?;
    }
    if let Some(taken) = taken.filter(|taken| restart_policy(old).and_then(|now| now.name) != taken.name) {
        update(hand, id, taken).await.map_err(|trouble| ended("giving it its restart policy again", trouble))?;
    }
    if old.container.name != name {
        rename(hand, id, name).await.map_err(|trouble| ended("renaming it", trouble))?;
    }
    if !old.container.runs() {
        start(hand, id).await.map_err(|trouble| ended("starting it", trouble))?;
    }
    Ok(format!("the old {shown} is back in its place"))
}

/// Why a container of ours must be left as a person has it.
fn left_alone(seen: &Seen) -> Option<String> {
    (seen.container.state == "paused").then(|| format!("somebody paused {}, so it is left alone", seen.name()))
}

/// Writes the new values to the file, and then removes the old container.
pub(super) async fn give_up(hand: &Hand<'_>, recreate: &Recreate) -> Result<String, Reply> {
    let id = named(hand)?;
    let all = hand.service().await?;
    let old = all.iter().find(|seen| seen.container.id == id);
    if let Some(old) = old.filter(|old| !old.container.kept) {
        return Err(hand.no(format!("{} is the old container and has its own name again; nothing was done", old.name())));
    }
    // A person's Compose takes the younger of two for one too many, and starts the older one under whatever name that has.
    let nobody_else = !all.iter().any(|seen| seen.container.id != id && !seen.container.kept && !seen.container.clone);
    if let Some(old) = old.filter(|old| nobody_else && old.container.runs()) {
        let why = format!("somebody took the new container away and started {} again", old.name());
        return Err(match put_back(hand, recreate).await {
            Ok(words) => Reply::Failed(format!("{why}; {words}, and the file was not changed")),
            Err(Reply::NoAnswer(words)) => Reply::NoAnswer(format!("{why}; {words}")),
            Err(Reply::Done(words) | Reply::Refused(words) | Reply::Failed(words)) => hand.no(format!("{why}; {words}")),
        });
    }
    let new = successor(hand, recreate, &all, id)?;
    let written = write(hand, recreate, old).await?;
    let so_far = match written {
        Written::Changed => "the file was changed",
        Written::AsItWas => "the file had the new values already",
    };
    if let Some(old) = old {
        // From here on something has been changed, whatever becomes of the rest.
        let failed = |trouble: Trouble, what: &str| match hand.ended(&format!("{so_far}; {what} {}", old.name()), trouble) {
            Reply::Refused(words) => Reply::Failed(words),
            other => other,
        };
        stop(hand, old, recreate.stop_timeout).await.map_err(|trouble| failed(trouble, "stopping"))?;
        remove(hand, old).await.map_err(|trouble| failed(trouble, "removing"))?;
        return Ok(format!("{so_far}, and {} was removed; {} stays", old.name(), new.name()));
    }
    Ok(format!("{so_far}; the old container was gone already, {} stays", new.name()))
}

/// What serves in the old one's stead: it runs, is not failing, and has every new value. Ours, or what a person's Compose made of it.
fn successor<'a>(hand: &Hand<'_>, recreate: &Recreate, all: &'a [Seen], old: &str) -> Result<&'a Seen, Reply> {
    let others: Vec<&Seen> =
        all.iter().filter(|seen| seen.container.id != old && !seen.container.kept && !seen.container.clone).collect();
    let [new] = others.as_slice() else {
        return Err(hand.no(match others.len() {
            0 => "no other container of the service is there, so the old one is not given up".to_owned(),
            several => format!("{several} other containers of the service are there; somebody is changing it"),
        }));
    };
    let config = new.inspected.config.as_ref();
    let has = variables(config.and_then(|config| config.env.as_deref()).unwrap_or_default());
    if recreate.set.iter().any(|(key, value)| has.get(key) != Some(value)) {
        let by = if replaces(new, old) { "" } else { ", which somebody else made," };
        return Err(hand.no(format!("{}{by} does not have the new values, so nothing is given up", new.name())));
    }
    if !new.container.runs() || new.container.failing() {
        return Err(hand.no(format!("{} is not well, so the old container is not given up", new.name())));
    }
    Ok(new)
}

async fn write(hand: &Hand<'_>, recreate: &Recreate, old: Option<&Seen>) -> Result<Written, Reply> {
    let Some(path) = hand.scope.env_file.clone() else {
        return Err(hand.no(format!("{} has no `env_file` in the inventory any more", hand.target.id)));
    };
    let before: Option<BTreeMap<String, String>> =
        old.and_then(|old| old.inspected.config.as_ref()).map(|config| variables(config.env.as_deref().unwrap_or_default()));
    let (set, incident, at) = (recreate.set.clone(), hand.incident(), path.clone());
    let writing = tokio::task::spawn_blocking(move || env::write(at.as_ref(), &set, before.as_ref(), incident));
    match tokio::time::timeout_at(hand.until(), writing).await {
        Ok(Ok(written)) => written.map_err(|why| hand.no(why)),
        Ok(Err(_)) => Err(Reply::NoAnswer(format!("writing {path} broke off"))),
        Err(_) => Err(Reply::NoAnswer(format!("{path} could not be written in time, and may still be"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_kept_one_tells_its_own_and_what_was_taken_from_it() {
        let inc = IncidentId(7);
        let policy = |name, times| RestartPolicy { name: Some(name), maximum_retry_count: times };
        for (taken, wanted) in [
            (None, "shop_worker_1.runbookd-INC-7"),
            (Some(policy(Policy::ALWAYS, None)), "shop_worker_1.always.runbookd-INC-7"),
            (Some(policy(Policy::ON_FAILURE, None)), "shop_worker_1.on-failure.runbookd-INC-7"),
            (Some(policy(Policy::ON_FAILURE, Some(5))), "shop_worker_1.on-failure-5.runbookd-INC-7"),
        ] {
            let name = name_in_reserve("shop_worker_1", taken.as_ref(), inc);
            assert_eq!(name, wanted);
            assert!(connect::container::is_kept(&name));
            assert_eq!(own_name(&name, inc), ("shop_worker_1", taken));
        }
        // Zero attempts are no limit, as the Engine writes it.
        let without_limit = policy(Policy::ON_FAILURE, Some(0));
        assert_eq!(name_in_reserve("a.b", Some(&without_limit), inc), "a.b.on-failure.runbookd-INC-7");
        assert_eq!(own_name("a.b.runbookd-INC-7", inc), ("a.b", None));
        assert_eq!(own_name("a.runbookd-INC-70", inc), ("a.runbookd-INC-70", None));
        assert_eq!(own_name("a.always", inc), ("a.always", None));
        assert!(reads_as_taken("a.always") && reads_as_taken("a.on-failure-3"));
        assert!(!reads_as_taken("always") && !reads_as_taken("a.on-failure-x") && !reads_as_taken("a.b"));
    }
}
