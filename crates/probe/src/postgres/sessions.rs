//! `postgres.sessions`: sessions by state, and the idle ones by name, in one statement and one row.
//!
//! A backup is seen by its tool's session or by the base backup that is being sent; a stream of WAL, which never ends, is none.
//! Idle goes by `state_change`: `query_start` is when the last statement began. Only client backends count; walsenders, and so
//! replication and base backups, have slots of their own. runbookd's own sessions count towards `total`, never as idle or active.

use std::time::Duration;

use chrono::{DateTime, Utc};
use connect::Looking;
use runbook::condition::Value;
use runbook::finding::{Attribute, Attributes, Seen, Subject};
use runbook::identity::Identity;
use runbook::order::BACKUPS;
use runbook::probe::Sessions;
use runbook::target::Target;
use runbook::text::{humanize_duration, inert};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::CANNOT_SEE;
use crate::seen::Fields;

/// As many subjects as any act could want, and few enough to keep.
const MOST_SUBJECTS: i64 = 1000;

/// Why a role that is gone counts as replication: a session that nobody can name must not be ended.
/// Why a superuser does not count as replication: every superuser has that attribute.
const SESSIONS: &str = "\
WITH clients AS MATERIALIZED (
  SELECT a.pid, a.backend_start, a.state, coalesce(a.usename::text, '') AS usename, coalesce(a.application_name, '') AS application,
         coalesce(host(a.client_addr), 'local') AS client, coalesce(a.datname::text, '') AS database,
         coalesce(r.rolsuper, false) AS superuser, coalesce(r.rolreplication AND NOT r.rolsuper, true) AS replication,
         a.application_name LIKE 'runbookd%' AS own,
         coalesce(greatest(extract(epoch FROM clock_timestamp() - a.state_change), 0)::float8, 0) AS seconds
    FROM pg_stat_activity AS a LEFT JOIN pg_roles AS r ON r.oid = a.usesysid
   WHERE a.backend_type = 'client backend'
), idle AS (
  SELECT * FROM clients WHERE state IN ('idle', 'idle in transaction', 'idle in transaction (aborted)') AND NOT own
), subjects AS (
  SELECT * FROM idle ORDER BY seconds DESC, pid LIMIT $2
), top AS (
  SELECT application, count(*)::float8 AS sessions FROM clients GROUP BY application ORDER BY count(*) DESC, application LIMIT 1
)
SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees,
       (SELECT count(*)::float8 FROM clients) AS total,
       current_setting('max_connections')::float8 AS max,
       current_setting('superuser_reserved_connections')::float8
         + coalesce(current_setting('reserved_connections', true)::float8, 0) AS reserved,
       (SELECT count(*)::float8 FROM clients WHERE state IN ('active', 'fastpath function call') AND NOT own) AS active,
       (SELECT count(*)::float8 FROM idle WHERE state = 'idle' AND seconds >= $1) AS idle,
       (SELECT count(*)::float8 FROM idle WHERE state <> 'idle' AND seconds >= $1) AS idle_in_transaction,
       (SELECT count(*)::float8 FROM idle) AS idle_any,
       (SELECT coalesce(bool_or(superuser), false) FROM idle WHERE seconds >= $1) AS superuser_sessions,
       EXISTS (SELECT FROM clients, unnest($3::text[]) AS tool WHERE starts_with(lower(application), tool))
         OR EXISTS (SELECT FROM pg_stat_progress_basebackup) AS backup_running,
       (SELECT application FROM top) AS top_application,
       (SELECT sessions FROM top) AS top_application_sessions,
       s.*
  FROM (SELECT coalesce(array_agg(pid), '{}') AS pids, coalesce(array_agg(backend_start), '{}') AS starts,
               coalesce(array_agg(state), '{}') AS states, coalesce(array_agg(seconds), '{}') AS seconds,
               coalesce(array_agg(usename), '{}') AS users, coalesce(array_agg(application), '{}') AS applications,
               coalesce(array_agg(client), '{}') AS clients, coalesce(array_agg(database), '{}') AS databases,
               coalesce(array_agg(superuser), '{}') AS superusers, coalesce(array_agg(replication), '{}') AS replications
          FROM subjects) AS s";

