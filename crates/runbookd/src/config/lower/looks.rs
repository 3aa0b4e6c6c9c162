//! Looks of a runbook: which probe, at what. Checks that a probe is pointed at the kind of target it is for, and gathers the
//! fields that conditions may speak of. Why the kind is checked here: at night the wrong kind would only be "unknown".

use std::collections::BTreeMap;

use runbook::book::Look;
use runbook::finding::fields;
use runbook::probe::{
    DockerProbe, HttpProbe, Inside, PostgresProbe, Probe, Progress, PrometheusProbe, QueueProbe, RabbitmqProbe, RedisProbe,
    RehearsalProbe,
};
use runbook::target::{Kind, TargetId};
use runbook::text::inert;

use super::conditions::Fields;
use super::may;
use super::targets::Targets;
use crate::config::written::steps::{LOOK_KEYS, WrittenInside, WrittenLookKeys, WrittenProbe};
use crate::config::yaml::{Bytes, Document, Entries, NodeId, Placed, Raw, Reader};

/// The looks of one runbook.
#[derive(Default)]
pub struct Looks {
    /// Those that are right.
    pub looks: BTreeMap<String, Look>,
    /// What conditions may speak of.
    pub fields: Fields,
}

/// The node that holds the parameters of a look or a step: what the one key names, or the word itself.
pub fn parameters(document: &Document, node: NodeId) -> NodeId {
    match document.kind(node) {
        crate::config::yaml::Kind::Map(entries) => entries.first().map_or(node, |(_, value)| *value),
        _ => node,
    }
}

/// Whether the node of the parameters is a map, so that common keys can stand in it.
fn is_map(document: &Document, node: NodeId) -> bool {
    matches!(document.kind(node), crate::config::yaml::Kind::Map(_))
}

/// Reads keys that stand among the parameters and do not depend on the word.
pub fn common<'d, T: serde::Deserialize<'d>>(document: &'d Document, node: NodeId) -> Option<T> {
    let parameters = parameters(document, node);
    // A word alone, and a map that names two things, have no parameters.
    let named = parameters != node && is_map(document, parameters);
    if named { Reader::new(document, parameters).lenient().read() } else { None }
}

/// A target named in a look or a step: it must exist.
pub fn target(document: &Document, all: &Targets, placed: &Option<Placed<TargetId>>) -> Result<Option<TargetId>, ()> {
    match placed {
        None => Ok(None),
        Some(placed) => match placed.get() {
            Some(id) if all.demand(document, placed.at(), id) => Ok(Some(id.clone())),
            _ => Err(()),
        },
    }
}

/// Reads all looks. `own` is the kind of the runbook's own target, where it is known.
pub fn looks(document: &Document, all: &Targets, own: Option<Kind>, written: &Entries<Placed<Raw>>) -> Looks {
    let mut found = Looks::default();
    for (key, value) in &written.0 {
        let Some(name) = key.get() else { continue };
        let plain =
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && name.starts_with(|c: char| c.is_ascii_alphabetic());
        if !plain {
            let message = format!("`{}` is no name for a look", inert(name, 60));
            document.complain(key.at(), message, "write a letter, then letters, digits and _: conditions use it as a word");
        }
        match look(document, all, own, value) {
            Some(look) => {
                for field in fields(look.probe.name()) {
                    let path = format!("{name}.{}", field.name);
                    if field.unit == "share" {
                        found.fields.shares.insert(path.clone());
                    }
                    found.fields.types.insert(path, field.kind);
                }
                found.looks.insert(name.clone(), look);
            }
            None => {
                found.fields.broken.insert(name.clone());
            }
        }
    }
    found
}

