//! Looks at PostgreSQL, over the held connection, except the one whose point is a new login.
//!
//! Why rights come first: without `pg_read_all_stats` the state of other users' sessions reads NULL, and a look would see
//! nothing wrong. Deliberately no `pg_isready`: it says *accepting* while every slot is taken.

pub(crate) mod alive;
pub(crate) mod answering;
pub(crate) mod evidence;
mod redact;
pub(crate) mod rights;
pub(crate) mod sessions;

use chrono::{DateTime, Utc};
use runbook::identity::Identity;

/// What is missing when a login cannot see other users' sessions, and the mend.
pub(crate) const CANNOT_SEE: &str = "cannot see other users' sessions: grant pg_read_all_stats (part of pg_monitor) to the login for looking, as deploy/sql/look.sql does";

/// The pids and starts of sessions, as two arrays to bind.
///
/// Errors when one of them is no session, or its start is no moment.
pub(crate) fn arrays<'a>(identities: impl IntoIterator<Item = &'a Identity>) -> Result<(Vec<i32>, Vec<DateTime<Utc>>), String> {
    identities
        .into_iter()
        .map(|identity| match identity {
            Identity::Session { pid, backend_start } => DateTime::from_timestamp_micros(*backend_start)
                .map(|start| (*pid, start))
                .ok_or_else(|| format!("{identity} has no possible start")),
            other => Err(format!("{other} is no session")),
        })
        .collect()
}
