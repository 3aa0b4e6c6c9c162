//! Whether each runbook could act now: its target is in the inventory, has a login for acting, and the action has its rights
//! there; its looks see; its mode lets it. Deliberately not whether it is needed: most nights it is not.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use runbook::book::{Mode, Remedy, Runbook};
use runbook::probe::Probe;
use runbook::target::{Target, TargetId, TargetSelector};

use super::Readiness;
use crate::commands::Eyes;
use crate::daemon::{Current, Daemon};

/// How long asking for rights may take.
const WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn all(daemon: &Daemon, current: &Current) -> Vec<Readiness> {
    join_all(current.configuration.runbooks.values().map(|book| one(daemon, current, book))).await
}

async fn one(daemon: &Daemon, current: &Current, book: &Runbook) -> Readiness {
    let mut reasons = Vec::new();
    let own = targets_of(current, book, &mut reasons);
    // Side by side: where a label may name many targets and none of them answers, one after the other would take minutes.
    for reason in join_all(own.iter().map(|target| in_the_way(daemon, current, book, target))).await.into_iter().flatten() {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    if let Ok(pause) = daemon.journal.pause_for(&book.name, &own, daemon.clock.now()).await
        && let Some(why) = pause.reason
    {
        reasons.push(format!("it is paused: {why}"));
    }
    let ready = reasons.is_empty();
    let says = match (ready, highest_mode(book)) {
        (true, most) if book.mode.earned.is_some() => {
            let level = daemon.journal.ledger().standing(&book.name, &book.deed()).record.level;
            format!("ready, and has earned {} of {}", level.word(), most.word())
        }
        (true, Mode::Observe) => "ready, and only ever observes".to_owned(),
        (true, Mode::Ask) if current.settings.slack.is_none() => {
            "ready, and asks before each act; but nobody hears it: add `slack:`, or look at `runbookd asks`".to_owned()
        }
        (true, Mode::Ask) => "ready, and asks before each act".to_owned(),
        (true, Mode::Auto) => "ready".to_owned(),
        (false, _) => format!("would be refused because {}", reasons.join("; ")),
    };
    Readiness { runbook: book.name.clone(), ready, says: runbook::text::inert(&says, 1_000) }
}

fn highest_mode(book: &Runbook) -> Mode {
    book.mode.during.values().copied().chain([book.mode.default]).max().unwrap_or(Mode::Observe)
}

/// The targets that it may be about: one, or all that a label could name.
fn targets_of(current: &Current, book: &Runbook, reasons: &mut Vec<String>) -> Vec<TargetId> {
    let inventory = &current.configuration.inventory;
    match &book.target {
        TargetSelector::Named(id) => {
            if inventory.get(id).is_none() {
                reasons.push(format!("{id} is not in the inventory"));
                return Vec::new();
            }
            vec![id.clone()]
        }
        TargetSelector::Lookup { kind, .. } => {
            let found: Vec<TargetId> =
                inventory.iter().filter(|target| target.id.kind == *kind).map(|target| target.id.clone()).collect();
            if found.is_empty() {
                reasons.push(format!("the inventory has no {} that a label could name", kind.word()));
            }
            found
        }
    }
}

/// What is looked at before anything is done to what a remedy touches.
fn rests_on(current: &Current, book: &Runbook, own: &TargetId) -> BTreeSet<TargetId> {
    let inventory = &current.configuration.inventory;
    let of_remedy = |remedy: &Remedy| {
        let steps = remedy.steps.iter().filter_map(|step| step.target.clone());
        let touched: BTreeSet<TargetId> = steps.chain([own.clone()]).collect();
        let needed = touched.iter().filter_map(|id| inventory.get(id)).flat_map(|target| target.traits.depends_on.clone());
        needed.filter(|id| !touched.contains(id)).collect::<Vec<_>>()
    };
    book.remedies.iter().flat_map(of_remedy).collect()
}

async fn in_the_way(daemon: &Daemon, current: &Current, book: &Runbook, own: &TargetId) -> Vec<String> {
    let mut reasons = Vec::new();
    let inventory = &current.configuration.inventory;
    let missing = |id: &TargetId| format!("{id} is not in the inventory");
    let eyes = Eyes::of(daemon);
    for (name, look) in &book.look {
        let id = look.target.as_ref().unwrap_or(own);
        let Some(target) = inventory.get(id) else {
            reasons.push(missing(id));
            continue;
        };
        if let Some(why) = eyes.see(target, &look.probe).await.unknown() {
            reasons.push(format!("its look `{name}` cannot see {id}: {why}"));
        }
    }
    for needed in rests_on(current, book, own) {
        let Some(target) = inventory.get(&needed) else { continue };
        if let Some(why) = eyes.see(target, &Probe::usual(needed.kind)).await.unknown() {
            reasons.push(format!("{needed}, which it rests on, cannot be seen, and nothing is done then: {why}"));
        }
    }
    for step in book.remedies.iter().flat_map(|remedy| &remedy.steps) {
        let id = step.target.as_ref().unwrap_or(own);
        let Some(target): Option<&Target> = inventory.get(id) else {
            reasons.push(missing(id));
            continue;
        };
        if !connect::can_act(&target.place) {
            reasons.push(format!("{id} has no login to act with: add `act` to it in targets.yaml"));
            continue;
        }
        if let Err(why) = probe::rights(current.connections.looking(), inventory, target, &step.action, WITHIN).await {
            reasons.push(format!("{} may not be done on {id}: {why}", step.action));
        }
        let held = current.connections.held().into_iter().find(|held| held.target == *id && held.side == connect::Side::Act);
        // A server that is away or full is another matter: the login is as good as it was.
        let useless = |trouble: &connect::PostgresError| {
            use connect::PostgresTrouble::{LoginRefused, NotPermitted, Unasked};
            matches!(trouble.trouble, LoginRefused | NotPermitted | Unasked)
        };
        if let Some(trouble) = held.and_then(|held| held.trouble).filter(useless) {
            reasons.push(format!("its login to act on {id} is of no use: {trouble}"));
        }
    }
    reasons
}
