//! `docker.recreate`: the only container of a service is replaced by one with a changed environment. The old one is stopped and kept
//! under another name until the new one is proved; what becomes of it then is `reserve`.
//!
//! Why in this order: everything that can be known to fail is looked at before the old one is stopped (who sets the variables,
//! whether the image is there, whether the file can be written at the end), and what fails afterwards with an answer puts the old one
//! back at once, in the same act. Without an answer nothing more is ordered, and the state machine takes it back by a look.
//! The Engine brings a kept one back when it is itself started anew, if its restart policy says so; so the policy is taken from
//! it, and the new one, which has it, is where it is read again. Deliberately no waiting for health: that is seen by a look.

use std::time::Duration;

use bollard::models::{ContainerUpdateBody, RestartPolicy, RestartPolicyNameEnum as Policy};
use bollard::query_parameters::{
    RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
};
use connect::container::kept_name;
use runbook::action::Recreate;
use runbook::incident::Reply;
use runbook::text::inert;
use runbook::time::Span;

use super::body::{Blueprint, Likeness};
use super::hand::{Hand, Seen};
use super::reply::{Kind, Trouble};
use super::restart::seconds;
use super::{agreement, reserve};

/// What the calls after the stop may take.
const CALLS: Duration = Duration::from_secs(5);

/// Puts a new container in the stead of the one that the order names.
pub(super) async fn replace(hand: &Hand<'_>, recreate: &Recreate) -> Result<String, Reply> {
    let old = hand.ordered().await?;
    let all = hand.service().await?;
    let kept = kept_name(&old.container.name, &hand.incident().to_string());
    let leftovers = alone(hand, &old, &all, &kept)?;
    agreement::see(hand, &old, recreate).await?;
    let likeness = Likeness::Replacement { incident: hand.incident(), set: &recreate.set };
    let blueprint = Blueprint::of(&old.inspected, likeness).map_err(|why| hand.no(format!("nothing was done: {why}")))?;
    hand.in_time_for(recreate.stop_timeout.duration() + CALLS)?;
    for leftover in leftovers {
        let removed = remove(hand, leftover).await;
        removed.map_err(|trouble| hand.ended(&format!("removing {}, which never ran", leftover.name()), trouble))?;
    }
    let name = old.name();
    match swap(hand, recreate, &old, &kept, &blueprint).await {
        Ok(()) => Ok(format!("{name} was replaced; the old one is kept as {}", inert(&kept, 120))),
        Err((so_far, trouble)) => Err(give_up(hand, recreate, &name, so_far, trouble).await),
    }
}

/// Sees that the container is the only one, besides clones and what an earlier try made and never started.
fn alone<'a>(hand: &Hand<'_>, old: &Seen, all: &'a [Seen], kept: &str) -> Result<Vec<&'a Seen>, Reply> {
    if old.container.kept {
        return Err(hand.no(format!("{} is kept in reserve by a recreate, and is not replaced", old.name())));
    }
    if all.iter().any(|seen| seen.container.name == kept) {
        return Err(hand.no(format!("{} is there already; nothing was done", inert(kept, 120))));
    }
    let others = all.iter().filter(|seen| seen.container.id != old.container.id && !seen.container.kept && !seen.container.clone);
    let (leftovers, replicas): (Vec<_>, Vec<_>) =
        others.partition(|seen| seen.container.state == "created" && reserve::replaces(seen, &old.container.id));
    match replicas.first() {
        None => Ok(leftovers),
        Some(other) => {
            Err(hand.no(format!("{} is there besides {}, and only a single one is replaced", other.name(), old.name())))
        }
    }
}

/// The calls that change something, in order; with an error, how far they came.
async fn swap(
    hand: &Hand<'_>,
    recreate: &Recreate,
    old: &Seen,
    kept: &str,
    blueprint: &Blueprint,
) -> Result<(), (&'static str, Trouble)> {
    let id = &old.container.id;
    stop(hand, old, recreate.stop_timeout).await.map_err(|trouble| ("stopping the old one", trouble))?;
    rename(hand, id, kept).await.map_err(|trouble| ("renaming the old one", trouble))?;
    let new = hand.create(blueprint).await.map_err(|trouble| ("creating the new one", trouble))?;
    if let Some(stays) = stays_down(old) {
        update(hand, id, stays).await.map_err(|trouble| ("taking its restart policy from the old one", trouble))?;
    }
    still_down(hand, id).await.map_err(|trouble| ("before starting the new one", trouble))?;
    start(hand, &new).await.map_err(|trouble| ("starting the new one", trouble))
}

