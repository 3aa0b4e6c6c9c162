//! Changes to the containers of Compose services, through the Engine's own interface and never through a command line.
//!
//! Every act looks again right before: the same start of the same container, still the service's, and nothing that speaks against
//! it. Somebody who was faster is left alone. What is created, started, stopped or removed is proved by a look at the service and
//! never by the Engine's answer. Deliberately no kill, no force and no removal of volumes.

mod agreement;
mod body;
mod definition;
mod env;
mod exec;
mod hand;
mod headroom;
mod recreate;
mod reply;
mod reserve;
mod restart;
mod scale;
mod shrink;
mod start;

use connect::Acting;
use policy::Committed;
use runbook::action::DockerAction;
use runbook::incident::Reply;
use runbook::order::Purpose;
use runbook::target::{Inventory, Target};

use hand::Hand;

/// Carries out an order about the containers of a service.
pub(crate) async fn carry_out(
    acting: &Acting,
    inventory: &Inventory,
    target: &Target,
    action: &DockerAction,
    committed: &Committed,
) -> Reply {
    let hand = match Hand::of(acting, inventory, target, committed) {
        Ok(hand) => hand,
        Err(reply) => return reply,
    };
    let done = match (action, committed.order().purpose) {
        (DockerAction::Scale(scale), Purpose::Do) => scale::out(&hand, scale).await,
        (DockerAction::Scale(_), Purpose::Undo | Purpose::End) => shrink::back(&hand).await,
        (DockerAction::Recreate(recreate), Purpose::Do) => recreate::replace(&hand, recreate).await,
        (DockerAction::Recreate(recreate), Purpose::Undo) => reserve::put_back(&hand, recreate).await,
        (DockerAction::Recreate(recreate), Purpose::End) => reserve::give_up(&hand, recreate).await,
        (DockerAction::Restart(restart), Purpose::Do) => restart::restart(&hand, restart, false).await,
        (DockerAction::RollingRestart(restart), Purpose::Do) => restart::restart(&hand, restart, true).await,
        (DockerAction::Start(_), Purpose::Do) => start::start(&hand).await,
        (DockerAction::Exec(exec), Purpose::Do) => exec::exec(&hand, exec).await,
        (
            DockerAction::Restart(_) | DockerAction::RollingRestart(_) | DockerAction::Start(_) | DockerAction::Exec(_),
            Purpose::Undo | Purpose::End,
        ) => Err(hand.no("this cannot be taken back")),
    };
    match done {
        Ok(words) => Reply::Done(words),
        Err(reply) => reply,
    }
}
