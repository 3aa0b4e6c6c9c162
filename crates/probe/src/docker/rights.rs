//! What would stand in the way of an action on a service, as far as a look can tell: an address to act on, an Engine that answers,
//! and containers of that service there, and an acting front at that address and no other. Whether it lets every call through is
//! seen only by acting.

use std::time::Duration;

use connect::Looking;
use runbook::action::DockerAction;
use runbook::target::{Inventory, Place, Target};

use super::Service;

/// Nothing, or why the action would be refused.
pub(crate) async fn rights(
    looking: &Looking,
    inventory: &Inventory,
    target: &Target,
    action: &DockerAction,
    within: Duration,
) -> Result<(), String> {
    let service = Service::of(looking, inventory, target, within)?;
    if !connect::can_act(&service.engine.place) {
        return Err(format!("{} has no address to act on: add `act` to it in targets.yaml", service.engine.id));
    }
    let Place::Service { scope, project, service: name, .. } = &target.place else {
        return Err(format!("{} is no service", target.id));
    };
    match action {
        DockerAction::Exec(exec) if !scope.commands.contains_key(&exec.run) => {
            return Err(format!("{} allows no command `{}`: add it to its `commands`", target.id, exec.run));
        }
        DockerAction::Recreate(_) => {
            let file = scope.env_file.as_ref();
            let file =
                file.ok_or_else(|| format!("{} has no `env_file`, so nothing in its environment is changed", target.id))?;
            let at = file.clone();
            let rewritable = tokio::task::spawn_blocking(move || connect::env_file::rewritable(at.as_ref())).await;
            let rewritable = rewritable.unwrap_or_else(|_| Err(format!("whether {file} can be rewritten cannot be told")));
            rewritable.map_err(|why| format!("the `env_file` of {} {why}", target.id))?;
        }
        _ => {}
    }
    if service.containers().await?.is_empty() {
        return Err(format!(
            "{} has no container of the project `{project}` and the service `{name}`: is it up, and are those its names?",
            service.engine.id
        ));
    }
    looking.acting_front(service.engine, crate::nearly(within)).await
}
