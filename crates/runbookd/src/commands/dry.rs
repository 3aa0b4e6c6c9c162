//! A dry run: looks at the living targets, asks policy about an incident that exists nowhere, and says gate by gate what would
//! be done to whom. Why with the real decider and the real past: a rehearsal that decides differently from the night is worth
//! nothing. Deliberately writes nothing and cannot act: the permit is dropped, and only the journal could have spent it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use policy::{Case, Decision, decide};
use runbook::book::Configuration;
use runbook::finding::{Finding, Findings};
use runbook::incident::{Captured, Event, Gate, Incident, IncidentId, Opening, Stage, Trigger, Waiting};
use runbook::order::Order;
use runbook::probe::Probe;
use runbook::target::TargetId;
use serde::{Deserialize, Serialize};

use super::eyes::Eyes;
use super::start::{Run, choose};
use super::{CommandError, person};
use crate::daemon::Daemon;

/// More decisions than any ladder needs.
const MOST_DECISIONS: usize = 64;

/// What would happen.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DryRun {
    /// The runbook.
    pub runbook: String,
    /// What it would work on.
    pub target: TargetId,
    /// What was seen, by the runbook's own names.
    pub looks: BTreeMap<String, Finding>,
    /// Every rung that was decided on.
    pub rungs: Vec<Rung>,
    /// In a sentence.
    pub would: String,
    /// Whether it would act now, by itself.
    pub acts: bool,
}

/// One decision.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rung {
    /// The remedy's name.
    pub remedy: String,
    /// Guard by guard.
    pub gates: Vec<Gate>,
    /// What would be done, in a sentence.
    pub would: String,
    /// Exactly to whom, in words; empty where nothing would be done.
    pub touched: Vec<String>,
}

/// Looks and decides as the incident would, and leaves no trace.
///
/// # Errors
/// [`CommandError`]: no such runbook or target, or the journal cannot be read.
pub async fn dry_run(daemon: &Daemon, run: &Run) -> Result<DryRun, CommandError> {
    let by = person(&run.by)?;
    let configuration = daemon.current().configuration.clone();
    let chosen = choose(&configuration, &run.runbook, run.target.as_ref())?;
    let Some(book) = configuration.runbooks.get(&chosen.runbook) else {
        return Err(CommandError::absent(format!("there is no runbook `{}`", chosen.runbook), "reload, or write it"));
    };
    let opening = Opening {
        runbook: book.name.clone(),
        target: chosen.target.clone(),
        trigger: Trigger::Person { by, words: "a dry run".to_owned() },
        config: daemon.current().hash.clone(),
    };
    let incident = Incident::open(IncidentId(0), Arc::new(book.clone()), daemon.clock.now(), &opening);
    let findings = look(daemon, &configuration, &incident).await;
    let (rungs, acts) = decide_all(daemon, &configuration, incident, &findings).await?;
    let would = rungs.last().map_or_else(|| "nothing was decided".to_owned(), |rung| rung.would.clone());
    Ok(DryRun { runbook: chosen.runbook, target: chosen.target, looks: findings.looks, rungs, would, acts })
}

async fn look(daemon: &Daemon, configuration: &Configuration, incident: &Incident) -> Findings {
    let eyes = Eyes::of(daemon);
    let looks = incident.runbook.look.iter().map(|(name, look)| {
        let (eyes, target) = (&eyes, look.target.as_ref().unwrap_or(&incident.target));
        async move {
            let finding = match configuration.inventory.get(target) {
                Some(target) => eyes.see(target, &look.probe).await,
                None => {
                    let seen = runbook::finding::Seen::Unknown(format!("{target} is not in the inventory"));
                    Finding { probe: look.probe.name().to_owned(), at: daemon.clock.now(), seen }
                }
            };
            (name.clone(), finding)
        }
    });
    let beside = incident.beside(&configuration.inventory).into_iter().map(|id| {
        let eyes = &eyes;
        async move {
            let target = configuration.inventory.get(&id)?;
            let finding = eyes.see(target, &Probe::usual(id.kind)).await;
            Some((id, finding))
        }
    });
    let (looks, beside) = futures_util::future::join(join_all(looks), join_all(beside)).await;
    Findings { looks: looks.into_iter().collect(), beside: beside.into_iter().flatten().collect() }
}

