//! `postgres.terminate_idle`: ends exactly the sessions that were selected, and of them only those that are still idle.
//!
//! Two statements on one connection. The first asks for the rights (without them nothing is seen, and nothing seen would read as
//! nothing to do), marks our session with the incident, and reads the server's clock. The second re-checks every session inside
//! the server, in the same moment as it is signalled: pid and start, client backend, idle for long enough, none of the
//! exclusions. It carries a last moment by the server's clock: a call that got stuck in between does nothing once its deadline
//! is over, so that *not landed* can be concluded.
//!
//! Deliberately no waiting for the sessions to be gone: that is seen by a look.

use chrono::{DateTime, Utc};
use connect::{APPLICATION_ACT, Acting, Held, PostgresError, PostgresTrouble};
use policy::Committed;
use runbook::action::{IdleState, TerminateIdle};
use runbook::identity::{Identity, Selection};
use runbook::incident::Reply;
use runbook::target::{Place, Target, TerminateBy};
use sqlx::Row;
use sqlx::postgres::types::PgInterval;
use tokio::time::Instant;

use super::outcome::Outcomes;

/// Rights, mark and clock. The function is looked up in the catalogue: naming it would be an error where it is missing.
const BEFORE: &str = "\
SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees,
       pg_has_role(current_user, 'pg_signal_backend', 'USAGE') AS signals,
       coalesce((SELECT has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')
                   FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
                  WHERE n.nspname = 'runbookd' AND p.proname = 'terminate_idle_session'
                    AND oidvectortypes(p.proargtypes) = 'integer, timestamp with time zone, interval'), false) AS executes,
       set_config('application_name', $1, false) AS mark,
       clock_timestamp() AS now";

/// What each session is found to be, by the rules that hold whatever a runbook says, and by this order's own.
/// $1 pids, $2 starts, $3 states, $4 least idle time, $5 last moment, $6 users and $7 applications never to be touched.
macro_rules! found {
    () => {
        "\
WITH found AS MATERIALIZED (
  SELECT w.pid, w.backend_start, coalesce(r.rolsuper, false) AS superuser,
    CASE WHEN a.pid IS NULL THEN 'gone'
         WHEN a.backend_type <> 'client backend' OR a.pid = pg_backend_pid()
              OR coalesce(r.rolreplication AND NOT r.rolsuper, true)
              OR a.application_name ~* '^(runbookd|pg_(dump|dumpall|restore|basebackup|receivewal|recvlogical|rewind|verifybackup|repack)|pgbackrest|barman|wal-[eg])'
              OR a.usename ~* 'backup' OR a.usename = ANY($6::text[]) OR a.application_name = ANY($7::text[]) THEN 'excluded'
         WHEN a.state IS NULL OR NOT a.state = ANY($3::text[]) OR a.state_change > clock_timestamp() - $4::interval THEN 'busy'
         WHEN clock_timestamp() >= $5::timestamptz THEN 'late'
         ELSE 'idle' END AS found
    FROM unnest($1::int4[], $2::timestamptz[]) AS w(pid, backend_start)
    LEFT JOIN pg_stat_activity AS a ON a.pid = w.pid AND a.backend_start = w.backend_start
    LEFT JOIN pg_roles AS r ON r.oid = a.usesysid
)
"
    };
}

/// A CASE evaluates its branches in order, so nothing is signalled that was not found idle.
const BY_SIGNAL: &str = concat!(
    found!(),
    "SELECT CASE WHEN found <> 'idle' THEN found WHEN superuser THEN 'superuser'
                 WHEN pg_terminate_backend(pid) THEN 'signalled' ELSE 'gone' END AS outcome FROM found"
);

/// The function checks everything again inside, and is the only thing that can end a superuser's session.
const BY_FUNCTION: &str = concat!(
    found!(),
    "SELECT CASE WHEN found <> 'idle' THEN found
                 WHEN runbookd.terminate_idle_session(pid, backend_start, $4::interval) THEN 'signalled' ELSE 'declined' END AS outcome FROM found"
);

/// Ends the sessions of a committed order.
pub(crate) async fn terminate_idle(acting: &Acting, target: &Target, terminate: &TerminateIdle, committed: &Committed) -> Reply {
    let Place::Postgres { terminate_by, act, .. } = &target.place else {
        return Reply::Refused(format!("{} is no PostgreSQL server", target.id));
    };
    if act.is_none() {
        return Reply::Refused(format!("{} has no login to act with in the inventory", target.id));
    }
    let asked = committed.order().selection.count();
    if asked > terminate.at_most as usize {
        return Reply::Refused(format!("the order names {asked} sessions and may name at most {}", terminate.at_most));
    }
    let deadline = committed.deadline();
    let begun = Instant::now();
    let held = acting.postgres(&target.id, deadline).await;
    let mut held = match held {
        Ok(held) => held,
        Err(error) => return Reply::Failed(format!("nothing was done: cannot log in to act: {error}")),
    };
    let mark = format!("{APPLICATION_ACT} {}", committed.incident());
    let last_moment = match prepare(&mut held, *terminate_by, &mark, begun + deadline).await {
        Ok(last_moment) => last_moment,
        Err(reply) => return reply,
    };
    match signal(&mut held, *terminate_by, terminate, &committed.order().selection, last_moment).await {
        Ok(outcomes) => outcomes.reply(*terminate_by),
        Err(error) => reply_to(&error, "the order was sent"),
    }
}

