//! The ladder of a runbook: remedies, their steps, and the proof that one helped. The checks here are about what an action
//! is, read from its table of facts: whom it selects among, whether its effect lasts, what it destroys.

use std::collections::BTreeSet;

use runbook::action::{Action, Destroys, DockerAction, Facts, Lasts, PostgresAction, TerminateIdle};
use runbook::book::{Mode, Remedy, Step, Verify};
use runbook::target::{Kind, Place, TargetId};
use runbook::text::inert;

use super::conditions::{Fields, condition};
use super::guard;
use super::looks::{Looks, common, fits, target};
use super::silence::silence;
use super::targets::Targets;
use super::{may, need, need_text};
use crate::config::complaint::Severity;
use crate::config::written::runbook::{WrittenRemedy, WrittenVerify};
use crate::config::written::steps::{STEP_KEYS, WrittenAction, WrittenStepKeys, WrittenTerminateIdle};
use crate::config::yaml::{Bytes, Document, Placed, Raw, Reader};

/// What remedies of one runbook are checked against.
pub struct Ground<'a> {
    /// The file.
    pub document: &'a Document,
    /// The inventory.
    pub targets: &'a Targets,
    /// The runbook's looks.
    pub looks: &'a Looks,
    /// The runbook's own target, where it always is the same.
    pub own: Option<&'a TargetId>,
    /// The kind of the runbook's own target, where it is known.
    pub own_kind: Option<Kind>,
    /// The label by which the runbook's own target is found, where it is looked up.
    pub looked_up_by: Option<&'a str>,
    /// The freest mode that the runbook ever has, where it is known.
    pub freest: Option<Mode>,
    /// The runbook says how often it may act.
    pub limited: bool,
}

