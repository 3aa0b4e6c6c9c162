//! Changes to the containers of a Compose service, with what is always true of each. Why a service and never a container: a
//! runbook speaks of `service/backend`; which containers that is, by full id and start, is chosen among what a look saw.
//! Deliberately no kill and no removal of volumes: nothing here can take data away.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Destroys, Facts, Lasts};
use crate::target::Kind;
use crate::text::inert;
use crate::time::Span;

/// Changes to the containers of a Compose service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DockerAction {
    /// Restart the failing replicas, one at a time.
    Restart(Restart),
    /// Restart every replica, one at a time.
    RollingRestart(Restart),
    /// More replicas for a while: clones of a running one.
    Scale(Scale),
    /// Replace the container by one with a changed environment; the old one is kept until the new one is proved.
    Recreate(Recreate),
    /// Start what stays exited.
    Start(Start),
    /// Run a command that the target allows, inside a replica.
    Exec(Exec),
}

/// How long a container that was started may take to be well.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Patience {
    /// Its health check must pass within this time of the start.
    pub healthy_within: Span,
    /// Where it has no health check, it must have run this long without a restart.
    pub steady_for: Span,
}

impl Patience {
    /// The longest that being well can take to be seen.
    pub fn longest(self) -> Duration {
        self.healthy_within.duration().max(self.steady_for.duration())
    }
}

impl Default for Patience {
    /// A minute to become healthy, or ten seconds of running.
    fn default() -> Self {
        Self { healthy_within: Span::secs(60), steady_for: Span::secs(10) }
    }
}

/// Parameters of `docker.restart` and `docker.rolling_restart`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Restart {
    /// Never fewer healthy replicas than this because of a restart. 0 is for a service with one replica, and then the step is
    /// permitted only while that replica is seen failing in two looks.
    pub min_healthy: u32,
    /// The container is asked to stop and has this long before the Engine kills it.
    pub stop_timeout: Span,
    /// How long it may take to be well again.
    pub patience: Patience,
}

/// Parameters of `docker.scale`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Scale {
    /// So many replicas in all, as far as the service's own ceiling allows.
    pub to: u32,
    /// A clone that goes is asked to stop and has this long, longer than the longest task; it is never killed.
    pub stop_timeout: Span,
    /// How long a clone may take to be well.
    pub patience: Patience,
}

/// Parameters of `docker.recreate`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Recreate {
    /// Variables and their new values: settings, no secrets. Each must have in the container the value that `.env` has.
    pub set: BTreeMap<String, String>,
    /// The old container is asked to stop and has this long before the Engine kills it.
    pub stop_timeout: Span,
    /// How long the new one may take to be well.
    pub patience: Patience,
}

/// Parameters of `docker.start`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Start {
    /// How long it may take to be well.
    pub patience: Patience,
}

/// Parameters of `docker.exec`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exec {
    /// The name of a command in the target's `commands`.
    pub run: String,
    /// It must be over within this time.
    pub within: Span,
}

/// More variables than this are counted and not named.
const SET_SHOWN: usize = 8;
/// What the calls around a stop may take besides the stop itself.
const CALLS: Duration = Duration::from_secs(15);
/// How long after its deadline an abandoned call may still be carried out by the Engine.
const GRACE: Duration = Duration::from_secs(5);

