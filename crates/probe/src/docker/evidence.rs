//! What a restart, a recreate or a removal destroys, kept before: the last lines of each container's log, how the Engine describes
//! it, its memory and CPU, and its processes. Each piece is tried by itself, all side by side, each to the deadline: a container
//! that hangs must still be curable, and what could not be had is named.
//!
//! No value of an environment variable is kept, and what looks like a secret is taken out of everything else (`redact.rs`).
//! Deliberately nothing of other containers, but for the one that a recreate put in place of one that is named.

use std::future::Future;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::ContainerInspectResponse;
use connect::Looking;
use runbook::identity::{Identity, Selection};
use runbook::target::{Inventory, Target};
use runbook::text::inert;
use serde_json::Value as Json;

use super::{Replica, Service, logs, stats, top};
use crate::redact::{REMOVED, names_a_secret, redact, secrets};

/// The last lines of a log, and so much of them.
const MOST_LINES: usize = 500;
const MOST_LOG_BYTES: usize = 256 * 1024;

/// No description or list of processes is longer; more of it is left out and said to be.
const MOST_BYTES: usize = 256 * 1024;

/// An order about more containers than this is about none that exists.
const MOST_CONTAINERS: usize = 20;

type Piece = (String, Result<Vec<u8>, String>);

/// Pieces about each container of a selection.
pub(crate) async fn capture(
    looking: &Looking,
    inventory: &Inventory,
    target: &Target,
    selection: &Selection,
    within: Duration,
) -> Vec<Piece> {
    let service = match Service::of(looking, inventory, target, within) {
        Ok(service) => service,
        Err(why) => return vec![("containers".to_owned(), Err(why))],
    };
    // Those that are named by their id are asked about at once, because the list may be what hangs.
    let (ids, clones) = named(selection);
    let about_named = futures_util::future::join_all(ids.iter().map(|id| pieces(&service, id)));
    let about_found = async {
        let found = match service.containers().await {
            Ok(all) => all.into_iter().filter(|replica| belongs(replica, &ids, &clones)).collect::<Vec<_>>(),
            Err(why) if clones.is_empty() => return vec![("a replacement".to_owned(), Err(why))],
            Err(why) => return vec![("clones".to_owned(), Err(why))],
        };
        let missing = clones.iter().filter(|name| !found.iter().any(|replica| replica.container.name == **name));
        let mut all: Vec<Piece> = missing.map(|name| (inert(name, 80), Err("there is no such container".to_owned()))).collect();
        let found = found.iter().take(MOST_CONTAINERS).map(|replica| pieces(&service, &replica.container.id));
        all.extend(futures_util::future::join_all(found).await.into_iter().flatten());
        all
    };
    let (named, found) = tokio::join!(about_named, about_found);
    named.into_iter().flatten().chain(found).collect()
}

/// Full ids of containers, and names of clones.
fn named(selection: &Selection) -> (Vec<&str>, Vec<&str>) {
    let (mut ids, mut clones) = (Vec::new(), Vec::new());
    for identity in selection.iter().take(MOST_CONTAINERS) {
        match identity {
            Identity::Container { id, .. } => ids.push(id.as_str()),
            Identity::Clone { name, .. } => clones.push(name.as_str()),
            Identity::Session { .. } | Identity::Rehearsal(_) => {}
        }
    }
    (ids, clones)
}

/// A clone of that name that is ours, or what was put in place of a named one: taking that back removes it.
fn belongs(replica: &Replica, ids: &[&str], clones: &[&str]) -> bool {
    let container = &replica.container;
    let replaces = container.replaces.as_deref().is_some_and(|replaced| ids.contains(&replaced));
    replaces || (container.clone && clones.contains(&container.name.as_str()))
}

/// What is kept of one container.
async fn pieces(service: &Service<'_>, id: &str) -> Vec<Piece> {
    let docker = &service.docker;
    let short = format!("container {}", id.get(..12).unwrap_or(id));
    let (described, lines, figures, processes) = tokio::join!(
        answer(service, &short, docker.inspect_container(id, None)),
        answer(service, &short, logs::read(docker, id, MOST_LINES, 0, MOST_LOG_BYTES)),
        answer(service, &short, stats::read(docker, id)),
        answer(service, &short, top::read(docker, id, "args")),
    );
    let config = described.as_ref().ok().and_then(|described| described.config.as_ref());
    let known = secrets(config.and_then(|config| config.env.as_deref()).unwrap_or_default());
    let name = described.as_ref().ok().and_then(|described| described.name.as_deref());
    let name = name.map_or(short, |name| inert(name.trim_start_matches('/'), 80));
    let lines = lines.map(|tail| {
        let text: Vec<_> = tail.lines.iter().map(|line| String::from_utf8_lossy(line)).collect();
        let cut = if tail.cut { "[earlier lines are not kept]\n" } else { "" };
        format!("{cut}{}\n", redact(&text.join("\n"), &known)).into_bytes()
    });
    let figures = figures.and_then(|figures| figures.ok_or_else(|| "the Engine gave no figures".to_owned()));
    vec![
        (format!("logs of {name}"), lines),
        (format!("inspect of {name}"), described.and_then(|described| described_without_values(&described, &known))),
        (format!("stats of {name}"), figures.and_then(|figures| document(&figures, &known))),
        (format!("top of {name}"), processes.and_then(|processes| document(&processes, &known))),
    ]
}

