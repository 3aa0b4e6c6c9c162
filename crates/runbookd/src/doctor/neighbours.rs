//! What is around us: the held connections, every target of the inventory, Alertmanager's way to us, Slack. A target that cannot
//! be seen is wrong here even where nothing is wrong with it: at night nothing would act on it.

use futures_util::future::join_all;
use report::slack::{Slack, check_up};
use runbook::condition::Value;
use runbook::finding::Finding;
use runbook::target::{Place, TargetId};
use runbook::text::humanize_duration;

use super::Line;
use crate::commands::{Eyes, Sight};
use crate::config::AlertmanagerSettings;
use crate::daemon::{Current, Daemon};
use crate::reconcile::Apart;
use crate::{reconcile, teller};

pub(super) fn held(current: &Current) -> Vec<Line> {
    let line = |holding: connect::Holding| {
        let about = format!("{} ({})", holding.target, holding.side);
        match holding.trouble {
            None => Line::well(about, "a connection is held, so looking and acting work when every slot is taken"),
            Some(trouble) => Line::wrong(about, format!("no connection is held: {trouble}; it is tried again all the time")),
        }
    };
    current.connections.held().into_iter().map(line).collect()
}

pub(super) async fn targets(daemon: &Daemon) -> Vec<Line> {
    let current = daemon.current();
    let line =
        |Sight { target: id, finding, .. }: Sight| nobody_there(&current, &id, &finding).unwrap_or_else(|| target(&id, &finding));
    Eyes::of(daemon).all().await.into_iter().map(line).collect()
}

/// A service without a single container is more often a name that is spelt differently than one that is down.
fn nobody_there(current: &Current, id: &TargetId, finding: &Finding) -> Option<Line> {
    let Place::Service { project, service, .. } = &current.configuration.inventory.get(id)?.place else { return None };
    let none = finding.unknown().is_none() && finding.number("replicas") == Some(0.0);
    none.then(|| {
        let says = format!(
            "no container of the project `{project}` and the service `{service}` is there: are those its names, is it up?"
        );
        Line::wrong(id.to_string(), says)
    })
}

fn target(id: &TargetId, finding: &Finding) -> Line {
    let about = id.to_string();
    if let Some(why) = finding.unknown() {
        return Line::wrong(about, format!("cannot be seen: {why}"));
    }
    // A look that saw something may still say that a part of the way is closed: the management API, AMQP.
    for (field, what) in [
        ("amqp", "AMQP does not answer"),
        ("management", "the management API does not answer"),
        ("answering", "it does not answer"),
    ] {
        if finding.field(field) == Value::Flag(false) {
            return Line::wrong(about, format!("{} looked: {what}", finding.probe));
        }
    }
    Line::well(about, format!("{} sees it", finding.probe))
}

pub(super) async fn alertmanagers(daemon: &Daemon, current: &Current) -> Vec<Line> {
    if current.settings.alertmanagers.is_empty() {
        return vec![Line::unknown(
            "Alertmanager",
            "none is configured, so alerts whose delivery was lost are never asked for; add `alertmanager:`",
        )];
    }
    let lines = join_all(current.settings.alertmanagers.iter().map(|settings| alertmanager(daemon, current, settings))).await;
    lines.into_iter().flatten().collect()
}

async fn alertmanager(daemon: &Daemon, current: &Current, settings: &AlertmanagerSettings) -> Vec<Line> {
    let about = format!("Alertmanager {}", settings.url);
    let neighbour = match reconcile::neighbour(current, settings).await {
        Ok(neighbour) => neighbour,
        Err(why) => return vec![Line::wrong(about, format!("cannot be asked: {why}"))],
    };
    daemon.metrics.alertmanager(&settings.url, true);
    let receiver = &settings.receiver;
    let mut lines = Vec::new();
    if !neighbour.receivers.contains(receiver) {
        let near = runbook::text::closest(receiver, neighbour.receivers.iter().map(String::as_str));
        let hint = near.map(|near| format!("; `{near}` is there")).unwrap_or_default();
        lines.push(Line::wrong(&about, format!("has no receiver `{receiver}`{hint}: mend `receiver:` here, or add it there")));
    } else if !neighbour.routed {
        lines.push(Line::wrong(
            &about,
            format!(
                "no route there leads to the receiver `{receiver}`, so nothing is ever delivered: add one, with `continue: true`"
            ),
        ));
    }
    match reconcile::apart(neighbour.its_time, daemon.clock.now()) {
        Apart::Little => {}
        Apart::Much(apart) => lines.push(Line::wrong(
            &about,
            format!(
                "its clock and ours are {} apart, so nothing is silenced there; see whether both machines have their time from the network",
                humanize_duration(apart)
            ),
        )),
        Apart::Unknown => lines.push(Line::unknown(&about, "does not say what time it has, so nothing is silenced there")),
    }
    match neighbour.delivers {
        Some(false) => {
            lines.push(Line::wrong(&about, "no webhook there ends in /webhook/alertmanager, so nothing is ever delivered"))
        }
        None if lines.is_empty() => {
            lines.push(Line::unknown(&about, "keeps the address of its webhook secret; whether it is ours cannot be seen"))
        }
        _ => {}
    }
    if lines.is_empty() {
        lines.push(Line::well(
            about,
            format!("{}: a route leads to `{receiver}`, and a webhook there ends in our path", neighbour.version),
        ));
    }
    lines
}

pub(super) async fn slack(daemon: &Daemon) -> Vec<Line> {
    let about = "Slack";
    let slack: Slack = match teller::slack(daemon).await {
        Ok(Some(slack)) => slack,
        Ok(None) => return vec![Line::unknown(about, "is not configured, so nobody is told; add `slack:`")],
        Err(error) => return vec![Line::wrong(about, format!("{error:#}"))],
    };
    let found = check_up(&slack).await;
    let well = found.well.into_iter().map(|says| Line::well(about, says));
    let faults = found.faults.into_iter().map(|says| Line::wrong(about, says));
    let unknown = found.unknown.into_iter().map(|says| Line::unknown(about, says));
    well.chain(faults).chain(unknown).collect()
}
