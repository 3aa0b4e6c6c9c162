//! Which containers of a service are meant, and whether an order about them landed. Both go by the subjects of `docker.service`
//! alone, so a restart, a clone and a replacement are proved by the same look that chose them.
//! Deliberately careful: a replica that must not be touched is no candidate, and one that was restarted and did not come back
//! ends the rolling.

use std::time::Duration;

use crate::action::{DockerAction, Patience, Restart, Scale};
use crate::condition::Value;
use crate::finding::{Attribute, Finding, Subject};
use crate::identity::{Identity, Selection};
use crate::order::{Ground, Left, NoSelection, Order, Purpose, Verdict};
use crate::target::{Place, Scope};

/// What is read of a subject of `docker.service`.
pub(super) struct Replica<'a> {
    subject: &'a Subject,
    id: &'a str,
    started_at: &'a str,
}

impl<'a> Replica<'a> {
    fn of(subject: &'a Subject) -> Option<Self> {
        match &subject.identity {
            Identity::Container { id, started_at } => Some(Self { subject, id, started_at }),
            _ => None,
        }
    }

    fn text(&self, attribute: Attribute) -> &'a str {
        self.subject.attributes.text(attribute)
    }

    fn number(&self, attribute: Attribute) -> Option<f64> {
        self.subject.attributes.number(attribute)
    }

    fn flag(&self, attribute: Attribute) -> bool {
        self.subject.attributes.flag(attribute)
    }

    fn name(&self) -> &'a str {
        self.text(Attribute::Name)
    }

    fn runs(&self) -> bool {
        self.text(Attribute::State) == "running"
    }

    /// Up, and no health check says otherwise: what counts against `min_healthy`.
    fn healthy(&self) -> bool {
        self.runs() && matches!(self.text(Attribute::Health), "" | "none" | "healthy")
    }

    /// Well after a start: its health check passes, or it has run for long enough where there is none.
    fn well(&self, patience: Patience) -> bool {
        match self.text(Attribute::Health) {
            _ if !self.runs() => false,
            "healthy" => true,
            "" | "none" => {
                self.number(Attribute::RunningSeconds).is_some_and(|ran| ran >= patience.steady_for.duration().as_secs_f64())
            }
            _ => false,
        }
    }

    fn exited(&self) -> bool {
        matches!(self.text(Attribute::State), "exited" | "dead" | "created")
    }

    /// Why it may be down on purpose. Looks of earlier versions have only the flag.
    fn at_rest(&self) -> Option<&'a str> {
        match self.text(Attribute::AtRest) {
            "" if self.flag(Attribute::StoppedByPerson) => {
                Some("stays exited although its restart policy would start it: somebody stopped it")
            }
            "" => None,
            why => Some(why),
        }
    }

    /// A person would call it broken: its check fails, or it is down and nothing says that it is meant to be.
    fn failing(&self) -> bool {
        (self.runs() && self.text(Attribute::Health) == "unhealthy") || (self.exited() && self.at_rest().is_none())
    }
}

/// All that belongs to the service, without what a recreate keeps in reserve. A kept one that runs serves, whoever started it.
fn replicas(finding: &Finding) -> Vec<Replica<'_>> {
    finding.subjects().iter().filter_map(Replica::of).filter(|replica| !replica.flag(Attribute::Kept) || replica.runs()).collect()
}

fn nothing(why: impl Into<String>) -> NoSelection {
    NoSelection::Nothing(why.into())
}

/// Of two replicas the failing one, then the one that has run the longest.
fn by_need(a: &Replica<'_>, b: &Replica<'_>) -> std::cmp::Ordering {
    b.failing().cmp(&a.failing()).then_with(|| a.started_at.cmp(b.started_at)).then_with(|| a.id.cmp(b.id))
}

