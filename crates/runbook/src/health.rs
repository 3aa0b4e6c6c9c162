//! Whether what a look saw is well enough to lean on. Why: before a symptom is treated, what it rests on is looked at, and a
//! cure for a service whose database is down only makes noise. Goes by the fields of the usual look of each kind.
//! Deliberately three answers: what cannot be seen is neither well nor ill.

use crate::condition::Value;
use crate::finding::Finding;

/// How something is, for those that lean on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Health {
    /// Nothing speaks against leaning on it.
    Well,
    /// It is not, and this is what was seen.
    Ill(String),
    /// It cannot be told, and this is why.
    Unknown(String),
}

/// States of a queue in which nothing is delivered.
const DEAD_QUEUES: [&str; 5] = ["down", "crashed", "stopped", "minority", "terminated"];

impl Finding {
    /// Whether what was looked at is well.
    pub fn health(&self) -> Health {
        if let Some(why) = self.unknown() {
            return Health::Unknown(why.to_owned());
        }
        judge(self).unwrap_or_else(Health::Unknown)
    }

    /// The same, for a server that leans on the service whose container it runs in. The container's check asks that very server, so
    /// it fails for the server's own trouble; what counts is whether the container runs.
    pub fn health_as_home(&self) -> Health {
        if self.probe != "docker.service" || self.unknown().is_some() {
            return self.health();
        }
        match (self.number("replicas"), self.number("running")) {
            (Some(_), Some(running)) if running > 0.0 => Health::Well,
            (Some(replicas), Some(_)) => Health::Ill(format!("none of {replicas} containers runs")),
            _ => Health::Unknown("how many of its containers run is unknown".to_owned()),
        }
    }
}

// What is well needs no words.
fn well_if(well: bool, ill: impl FnOnce() -> String) -> Result<Health, String> {
    Ok(if well { Health::Well } else { Health::Ill(ill()) })
}

