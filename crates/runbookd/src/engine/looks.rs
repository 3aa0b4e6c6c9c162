//! One round of looking: everything the runbook names and, before an act, what its targets rest on, side by side, each with its own deadline (the world's). What cannot be
//! looked at because the inventory no longer has it is a finding too: unknown.

use std::time::Duration;

use futures_util::future::join_all;
use runbook::book::Configuration;
use runbook::finding::{Finding, Findings, Seen};
use runbook::incident::{Aim, Incident};
use runbook::probe::Probe;
use runbook::target::TargetId;
use runbook::time::Span;

use crate::engine::{Engine, STOOD_STILL};
use crate::live::LOOK_DEADLINE;
use crate::world::World;

impl<W: World> Engine<W> {
    /// Looks at everything that the incident's runbook names.
    pub(crate) async fn look(&self, incident: &Incident, configuration: &Configuration) -> Findings {
        self.look_at(incident, configuration, |_| true).await
    }

    /// Looks at some of it, by the runbook's names.
    pub(crate) async fn look_at(
        &self,
        incident: &Incident,
        configuration: &Configuration,
        wanted: impl Fn(&str) -> bool,
    ) -> Findings {
        let looks = incident.runbook.look.iter().filter(|(name, _)| wanted(name)).map(|(name, look)| async move {
            let target = look.target.as_ref().unwrap_or(&incident.target);
            (name.clone(), self.look_once(configuration, target, &look.probe).await)
        });
        Findings { looks: join_all(looks).await.into_iter().collect(), ..Findings::default() }
    }

    /// The same, and before an act also what the targets beside it are like, in the same round.
    pub(crate) async fn look_around(&self, incident: &Incident, aim: Aim, configuration: &Configuration) -> Findings {
        if aim != Aim::Do {
            return self.look(incident, configuration).await;
        }
        let beside = incident.beside(&configuration.inventory).into_iter().map(|target| async move {
            let finding = self.look_once(configuration, &target, &Probe::usual(target.kind)).await;
            // They are told about, not chosen among: what they consist of is left out of the record.
            (target, finding.without_subjects())
        });
        let (own, beside) = tokio::join!(self.look(incident, configuration), join_all(beside));
        Findings { beside: beside.into_iter().collect(), ..own }
    }

    /// One look. One that took longer than it may was interrupted (the machine stood still, or its clock was set): its answer may be of
    /// before that, so it is made again, and has seen nothing if that happens twice.
    pub(crate) async fn look_once(&self, configuration: &Configuration, target: &TargetId, probe: &Probe) -> Finding {
        let (finding, took) = self.glimpse(configuration, target, probe).await;
        if took <= LOOK_DEADLINE + STOOD_STILL {
            return finding;
        }
        let (finding, took) = self.glimpse(configuration, target, probe).await;
        if took <= LOOK_DEADLINE + STOOD_STILL {
            return finding;
        }
        let why = format!("the look took {}, because the machine stood still or its clock was set", Span::from(took));
        Finding { seen: Seen::Unknown(why), ..finding }
    }

    async fn glimpse(&self, configuration: &Configuration, target: &TargetId, probe: &Probe) -> (Finding, Duration) {
        let began = self.world.now();
        let finding = match configuration.inventory.get(target) {
            Some(target) => self.world.probe(&configuration.inventory, target, probe).await,
            None => Finding {
                probe: probe.name().to_owned(),
                at: began,
                seen: Seen::Unknown(format!("{target} is no longer in the inventory")),
            },
        };
        let took = self.world.now().since(began);
        self.listener.looked(probe.name(), &finding, took);
        (finding, took)
    }
}
