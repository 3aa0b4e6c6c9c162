//! Looking on request: one target, or every target side by side. Needs no journal, so the command line can look without a
//! daemon. Deliberately the looking login only: [`Eyes`] has no way to act. What is seen here is for people: all targets are
//! looked at as one round, in which an Engine is asked for its list once, and no decision may rest on that.

use std::sync::Arc;
use std::time::Duration;

use connect::Connections;
use futures_util::StreamExt;
use futures_util::stream;
use probe::Round;
use runbook::book::Configuration;
use runbook::finding::{Finding, Seen};
use runbook::probe::Probe;
use runbook::target::{Target, TargetId};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{CommandError, nearest};
use crate::clock::Clock;
use crate::daemon::Daemon;
use crate::live::LOOK_DEADLINE;

/// Targets that are looked at side by side.
const AT_ONCE: usize = 16;
/// A round of looks at all targets is over by then: whoever waits for it waits no longer than this and a little.
const ROUND_DEADLINE: Duration = Duration::from_secs(60);

/// What was seen of one target.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Sight {
    /// Which.
    pub target: TargetId,
    /// What was seen, or why nothing.
    pub finding: Finding,
    /// How long the look took.
    #[serde(skip)]
    pub took: Duration,
}

/// What looking needs.
pub struct Eyes {
    configuration: Arc<Configuration>,
    connections: Arc<Connections>,
    clock: Arc<Clock>,
}

impl Eyes {
    /// Eyes over this configuration.
    pub fn new(configuration: Arc<Configuration>, connections: Arc<Connections>, clock: Arc<Clock>) -> Self {
        Self { configuration, connections, clock }
    }

    /// The daemon's own, over the configuration in force.
    pub fn of(daemon: &Daemon) -> Self {
        let current = daemon.current();
        Self::new(current.configuration.clone(), current.connections.clone(), daemon.clock.clone())
    }

    /// The usual look at every target of the inventory, side by side, in order of name.
    pub async fn all(&self) -> Vec<Sight> {
        self.all_within(ROUND_DEADLINE).await
    }

    async fn all_within(&self, within: Duration) -> Vec<Sight> {
        let (round, until) = (Round::new(), Instant::now() + within);
        let looks = self.configuration.inventory.iter().map(|target| self.usual(target, &round, until));
        let looks: Vec<_> = looks.collect();
        stream::iter(looks).buffered(AT_ONCE).collect().await
    }

    /// The usual look at one target.
    ///
    /// # Errors
    /// [`CommandError::Absent`] when it is not in the inventory.
    pub async fn look(&self, id: &TargetId) -> Result<Finding, CommandError> {
        let inventory = &self.configuration.inventory;
        let Some(target) = inventory.get(id) else {
            let known: Vec<String> = inventory.iter().map(|target| target.id.to_string()).collect();
            let mend = nearest(&id.to_string(), known.iter().map(String::as_str));
            return Err(CommandError::absent(format!("{id} is not in the inventory"), mend));
        };
        Ok(self.see(target, &Probe::usual(id.kind)).await)
    }

    async fn usual(&self, target: &Target, round: &Round, until: Instant) -> Sight {
        let (probe, began) = (Probe::usual(target.id.kind), Instant::now());
        let (now, within) = (|| self.clock.now(), LOOK_DEADLINE.min(until.saturating_duration_since(began)));
        let finding = if within.is_zero() {
            let why = format!("{} was not looked at: the looks before it took all of the time there was", target.id);
            Finding { probe: probe.name().to_owned(), at: now(), seen: Seen::Unknown(why) }
        } else {
            let (looking, inventory) = (self.connections.looking(), &self.configuration.inventory);
            probe::look_in_round(round, looking, inventory, (target, &probe), now, within).await
        };
        Sight { target: target.id.clone(), finding, took: began.elapsed() }
    }

    /// One look. Errors and deadlines are findings.
    pub async fn see(&self, target: &Target, probe: &Probe) -> Finding {
        let now = || self.clock.now();
        probe::look(self.connections.looking(), &self.configuration.inventory, target, probe, now, LOOK_DEADLINE).await
    }
}

#[cfg(test)]
mod tests {
    use runbook::target::{Class, Inventory, Place, Traits};

    use super::*;

    fn eyes() -> Eyes {
        let traits = Traits { depends_on: vec![], stateful: false, may_be_cloned: false, class: Class::P4, owner: "team".into() };
        let place = Place::Engine { look: "unix:///nowhere/docker.sock".into(), inside: None, act: None, tls: None };
        let target = Target { id: "engine/main".parse().unwrap(), traits, place, known_as: vec![] };
        let configuration = Configuration { inventory: Inventory::new([target]), ..Configuration::default() };
        let connections = Arc::new(Connections::new(&configuration.inventory));
        Eyes::new(Arc::new(configuration), connections, Arc::new(Clock::new()))
    }

    #[tokio::test]
    async fn what_a_round_had_no_time_for_is_unknown_and_not_left_out() {
        let [seen, unseen] = [eyes().all().await, eyes().all_within(Duration::ZERO).await];
        assert_eq!([seen.len(), unseen.len()], [1, 1]);
        assert_eq!(seen[0].finding.unknown(), None, "that an Engine does not answer is seen");
        assert!(unseen[0].finding.unknown().is_some_and(|why| why.contains("was not looked at")), "{unseen:?}");
    }
}
