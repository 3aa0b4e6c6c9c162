//! Looking on request: one target, or every target side by side. Needs no journal, so the command line can look without a
//! daemon. Deliberately the looking login only: [`Eyes`] has no way to act.

use std::sync::Arc;

use connect::Connections;
use futures_util::StreamExt;
use futures_util::stream;
use runbook::book::Configuration;
use runbook::finding::Finding;
use runbook::probe::Probe;
use runbook::target::{Target, TargetId};

use super::{CommandError, nearest};
use crate::clock::Clock;
use crate::daemon::Daemon;
use crate::live::LOOK_DEADLINE;

/// Targets that are looked at side by side.
const AT_ONCE: usize = 16;

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
    pub async fn all(&self) -> Vec<(TargetId, Finding)> {
        let looks: Vec<_> = self.configuration.inventory.iter().map(|target| self.usual(target)).collect();
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

    async fn usual(&self, target: &Target) -> (TargetId, Finding) {
        (target.id.clone(), self.see(target, &Probe::usual(target.id.kind)).await)
    }

    /// One look. Errors and deadlines are findings.
    pub async fn see(&self, target: &Target, probe: &Probe) -> Finding {
        let now = || self.clock.now();
        probe::look(self.connections.looking(), &self.configuration.inventory, target, probe, now, LOOK_DEADLINE).await
    }
}