impl Ground<'_> {
    fn fields(&self) -> &Fields {
        &self.looks.fields
    }

    /// Reads the ladder; none where any part of it is wrong.
    pub fn ladder(&self, written: &[Placed<WrittenRemedy>]) -> Option<Vec<Remedy>> {
        let mut names = BTreeSet::new();
        let mut right = Some(Vec::new());
        for placed in written {
            if let Some(name) = placed.get().and_then(|remedy| remedy.name.get())
                && !names.insert(name)
            {
                let message = format!("the remedy `{}` is here a second time", inert(name, 60));
                self.document.complain(placed.at(), message, "give it another name; people know rungs by their names");
            }
            match (self.remedy(placed), &mut right) {
                (Some(remedy), Some(remedies)) => remedies.push(remedy),
                _ => right = None,
            }
        }
        right
    }

    fn remedy(&self, placed: &Placed<WrittenRemedy>) -> Option<Remedy> {
        let written = placed.get()?;
        let name = need_text(self.document, placed.at(), &written.name, "name");
        let when = written.when.as_ref().map(|when| condition(self.document, when, self.fields()));
        if let (Some(at), Some(mode), Some(freest)) = (&written.mode, may(&written.mode), self.freest)
            && *mode > freest
        {
            let message = format!("this mode is freer than the runbook's own, which is never more than {}", word(freest));
            self.document.complain(
                at.at(),
                message,
                "a remedy can only be more careful: remove it, or change the runbook's `mode`",
            );
        }
        let steps = need(self.document, placed.at(), &written.steps, "steps").and_then(|steps| {
            if steps.is_empty() {
                self.document.complain(written.steps.at(), "this remedy does nothing", "add a step, or remove the remedy");
            }
            let all: Vec<Option<Step>> = steps.iter().map(|step| self.step(step)).collect();
            self.order_of(steps, &all);
            all.into_iter().collect::<Option<Vec<Step>>>()
        });
        let verify = match need(self.document, placed.at(), &written.verify, "verify") {
            Some(verify) => self.verify(&written.verify, verify),
            None => None,
        };
        let watches = |guard| guard::guard(self.document, guard, self.fields(), verify.as_ref());
        let guard = written.guard.as_ref().map(watches);
        let when = match when {
            Some(when) => Some(when?),
            None => None,
        };
        let guard = match guard {
            Some(guard) => Some(guard?),
            None => None,
        };
        let mode = may(&written.mode).copied();
        Some(Remedy { name: name?.to_owned(), when, mode, steps: steps?, verify: verify?, guard })
    }

    /// A step that goes from replica to replica ends its remedy, and leaves as many healthy as it says.
    fn order_of(&self, placed: &[Placed<Raw>], steps: &[Option<Step>]) {
        for (number, (at, step)) in placed.iter().zip(steps).enumerate() {
            let Some(step) = step else { continue };
            if step.action.facts().one_at_a_time && number + 1 < placed.len() {
                let message =
                    format!("`{}` goes from one replica to the next, so nothing can come after it in a remedy", step.action);
                self.document.complain(at.at(), message, "make what follows a remedy of its own");
            }
            self.min_healthy(at.at(), step, steps.get(..number).unwrap_or_default());
        }
    }

    fn verify(&self, placed: &Placed<WrittenVerify>, written: &WrittenVerify) -> Option<Verify> {
        need(self.document, placed.at(), &written.until, "until");
        let until = condition(self.document, &written.until, self.fields());
        let within = need(self.document, placed.at(), &written.within, "within");
        let hold = need(self.document, placed.at(), &written.hold, "hold");
        if within.is_some_and(|within| within.duration().is_zero()) {
            self.document.complain(
                written.within.at(),
                "nothing can be proved within no time",
                "write 1m, or as long as the effect needs",
            );
        }
        Some(Verify { until: until?, within: *within?, hold: *hold? })
    }

    fn step(&self, placed: &Placed<Raw>) -> Option<Step> {
        let Raw(node) = placed.get()?;
        let written: Option<WrittenAction> = Reader::new(self.document, *node).aside(&STEP_KEYS).read();
        let keys: Option<WrittenStepKeys> = common(self.document, *node);
        let keys =
            keys.unwrap_or(WrittenStepKeys { target: None, until: None, at_most_for: None, only_while: None, silence: None });
        let until = keys.until.as_ref().map(|until| condition(self.document, until, self.fields()));
        let only_while = keys.only_while.as_ref().map(|only_while| condition(self.document, only_while, self.fields()));
        let silence = keys.silence.as_ref().map(|written| silence(self.document, written, self.looked_up_by));
        let target = target(self.document, self.targets, &keys.target);
        let on = target.as_ref().ok().map(|target| target.as_ref().or(self.own));
        let action = self.action(placed.at(), written?, on.flatten())?;
        let facts = action.facts();
        let kind = match &target {
            Ok(Some(id)) => Some(id.kind),
            Ok(None) => self.own_kind,
            Err(()) => None,
        };
        fits(self.document, placed.at(), facts.name, facts.kind, kind)?;
        self.selects(&placed.at(), &facts, on.flatten());
        self.lasts(&placed.at(), &facts, &keys);
        if facts.destroys != Destroys::Nothing && !self.limited {
            let message = format!("`{}` takes something away for good, and this runbook has no limit on how often", facts.name);
            self.document.complain(placed.at(), message, "add `limits` with at least one `rate`, for example [3/1h, 7/24h]");
        }
        if let Some(id) = on.flatten() {
            self.can_act(placed.at(), &facts, id);
        }
        let until = match until {
            Some(until) => Some(until?),
            None => None,
        };
        let only_while = match only_while {
            Some(only_while) => Some(only_while?),
            None => None,
        };
        let silence = match silence {
            Some(silence) => silence?,
            None => Vec::new(),
        };
        Some(Step { action, target: target.ok()?, until, at_most_for: may(&keys.at_most_for).copied(), only_while, silence })
    }

    /// What an action may touch is chosen among what a look saw, so the look must be there and must look at the same thing.
    fn selects(&self, at: &Bytes, facts: &Facts, on: Option<&TargetId>) {
        let from = facts.selects_from;
        let mut looks = self.looks.looks.values().filter(|look| look.probe.name() == from).peekable();
        // A look that could not be read may have been the one.
        if looks.peek().is_none() && self.fields().broken.is_empty() {
            let message = format!("`{}` chooses among what `{from}` sees, and this runbook does not look at that", facts.name);
            self.document.complain(at.clone(), message, format!("add a look with `{from}`"));
        } else if looks.peek().is_some() && !looks.any(|look| look.target.as_ref().or(self.own) == on) {
            let message =
                format!("`{}` chooses among what `{from}` sees, and this runbook looks at that only elsewhere", facts.name);
            self.document.complain(at.clone(), message, "add such a look at the step's own target");
        }
    }

    /// An effect that lasts has an end, on a condition and at the latest; one that does not has none.
    fn lasts(&self, at: &Bytes, facts: &Facts, keys: &WrittenStepKeys) {
        let ends = [
            ("until", keys.until.as_ref().map(Placed::at), "a condition"),
            ("at_most_for", keys.at_most_for.as_ref().map(Placed::at), "a duration"),
        ];
        for (key, written, what) in ends {
            match (facts.lasts == Lasts::UntilCondition, written) {
                (true, None) => self.document.complain(
                    at.clone(),
                    format!("the effect of `{}` lasts, and nothing says when it ends: `{key}` is missing", facts.name),
                    format!("add `{key}:` with {what}"),
                ),
                (false, Some(at)) => self.document.complain(
                    at,
                    format!("the effect of `{}` does not last, so `{key}` would end nothing", facts.name),
                    "remove it; what proves the cure stands in `verify`",
                ),
                _ => {}
            }
        }
    }

    fn can_act(&self, at: Bytes, facts: &Facts, id: &TargetId) {
        let Some(target) = self.targets.inventory.get(id) else { return };
        // A service is acted on over its Engine.
        let (place, whose) = match &target.place {
            Place::Service { engine, .. } => {
                self.targets.inventory.get(engine).map_or((&target.place, id), |engine| (&engine.place, &engine.id))
            }
            own => (own, id),
        };
        let refused = matches!(
            place,
            Place::Postgres { act: None, .. } | Place::Rabbitmq { act: None, .. } | Place::Engine { act: None, .. }
        );
        if refused {
            let on = if whose == id { String::new() } else { format!(", on which `{id}` runs,") };
            let way = if whose == id { "login" } else { "address" };
            let message = format!("`{whose}`{on} has no {way} for acting, so `{}` will be refused", facts.name);
            self.document.say(
                Severity::Warning,
                at,
                message,
                format!("add `act:` to `{whose}` in targets.yaml; it needs {}", facts.privilege),
            );
        }
    }

    fn action(&self, at: Bytes, written: WrittenAction, on: Option<&TargetId>) -> Option<Action> {
        match written {
            WrittenAction::TerminateIdle(written) => self.terminate_idle(at, &written),
            WrittenAction::DockerRestart(written) => {
                self.restart(at, &written, on).map(DockerAction::Restart).map(Action::Docker)
            }
            WrittenAction::DockerRollingRestart(written) => {
                self.restart(at, &written, on).map(DockerAction::RollingRestart).map(Action::Docker)
            }
            WrittenAction::DockerScale(written) => self.scale(at, &written, on).map(DockerAction::Scale).map(Action::Docker),
            WrittenAction::DockerRecreate(written) => {
                self.recreate(at, &written, on).map(DockerAction::Recreate).map(Action::Docker)
            }
            WrittenAction::DockerStart(written) => Some(Action::Docker(self.start(&written))),
            WrittenAction::DockerExec(written) => self.exec(at, &written, on).map(DockerAction::Exec).map(Action::Docker),
            WrittenAction::Rehearsal(_) if !cfg!(feature = "rehearsal") => {
                self.document.complain(at, "`rehearsal.effect` is for rehearsals only, and this build has none", "remove it");
                None
            }
            WrittenAction::Rehearsal(written) => Some(Action::Rehearsal(written)),
        }
    }

    fn terminate_idle(&self, at: Bytes, written: &WrittenTerminateIdle) -> Option<Action> {
        let idle_for = need(self.document, at.clone(), &written.idle_for, "idle_for");
        let at_most = need(self.document, at, &written.at_most, "at_most");
        if idle_for.is_some_and(|span| span.duration().is_zero()) {
            self.document.complain(
                written.idle_for.at(),
                "an `idle_for` of 0 would end sessions that rest between two statements",
                "write 1m or more, longer than a pool lets a connection rest",
            );
        }
        if at_most == Some(&0) {
            self.document.complain(written.at_most.at(), "with `at_most: 0` this step does nothing", "write 1 or more");
        }
        let states: Option<Vec<_>> =
            may(&written.states).map(|states| states.iter().filter_map(|state| state.get().copied()).collect());
        if let (Some(states), Some(placed)) = (may(&written.states), &written.states)
            && states.is_empty()
        {
            self.document.complain(
                placed.at(),
                "no state is named, so this step does nothing",
                "remove `states` for both, or name one",
            );
        }
        let mut never = Vec::new();
        for placed in may(&written.never).into_iter().flatten() {
            let Some(word) = placed.get() else { continue };
            let named = |prefix: &str| word.strip_prefix(prefix).is_some_and(|name| !name.is_empty());
            if !(matches!(word.as_str(), "backup" | "replication") || named("user:") || named("application:")) {
                self.document.complain(
                    placed.at(),
                    format!("`{}` names nothing that could be spared", inert(word, 60)),
                    "write user:NAME or application:NAME; backup and replication are always spared",
                );
            }
            never.push(word.clone());
        }
        Some(Action::Postgres(PostgresAction::TerminateIdle(TerminateIdle {
            idle_for: *idle_for?,
            at_most: *at_most?,
            keep: may(&written.keep).copied().unwrap_or(0),
            states: states
                .unwrap_or_else(|| vec![runbook::action::IdleState::Idle, runbook::action::IdleState::IdleInTransaction]),
            never,
        })))
    }
}

/// A mode as it is written.
pub fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Ask => "ask",
        Mode::Auto => "auto",
    }
}