fn look(document: &Document, all: &Targets, own: Option<Kind>, value: &Placed<Raw>) -> Option<Look> {
    let Raw(node) = value.get()?;
    let written: Option<WrittenProbe> = Reader::new(document, *node).aside(&LOOK_KEYS).read();
    let keys: Option<WrittenLookKeys> = common(document, *node);
    let target = target(document, all, &keys.and_then(|keys| keys.target));
    let probe = probe(document, value.at(), written?)?;
    let kind = match &target {
        Ok(Some(id)) => Some(id.kind),
        Ok(None) => own,
        Err(()) => None,
    };
    fits(document, value.at(), probe.name(), probe.kind(), kind)?;
    if let Probe::Postgres(PostgresProbe::Sessions(sessions)) = &probe
        && sessions.idle_for.duration().is_zero()
    {
        document.complain(value.at(), "an `idle_for` of 0 counts sessions that rest between two statements", "write 1m or more");
    }
    if let Probe::Prometheus(PrometheusProbe::Query(query)) = &probe
        && query.expr.trim().is_empty()
    {
        document.complain(value.at(), "the query is empty", "write an expression of PromQL with a single value");
    }
    if let Probe::Docker(DockerProbe::Logs(logs)) = &probe {
        let pattern = logs.pattern.as_deref().map(regex::Regex::new);
        if let Some(Err(error)) = pattern {
            document.complain(
                value.at(),
                format!("the pattern is no regular expression: {error}"),
                "see the syntax of the regex crate",
            );
        }
        if logs.tail == 0 || logs.tail > 5000 {
            document.complain(value.at(), format!("{} lines cannot be looked at", logs.tail), "write a `tail` from 1 to 5000");
        }
    }
    if let Probe::Queue(QueueProbe::ProgressOver(Progress { over })) = &probe
        && !(Progress::SHORTEST..=Progress::LONGEST).contains(over)
    {
        document.complain(
            value.at(),
            format!(
                "an `over` of {over} is too short for a broker that samples every 5 seconds, or longer than it keeps samples"
            ),
            format!("write an `over` from {} to {}", Progress::SHORTEST, Progress::LONGEST),
        );
    }
    if probe.kind() == Kind::Rehearsal && !cfg!(feature = "rehearsal") {
        document.complain(value.at(), format!("`{probe}` is for rehearsals only, and this build has none"), "remove it");
    }
    Some(Look { probe, target: target.ok()? })
}

/// Complains where a look or an action is pointed at another kind of target than it is for.
pub fn fits(document: &Document, at: Bytes, name: &str, wanted: Kind, found: Option<Kind>) -> Option<()> {
    match found {
        Some(found) if found != wanted => {
            document.complain(
                at,
                format!("`{name}` is for a target of kind {}, and here it meets a {}", wanted.word(), found.word()),
                format!("add `target: {}/NAME` to its parameters", wanted.word()),
            );
            None
        }
        _ => Some(()),
    }
}

fn probe(document: &Document, at: Bytes, written: WrittenProbe) -> Option<Probe> {
    Some(match written {
        WrittenProbe::PostgresAnswering(_) => Probe::Postgres(PostgresProbe::Answering),
        WrittenProbe::PostgresSessions(sessions) => Probe::Postgres(PostgresProbe::Sessions(sessions)),
        WrittenProbe::RedisAnswering(_) => Probe::Redis(RedisProbe::Answering),
        WrittenProbe::RedisMemory(_) => Probe::Redis(RedisProbe::Memory),
        WrittenProbe::RabbitmqAnswering(_) => Probe::Rabbitmq(RabbitmqProbe::Answering),
        WrittenProbe::QueueDepth(_) => Probe::Queue(QueueProbe::Depth),
        WrittenProbe::DockerEngine(_) => Probe::Docker(DockerProbe::Engine),
        WrittenProbe::DockerService(_) => Probe::Docker(DockerProbe::Service),
        WrittenProbe::QueueProgress(progress) => Probe::Queue(QueueProbe::ProgressOver(progress)),
        WrittenProbe::DockerLogs(logs) => Probe::Docker(DockerProbe::Logs(logs)),
        WrittenProbe::DockerStats(_) => Probe::Docker(DockerProbe::Stats),
        WrittenProbe::DockerTop(_) => Probe::Docker(DockerProbe::Top),
        WrittenProbe::DockerInside(written) => Probe::Docker(DockerProbe::Inside(inside(document, at, &written)?)),
        WrittenProbe::HttpGet(_) => Probe::Http(HttpProbe::Get),
        WrittenProbe::PrometheusReady(_) => Probe::Prometheus(PrometheusProbe::Ready),
        WrittenProbe::PrometheusQuery(query) => Probe::Prometheus(PrometheusProbe::Query(query)),
        WrittenProbe::RehearsalLedger(_) => Probe::Rehearsal(RehearsalProbe::Ledger),
    })
}

fn inside(document: &Document, at: Bytes, written: &WrittenInside) -> Option<Inside> {
    match (may(&written.disk_free), may(&written.broker_reachable)) {
        (Some(path), None) if path.starts_with('/') && !path.chars().any(char::is_control) => {
            Some(Inside::DiskFree(path.clone()))
        }
        (Some(_), None) => {
            document.complain(
                at,
                "the path is not absolute",
                "write it as the container sees it, as in /var/lib/postgresql/data",
            );
            None
        }
        (None, Some(name)) if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
            Some(Inside::BrokerReachable(name.clone()))
        }
        (None, Some(_)) => {
            document.complain(
                at,
                "this names no environment variable",
                "write the one with the broker's address, as in BROKER_URL",
            );
            None
        }
        _ => {
            document.complain(
                at,
                "a look inside is exactly one of disk_free and broker_reachable",
                "name one; two looks can be declared",
            );
            None
        }
    }
}
