//! An exact order: this action, on this target, for these identities. Why apart from the action: a runbook says "idle
//! sessions", an order says which. Choosing them, and judging by a look whether the order landed, are pure and stand here.
//! Deliberately no authority: an order is only a wish until a permit carries it.

mod containers;
mod sessions;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::{Action, DockerAction, PostgresAction};
use crate::finding::{Attribute, Finding, Findings, Seen};
use crate::identity::{Identity, Selection};
use crate::probe::{DockerProbe, PostgresProbe, Probe, RehearsalProbe};
use crate::target::{Place, Target, TargetId};
use crate::text::inert;

pub use sessions::{BACKUPS, OWN_APPLICATION};

/// What an order is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To do a step.
    Do,
    /// To take a landed step back.
    Undo,
    /// To end an effect that lasts.
    End,
}

/// This action, on this target, for these identities.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Do, undo or end.
    pub purpose: Purpose,
    /// The action with its parameters.
    pub action: Action,
    /// The target; in the inventory when the order was made.
    pub target: TargetId,
    /// Exactly these; may shrink at the last look before the act, never grow.
    pub selection: Selection,
}

/// What a look says about whether an order landed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The effect is there.
    Landed(String),
    /// Some of it is there. Counts only after the order's deadline and grace, and then as landed: verification judges.
    Partly(String),
    /// The effect is not there. Concluded only after the order's deadline and grace.
    NotLanded(String),
    /// The look could not tell.
    Unknowable(String),
}

/// Why nothing was selected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoSelection {
    /// The look that it selects from could not see.
    Unseen(String),
    /// The look saw, and there is nothing that may be touched.
    Nothing(String),
}

/// What identities are chosen among, and what this incident did before.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// The look at the step's target that the action selects from; none where the runbook does not look at it.
    pub finding: Option<&'a Finding>,
    /// The step's target, as the inventory has it now.
    pub target: &'a Target,
    /// What this incident ordered at this step and what landed.
    pub done: &'a BTreeSet<Identity>,
    /// What it ordered at this step, landed or not.
    pub tried: &'a BTreeSet<Identity>,
}

impl Action {
    /// Chooses concrete identities among what was seen.
    ///
    /// # Errors
    /// [`NoSelection`], with the reason: unseen is not the same as nothing.
    pub fn select(&self, ground: &Ground<'_>) -> Result<Selection, NoSelection> {
        let from = self.facts().selects_from;
        let finding = ground.finding.ok_or_else(|| {
            NoSelection::Unseen(format!("the runbook does not look at {} by {from}, which {self} selects from", ground.target.id))
        })?;
        if let Seen::Unknown(why) = &finding.seen {
            return Err(NoSelection::Unseen(why.clone()));
        }
        match self {
            Action::Postgres(PostgresAction::TerminateIdle(terminate)) => sessions::idle(terminate, finding),
            Action::Docker(docker) => containers::select(docker, finding, ground),
            Action::Rehearsal(rehearsal) => {
                let keys = std::iter::once(&rehearsal.key).chain(&rehearsal.then).map(|key| Identity::Rehearsal(key.clone()));
                let next = keys.into_iter().find(|key| rehearsal.then.is_empty() || !ground.done.contains(key));
                Selection::of(next).map_err(|_| NoSelection::Nothing("every key is in the ledger".to_owned()))
            }
        }
    }

    /// Why a person has to be asked about this selection whatever the mode, if so.
    pub fn wants_a_person(&self, selection: &Selection, finding: &Finding) -> Option<String> {
        match self {
            Action::Docker(DockerAction::Start(_)) => containers::stopped_by_a_person(selection, finding),
            _ => None,
        }
    }
}

/// How many replicas are healthy, and how many of them an act would leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// All of the service.
    pub replicas: u32,
    /// Healthy now.
    pub healthy: u32,
    /// Healthy while the act lasts.
    pub left: u32,
}

impl Order {
    /// What the act would leave of a service's healthy replicas; none where it takes none away, or where they were not seen.
    pub fn leaves(&self, finding: &Finding) -> Option<Left> {
        match &self.action {
            Action::Docker(docker) if self.purpose == Purpose::Do => containers::left(docker, &self.selection, finding),
            _ => None,
        }
    }

    /// The look that settles whether this order landed.
    pub fn settling_look(&self) -> Probe {
        match &self.action {
            Action::Postgres(PostgresAction::TerminateIdle(_)) => {
                Probe::Postgres(PostgresProbe::Alive(self.selection.iter().cloned().collect()))
            }
            // What is given up for the file's sake is settled by the file.
            Action::Docker(DockerAction::Recreate(recreate)) if self.purpose == Purpose::End => {
                Probe::Docker(DockerProbe::Settings(recreate.set.clone()))
            }
            Action::Docker(_) => Probe::Docker(DockerProbe::Service),
            Action::Rehearsal(_) => Probe::Rehearsal(RehearsalProbe::Ledger),
        }
    }

    /// One call, one deadline: longer for the end of an effect that lets tasks finish than for its beginning.
    pub fn deadline(&self) -> Duration {
        let facts = self.action.facts();
        if self.purpose == Purpose::Do { facts.deadline } else { facts.back.0 }
    }

    /// How long after the deadline an abandoned call may still land, and what landed may still take to be well.
    pub fn grace(&self) -> Duration {
        let facts = self.action.facts();
        if self.purpose == Purpose::Do { facts.grace } else { facts.back.1 }
    }