impl DockerAction {
    pub(super) fn facts(&self) -> Facts {
        let common = Facts {
            name: "docker.exec",
            kind: Kind::Service,
            selects_from: "docker.service",
            destroys: Destroys::Traces,
            undo: false,
            lasts: Lasts::No,
            one_at_a_time: false,
            whole: false,
            disruptive: true,
            disturbs: "whatever the command disturbs",
            may_raise: &[],
            privilege: "the Engine's acting front: containers, exec",
            deadline: CALLS,
            grace: GRACE,
            back: (CALLS, GRACE),
        };
        let restarts = |name, restart: &Restart| Facts {
            name,
            one_at_a_time: true,
            disturbs: "requests and tasks of one replica at a time fail or wait while it restarts",
            may_raise: &["BackendErrors", "LowSuccessRate", "HighResponseLatency", "WorkerDown", "HighQueueDepth"],
            privilege: "the Engine's acting front: restart",
            deadline: restart.stop_timeout.duration() + CALLS,
            grace: restart.patience.longest() + GRACE,
            ..common.clone()
        };
        match self {
            DockerAction::Restart(restart) => restarts("docker.restart", restart),
            DockerAction::RollingRestart(restart) => restarts("docker.rolling_restart", restart),
            DockerAction::Scale(scale) => Facts {
                name: "docker.scale",
                destroys: Destroys::Nothing,
                undo: true,
                lasts: Lasts::UntilCondition,
                disruptive: false,
                disturbs: "more connections to what the service depends on, more memory and CPU on the host",
                may_raise: &["HighDatabaseConnections", "HighCPUUsage", "HighMemoryUsage"],
                privilege: "the Engine's acting front: create, start, stop, remove (create is root on the host)",
                deadline: CALLS + Duration::from_secs(5) * scale.to,
                grace: scale.patience.longest() + GRACE,
                back: (scale.stop_timeout.duration() + CALLS, GRACE),
                ..common
            },
            DockerAction::Recreate(recreate) => Facts {
                name: "docker.recreate",
                undo: true,
                lasts: Lasts::UntilProved,
                whole: true,
                disturbs: "the service is away from the stop of the old container until the new one is well",
                may_raise: &["BackendErrors", "LowSuccessRate", "HighResponseLatency", "WorkerDown"],
                privilege: "the Engine's acting front: create, rename, update, start, stop, remove (create is root on the host); write \
                            access to the service's env_file and its folder, and the file's own user or root",
                deadline: recreate.stop_timeout.duration() + CALLS,
                grace: recreate.patience.longest() + GRACE,
                back: (recreate.stop_timeout.duration() + CALLS, recreate.patience.longest() + GRACE),
                ..common
            },
            DockerAction::Start(start) => Facts {
                name: "docker.start",
                destroys: Destroys::Nothing,
                one_at_a_time: true,
                disruptive: false,
                disturbs: "nobody, unless somebody stopped it on purpose",
                privilege: "the Engine's acting front: start",
                grace: start.patience.longest() + GRACE,
                ..common
            },
            DockerAction::Exec(exec) => Facts {
                destroys: Destroys::Nothing,
                privilege: "the Engine's acting front: exec (root on the host)",
                deadline: exec.within.duration() + GRACE,
                ..common
            },
        }
    }

    pub(super) fn cap(&self) -> u32 {
        match self {
            DockerAction::Scale(scale) => scale.to,
            _ => 1,
        }
    }

    /// What it changes or runs, beyond its name, for whoever has to agree. Values are those typed in the runbook.
    pub(super) fn details(&self) -> Option<String> {
        match self {
            DockerAction::Recreate(recreate) => {
                let mut set: Vec<String> = recreate
                    .set
                    .iter()
                    .take(SET_SHOWN)
                    .map(|(key, new)| format!("{} = {}", inert(key, 60), inert(new, 60)))
                    .collect();
                if recreate.set.len() > SET_SHOWN {
                    set.push(format!("{} more", recreate.set.len() - SET_SHOWN));
                }
                Some(format!(
                    "{}: its container is made anew with that, and once that helped it is written to the service's env_file",
                    set.join(", ")
                ))
            }
            DockerAction::Exec(exec) => Some(format!("the command `{}` of its `commands`", inert(&exec.run, 60))),
            DockerAction::Scale(scale) => Some(format!("to {} replicas in all", scale.to)),
            DockerAction::RollingRestart(_) => Some("every replica, one at a time".to_owned()),
            DockerAction::Restart(_) | DockerAction::Start(_) => None,
        }
    }

    /// The parameters of a restart, where it is one.
    pub fn restart(&self) -> Option<&Restart> {
        match self {
            DockerAction::Restart(restart) | DockerAction::RollingRestart(restart) => Some(restart),
            _ => None,
        }
    }
}
