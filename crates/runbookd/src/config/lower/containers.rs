//! Steps on containers as they are meant, with the checks that need no Engine: a floor of healthy replicas that forbids its own
//! step, a service that may not be cloned, a command that the target does not allow. What only the Engine knows (ports,
//! networks, privileges) is refused when it is seen.

use std::collections::BTreeMap;

use runbook::Span;
use runbook::action::{Action, DockerAction, Exec, Patience, Recreate, Restart, Scale, Start};
use runbook::book::Step;
use runbook::target::{Place, Scope, Target, TargetId};
use runbook::text::inert;

use super::ladder::Ground;
use super::need;
use crate::config::written::steps::{WrittenExec, WrittenRecreate, WrittenRestart, WrittenScale, WrittenStart};
use crate::config::yaml::{Bytes, Placed};

/// How long a container has to stop by itself, where nothing is said: what the Engine gives it, too.
const USUAL_STOP: Span = Span::secs(10);
/// How long a clone has to finish its tasks, where nothing is said.
const USUAL_WARM_STOP: Span = Span::secs(300);

/// Nothing on a container is waited for longer than this: until then nobody would be told.
const LONGEST: Span = Span::secs(3_600);

impl Ground<'_> {
    /// A time to wait that lies within bounds; complains where it does not.
    fn wait(&self, key: &str, written: &Option<Placed<Span>>, usual: Span) -> Span {
        let Some(placed) = written else { return usual };
        let Some(span) = placed.get().copied() else { return usual };
        if span.duration().is_zero() || span.duration() > LONGEST.duration() {
            let message = format!("`{key}: {span}` is no time to wait for a container");
            self.document.complain(placed.at(), message, format!("write more than nothing and at most {LONGEST}"));
        }
        span
    }

    fn patience(&self, healthy_within: &Option<Placed<Span>>, steady_for: &Option<Placed<Span>>) -> Patience {
        let usual = Patience::default();
        Patience {
            healthy_within: self.wait("healthy_within", healthy_within, usual.healthy_within),
            steady_for: self.wait("steady_for", steady_for, usual.steady_for),
        }
    }

    /// The target and its scope, where the step is on a service of the inventory.
    fn scope_of(&self, on: Option<&TargetId>) -> Option<(&Target, &Scope)> {
        let target = self.targets.inventory.get(on?)?;
        match &target.place {
            Place::Service { scope, .. } => Some((target, scope)),
            _ => None,
        }
    }

    pub(super) fn restart(&self, at: Bytes, written: &WrittenRestart, _on: Option<&TargetId>) -> Option<Restart> {
        let min_healthy = *need(self.document, at, &written.min_healthy, "min_healthy")?;
        Some(Restart {
            min_healthy,
            stop_timeout: self.wait("stop_timeout", &written.stop_timeout, USUAL_STOP),
            patience: self.patience(&written.healthy_within, &written.steady_for),
        })
    }

    /// A floor that is not below the number of replicas forbids its own step; clones of an earlier step count.
    pub(super) fn min_healthy(&self, at: Bytes, step: &Step, before: &[Option<Step>]) {
        let Action::Docker(docker) = &step.action else { return };
        let Some(restart) = docker.restart() else { return };
        let on = step.target.as_ref().or(self.own);
        let Some((target, scope)) = self.scope_of(on) else { return };
        let scaled = before.iter().flatten().filter_map(|earlier| match &earlier.action {
            Action::Docker(DockerAction::Scale(scale)) if earlier.target.as_ref().or(self.own) == on => {
                Some(scale.to.min(scope.at_most))
            }
            _ => None,
        });
        let replicas = scaled.max().unwrap_or(0).max(scope.replicas);
        if restart.min_healthy >= replicas {
            let message = format!(
                "{} has {replicas}, so with `min_healthy: {}` none may ever be restarted",
                target.id, restart.min_healthy
            );
            let mend = match replicas {
                1 => "write 0 for a single replica (then it must be seen failing), or scale out before",
                _ => "write a smaller number, or say how many `replicas` the target has",
            };
            self.document.complain(at, message, mend);
        }
    }

    pub(super) fn scale(&self, at: Bytes, written: &WrittenScale, on: Option<&TargetId>) -> Option<Scale> {
        let to = *need(self.document, at.clone(), &written.to, "to")?;
        if let Some((target, scope)) = self.scope_of(on) {
            if target.traits.stateful || !target.traits.may_be_cloned {
                let (why, mend) = if target.traits.stateful {
                    ("keeps data", "scale another service; where it keeps none, say `stateful: false` and `may_be_cloned: true`")
                } else {
                    ("does not say `may_be_cloned`", "scale another service, or say `may_be_cloned: true` in targets.yaml")
                };
                let message = format!("{} {why}, so it is never cloned", target.id);
                self.document.complain(at.clone(), message, mend);
            }
            if to <= scope.replicas || scope.at_most <= scope.replicas {
                let message = format!(
                    "{} usually has {} and may have {}, so `to: {to}` adds none",
                    target.id, scope.replicas, scope.at_most
                );
                self.document.complain(at, message, "write a larger `to`, and `at_most` of the target in targets.yaml");
            }
        }
        Some(Scale {
            to,
            stop_timeout: self.wait("stop_timeout", &written.stop_timeout, USUAL_WARM_STOP),
            patience: self.patience(&written.healthy_within, &written.steady_for),
        })
    }

    pub(super) fn recreate(&self, at: Bytes, written: &WrittenRecreate, on: Option<&TargetId>) -> Option<Recreate> {
        let entries = need(self.document, at.clone(), &written.set, "set")?;
        let mut set = BTreeMap::new();
        for (key, value) in &entries.0 {
            let (Some(name), Some(value)) = (key.get(), value.get()) else { continue };
            let plain =
                name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
            if !plain || name.is_empty() {
                let message = format!("`{}` is no name of a variable", inert(name, 60));
                self.document.complain(key.at(), message, "write letters, digits and _, not a digit first");
            }
            if value.chars().any(char::is_control) {
                self.document.complain(key.at(), "the value has a control character", "write it in one line");
            }
            set.insert(name.clone(), value.clone());
        }
        if set.is_empty() {
            self.document.complain(
                written.set.at(),
                "no variable is set, so this step changes nothing",
                "name one, as in {WORKERS: \"4\"}",
            );
        }
        if let Some((target, scope)) = self.scope_of(on) {
            if scope.env_file.is_none() {
                let message =
                    format!("{} has no `env_file`, and a setting that stands nowhere would be lost at the next `up`", target.id);
                self.document.complain(at.clone(), message, "say in targets.yaml which file its environment comes from");
            }
            if scope.replicas > 1 {
                let message = format!("{} has {} replicas, and only a single one is recreated", target.id, scope.replicas);
                self.document.complain(at, message, "change the file and let Compose recreate them");
            }
        }
        Some(Recreate {
            set,
            stop_timeout: self.wait("stop_timeout", &written.stop_timeout, USUAL_STOP),
            patience: self.patience(&written.healthy_within, &written.steady_for),
        })
    }

    pub(super) fn start(&self, written: &WrittenStart) -> DockerAction {
        DockerAction::Start(Start { patience: self.patience(&written.healthy_within, &written.steady_for) })
    }

    pub(super) fn exec(&self, at: Bytes, written: &WrittenExec, on: Option<&TargetId>) -> Option<Exec> {
        let run = need(self.document, at, &written.run, "run")?;
        if let Some((target, scope)) = self.scope_of(on)
            && !scope.commands.contains_key(run)
        {
            let message = format!("{} allows no command `{}`", target.id, inert(run, 60));
            let mend = match runbook::text::closest(run, scope.commands.keys().map(String::as_str)) {
                Some(word) => format!("write `{word}`, if that was meant"),
                None => "add it to the target's `commands` in targets.yaml".to_owned(),
            };
            self.document.complain(written.run.at(), message, mend);
        }
        Some(Exec { run: run.clone(), within: self.wait("within", &written.within, Span::secs(10)) })
    }
}
