//! What is told of the process under the names that every exporter uses for it, without our prefix, so that rules and dashboards
//! that are there already know them. Deliberately only its start: what else the operating system knows, its own exporter tells.

use prometheus_client::registry::Registry;
use runbook::time::Stamp;

use super::{FloatGauge, Metrics, named, seconds};

/// What is told of the process.
pub(super) struct Process {
    started: FloatGauge,
}

impl Process {
    /// `to` is the registry without a prefix.
    pub(super) fn new(to: &mut Registry) -> Self {
        let help = "When this process started; one that changes often is a crash loop";
        Self { started: named(to, "process_start_time_seconds", help, FloatGauge::default()) }
    }
}

impl Metrics {
    /// The process started at this moment.
    pub fn started(&self, now: Stamp) {
        self.process.started.set(seconds(now));
    }
}
