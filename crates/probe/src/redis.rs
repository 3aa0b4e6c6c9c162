//! Looks at Redis: timed PINGs and INFO. Why never more: KEYS and scans of everything stop the one thread that serves
//! everybody. A server that loads its data answers INFO and refuses PING, so INFO is asked first.

use std::collections::HashMap;
use std::time::Duration;

use connect::Looking;
use redis::aio::MultiplexedConnection;
use runbook::condition::Value;
use runbook::finding::Seen;
use runbook::target::Target;
use runbook::text::inert;
use tokio::time::Instant;

use crate::nearly;
use crate::seen::Fields;

/// How many PINGs are timed.
const PINGS: usize = 5;

type Info = HashMap<String, String>;

pub(crate) async fn answering(looking: &Looking, target: &Target, within: Duration) -> Result<Seen, String> {
    let mut fields = Fields::new();
    let mut connection = match looking.redis(target, nearly(within)).await {
        Ok(connection) => connection,
        Err(error) => return not_connected(&error),
    };
    match info(&mut connection, &["replication", "persistence"]).await {
        Ok(info) => {
            fields.put("role", text(&info, "role"));
            fields.put(
                "loading",
                match info.get("loading").map(String::as_str) {
                    Some("0") => Value::Flag(false),
                    Some(_) => Value::Flag(true),
                    None => Value::Unknown("INFO has no loading".to_owned()),
                },
            );
        }
        Err(why) => {
            fields.unknown(&["role", "loading"], &why);
        }
    }
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let begun = Instant::now();
        match redis::cmd("PING").query_async::<String>(&mut connection).await {
            Ok(_) => times.push(begun.elapsed()),
            Err(error) => {
                fields.flag("answering", false).unknown(&["ping_seconds"], &words(&error));
                return Ok(fields.seen());
            }
        }
    }
    times.sort();
    fields.flag("answering", true);
    fields.number("ping_seconds", times.get(PINGS / 2).map_or(f64::NAN, Duration::as_secs_f64));
    Ok(fields.seen())
}

/// Nobody listens or nobody answers: PING is not answered, and nothing else is known. A refused login is our own trouble.
fn not_connected(error: &anyhow::Error) -> Result<Seen, String> {
    let why = format!("{error:#}");
    let transport = match error.downcast_ref::<redis::RedisError>() {
        Some(error) => error.is_io_error() || error.is_timeout() || error.is_connection_refusal(),
        None => why.starts_with("no answer within"),
    };
    if !transport {
        return Err(why);
    }
    let mut fields = Fields::new();
    fields.flag("answering", false).unknown(&["ping_seconds", "role", "loading"], &why);
    Ok(fields.seen())
}

pub(crate) async fn memory(looking: &Looking, target: &Target, within: Duration) -> Result<Seen, String> {
    let mut connection = looking.redis(target, nearly(within)).await.map_err(|error| format!("{error:#}"))?;
    let info = info(&mut connection, &["memory", "stats", "clients", "replication"]).await?;
    let mut fields = Fields::new();
    let (used, max) = (number(&info, "used_memory"), number(&info, "maxmemory"));
    let ratio = match (&used, &max) {
        (Value::Number(_), Value::Number(0.0)) => Value::Unknown("maxmemory is 0: there is no limit".to_owned()),
        (Value::Number(used), Value::Number(max)) => Value::number(used / max),
        _ => Value::Unknown("INFO has no used_memory or no maxmemory".to_owned()),
    };
    fields.put("used_bytes", used).put("max_bytes", max).put("used_ratio", ratio);
    fields.put("rss_bytes", number(&info, "used_memory_rss")).put("fragmentation", number(&info, "mem_fragmentation_ratio"));
    fields.put("policy", text(&info, "maxmemory_policy")).put("evicted", number(&info, "evicted_keys"));
    fields.put("clients", number(&info, "connected_clients")).put("role", text(&info, "role"));
    Ok(fields.seen())
}

/// Sections of INFO, one by one: several at once are understood only from 7 on.
async fn info(connection: &mut MultiplexedConnection, sections: &[&str]) -> Result<Info, String> {
    let mut pipeline = redis::pipe();
    for section in sections {
        pipeline.cmd("INFO").arg(*section);
    }
    let answers: Vec<String> = pipeline.query_async(connection).await.map_err(|error| words(&error))?;
    let lines = answers.iter().flat_map(|answer| answer.lines());
    Ok(lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
}

fn number(info: &Info, name: &str) -> Value {
    match info.get(name).map(|value| value.parse::<f64>()) {
        Some(Ok(number)) => Value::number(number),
        _ => Value::Unknown(format!("INFO has no {name}")),
    }
}

fn text(info: &Info, name: &str) -> Value {
    match info.get(name) {
        Some(value) => Value::Text(inert(value, 60)),
        None => Value::Unknown(format!("INFO has no {name}")),
    }
}

fn words(error: &redis::RedisError) -> String {
    if error.is_timeout() { "no answer in time".to_owned() } else { inert(&error.to_string(), 300) }
}