/// The judgement over known findings; the error is the reason why a field that it needs is unknown.
fn judge(finding: &Finding) -> Result<Health, String> {
    let number = |name: &str| match finding.field(name) {
        Value::Number(number) => Ok(number),
        Value::Unknown(why) => Err(why),
        other => Err(format!("{name} is no number: {other:?}")),
    };
    let flag = |name: &str| match finding.field(name) {
        Value::Flag(flag) => Ok(flag),
        Value::Unknown(why) => Err(why),
        other => Err(format!("{name} is neither true nor false: {other:?}")),
    };
    match finding.probe.as_str() {
        "postgres.sessions" => {
            let (total, max, reserved) = (number("total")?, number("max")?, number("reserved")?);
            well_if(total < max - reserved, || format!("every slot is taken: {total} sessions of {max}"))
        }
        "postgres.answering" | "redis.answering" | "docker.engine" => {
            well_if(flag("answering")?, || "it does not answer".to_owned())
        }
        // Writes are refused only where nothing may be evicted; without a limit the ratio is unknown, and nothing is full.
        "redis.memory" => match (finding.field("policy"), number("used_ratio")) {
            (Value::Text(policy), Ok(ratio)) if policy == "noeviction" => {
                well_if(ratio < 1.0, || "its memory is full, and it evicts nothing".to_owned())
            }
            _ => Ok(Health::Well),
        },
        "rabbitmq.answering" => match flag("amqp")? {
            false => Ok(Health::Ill("it takes no connection".to_owned())),
            true => well_if(!flag("alarm")?, || "an alarm is in force, and publishers are blocked".to_owned()),
        },
        "queue.depth" => match finding.field("state") {
            Value::Unknown(why) => Err(why),
            Value::Text(state) => well_if(!DEAD_QUEUES.contains(&state.as_str()), || format!("its state is {state}")),
            _ => Ok(Health::Well),
        },
        "docker.service" => {
            let (replicas, healthy) = (number("replicas")?, number("healthy")?);
            well_if(healthy > 0.0 && healthy * 2.0 >= replicas, || format!("{healthy} of {replicas} replicas are healthy"))
        }
        "http.get" => well_if(flag("expected")?, || "its status is not the expected one".to_owned()),
        "prometheus.ready" => well_if(flag("ready")?, || "it is not ready".to_owned()),
        "rehearsal.ledger" => well_if(!flag("broken")?, || "it is broken".to_owned()),
        other => Err(format!("{other} says nothing about health")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Seen, fields};
    use crate::probe::Probe;
    use crate::target::Kind;
    use crate::time::Stamp;
    use std::collections::BTreeMap;

    fn seen(probe: &str, values: &[(&str, Value)]) -> Finding {
        let fields: BTreeMap<_, _> = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Finding { probe: probe.to_owned(), at: Stamp::default(), seen: Seen::Known { fields, subjects: vec![] } }
    }

    fn sessions(total: f64) -> Finding {
        let number = Value::Number;
        seen("postgres.sessions", &[("total", number(total)), ("max", number(100.0)), ("reserved", number(3.0))])
    }

    fn service(replicas: f64, healthy: f64) -> Health {
        seen("docker.service", &[("replicas", Value::Number(replicas)), ("healthy", Value::Number(healthy))]).health()
    }

    #[test]
    fn full_is_ill_and_nearly_full_is_not() {
        assert_eq!(sessions(96.0).health(), Health::Well);
        assert!(matches!(sessions(97.0).health(), Health::Ill(_)));
    }

    #[test]
    fn a_service_is_well_while_half_of_it_is() {
        assert_eq!(service(2.0, 1.0), Health::Well);
        assert_eq!(service(1.0, 1.0), Health::Well);
        for (replicas, healthy) in [(1.0, 0.0), (3.0, 1.0), (0.0, 0.0)] {
            assert!(matches!(service(replicas, healthy), Health::Ill(_)), "{healthy} of {replicas}");
        }
    }

    #[test]
    fn a_server_leans_on_its_container_and_not_on_the_containers_check() {
        let values = |running| [("replicas", Value::Number(1.0)), ("running", running), ("healthy", Value::Number(0.0))];
        let home = |running| seen("docker.service", &values(running)).health_as_home();
        assert_eq!(home(Value::Number(1.0)), Health::Well, "full, and so failing its check");
        assert!(matches!(home(Value::Number(0.0)), Health::Ill(_)));
        assert!(matches!(home(Value::Unknown("no answer".to_owned())), Health::Unknown(_)));
        assert!(matches!(sessions(97.0).health_as_home(), Health::Ill(_)), "for anything else it is the same");
    }

    #[test]
    fn a_broker_with_an_alarm_is_ill_and_one_whose_alarms_are_unseen_is_unknown() {
        let broker = |alarm| seen("rabbitmq.answering", &[("amqp", Value::Flag(true)), ("alarm", alarm)]).health();
        assert_eq!(broker(Value::Flag(false)), Health::Well);
        assert!(matches!(broker(Value::Flag(true)), Health::Ill(_)));
        assert!(matches!(broker(Value::Unknown("no answer".to_owned())), Health::Unknown(_)));
    }

    #[test]
    fn a_cache_without_a_limit_is_not_full() {
        let cache = |policy: &str, ratio| {
            seen("redis.memory", &[("policy", Value::Text(policy.to_owned())), ("used_ratio", ratio)]).health()
        };
        assert!(matches!(cache("noeviction", Value::Number(1.0)), Health::Ill(_)));
        assert_eq!(cache("allkeys-lru", Value::Number(1.0)), Health::Well);
        assert_eq!(cache("noeviction", Value::Unknown("no limit".to_owned())), Health::Well);
    }

    #[test]
    fn the_usual_look_of_every_kind_is_judged_and_an_unseen_one_never_well() {
        for kind in Kind::ALL {
            let probe = Probe::usual(kind);
            let unseen =
                Finding { probe: probe.name().to_owned(), at: Stamp::default(), seen: Seen::Unknown("no answer".to_owned()) };
            assert_eq!(unseen.health(), Health::Unknown("no answer".to_owned()));
            // Every field unknown: nothing may be called well, but for the cache, which answered.
            let values: Vec<_> =
                fields(probe.name()).iter().map(|field| (field.name, Value::Unknown("unseen".to_owned()))).collect();
            let blind = seen(probe.name(), &values).health();
            let expected = if kind == Kind::Redis { Health::Well } else { Health::Unknown("unseen".to_owned()) };
            assert_eq!(blind, expected, "{probe}");
        }
    }
}
