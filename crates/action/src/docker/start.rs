//! `docker.start`: starts a container that stays exited. Deliberately nothing that decides whether it may be: policy asks a person
//! where somebody stopped it.

use bollard::query_parameters::StartContainerOptions;
use runbook::incident::Reply;

use super::hand::Hand;

/// Starts the container of the order.
pub(super) async fn start(hand: &Hand<'_>) -> Result<String, Reply> {
    let seen = hand.ordered().await?;
    let name = seen.name();
    if seen.container.runs() {
        return Err(hand.no(format!("{name} runs; nothing was done")));
    }
    let called = hand.change(hand.docker.start_container(&seen.container.id, None::<StartContainerOptions>)).await;
    called.map_err(|trouble| hand.ended(&format!("starting {name}"), trouble))?;
    Ok(format!("{name} was started"))
}
