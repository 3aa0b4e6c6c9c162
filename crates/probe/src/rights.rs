//! What would stand in an action's way, for `doctor`: asked with the login that looks, changing nothing.

use std::time::Duration;

use connect::Looking;
use runbook::action::{Action, PostgresAction};
use runbook::target::{Inventory, Target};
use runbook::text::humanize_duration;

/// Nothing when the action would be allowed on this target; else why it would be refused, and the mend.
///
/// # Errors
/// The reason, for people. That the target cannot be asked is a reason too.
pub async fn rights(
    looking: &Looking,
    inventory: &Inventory,
    target: &Target,
    action: &Action,
    within: Duration,
) -> Result<(), String> {
    let asking = async {
        match action {
            Action::Postgres(PostgresAction::TerminateIdle(_)) => {
                crate::postgres::rights::terminate_idle(looking, target, within).await
            }
            Action::Docker(docker) => crate::docker::rights::rights(looking, inventory, target, docker, within).await,
            Action::Rehearsal(_) => crate::rehearsal::rights(target).await,
        }
    };
    tokio::time::timeout(within, asking)
        .await
        .unwrap_or_else(|_| Err(format!("{} gave no answer within {}", target.id, humanize_duration(within))))
}