pub(super) fn select(action: &DockerAction, finding: &Finding, ground: &Ground<'_>) -> Result<Selection, NoSelection> {
    let scope = match &ground.target.place {
        Place::Service { scope, .. } => scope,
        _ => return Err(nothing(format!("{} is no service", ground.target.id))),
    };
    let all = replicas(finding);
    match action {
        DockerAction::Restart(restart) => {
            one_to_restart(restart, &all, ground, |replica| replica.failing() || ordered(ground.tried, replica.id))
        }
        DockerAction::RollingRestart(restart) => {
            let wanted = |replica: &Replica<'_>| replica.runs() || replica.failing() || ordered(ground.tried, replica.id);
            one_to_restart(restart, &all, ground, wanted)
        }
        DockerAction::Scale(scale) => clones(scale, scope, &all, ground),
        DockerAction::Recreate(_) => {
            match all.iter().filter(|replica| !replica.flag(Attribute::Clone)).collect::<Vec<_>>().as_slice() {
                [one] if !one.text(Attribute::Refused).is_empty() => {
                    Err(nothing(format!("{}: {}", one.name(), one.text(Attribute::Refused))))
                }
                [one] if one.flag(Attribute::Kept) => Err(nothing(format!(
                    "{} is what an earlier recreate kept, and has to get its own name back first",
                    one.name()
                ))),
                // To take it back is to start the old one, and what did not run before must not run after.
                [one] if !one.runs() => {
                    Err(nothing(format!("{} is {}, and only a running one is replaced", one.name(), one.text(Attribute::State))))
                }
                [one] => chosen(one),
                [] => Err(nothing("the service has no container")),
                several => {
                    Err(nothing(format!("the service has {} containers, and only a single one is recreated", several.len())))
                }
            }
        }
        DockerAction::Start(_) => {
            let mut exited: Vec<_> = all
                .iter()
                .filter(|replica| replica.exited() && !replica.flag(Attribute::Clone) && !ordered(ground.done, replica.id))
                .collect();
            exited.sort_by(|a, b| by_need(a, b));
            exited.first().map_or_else(|| Err(nothing("no container of the service has exited")), |replica| chosen(replica))
        }
        DockerAction::Exec(exec) => {
            if !scope.commands.contains_key(&exec.run) {
                return Err(nothing(format!("{} allows no command `{}`", ground.target.id, exec.run)));
            }
            let mut able: Vec<_> =
                all.iter().filter(|replica| replica.runs() && replica.text(Attribute::Refused).is_empty()).collect();
            able.sort_by(|a, b| a.name().cmp(b.name()));
            able.first().map_or_else(|| Err(nothing("no replica runs that may be touched")), |replica| chosen(replica))
        }
    }
}

fn chosen(replica: &Replica<'_>) -> Result<Selection, NoSelection> {
    Selection::of([replica.subject.identity.clone()]).map_err(|none| nothing(none.to_string()))
}

fn ordered(identities: &std::collections::BTreeSet<Identity>, wanted: &str) -> bool {
    identities.iter().any(|identity| matches!(identity, Identity::Container { id, .. } if id == wanted))
}

