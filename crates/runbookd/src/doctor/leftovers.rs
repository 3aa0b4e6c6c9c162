//! Containers of ours that no open incident knows: after a lost journal, or an end that got stuck, they would stay for ever. Each is told
//! with how to take it away by hand. Deliberately nothing is taken away here: what a person began to mend looks the same.

use std::time::Duration;

use probe::Leftover;
use runbook::target::Kind;

use super::Line;
use crate::daemon::{Current, Daemon};

/// How long an Engine may take.
const WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn all(daemon: &Daemon, current: &Current) -> Vec<Line> {
    let mut lines = Vec::new();
    for engine in current.configuration.inventory.iter().filter(|target| target.id.kind == Kind::Engine) {
        // One that cannot be seen is told elsewhere.
        let Ok(found) = probe::leftovers(current.connections.looking(), engine, WITHIN).await else { continue };
        for leftover in found {
            match known(daemon, &leftover).await {
                Ok(true) => {}
                Ok(false) => lines.push(Line::wrong(engine.id.to_string(), words(&leftover))),
                Err(error) => lines.push(Line::unknown(engine.id.to_string(), format!("{}: {error:#}", leftover.name))),
            }
        }
    }
    lines
}

/// Whether an incident that is open takes care of it. A lost journal gives the same numbers out again: what is older than its incident
/// was made for another.
async fn known(daemon: &Daemon, leftover: &Leftover) -> anyhow::Result<bool> {
    let Ok(id) = leftover.incident.parse() else { return Ok(false) };
    let Some(incident) = daemon.journal.summary(id).await? else { return Ok(false) };
    let older = leftover.created.saturating_add(1).saturating_mul(1000) < incident.opened.millis();
    Ok(incident.closed.is_none() && (leftover.kept || !older))
}

fn words(leftover: &Leftover) -> String {
    let Leftover { name, incident, what, .. } = leftover;
    let begins = format!("{name} is {what} for {incident}, and no open incident takes care of it");
    if !leftover.kept {
        return format!("{begins}; if nobody wants it: `docker stop {name} && docker rm {name}`");
    }
    let own = name.split(".runbookd-INC-").next().unwrap_or(name);
    let taken = [".always", ".on-failure"].into_iter().find_map(|policy| own.split_once(policy));
    let (own, policy) = match taken {
        Some((of, times)) => (of, own.get(of.len() + 1..).map(|policy| (policy, times))),
        None => (own, None),
    };
    let policy = policy.map_or_else(String::new, |(policy, times)| {
        let written = if times.is_empty() { policy.to_owned() } else { policy.replace(times, &times.replacen('-', ":", 1)) };
        format!("docker update --restart {written} {name} && ")
    });
    format!(
        "{begins}; if {own} runs without it: `docker rm {name}`; else `{policy}docker rename {name} {own} && docker start {own}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_with_what_takes_it_away() {
        let left =
            |name: &str, kept| Leftover { name: name.to_owned(), incident: "INC-7".to_owned(), created: 0, what: "left", kept };
        for (name, kept, wanted) in [
            ("shop_a_2", false, "`docker stop shop_a_2 && docker rm shop_a_2`"),
            ("shop_a_1.runbookd-INC-7", true, "else `docker rename shop_a_1.runbookd-INC-7 shop_a_1 && docker start shop_a_1`"),
            ("shop_a_1.always.runbookd-INC-7", true, "`docker update --restart always shop_a_1.always.runbookd-INC-7 && "),
            (
                "shop_a_1.on-failure-5.runbookd-INC-7",
                true,
                "`docker update --restart on-failure:5 shop_a_1.on-failure-5.runbookd",
            ),
        ] {
            let said = words(&left(name, kept));
            assert!(said.contains(wanted), "{said}");
            assert!(!kept || said.contains(&format!("`docker rm {name}`")), "{said}");
        }
    }
}
