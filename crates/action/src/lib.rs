//! Changes live systems.
//!
//! [`act`] accepts nothing but a committed permit, by value: what is on record as started is carried out once, in one call, within
//! one deadline, and never again from here. Why no retry: a call that got no answer may have landed, and only a look can tell.
//! A reply is told for the record; it is never the proof of anything.
//!
//! Deliberately no choice: which identities are meant is in the order. What is re-checked right before the act, inside the server,
//! can only make it fewer.

mod docker;
mod postgres;
mod rehearsal;

use connect::Acting;
use policy::Committed;
use runbook::action::{Action, PostgresAction};
use runbook::incident::Reply;
use runbook::target::Inventory;
use runbook::text::{humanize_duration, inert};

/// How much later than its parts the whole call gives up.
const MARGIN: std::time::Duration = std::time::Duration::from_millis(500);

/// More than any reply needs; a server's own words can be long.
const LONGEST_REPLY: usize = 500;

/// Carries out one order, once, within its deadline.
///
/// `Done` means that the server took at least part of the order, `Refused` that rights or the inventory are in the way, `Failed`
/// that nothing was done for another reason, and `NoAnswer` that it is not known whether anything was done.
pub async fn act(acting: &Acting, inventory: &Inventory, committed: Committed) -> Reply {
    let deadline = committed.deadline();
    // What happens inside has the same deadline and can say more, so it is let speak first; the grace covers the margin.
    let reply = tokio::time::timeout(deadline + MARGIN, carry_out(acting, inventory, &committed)).await;
    match reply.unwrap_or_else(|_| Reply::NoAnswer(format!("no answer within {}", humanize_duration(deadline)))) {
        Reply::Done(words) => Reply::Done(inert(&words, LONGEST_REPLY)),
        Reply::Refused(words) => Reply::Refused(inert(&words, LONGEST_REPLY)),
        Reply::Failed(words) => Reply::Failed(inert(&words, LONGEST_REPLY)),
        Reply::NoAnswer(words) => Reply::NoAnswer(inert(&words, LONGEST_REPLY)),
    }
}

async fn carry_out(acting: &Acting, inventory: &Inventory, committed: &Committed) -> Reply {
    let order = committed.order();
    // The inventory of now, not of the decision: what a person took out of it meanwhile is not touched.
    let Some(target) = inventory.get(&order.target) else {
        return Reply::Refused(format!("{} is not in the inventory", order.target));
    };
    match &order.action {
        Action::Postgres(PostgresAction::TerminateIdle(terminate)) => {
            postgres::sessions::terminate_idle(acting, target, terminate, committed).await
        }
        Action::Docker(docker) => docker::carry_out(acting, inventory, target, docker, committed).await,
        Action::Rehearsal(rehearsal) => {
            let key = order.selection.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            rehearsal::effect(target, rehearsal, &key, order.purpose).await
        }
    }
}