/// Goes down the ladder as long as rungs are skipped; what is seen stays what was seen.
async fn decide_all(
    daemon: &Daemon,
    configuration: &Configuration,
    mut incident: Incident,
    findings: &Findings,
) -> Result<(Vec<Rung>, bool), CommandError> {
    let mut rungs = Vec::new();
    for _ in 0..MOST_DECISIONS {
        let now = daemon.clock.now().max(incident.last);
        if let Stage::Looking(_) = incident.stage {
            apply(&mut incident, now, &Event::Looked { findings: findings.clone() })?;
        }
        let Stage::Deciding { aim, .. } = incident.stage else { break };
        let step = incident.step().and_then(|step| step.target.clone());
        let targets: Vec<TargetId> = std::iter::once(incident.target.clone()).chain(step).collect();
        let past = daemon.journal.past(&incident, &incident.runbook, configuration, now).await?;
        let pause = daemon.journal.pause_for(&incident.runbook.name, &targets, now).await?;
        let remedy = incident.remedy().map(|remedy| remedy.name.clone()).unwrap_or_default();
        let ruling = decide(&Case {
            incident: &incident,
            aim,
            findings,
            now,
            current: configuration,
            pause: &pause,
            history: &past.history,
            clock_doubted_until: daemon.clock.doubted_until(),
            held_by: past.held_by,
            ask_id: "dry-run",
        });
        let gates = Arc::unwrap_or_clone(ruling.gates);
        match ruling.decision {
            Decision::Act(permit) => {
                let (would, touched) = order_words(permit.order(), &incident, findings, configuration, "would do");
                rungs.push(Rung { remedy, gates, would, touched });
                return Ok((rungs, true));
            }
            // Evidence is the last gate: it would be captured, so it counts as captured here.
            Decision::Capture(_) => {
                let captured = Captured { evidence: Vec::new(), missing: Vec::new() };
                let at = incident.at;
                apply(&mut incident, now, &Event::EvidenceCaptured { at, captured })?;
            }
            Decision::SkipRung(why) => {
                rungs.push(Rung {
                    remedy,
                    gates: gates.clone(),
                    would: format!("would leave this rung out: {why}"),
                    touched: Vec::new(),
                });
                apply(&mut incident, now, &Event::RungSkipped { why, gates })?;
                if let Stage::Closing { how, why } = &incident.stage {
                    let would = format!("would end as {}: {why}", how.word());
                    rungs.push(Rung { remedy: String::new(), gates: Vec::new(), would, touched: Vec::new() });
                    break;
                }
            }
            Decision::Wait { on: Waiting::Person(ask), .. } => {
                let (would, touched) =
                    order_words(&ask.order, &incident, findings, configuration, "would ask a person whether to do");
                rungs.push(Rung { remedy, gates, would, touched });
                break;
            }
            Decision::Wait { why, .. } => {
                rungs.push(Rung { remedy, gates, would: format!("would wait: {why}"), touched: Vec::new() });
                break;
            }
            Decision::LookAgain(why) | Decision::Enough(why) => {
                rungs.push(Rung { remedy, gates, would: format!("would look again: {why}"), touched: Vec::new() });
                break;
            }
            Decision::Harm { why, .. } => {
                rungs.push(Rung { remedy, gates, would: format!("would take it back: {why}"), touched: Vec::new() });
                break;
            }
            Decision::End { how, why } => {
                rungs.push(Rung { remedy, gates, would: format!("would end as {}: {why}", how.word()), touched: Vec::new() });
                break;
            }
        }
    }
    Ok((rungs, false))
}

fn apply(incident: &mut Incident, now: runbook::time::Stamp, event: &Event) -> Result<(), CommandError> {
    incident.apply(now, event).map_err(|illegal| CommandError::Failed(anyhow::Error::new(illegal).context("rehearsing")))
}

fn order_words(
    order: &Order,
    incident: &Incident,
    findings: &Findings,
    configuration: &Configuration,
    what: &str,
) -> (String, Vec<String>) {
    let touched: Vec<String> = order
        .describe_on(findings, configuration.inventory.get(&order.target))
        .into_iter()
        .map(|(identity, words)| runbook::text::inert(&format!("{identity}: {words}"), 600))
        .collect();
    let facts = order.action.facts();
    let of = if facts.one_at_a_time {
        let finding = incident.seen_at(findings, facts.selects_from, &order.target);
        let all = finding.and_then(|finding| order.leaves(finding)).map(|left| format!(" of {} replicas", left.replicas));
        format!("{}, one at a time: each next one is looked at and decided on anew", all.unwrap_or_default())
    } else {
        format!(" of at most {}", order.action.cap())
    };
    let details = order.action.details().map(|details| format!(" ({details})")).unwrap_or_default();
    (format!("{what} {}{details} on {}, to {}{of}", order.action, order.target, order.selection.count()), touched)
}
