//! `postgres.alive`: which of these sessions still exist. It is the look that settles a termination, so a login that cannot see
//! them must not read as "they are gone".

use std::time::Duration;

use connect::Looking;
use runbook::finding::Seen;
use runbook::identity::Identity;
use runbook::target::Target;
use sqlx::Row;

use super::{CANNOT_SEE, arrays};
use crate::seen::Fields;

const ALIVE: &str = "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees, \
    (SELECT count(*) FROM unnest($1::int4[], $2::timestamptz[]) AS w(pid, backend_start) \
      JOIN pg_stat_activity AS a ON a.pid = w.pid AND a.backend_start = w.backend_start) AS alive";

pub(crate) async fn look(looking: &Looking, target: &Target, asked: &[Identity], within: Duration) -> Result<Seen, String> {
    let (pids, starts) = arrays(asked)?;
    let mut held = looking.postgres(&target.id, within).await.map_err(|error| error.words)?;
    let row = sqlx::query(ALIVE).bind(pids).bind(starts).fetch_one(held.ask()).await;
    let row = held.answered(row).map_err(|error| error.words)?;
    if !row.try_get("sees").unwrap_or(false) {
        return Err(CANNOT_SEE.to_owned());
    }
    let alive: i64 = row.try_get("alive").map_err(|error| error.to_string())?;
    let mut fields = Fields::new();
    fields.number("alive", alive as f64);
    Ok(fields.seen())
}
