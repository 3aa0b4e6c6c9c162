//! `docker.scale`, back: the clones of the order are asked to stop and, once they have, removed.
//!
//! They are asked by their own stop signal (Celery then finishes what it holds) and never killed: `t=-1` tells the Engine to wait
//! without end, also after we have stopped listening. Engine 20.10 and every later one keep to that (moby, `daemon/stop.go`). One
//! that still runs at the order's last moment stays, and the next try asks it again. Only what carries this incident's label and
//! is a clone is touched; a container of the same name that Compose or a person made meanwhile is theirs.
//! Deliberately no force and no removal of volumes.

use std::time::Duration;

use bollard::query_parameters::{RemoveContainerOptionsBuilder, StopContainerOptionsBuilder};
use futures_util::future::join_all;
use runbook::identity::Identity;
use runbook::incident::Reply;
use runbook::text::inert;

use super::hand::{Hand, Seen};
use super::reply::{Kind, Trouble};
use super::scale::is_ours;

/// What is left for removing what has stopped at the last moment.
const REMOVAL: Duration = Duration::from_secs(2);

/// The wait of a stop that never becomes a kill.
const WITHOUT_END: i32 = -1;

/// Takes the clones of the order away, all side by side.
pub(super) async fn back(hand: &Hand<'_>) -> Result<String, Reply> {
    let names: Vec<&str> = hand
        .order()
        .selection
        .iter()
        .filter_map(|identity| match identity {
            Identity::Clone { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let all = hand.service().await?;
    let ours: Vec<&Seen> =
        all.iter().filter(|seen| names.contains(&seen.container.name.as_str()) && is_ours(hand, seen, None)).collect();
    let gone_before = names.len() - ours.len();
    let taken = join_all(ours.iter().map(|seen| take_away(hand, seen))).await;
    let mut gone = 0;
    let mut left: Vec<String> = Vec::new();
    let mut worst = None;
    for (seen, taken) in ours.iter().zip(taken) {
        match taken {
            Ok(()) => gone += 1,
            Err(trouble) => {
                left.push(format!("{}: {}", seen.name(), trouble.words));
                worst.get_or_insert(trouble);
            }
        }
    }
    let mut words = format!("{gone} of {} clones were taken away", names.len());
    let renamed = all.iter().filter(|seen| is_ours(hand, seen, None) && !names.contains(&seen.container.name.as_str()));
    let renamed: Vec<String> =
        renamed.map(|seen| format!("{}, which somebody renamed, is left to whoever did", seen.name())).collect();
    let gone_before = gone_before.saturating_sub(renamed.len());
    if gone_before > 0 {
        words.push_str(&format!(", {gone_before} were gone already"));
    }
    for renamed in renamed {
        words.push_str(&format!("; {renamed}"));
    }
    match worst {
        None => Ok(words),
        Some(trouble) => Err(hand.ended(&words, Trouble { words: left.join("; "), ..trouble })),
    }
}

async fn take_away(hand: &Hand<'_>, seen: &Seen) -> Result<(), Trouble> {
    let id = &seen.container.id;
    match seen.container.state.as_str() {
        // The Engine would wake it up to tell it.
        "paused" => return Err(Trouble { kind: Kind::Answered, words: "somebody paused it, so it is left alone".to_owned() }),
        "created" | "exited" | "dead" => {}
        _ => {
            let options = StopContainerOptionsBuilder::default().t(WITHOUT_END).build();
            let until = hand.until().checked_sub(REMOVAL).unwrap_or_else(|| hand.until());
            match hand.change_until(until, hand.docker.stop_container(id, Some(options))).await {
                Ok(()) => {}
                Err(trouble) if trouble.kind == Kind::Gone => return Ok(()),
                Err(trouble) if trouble.kind == Kind::Silent => {
                    let words = format!("it was asked to stop and still runs ({}); it is not killed", inert(&trouble.words, 100));
                    return Err(Trouble { words, ..trouble });
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }
    // Without force the Engine refuses to remove what runs: somebody may have started it again.
    let options = RemoveContainerOptionsBuilder::default().force(false).v(false).build();
    match hand.change(hand.docker.remove_container(id, Some(options))).await {
        Err(trouble) if trouble.kind == Kind::Gone => Ok(()),
        done => done,
    }
}
