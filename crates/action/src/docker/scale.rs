//! `docker.scale`, outwards: clones of a running replica, one after another, under the very names of the order.
//!
//! Why names and not a number: an earlier try may have made some of them. What is there under such a name and is this incident's
//! clone is gone on with, and what is anything else ends the try. Each is created, connected to its networks and started before
//! the next one: the Engine hands out ranges of ports one container at a time. Taking them away is `shrink`.
//! Deliberately no clean-up after an error: what is there is said, the state machine takes it back by a look.

use bollard::query_parameters::StartContainerOptions;
use connect::container::label;
use runbook::action::Scale;
use runbook::identity::Identity;
use runbook::incident::Reply;
use runbook::text::inert;
use tokio::sync::Mutex;

use super::body::{Blueprint, Likeness};
use super::hand::{Hand, Seen};
use super::headroom;
use super::reply::{Kind, Trouble};

/// One scale-out at a time: two that measured the same free room would both take it.
static ROOM: Mutex<()> = Mutex::const_new(());

/// A clone that the order names.
#[derive(Clone, Copy, Debug)]
struct Named<'a> {
    of: &'a str,
    name: &'a str,
    number: u32,
}

/// Makes and starts the clones of the order.
pub(super) async fn out(hand: &Hand<'_>, scale: &Scale) -> Result<String, Reply> {
    let named = named(hand)?;
    let traits = &hand.target.traits;
    if traits.stateful || !traits.may_be_cloned {
        return Err(hand.no(format!("{} may not be cloned, by the inventory of now", hand.target.id)));
    }
    let Ok(_room) = tokio::time::timeout_at(hand.until(), ROOM.lock()).await else {
        return Err(Reply::NoAnswer("nothing was ordered yet: another scale-out was under way all the time".to_owned()));
    };
    let all = hand.service().await?;
    let source = source(hand, &all, &named)?;
    let mut there = Vec::new();
    for clone in &named {
        let same_name = all.iter().find(|seen| seen.container.name == clone.name);
        if same_name.is_some_and(|seen| !is_ours(hand, seen, Some(clone.of))) {
            return Err(hand.no(format!("{} is there already and is no clone of this incident", inert(clone.name, 80))));
        }
        there.push(same_name);
    }
    let others =
        all.iter().filter(|seen| !seen.container.kept && !named.iter().any(|clone| clone.name == seen.container.name)).count();
    let ceiling = scale.to.min(hand.scope.at_most);
    if others + named.len() > ceiling as usize {
        return Err(
            hand.no(format!("{others} replicas are there now, and with {} more there would be more than {ceiling}", named.len()))
        );
    }
    let missing = there.iter().filter(|same_name| same_name.is_none()).count();
    let room = headroom::fits(hand, &source.inspected, u32::try_from(missing).unwrap_or(u32::MAX)).await;
    let room = room.map_err(|why| hand.no(why))?;
    let mut started: Vec<&str> = Vec::new();
    for (clone, there) in named.iter().zip(there) {
        if let Err(trouble) = bring_up(hand, source, *clone, there).await {
            let so_far = match started.as_slice() {
                [] => "no clone was started".to_owned(),
                some => format!("{} were started, no further one", some.join(", ")),
            };
            return Err(hand.ended(&format!("{so_far}; {}", inert(clone.name, 80)), trouble));
        }
        started.push(clone.name);
    }
    Ok(format!("{} were started; {room}", started.join(", ")))
}

/// The clones that the order names, in order of number.
fn named<'a>(hand: &Hand<'a>) -> Result<Vec<Named<'a>>, Reply> {
    let each = hand.order().selection.iter().map(|identity| match identity {
        Identity::Clone { of, name, number } => Some(Named { of, name, number: *number }),
        _ => None,
    });
    let mut named: Vec<_> = each.collect::<Option<_>>().ok_or_else(|| hand.no("the order names something that is no clone"))?;
    named.sort_by_key(|clone| clone.number);
    Ok(named)
}

/// Whether a container is a clone that this incident made, of that source where one is given.
pub(super) fn is_ours(hand: &Hand<'_>, seen: &Seen, of: Option<&str>) -> bool {
    let incident = hand.incident().to_string();
    seen.container.clone
        && seen.container.incident.as_deref() == Some(&incident)
        && of.is_none_or(|of| seen.label(label::CLONE_OF) == Some(of))
}

/// What is cloned, as it is now.
fn source<'a>(hand: &Hand<'_>, all: &'a [Seen], named: &[Named<'_>]) -> Result<&'a Seen, Reply> {
    let Some(of) = named.first().map(|clone| clone.of).filter(|of| named.iter().all(|clone| clone.of == *of)) else {
        return Err(hand.no("the order names clones of several containers"));
    };
    let Some(source) = all.iter().find(|seen| seen.container.id == of) else {
        return Err(hand.no(format!("container {} went away meanwhile", of.get(..12).unwrap_or(of))));
    };
    let name = source.name();
    if let Some(why) = &source.container.no_clone {
        return Err(hand.no(format!("{name} cannot be cloned: {why}")));
    }
    if source.container.clone || source.container.kept {
        return Err(hand.no(format!("{name} is itself one of ours, and is not cloned")));
    }
    if !source.healthy() {
        return Err(hand.no(format!("{name} is no longer well, and is not cloned")));
    }
    Ok(source)
}

/// Creates what is not there, connects it to the networks that it lacks, and starts it.
async fn bring_up(hand: &Hand<'_>, source: &Seen, clone: Named<'_>, there: Option<&Seen>) -> Result<(), Trouble> {
    let likeness = Likeness::Clone { name: clone.name, number: clone.number, incident: hand.incident() };
    let blueprint = Blueprint::of(&source.inspected, likeness).map_err(|words| Trouble { kind: Kind::Answered, words })?;
    let id = match there {
        Some(made) => {
            let networks = made.inspected.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
            let lacks = |name: &str| !networks.is_some_and(|networks| networks.contains_key(name));
            hand.connect(&made.container.id, &blueprint, lacks).await?;
            made.container.id.clone()
        }
        None => hand.create(&blueprint).await?,
    };
    // The Engine takes a start of what runs as done.
    hand.change(hand.docker.start_container(&id, None::<StartContainerOptions>)).await
}
