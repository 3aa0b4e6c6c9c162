//! Captures what an order is about to destroy, before it runs. It is a look: it reads, and its failure is said, never thrown.

use std::time::Duration;

use connect::Looking;
use runbook::action::{Action, PostgresAction};
use runbook::order::Order;
use runbook::target::{Inventory, Target};
use runbook::text::humanize_duration;

/// Pieces of evidence by name: the content, or why it could not be had. Whether a missing piece forbids the act is for `policy`.
pub async fn capture(
    looking: &Looking,
    inventory: &Inventory,
    order: &Order,
    within: Duration,
) -> Vec<(String, Result<Vec<u8>, String>)> {
    let Some(target) = inventory.get(&order.target) else {
        return vec![("target".to_owned(), Err(format!("{} is not in the inventory", order.target)))];
    };
    match tokio::time::timeout(within, dispatch(looking, inventory, target, order, within)).await {
        Ok(pieces) => pieces,
        Err(_) => {
            vec![("evidence".to_owned(), Err(format!("{} gave no answer within {}", target.id, humanize_duration(within))))]
        }
    }
}

async fn dispatch(
    looking: &Looking,
    inventory: &Inventory,
    target: &Target,
    order: &Order,
    within: Duration,
) -> Vec<(String, Result<Vec<u8>, String>)> {
    match &order.action {
        Action::Postgres(PostgresAction::TerminateIdle(_)) => {
            crate::postgres::evidence::capture(looking, target, &order.selection, within).await
        }
        Action::Docker(_) => crate::docker::evidence::capture(looking, inventory, target, &order.selection, within).await,
        Action::Rehearsal(_) => vec![("ledger".to_owned(), crate::rehearsal::content(target).await)],
    }
}
