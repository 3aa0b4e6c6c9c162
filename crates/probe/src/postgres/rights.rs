//! What would stand in the way of ending sessions, asked with the login that looks, so that asking changes nothing.

use std::time::Duration;

use connect::Looking;
use runbook::target::{Place, Target, TerminateBy};
use sqlx::Row;

use super::CANNOT_SEE;

const RIGHTS: &str = "\
SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS look_sees,
       r.rolname IS NOT NULL AS exists, coalesce(r.rolcanlogin, false) AS logs_in,
       coalesce(pg_has_role(r.oid, 'pg_read_all_stats', 'USAGE'), false) AS sees,
       coalesce(pg_has_role(r.oid, 'pg_signal_backend', 'USAGE'), false) AS signals,
       f.proname IS NOT NULL AS installed, coalesce(f.prosecdef AND f.rolsuper, false) AS powerful,
       coalesce(has_schema_privilege(r.oid, f.nspoid, 'USAGE') AND has_function_privilege(r.oid, f.oid, 'EXECUTE'), false) AS executes
  FROM (SELECT 1) AS one
  LEFT JOIN pg_roles AS r ON r.rolname = $1
  LEFT JOIN (SELECT p.oid, p.proname, p.prosecdef, n.oid AS nspoid, o.rolsuper
               FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_roles AS o ON o.oid = p.proowner
              WHERE n.nspname = 'runbookd' AND p.proname = 'terminate_idle_session'
                AND oidvectortypes(p.proargtypes) = 'integer, timestamp with time zone, interval') AS f ON true";

/// Nothing, or why `postgres.terminate_idle` would be refused.
pub(crate) async fn terminate_idle(looking: &Looking, target: &Target, within: Duration) -> Result<(), String> {
    let Place::Postgres { act, terminate_by, database, .. } = &target.place else {
        return Err(format!("{} is no PostgreSQL server", target.id));
    };
    let Some(login) = act else {
        return Err(format!("{} has no login to act with: add `act` to it in the inventory", target.id));
    };
    let mut held =
        looking.postgres(&target.id, within).await.map_err(|error| format!("{} cannot be asked: {error}", target.id))?;
    let row = sqlx::query(RIGHTS).bind(&login.user).fetch_one(held.ask()).await;
    let row = held.answered(row).map_err(|error| error.words)?;
    let is = |name: &str| row.try_get::<bool, _>(name).unwrap_or(false);
    let user = runbook::text::inert(&login.user, 63);
    let missing = if !is("look_sees") {
        CANNOT_SEE.to_owned()
    } else if !is("exists") {
        format!("the role {user} does not exist: run deploy/sql/act-terminate.sql")
    } else if !is("logs_in") {
        format!("the role {user} may not log in: ALTER ROLE … LOGIN")
    } else if !is("sees") {
        format!("{user} cannot see other users' sessions: grant pg_read_all_stats, as deploy/sql/act-terminate.sql does")
    } else {
        match terminate_by {
            TerminateBy::SignalBackend if !is("signals") => {
                format!("{user} may not end sessions: grant pg_signal_backend, as deploy/sql/act-terminate.sql does")
            }
            TerminateBy::Function if !is("installed") => format!(
                "the function runbookd.terminate_idle_session is not in the database {}: run deploy/sql/terminate-as-superuser-function.sql there",
                runbook::text::inert(database, 63)
            ),
            TerminateBy::Function if !is("powerful") => {
                "the function runbookd.terminate_idle_session is not SECURITY DEFINER with a superuser as owner, so it cannot end a superuser's sessions".to_owned()
            }
            TerminateBy::Function if !is("executes") => {
                format!("{user} may not call runbookd.terminate_idle_session: grant USAGE on its schema and EXECUTE on it")
            }
            TerminateBy::SignalBackend | TerminateBy::Function => return Ok(()),
        }
    };
    Err(missing)
}