/// Sees that nobody has started the old one again: two of a service that is to have one would share its data.
async fn still_down(hand: &Hand<'_>, id: &str) -> Result<(), Trouble> {
    let state = hand.look(hand.docker.inspect_container(id, None)).await?.state;
    match state.and_then(|state| state.running) {
        Some(false) => Ok(()),
        _ => Err(Trouble { kind: Kind::Conflict, words: "somebody started the old one again".to_owned() }),
    }
}

/// The reply of a replacement that came to nothing. Where it is known that the last call did nothing, the old one is put back at
/// once: waiting for a look to find out would be an outage.
async fn give_up(hand: &Hand<'_>, recreate: &Recreate, name: &str, so_far: &str, trouble: Trouble) -> Reply {
    let what = format!("{name}: {so_far}");
    if trouble.kind == Kind::Silent {
        return hand.ended(&what, trouble);
    }
    let why = format!("{what}: {}", trouble.words);
    match reserve::put_back(hand, recreate).await {
        Ok(words) => Reply::Failed(format!("{why}; {words}")),
        Err(Reply::NoAnswer(words)) => Reply::NoAnswer(format!("{why}; {words}")),
        Err(Reply::Done(words) | Reply::Refused(words) | Reply::Failed(words)) => Reply::Failed(format!("{why}; {words}")),
    }
}

/// The policy under which a stopped container stays down even when the Engine is started anew; none where its own does that.
/// `unless-stopped` remembers a stop; `always` does not, and `on-failure` goes by the exit code, which a stop can leave at 143.
fn stays_down(old: &Seen) -> Option<RestartPolicy> {
    let policy = restart_policy(old)?;
    match policy.name {
        Some(Policy::ALWAYS | Policy::ON_FAILURE) => Some(RestartPolicy { name: Some(Policy::NO), maximum_retry_count: None }),
        None | Some(Policy::EMPTY | Policy::NO | Policy::UNLESS_STOPPED) => None,
    }
}

/// A container's restart policy.
pub(super) fn restart_policy(seen: &Seen) -> Option<RestartPolicy> {
    seen.inspected.host_config.as_ref()?.restart_policy.clone()
}

/// Stops a container that has not stopped, by its own signal; after this time the Engine kills it.
pub(super) async fn stop(hand: &Hand<'_>, seen: &Seen, within: Span) -> Result<(), Trouble> {
    if matches!(seen.container.state.as_str(), "created" | "exited") {
        return Ok(());
    }
    let options = StopContainerOptionsBuilder::default().t(seconds(within)).build();
    hand.change(hand.docker.stop_container(&seen.container.id, Some(options))).await
}

/// Gives a container another name.
pub(super) async fn rename(hand: &Hand<'_>, id: &str, name: &str) -> Result<(), Trouble> {
    let options = RenameContainerOptionsBuilder::default().name(name).build();
    hand.change(hand.docker.rename_container(id, options)).await
}

/// Gives a container another restart policy.
pub(super) async fn update(hand: &Hand<'_>, id: &str, policy: RestartPolicy) -> Result<(), Trouble> {
    let body = ContainerUpdateBody { restart_policy: Some(policy), ..ContainerUpdateBody::default() };
    hand.change(hand.docker.update_container(id, body)).await
}

/// Starts a container; the Engine takes a start of what runs as done.
pub(super) async fn start(hand: &Hand<'_>, id: &str) -> Result<(), Trouble> {
    hand.change(hand.docker.start_container(id, None::<StartContainerOptions>)).await
}

/// Removes a container that does not run, and leaves its volumes. One that is gone is removed.
pub(super) async fn remove(hand: &Hand<'_>, seen: &Seen) -> Result<(), Trouble> {
    let options = RemoveContainerOptionsBuilder::default().force(false).v(false).build();
    match hand.change(hand.docker.remove_container(&seen.container.id, Some(options))).await {
        Err(trouble) if trouble.kind == Kind::Gone => Ok(()),
        done => done,
    }
}