const NUMBERS: [&str; 8] =
    ["total", "max", "reserved", "active", "idle", "idle_in_transaction", "idle_any", "top_application_sessions"];

pub(crate) async fn look(looking: &Looking, target: &Target, sessions: &Sessions, within: Duration) -> Result<Seen, String> {
    let mut held = looking.postgres(&target.id, within).await.map_err(|error| error.words)?;
    let asked = sqlx::query(SESSIONS).bind(sessions.idle_for.duration().as_secs_f64()).bind(MOST_SUBJECTS).bind(&BACKUPS[..]);
    let row = asked.fetch_one(held.ask()).await;
    let row = held.answered(row).map_err(|error| error.words)?;
    drop(held);
    if !row.try_get("sees").unwrap_or(false) {
        return Err(CANNOT_SEE.to_owned());
    }
    read(&row).map_err(|error| format!("the server's answer cannot be read: {error}"))
}

fn read(row: &PgRow) -> Result<Seen, sqlx::Error> {
    let mut fields = Fields::new();
    for name in NUMBERS {
        fields.number(name, row.try_get(name)?);
    }
    fields.number("used_ratio", row.try_get::<f64, _>("total")? / row.try_get::<f64, _>("max")?);
    fields.text("top_application", row.try_get("top_application")?);
    fields.flag("superuser_sessions", row.try_get("superuser_sessions")?);
    fields.flag("backup_running", row.try_get("backup_running")?);
    Ok(fields.seen_with(subjects(row)?))
}

/// The columns of the idle sessions, oldest first. The server keeps the order: they are aggregated from an ordered set.
fn subjects(row: &PgRow) -> Result<Vec<Subject>, sqlx::Error> {
    let pids: Vec<i32> = row.try_get("pids")?;
    let starts: Vec<DateTime<Utc>> = row.try_get("starts")?;
    let seconds: Vec<f64> = row.try_get("seconds")?;
    let texts = |name: &str| row.try_get::<Vec<String>, _>(name);
    let (states, users, applications) = (texts("states")?, texts("users")?, texts("applications")?);
    let (clients, databases) = (texts("clients")?, texts("databases")?);
    let flags = |name: &str| row.try_get::<Vec<bool>, _>(name);
    let (superusers, replications) = (flags("superusers")?, flags("replications")?);
    let at = |list: &[String], i: usize| list.get(i).cloned().unwrap_or_default();
    let subject = |(i, pid): (usize, i32)| {
        let start = starts.get(i)?;
        let idle = Duration::try_from_secs_f64(*seconds.get(i)?).ok()?;
        let (state, user, application) = (at(&states, i), at(&users, i), at(&applications, i));
        let (client, database) = (at(&clients, i), at(&databases, i));
        let words = format!(
            "pid {pid}, {state} for {}, application {}, user {}, database {}, from {client}",
            humanize_duration(Duration::from_secs(idle.as_secs())),
            named(&application),
            named(&user),
            named(&database),
        );
        // Names stay as they are here: exclusions compare them.
        let attributes = Attributes::from([
            (Attribute::State, Value::Text(state)),
            (Attribute::IdleSeconds, Value::number(idle.as_secs_f64())),
            (Attribute::Application, Value::Text(application)),
            (Attribute::User, Value::Text(user)),
            (Attribute::Client, Value::Text(client)),
            (Attribute::Database, Value::Text(database)),
            (Attribute::BackendType, Value::Text("client backend".to_owned())),
            (Attribute::Replication, Value::Flag(*replications.get(i)?)),
            (Attribute::Superuser, Value::Flag(*superusers.get(i)?)),
        ]);
        Some(Subject { identity: Identity::Session { pid, backend_start: start.timestamp_micros() }, words, attributes })
    };
    Ok(pids.into_iter().enumerate().filter_map(subject).collect())
}

fn named(name: &str) -> String {
    if name.is_empty() { "without a name".to_owned() } else { inert(name, 63) }
}
