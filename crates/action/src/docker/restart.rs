//! `docker.restart` and `docker.rolling_restart`: one container, one call. Which one, and whether a next one follows, is decided
//! anew after each by what is seen, so that a replica which does not come back ends it.
//!
//! The same call starts a container that our own earlier restart stopped and did not start again: the Engine died in between.
//! Deliberately no waiting for health: that is seen by a look.

use std::time::Duration;

use bollard::query_parameters::RestartContainerOptionsBuilder;
use runbook::action::Restart;
use runbook::incident::Reply;
use runbook::time::Span;

use super::hand::Hand;

/// What the start may take besides the stop.
const START: Duration = Duration::from_secs(3);

/// Restarts the container of the order. `rolling` is for a replica that may be well: otherwise only a failing one is touched.
pub(super) async fn restart(hand: &Hand<'_>, restart: &Restart, rolling: bool) -> Result<String, Reply> {
    let seen = hand.ordered().await?;
    let name = seen.name();
    if !rolling && seen.healthy() {
        return Err(hand.no(format!("{name} is no longer failing; nothing was done")));
    }
    if seen.healthy() {
        let all = hand.service().await?;
        let healthy = all.iter().filter(|seen| !seen.container.kept && seen.healthy()).count();
        if healthy <= restart.min_healthy as usize {
            let wanted = restart.min_healthy;
            return Err(
                hand.no(format!("{healthy} replicas are healthy now, and restarting {name} would leave fewer than {wanted}"))
            );
        }
    }
    hand.in_time_for(restart.stop_timeout.duration() + START)?;
    let options = RestartContainerOptionsBuilder::default().t(seconds(restart.stop_timeout)).build();
    let called = hand.change(hand.docker.restart_container(&seen.container.id, Some(options))).await;
    called.map_err(|trouble| hand.ended(&format!("restarting {name}"), trouble))?;
    Ok(format!("{name} was restarted"))
}

/// Whole seconds, rounded up and never none: with 0 the Engine kills at once, and part of a second cannot be said.
pub(super) fn seconds(span: Span) -> i32 {
    let seconds = span.duration().as_millis().div_ceil(1000).clamp(1, 3600);
    i32::try_from(seconds).unwrap_or(3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_always_leaves_time_to_end_by_itself() {
        for (span, wanted) in [
            (Span::millis(0), 1),
            (Span::millis(1), 1),
            (Span::millis(1001), 2),
            (Span::secs(30), 30),
            (Span::secs(90_000), 3600),
        ] {
            assert_eq!(seconds(span), wanted, "{span}");
        }
    }
}