async fn answer<T>(service: &Service<'_>, about: &str, asked: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match service.answer(about, asked).await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(format!("{about} is gone or does not run")),
        Err(why) => Err(why),
    }
}

/// The Engine's description; of environment variables only the names.
fn described_without_values(described: &ContainerInspectResponse, known: &[String]) -> Result<Vec<u8>, String> {
    let mut described = described.clone();
    if let Some(variables) = described.config.as_mut().and_then(|config| config.env.as_mut()) {
        for variable in variables.iter_mut() {
            let name = variable.split_once('=').map_or(variable.as_str(), |(name, _)| name);
            *variable = format!("{name}={REMOVED}");
        }
    }
    document(&described, known)
}

/// As JSON, redacted text by text, and cut where it is longer than anything that is read by people.
fn document(answer: &impl serde::Serialize, known: &[String]) -> Result<Vec<u8>, String> {
    let mut value = serde_json::to_value(answer).map_err(|error| error.to_string())?;
    clean(&mut value, known);
    let mut written = serde_json::to_vec_pretty(&value).map_err(|error| error.to_string())?;
    if written.len() > MOST_BYTES {
        let left_out = written.len() - MOST_BYTES;
        let end = (0..=MOST_BYTES).rev().find(|end| written.get(*end).is_none_or(|byte| byte & 0xC0 != 0x80)).unwrap_or(0);
        written.truncate(end);
        written.extend_from_slice(format!("\n[{left_out} bytes are not kept]\n").as_bytes());
    }
    Ok(written)
}

/// Takes secrets out of every text, and what is nothing out of every object. What stands under a name of a secret goes, and so
/// does the word after a flag of that name: a list of words is a command line as often as not.
fn clean(value: &mut Json, known: &[String]) {
    match value {
        Json::String(text) => *text = redact(text, known),
        Json::Array(members) => {
            let mut before = String::new();
            for member in members {
                let word = member.as_str().unwrap_or("").to_owned();
                if before.starts_with('-') && !word.starts_with('-') && redact(&format!("{before} x"), &[]).ends_with(REMOVED) {
                    *member = Json::String(REMOVED.to_owned());
                } else {
                    clean(member, known);
                }
                before = word;
            }
        }
        Json::Object(members) => {
            members.retain(|_, member| !member.is_null());
            for (name, member) in members {
                match member {
                    Json::String(text) if names_a_secret(name) && !text.is_empty() => *text = REMOVED.to_owned(),
                    member => clean(member, known),
                }
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_keeps_the_names_of_variables_and_no_value() {
        let described = serde_json::json!({
            "Id": "a", "Name": "/worker", "Path": "worker", "Args": ["--password", "geheim1", "--url=redis://:geheim2@cache", "-v"],
            "Config": {
                "Env": ["BROKER_URL=amqp://u:geheim3@broker", "PATH=/geheim4", "JWT_SECRET=geheim5", "BARE"],
                "Labels": {"com.docker.compose.service": "worker", "app.token": "geheim6"},
                "Healthcheck": {"Test": ["CMD", "check", "geheim5"]},
            },
        });
        let described: ContainerInspectResponse = serde_json::from_value(described).unwrap();
        let known = secrets(described.config.as_ref().unwrap().env.as_ref().unwrap());
        let written = String::from_utf8(described_without_values(&described, &known).unwrap()).unwrap();
        assert!(!written.contains("geheim"), "{written}");
        for kept in [
            "BROKER_URL=[removed]",
            "PATH=[removed]",
            "BARE=[removed]",
            "com.docker.compose.service",
            "--password",
            "-v",
            "cache",
        ] {
            assert!(written.contains(kept), "{kept}: {written}");
        }
        assert!(!written.contains("null"));
    }

    #[test]
    fn a_document_is_bounded_and_stays_text() {
        let long = serde_json::json!({"Name": "ü".repeat(MOST_BYTES)});
        let written = document(&long, &[]).unwrap();
        assert!(written.len() < MOST_BYTES + 100);
        assert!(String::from_utf8(written).unwrap().ends_with("bytes are not kept]\n"));
    }
}
