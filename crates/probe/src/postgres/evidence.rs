//! What ending sessions destroys, kept before: the sessions as the server shows them, the locks they hold, and whom they block.
//! Statements are cut and their values taken out; everything is bounded. Deliberately nothing about other sessions.

use std::time::Duration;

use connect::Looking;
use runbook::identity::Selection;
use runbook::target::Target;
use serde_json::Value as Json;

use super::arrays;
use super::redact::redact;

/// Compressed it is far less; a page of evidence that nobody can read is none.
const MOST_BYTES: usize = 256 * 1024;

/// Statements are cut to this many characters by the server.
const SESSIONS: &str = "\
SELECT to_json(s)::text FROM (
  SELECT a.pid, a.backend_start, a.usename, a.application_name, a.client_addr, a.client_port, a.datname, a.state, a.state_change,
         a.xact_start, a.query_start, a.wait_event_type, a.wait_event, a.backend_xid::text, a.backend_xmin::text,
         left(a.query, 500) AS query
    FROM unnest($1::int4[], $2::timestamptz[]) AS w(pid, backend_start)
    JOIN pg_stat_activity AS a ON a.pid = w.pid AND a.backend_start = w.backend_start
   ORDER BY a.state_change LIMIT 1000) AS s";

/// The locks that the sessions hold or wait for, and whoever waits for one of them.
const LOCKS: &str = "\
SELECT to_json(l)::text AS row FROM (
  SELECT l.pid, l.locktype, l.mode, l.granted, l.database, l.relation,
         CASE WHEN l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
              THEN l.relation::regclass::text END AS relation_name,
         l.virtualtransaction, l.transactionid::text
    FROM pg_locks AS l WHERE l.pid = ANY($1::int4[]) ORDER BY l.pid LIMIT 1000) AS l
UNION ALL
SELECT to_json(b)::text FROM (
  SELECT a.pid, a.usename, a.application_name, a.state, a.query_start, pg_blocking_pids(a.pid) AS blocked_by
    FROM pg_stat_activity AS a
   WHERE a.wait_event_type = 'Lock' AND pg_blocking_pids(a.pid) && $1::int4[] LIMIT 200) AS b";

/// The sessions of a selection, and what they hold.
pub(crate) async fn capture(
    looking: &Looking,
    target: &Target,
    selection: &Selection,
    within: Duration,
) -> Vec<(String, Result<Vec<u8>, String>)> {
    let named = |name: &str, result| (name.to_owned(), result);
    let (pids, starts) = match arrays(selection.iter()) {
        Ok(arrays) => arrays,
        Err(why) => return vec![named("sessions", Err(why))],
    };
    let mut held = match looking.postgres(&target.id, within).await {
        Ok(held) => held,
        Err(error) => return vec![named("sessions", Err(error.words))],
    };
    let answer = sqlx::query_scalar::<_, String>(SESSIONS).bind(&pids).bind(starts).fetch_all(held.ask()).await;
    let sessions = held.answered(answer).map_err(|error| error.words).and_then(|rows| document("sessions", &rows));
    let answer = sqlx::query_scalar::<_, String>(LOCKS).bind(pids).fetch_all(held.ask()).await;
    let locks = held.answered(answer).map_err(|error| error.words).and_then(|rows| document("locks", &rows));
    vec![named("sessions", sessions), named("locks", locks)]
}

/// Rows as one JSON document, statements redacted, and as many rows as fit.
fn document(name: &str, rows: &[String]) -> Result<Vec<u8>, String> {
    let mut kept: Vec<Json> = Vec::new();
    let mut bytes = 0;
    for row in rows {
        let mut row: Json = serde_json::from_str(row).map_err(|error| format!("the server's answer is no JSON: {error}"))?;
        if let Some(Json::String(query)) = row.get_mut("query") {
            *query = redact(query);
        }
        bytes += row.to_string().len() + 1;
        if bytes > MOST_BYTES - 100 {
            break;
        }
        kept.push(row);
    }
    let left_out = rows.len() - kept.len();
    serde_json::to_vec(&serde_json::json!({ name: kept, "left_out": left_out })).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_redacted_and_bounded() {
        let row = |i: usize| format!(r#"{{"pid":{i},"query":"SELECT 'geheim'","application_name":"{}"}}"#, "x".repeat(1000));
        let rows: Vec<String> = (0..1000).map(row).collect();
        let written = document("sessions", &rows).unwrap();
        assert!(written.len() <= MOST_BYTES);
        let read: Json = serde_json::from_slice(&written).unwrap();
        assert_eq!(read["sessions"][0]["query"], "SELECT '…'");
        assert_eq!(read["left_out"].as_u64().unwrap() as usize + read["sessions"].as_array().unwrap().len(), 1000);
        assert!(document("sessions", &["no json".to_owned()]).is_err());
    }
}