/// Rights first. Answers the last moment, by the server's clock, at which the order may still do anything.
async fn prepare(held: &mut Held<'_>, by: TerminateBy, mark: &str, deadline: Instant) -> Result<DateTime<Utc>, Reply> {
    let row = sqlx::query(BEFORE).bind(mark).fetch_one(held.ask()).await;
    let row = held.answered(row).map_err(|error| reply_to(&error, "nothing was ordered yet"))?;
    let may = |right: &str| row.try_get::<bool, _>(right).unwrap_or(false);
    if !may("sees") {
        return Err(Reply::Refused(
            "nothing was done: cannot see other users' sessions; grant pg_read_all_stats, as deploy/sql/act-terminate.sql does"
                .to_owned(),
        ));
    }
    match by {
        TerminateBy::SignalBackend if !may("signals") => Err(Reply::Refused(
            "nothing was done: may not end sessions; grant pg_signal_backend, as deploy/sql/act-terminate.sql does".to_owned(),
        )),
        TerminateBy::Function if !may("executes") => Err(Reply::Refused(
            "nothing was done: the function runbookd.terminate_idle_session is not in this database or may not be called; run deploy/sql/terminate-as-superuser-function.sql".to_owned(),
        )),
        TerminateBy::SignalBackend | TerminateBy::Function => row
            .try_get::<DateTime<Utc>, _>("now")
            // Its clock was read before the answer came, so this moment is never after our deadline.
            .map(|now| now + deadline.saturating_duration_since(Instant::now()))
            .map_err(|error| Reply::Failed(format!("nothing was done: the server's clock cannot be read: {error}"))),
    }
}

async fn signal(
    held: &mut Held<'_>,
    by: TerminateBy,
    terminate: &TerminateIdle,
    selection: &Selection,
    last_moment: DateTime<Utc>,
) -> Result<Outcomes, PostgresError> {
    let statement = match by {
        TerminateBy::SignalBackend => BY_SIGNAL,
        TerminateBy::Function => BY_FUNCTION,
    };
    let (pids, starts) = arrays(selection)?;
    let least_idle = PgInterval::try_from(terminate.idle_for.duration())
        .map_err(|error| PostgresError::new(PostgresTrouble::Other, format!("idle_for cannot be sent: {error}")))?;
    let never = |word: &str| -> Vec<String> {
        terminate.never.iter().filter_map(|rule| rule.strip_prefix(word)).map(str::to_owned).collect()
    };
    let asked = sqlx::query_scalar::<_, String>(statement)
        .bind(pids)
        .bind(starts)
        .bind(states(&terminate.states))
        .bind(least_idle)
        .bind(last_moment)
        .bind(never("user:"))
        .bind(never("application:"));
    let answer = asked.fetch_all(held.ask()).await;
    Ok(Outcomes::of(&held.answered(answer)?))
}

fn arrays(selection: &Selection) -> Result<(Vec<i32>, Vec<DateTime<Utc>>), PostgresError> {
    let parts = selection.iter().map(|identity| match identity {
        Identity::Session { pid, backend_start } => DateTime::from_timestamp_micros(*backend_start).map(|start| (*pid, start)),
        Identity::Container { .. } | Identity::Clone { .. } | Identity::Rehearsal(_) => None,
    });
    parts.collect::<Option<_>>().ok_or_else(|| {
        PostgresError::new(PostgresTrouble::Unasked, "nothing was done: the order names something that is no session")
    })
}

fn states(wanted: &[IdleState]) -> Vec<&'static str> {
    let written = |state: &IdleState| match state {
        IdleState::Idle => &["idle"][..],
        IdleState::IdleInTransaction => &["idle in transaction", "idle in transaction (aborted)"],
    };
    wanted.iter().flat_map(written).copied().collect()
}

/// What trouble means for the record; `so_far` says how much of the order was on its way.
fn reply_to(error: &PostgresError, so_far: &str) -> Reply {
    match error.trouble {
        PostgresTrouble::NotPermitted | PostgresTrouble::LoginRefused => Reply::Refused(error.words.clone()),
        PostgresTrouble::NoAnswer | PostgresTrouble::Lost => Reply::NoAnswer(format!("{error}; {so_far}")),
        _ => Reply::Failed(error.words.clone()),
    }
}
