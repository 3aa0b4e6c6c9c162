//! What becomes of the container that a recreate keeps: it is put back, or it is given up once the new one is proved.
//!
//! Both find what is there and go on from it, whatever came before: the process may have died between any two calls, and a person may
//! have run Compose meanwhile. A container that somebody else made is theirs: it is neither stopped nor removed for ours.
//! Putting back ends with the old container under its own name, running, and no new one. Giving up writes the file first and
//! removes the old container last, so that whoever finds it gone knows that the file has been written.
//! Deliberately no force and no removal of volumes: the new one lives on the anonymous volumes of the old.

use std::collections::BTreeMap;

use connect::container::kept_name;
use runbook::action::Recreate;
use runbook::identity::Identity;
use runbook::incident::Reply;
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

/// The name that the service's container has when nothing is kept.
fn own_name(hand: &Hand<'_>, old: &Seen) -> String {
    let kept = kept_name("", &hand.incident().to_string());
    old.container.name.strip_suffix(&kept).unwrap_or(&old.container.name).to_owned()
}

/// Removes the new container and starts the old one under its own name.
pub(super) async fn put_back(hand: &Hand<'_>, recreate: &Recreate) -> Result<String, Reply> {
    let id = named(hand)?;
    let all = hand.service().await?;
    let Some(old) = all.iter().find(|seen| seen.container.id == id) else {
        let words = "the old container is gone, so it cannot be put back; what is there is left as it is";
        return Err(hand.no(words));
    };
    let name = own_name(hand, old);
    let shown = inert(&name, 80);
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
        // As long as the new one is there it tells which policy the old one had.
        let policies = (restart_policy(old), restart_policy(new));
        if let (before, Some(after)) = policies
            && before.as_ref().map(|before| before.name) != Some(after.name)
        {
            update(hand, id, after).await.map_err(|trouble| ended("giving it its restart policy again", trouble))?;
        }
        remove(hand, new).await.map_err(|trouble| ended("removing the new one", trouble))?;
    }
    if old.container.name != name {
        rename(hand, id, &name).await.map_err(|trouble| ended("renaming it", trouble))?;
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