    /// How long after the deadline an abandoned call may still be carried out, without what it started becoming well.
    pub fn lands_within(&self) -> Duration {
        match &self.action {
            Action::Docker(docker) => self.grace().min(containers::lands_within(docker)),
            Action::Postgres(_) | Action::Rehearsal(_) => self.grace(),
        }
    }

    /// Whether something that the order started is seen and may still become well. Where nothing has been started there is nothing
    /// to wait for but the call itself.
    pub fn may_become_well(&self, finding: &Finding) -> bool {
        match &self.action {
            Action::Docker(docker) => containers::may_become_well(docker, self, finding),
            Action::Postgres(_) | Action::Rehearsal(_) => true,
        }
    }

    /// Whether what an end was to end is gone another way: the old container of a recreate runs under its own name again.
    pub fn is_void(&self, finding: &Finding) -> bool {
        match &self.action {
            Action::Docker(DockerAction::Recreate(_)) if self.purpose == Purpose::End => containers::is_back(self, finding),
            _ => false,
        }
    }

    /// What that look says. *Not landed* here means "not there now"; the state machine lets it count only after the deadline.
    pub fn verdict(&self, finding: &Finding) -> Verdict {
        if let Some(why) = finding.unknown() {
            return Verdict::Unknowable(why.to_owned());
        }
        match &self.action {
            Action::Postgres(PostgresAction::TerminateIdle(_)) => match finding.number("alive") {
                Some(alive) => {
                    let asked = self.selection.count();
                    let gone = asked.saturating_sub(alive.max(0.0) as usize);
                    match gone {
                        0 => Verdict::NotLanded(format!("none of {asked} sessions is gone")),
                        gone if gone == asked => Verdict::Landed(format!("{asked} of {asked} sessions are gone")),
                        gone => Verdict::Partly(format!("{gone} of {asked} sessions are gone, {alive} are still there")),
                    }
                }
                None => Verdict::Unknowable("the number of sessions still there is unknown".to_owned()),
            },
            Action::Docker(docker) => containers::verdict(docker, self, finding),
            Action::Rehearsal(_) => {
                let key = self.selection.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let there = finding.subjects().iter().find(|subject| self.selection.contains(&subject.identity));
                let half = there.is_some_and(|subject| subject.attributes.get(Attribute::Half).is_some());
                match (self.purpose, there) {
                    (Purpose::Do, Some(_)) if half => Verdict::Partly(format!("{key} is half in the ledger")),
                    (Purpose::Do, Some(_)) => Verdict::Landed(format!("{key} is in the ledger")),
                    (Purpose::Do, None) => Verdict::NotLanded(format!("{key} is not in the ledger")),
                    (_, None) => Verdict::Landed(format!("{key} is no longer in force")),
                    (_, Some(_)) => Verdict::NotLanded(format!("{key} is still in force")),
                }
            }
        }
    }

    /// Whether no look can tell if it was carried out: a command inside a container.
    pub fn leaves_no_trace(&self) -> bool {
        matches!(self.action, Action::Docker(DockerAction::Exec(_)))
    }

    /// What was stopped for this order and has not been started again, by name: the act broke off in its middle. Only for
    /// orders that stop and start the same thing.
    pub fn left_down(&self, finding: &Finding) -> Option<String> {
        self.stops_and_starts().then(|| containers::left_down(self, finding)).flatten()
    }

    /// What this order restarted and is down again, by name, where nothing says that it is meant to be.
    pub fn down_again(&self, finding: &Finding) -> Option<String> {
        self.stops_and_starts().then(|| containers::down_again(self, finding)).flatten()
    }

    /// Whether the act stops something and starts the same thing again, so that it may break off in between.
    pub fn stops_and_starts(&self) -> bool {
        matches!(&self.action, Action::Docker(docker) if docker.restart().is_some())
    }

    /// The same as [`Order::describe`], and of a command each of its words: its name alone says little to whoever agrees.
    pub fn describe_on(&self, findings: &Findings, target: Option<&Target>) -> BTreeMap<Identity, String> {
        let mut said = self.describe(findings);
        if let Some(runs) = self.runs(target) {
            said.values_mut().for_each(|line| line.push_str(&runs));
        }
        said
    }

    /// What a command is on this target, as it ends each line that a person is shown: the order itself has only its name, and what
    /// the inventory has under that may change between a question and its answer.
    pub fn runs(&self, target: Option<&Target>) -> Option<String> {
        let Action::Docker(DockerAction::Exec(exec)) = &self.action else { return None };
        let Some(Target { place: Place::Service { scope, .. }, .. }) = target else { return None };
        let words = scope.commands.get(&exec.run)?;
        Some(format!("; runs there {}", inert(&format!("{words:?}"), 400)))
    }

    /// What a person is shown before they agree: one line per identity, from what was seen.
    pub fn describe(&self, findings: &Findings) -> BTreeMap<Identity, String> {
        let seen: BTreeMap<_, _> =
            findings.looks.values().flat_map(Finding::subjects).map(|s| (s.identity.clone(), s.words.clone())).collect();
        self.selection
            .iter()
            .map(|identity| (identity.clone(), seen.get(identity).cloned().unwrap_or_else(|| identity.to_string())))
            .collect()
    }
}