fn one_to_restart(
    restart: &Restart,
    all: &[Replica<'_>],
    ground: &Ground<'_>,
    wanted: impl Fn(&Replica<'_>) -> bool,
) -> Result<Selection, NoSelection> {
    if let Some(lost) = all.iter().find(|replica| ordered(ground.done, replica.id) && !replica.well(restart.patience)) {
        return Err(nothing(format!("{} did not come back, so no further one is restarted", lost.name())));
    }
    let mut candidates: Vec<_> = all
        .iter()
        .filter(|replica| !replica.flag(Attribute::Clone) && !ordered(ground.done, replica.id) && wanted(replica))
        .collect();
    // One that an earlier try stopped and did not start again is a restart by half: it is finished before another is begun.
    let by_half = |replica: &Replica<'_>| replica.exited() && ordered(ground.tried, replica.id);
    candidates.sort_by(|a, b| by_half(b).cmp(&by_half(a)).then_with(|| by_need(a, b)));
    let able: Vec<_> = candidates.iter().filter(|replica| replica.text(Attribute::Refused).is_empty()).collect();
    let healthy = all.iter().filter(|replica| replica.healthy()).count();
    // One that the Engine is restarting, or that somebody paused, is neither running nor exited, and is why there is no candidate.
    let in_between =
        all.iter().find(|replica| !replica.runs() && !replica.exited() && !replica.text(Attribute::Refused).is_empty());
    match (able.first(), candidates.first().or(in_between.as_ref())) {
        (Some(next), _) if next.healthy() && healthy <= restart.min_healthy as usize => Err(nothing(format!(
            "{healthy} replicas are healthy, and restarting {} would leave fewer than {}",
            next.name(),
            restart.min_healthy
        ))),
        (Some(next), _) => chosen(next),
        (None, Some(refused)) => Err(nothing(format!("{}: {}", refused.name(), refused.text(Attribute::Refused)))),
        (None, None) if ground.done.is_empty() => Err(nothing("no replica is failing")),
        (None, None) => Err(nothing("every replica that was to be restarted has been")),
    }
}

fn clones(scale: &Scale, scope: &Scope, all: &[Replica<'_>], ground: &Ground<'_>) -> Result<Selection, NoSelection> {
    let traits = &ground.target.traits;
    if traits.stateful {
        return Err(nothing(format!("{} keeps data, so it is not cloned", ground.target.id)));
    }
    if !traits.may_be_cloned {
        return Err(nothing(format!("{} does not say `may_be_cloned`", ground.target.id)));
    }
    let there = u32::try_from(all.len()).unwrap_or(u32::MAX);
    let ceiling = scale.to.min(scope.at_most);
    let missing = ceiling.saturating_sub(there);
    if missing == 0 {
        return Err(nothing(format!("{there} replicas are there, and there may be {ceiling}")));
    }
    let mut sources: Vec<_> = all
        .iter()
        .filter(|replica| replica.healthy() && !replica.flag(Attribute::Clone) && !replica.flag(Attribute::Kept))
        .collect();
    sources.sort_by(|a, b| a.name().cmp(b.name()));
    let Some(source) = sources.iter().find(|replica| replica.text(Attribute::NoClone).is_empty()) else {
        return Err(match sources.first() {
            Some(refused) => nothing(format!("{} cannot be cloned: {}", refused.name(), refused.text(Attribute::NoClone))),
            None => nothing("no healthy replica is there that could be cloned"),
        });
    };
    let Place::Service { project, service, .. } = &ground.target.place else { return Err(nothing("it is no service")) };
    // Compose 1 joins names by `_`, Compose 2 by `-`.
    let joint = if source.text(Attribute::Compose).starts_with("1.") { '_' } else { '-' };
    let own: std::collections::BTreeSet<u32> =
        all.iter().filter_map(|replica| replica.number(Attribute::Number)).map(|n| n as u32).collect();
    // A name belongs to the whole Engine, so numbers are passed over that others' containers have in theirs.
    let strange: Vec<u32> = source.text(Attribute::Taken).split(' ').filter_map(|number| number.parse().ok()).collect();
    // A label can say any number; after the highest there is come the lowest.
    let first = own.last().and_then(|highest| highest.checked_add(1)).unwrap_or(1);
    let free = (first..=u32::MAX).chain(1..first).filter(|number| !own.contains(number) && !strange.contains(number));
    let named = free.take(missing as usize).map(|number| Identity::Clone {
        of: source.id.to_owned(),
        name: format!("{project}{joint}{service}{joint}{number}"),
        number,
    });
    Selection::of(named).map_err(|none| nothing(none.to_string()))
}

pub(super) fn left(action: &DockerAction, selection: &Selection, finding: &Finding) -> Option<Left> {
    let taken_away = matches!(action, DockerAction::Restart(_) | DockerAction::RollingRestart(_) | DockerAction::Recreate(_));
    let all = replicas(finding);
    let count = |wanted: &dyn Fn(&Replica<'_>) -> bool| {
        u32::try_from(all.iter().filter(|replica| wanted(replica)).count()).unwrap_or(u32::MAX)
    };
    let healthy = count(&|replica| replica.healthy());
    let gone = count(&|replica| replica.healthy() && selection.contains(&replica.subject.identity));
    (taken_away && finding.unknown().is_none()).then(|| Left {
        replicas: count(&|_| true),
        healthy,
        left: healthy.saturating_sub(gone),
    })
}

pub(super) fn stopped_by_a_person(selection: &Selection, finding: &Finding) -> Option<String> {
    let replicas = replicas(finding);
    let down = replicas.iter().filter(|replica| selection.contains(&replica.subject.identity));
    down.filter_map(|replica| replica.at_rest().map(|why| format!("{} {why}", replica.name()))).next()
}

/// Down with the very start that a restart named: it was stopped for that, and not started again.
pub(super) fn left_down(order: &Order, finding: &Finding) -> Option<String> {
    let all = replicas(finding);
    let down = all.iter().find(|replica| replica.exited() && order.selection.contains(&replica.subject.identity));
    down.map(|replica| replica.name().to_owned())
}

/// Down with a later start than the one that a restart named, and not by somebody's own stop.
pub(super) fn down_again(order: &Order, finding: &Finding) -> Option<String> {
    let (id, started_at) = only(order)?;
    let all = replicas(finding);
    let again =
        |replica: &&Replica<'_>| replica.id == id && replica.started_at != started_at && replica.failing() && !replica.runs();
    all.iter().find(again).map(|replica| replica.name().to_owned())
}

/// How long after its deadline an abandoned call may still be carried out by the Engine: it may begin late, and a stop takes its time.
pub(super) fn lands_within(action: &DockerAction) -> Duration {
    let stop = match action {
        DockerAction::Restart(restart) | DockerAction::RollingRestart(restart) => restart.stop_timeout.duration(),
        DockerAction::Recreate(recreate) => recreate.stop_timeout.duration(),
        DockerAction::Scale(_) | DockerAction::Start(_) | DockerAction::Exec(_) => Duration::ZERO,
    };
    Duration::from_secs(5) + stop
}

/// Whether something that the order started is up, or is being brought up by the Engine, and may still become well.
pub(super) fn may_become_well(action: &DockerAction, order: &Order, finding: &Finding) -> bool {
    let coming = |replica: &&Replica<'_>| replica.runs() || replica.text(Attribute::State) == "restarting";
    let all: Vec<_> = finding.subjects().iter().filter_map(Replica::of).collect();
    let named = only(order);
    match (action, order.purpose) {
        (DockerAction::Scale(_), Purpose::Do) => {
            let ours = |replica: &&Replica<'_>| replica.flag(Attribute::Clone) && clone_names(order).contains(&replica.name());
            all.iter().filter(ours).any(|replica| coming(&replica))
        }
        (DockerAction::Recreate(_), Purpose::Do) => {
            named.is_some_and(|(id, _)| all.iter().any(|replica| replica.text(Attribute::Replaces) == id && coming(&replica)))
        }
        (DockerAction::Recreate(_), Purpose::Undo) => {
            let back = |replica: &&Replica<'_>, id: &str| replica.id == id && !replica.flag(Attribute::Kept) && coming(replica);
            named.is_some_and(|(id, _)| all.iter().any(|replica| back(&replica, id)))
        }
        (DockerAction::Restart(_) | DockerAction::RollingRestart(_) | DockerAction::Start(_), _) => {
            let anew = |replica: &&Replica<'_>, (id, at): (&str, &str)| replica.id == id && replica.started_at != at;
            named.is_some_and(|named| all.iter().any(|replica| anew(&replica, named) && coming(&replica)))
        }
        _ => false,
    }
}

/// Whether the old container of a recreate runs under its own name again, and no new one is there.
pub(super) fn is_back(order: &Order, finding: &Finding) -> bool {
    let Some((id, _)) = only(order) else { return false };
    let all: Vec<_> = finding.subjects().iter().filter_map(Replica::of).collect();
    all.iter().any(|replica| replica.id == id && replica.runs() && !replica.flag(Attribute::Kept))
        && !all.iter().any(|replica| replica.text(Attribute::Replaces) == id)
}

pub(super) fn verdict(action: &DockerAction, order: &Order, finding: &Finding) -> Verdict {
    let all: Vec<_> = finding.subjects().iter().filter_map(Replica::of).collect();
    match action {
        DockerAction::Restart(Restart { patience, .. }) | DockerAction::RollingRestart(Restart { patience, .. }) => {
            started_anew(&all, order, *patience)
        }
        DockerAction::Start(start) => started_anew(&all, order, start.patience),
        DockerAction::Scale(scale) => cloned(&all, order, scale.patience),
        DockerAction::Recreate(recreate) => replaced(&all, order, recreate.patience, finding),
        DockerAction::Exec(exec) => {
            Verdict::Partly(format!("whether `{}` ran to its end cannot be seen from outside; the verification judges", exec.run))
        }
    }
}

fn only(order: &Order) -> Option<(&str, &str)> {
    order.selection.iter().find_map(|identity| match identity {
        Identity::Container { id, started_at } => Some((id.as_str(), started_at.as_str())),
        _ => None,
    })
}

fn started_anew(all: &[Replica<'_>], order: &Order, patience: Patience) -> Verdict {
    let Some((id, started_at)) = only(order) else { return Verdict::Unknowable("the order names no container".to_owned()) };
    let Some(replica) = all.iter().find(|replica| replica.id == id) else {
        return Verdict::NotLanded(format!("container {} is gone", id.get(..12).unwrap_or(id)));
    };
    let name = replica.name();
    if replica.started_at == started_at {
        return Verdict::NotLanded(format!("{name} has not started anew"));
    }
    if replica.well(patience) {
        Verdict::Landed(format!("{name} started at {} and is well", replica.started_at))
    } else {
        Verdict::Partly(format!("{name} started at {} and is {}", replica.started_at, condition_of(replica)))
    }
}

fn condition_of(replica: &Replica<'_>) -> String {
    match (replica.text(Attribute::State), replica.text(Attribute::Health)) {
        ("running", "" | "none") => "not steady yet".to_owned(),
        ("running", health) => health.to_owned(),
        (state, _) => state.to_owned(),
    }
}

fn clone_names(order: &Order) -> Vec<&str> {
    order
        .selection
        .iter()
        .filter_map(|identity| match identity {
            Identity::Clone { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect()
}

/// Clones of the order that somebody has given another name, by that name.
fn renamed<'a>(all: &[Replica<'a>], order: &Order) -> Vec<&'a str> {
    let ours = |replica: &&Replica<'_>| {
        let number = replica.number(Attribute::Number);
        let same = |identity: &Identity| match identity {
            Identity::Clone { of, number: wanted, .. } => {
                number == Some(f64::from(*wanted)) && replica.text(Attribute::CloneOf) == of
            }
            _ => false,
        };
        replica.flag(Attribute::Clone) && !clone_names(order).contains(&replica.name()) && order.selection.iter().any(same)
    };
    all.iter().filter(ours).map(Replica::name).collect()
}

fn cloned(all: &[Replica<'_>], order: &Order, patience: Patience) -> Verdict {
    let names = clone_names(order);
    // A container of that name that is no clone of ours is somebody else's, and neither made nor taken away by this order.
    let there: Vec<_> = all.iter().filter(|replica| replica.flag(Attribute::Clone) && names.contains(&replica.name())).collect();
    let (asked, found) = (names.len(), there.len());
    match order.purpose {
        Purpose::Do => {
            let well = there.iter().filter(|replica| replica.well(patience)).count();
            match (found, well) {
                (_, well) if well == asked => Verdict::Landed(format!("{asked} of {asked} clones are well")),
                (0, _) => Verdict::NotLanded(format!("none of {asked} clones is there")),
                _ => Verdict::Partly(format!("{found} of {asked} clones are there, {well} of them well")),
            }
        }
        Purpose::Undo | Purpose::End => match found {
            0 => Verdict::Landed(match renamed(all, order).as_slice() {
                [] => format!("{asked} of {asked} clones are gone"),
                some => format!(
                    "no clone of {asked} is there under its name; {}, which somebody renamed, is left to whoever did",
                    some.join(", ")
                ),
            }),
            found if found == asked => Verdict::NotLanded(format!("all {asked} clones are still there")),
            found => Verdict::Partly(format!("{found} of {asked} clones are still there")),
        },
    }
}

fn replaced(all: &[Replica<'_>], order: &Order, patience: Patience, finding: &Finding) -> Verdict {
    let Some((id, started_at)) = only(order) else { return Verdict::Unknowable("the order names no container".to_owned()) };
    let old = all.iter().find(|replica| replica.id == id);
    let new = all.iter().find(|replica| replica.text(Attribute::Replaces) == id);
    match order.purpose {
        Purpose::Do => match (old, new) {
            (_, Some(new)) if new.well(patience) => Verdict::Landed(format!("the new {} is well", new.name())),
            // The act itself puts the old one back when the Engine refuses a call in the middle.
            (Some(old), None) if !old.flag(Attribute::Kept) && old.runs() => {
                let word = if old.started_at == started_at { "still" } else { "again" };
                Verdict::NotLanded(format!("{} is {word} the old one", old.name()))
            }
            (_, Some(new)) => Verdict::Partly(format!("the new {} is {}", new.name(), condition_of(new))),
            (Some(old), None) => {
                Verdict::Partly(format!("the old {} is {}, and no new one is there", old.name(), condition_of(old)))
            }
            (None, None) => Verdict::Partly("neither the old nor a new container is there".to_owned()),
        },
        Purpose::Undo => match (old, new) {
            (Some(old), None) if !old.flag(Attribute::Kept) && old.well(patience) => {
                Verdict::Landed(format!("the old {} is back and well", old.name()))
            }
            // It may have been ill before, too: that is for the next remedy, not for the undo of this one.
            (Some(old), None) if !old.flag(Attribute::Kept) && old.runs() && old.text(Attribute::Health) == "unhealthy" => {
                Verdict::Landed(format!("the old {} is back, and unhealthy", old.name()))
            }
            (Some(old), _) => Verdict::NotLanded(format!("the old {} is {}", old.name(), condition_of(old))),
            (None, _) => Verdict::NotLanded("the old container is gone".to_owned()),
        },
        Purpose::End => given_up(all, old, finding),
    }
}

/// The reserve is given up when the old one is gone, the file has the new settings, and so has what runs in its stead: ours, or what
/// a person's Compose has made of the file meanwhile.
fn given_up(all: &[Replica<'_>], old: Option<&Replica<'_>>, finding: &Finding) -> Verdict {
    if let Some(old) = old {
        let name = old.name();
        let serves = all.iter().any(|replica| replica.text(Attribute::Replaces) == old.id);
        return Verdict::NotLanded(match old.runs() && !old.flag(Attribute::Kept) && !serves {
            true => format!("the old container runs again as {name}, so the new settings are not in force"),
            false => format!("the old container is still there as {name}"),
        });
    }
    match finding.field("in_file") {
        Value::Flag(true) => {}
        Value::Unknown(why) => return Verdict::Partly(format!("whether the file has the new settings cannot be seen: {why}")),
        _ => return Verdict::NotLanded("the old container is gone, and the file does not have the new settings".to_owned()),
    }
    match all.iter().find(|replica| replica.flag(Attribute::Changed) && !replica.flag(Attribute::Clone) && replica.runs()) {
        Some(new) => {
            Verdict::Landed(format!("the file has the new settings and so has {}; the old container is gone", new.name()))
        }
        None => Verdict::NotLanded("no container with the new settings runs".to_owned()),
    }
}

#[cfg(test)]
mod tests;
