//! The start of an action: one conditional transaction. Sequence, lease generation, pause, limits and holds are checked where
//! nobody can come in between, `ActionStarted` is written, and only then does the permit become what an action accepts. A
//! conflict means: decide again. Deliberately nothing is decided here; it is only made sure that the decision still stands.

use anyhow::Context;
use policy::{Committed, Permit, Reservation, Scope, Started};
use runbook::incident::{Event, IncidentId};
use runbook::order::Purpose;
use runbook::time::Stamp;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};

use crate::append::{AppendError, Refused, check_claim, keep_lease, write_event};
use crate::claim::Claim;
use crate::earned::record_of;
use crate::open::Journal;
use crate::pause::{pause_file, pause_with};

/// Why a permit was not committed. Nothing was started; decide again.
#[derive(Debug, thiserror::Error)]
pub enum StartRefused {
    /// The incident changed since the decision; the claim was reloaded.
    #[error("the incident changed since the decision")]
    Conflict,
    /// Somebody paused, resumed or paused again since the decision.
    #[error("the pause changed since the decision")]
    PauseChanged,
    /// Another incident holds a target of the step.
    #[error("{0} holds a target of the step")]
    Held(IncidentId),
    /// A limit was used up since the decision.
    #[error("a limit was used up since the decision")]
    LimitReached,
    /// The lease was lost; the claim is void.
    #[error("the lease on the incident was lost")]
    LeaseLost,
    /// The state machine does not allow the start, or the journal failed.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl Journal {
    /// Commits a permit. From here on the order is in doubt until a look settles it.
    ///
    /// # Errors
    /// [`StartRefused`]; nothing was started, except when the store failed in the middle of its commit: then a reload tells.
    pub async fn start(&self, claim: &mut Claim, permit: Permit, now: Stamp) -> Result<Committed, StartRefused> {
        let mut writer = self.writer().await;
        let at = writer.stamp(now);
        let deadline = at.plus(permit.order().deadline());
        let event = Event::ActionStarted {
            order: permit.order().clone(),
            deadline,
            settles_from: deadline.plus(permit.order().grace()),
            gates: permit.gates().to_vec(),
        };
        if permit.incident() != claim.incident.id || permit.seq() != claim.incident.seq {
            return Err(StartRefused::Conflict);
        }
        let mut next = claim.incident.clone();
        next.apply(at, &event).map_err(AppendError::from)?;
        let config = writer.config.clone();
        let outcome = async {
            let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await.context("beginning a start")?;
            match check_claim(&mut transaction, claim).await? {
                Some(Refused::Changed) => return Ok(Err(StartRefused::Conflict)),
                Some(Refused::LeaseLost) => return Ok(Err(StartRefused::LeaseLost)),
                None => {}
            }
            let pause = pause_with(&mut transaction, self.directory(), permit.runbook(), permit.touches(), at).await?;
            if pause.epoch != permit.pause_epoch() || pause.reason.is_some() {
                return Ok(Err(StartRefused::PauseChanged));
            }
            if !within_limits(&mut transaction, &permit, at).await? {
                return Ok(Err(StartRefused::LimitReached));
            }
            if let Some(holder) = take_holds(&mut transaction, &permit, at).await? {
                return Ok(Err(StartRefused::Held(holder)));
            }
            write_event(&mut transaction, permit.seq(), at, &config, &event, &next).await?;
            write_attempt(&mut transaction, &permit, at).await?;
            // For as long as the call may take: a stop alone may outlast a lease, and another task would settle the order while its
            // call still runs.
            keep_lease(&mut transaction, claim, deadline).await?;
            // The file is no part of the transaction: whoever made it meanwhile is heard up to the last moment.
            if pause_file(self.directory(), at).is_some() {
                return Ok(Err(StartRefused::PauseChanged));
            }
            transaction.commit().await.context("committing a start")?;
            Ok(Ok(()))
        }
        .await;
        match self.counted(self.note_trouble(outcome)).map_err(AppendError::from)? {
            Ok(()) => {
                claim.incident = next;
                self.count(|ledger| {
                    if permit.order().purpose == Purpose::Do && !permit.continues() {
                        ledger.started(&Started {
                            incident: permit.incident(),
                            runbook: permit.runbook().to_owned(),
                            target: permit.target().clone(),
                            acted_on: permit.order().target.clone(),
                            at,
                            cost: permit.cost(),
                        });
                    }
                    ledger.happened(&claim.incident, at, &event);
                });
                drop(writer);
                self.tell_changed();
                #[expect(clippy::disallowed_methods, reason = "this is the one place: ActionStarted is on disk")]
                Ok(permit.commit(deadline))
            }
            Err(StartRefused::Conflict) => {
                drop(writer);
                claim.incident = self.load(claim.incident.id).await.map_err(AppendError::from)?;
                Err(StartRefused::Conflict)
            }
            Err(refused) => Err(refused),
        }
    }
}

/// Checks every reserved limit against what is on record now.
async fn within_limits(connection: &mut SqliteConnection, permit: &Permit, at: Stamp) -> anyhow::Result<bool> {
    for reservation in permit.reservations() {
        let own = permit.incident().0 as i64;
        let within = match reservation.clone() {
            Reservation::Acts { scope, fewer_than, within, except_own } => {
                // $4 leaves the incident's own out, where a cooldown lies between incidents.
                let sql = match scope {
                    Scope::Here => {
                        "SELECT COUNT(*) FROM attempts WHERE purpose = 'do' AND at > $1 AND incident <> $4 AND runbook = $2 AND target = $3"
                    }
                    Scope::Target => {
                        "SELECT COUNT(*) FROM attempts WHERE purpose = 'do' AND at > $1 AND incident <> $4 AND acted_on = $5"
                    }
                    Scope::Runbook => {
                        "SELECT COUNT(*) FROM attempts WHERE purpose = 'do' AND at > $1 AND incident <> $4 AND runbook = $2"
                    }
                    Scope::Everything => "SELECT COUNT(*) FROM attempts WHERE purpose = 'do' AND at > $1 AND incident <> $4",
                };
                let counted = sqlx::query(sql)
                    .bind(at.minus(within).millis())
                    .bind(permit.runbook())
                    .bind(permit.target().to_string())
                    .bind(if except_own { own } else { -1 })
                    .bind(permit.order().target.to_string());
                number(counted.fetch_one(&mut *connection).await?)? < i64::from(fewer_than)
            }
            Reservation::Budget { budget, within } => {
                let spent = "SELECT COALESCE(SUM(cost), 0) FROM attempts WHERE purpose = 'do' AND at > $1";
                let spent = sqlx::query(spent).bind(at.minus(within).millis()).fetch_one(&mut *connection).await?;
                permit.cost() == 0 || number(spent)? + i64::from(permit.cost()) <= i64::from(budget)
            }
            Reservation::AtOnce { fewer_than } => {
                let at_work = "SELECT COUNT(DISTINCT h.incident) FROM holds h JOIN incidents i ON i.id = h.incident \
                               WHERE h.incident <> $1 AND i.stage NOT IN ('sustaining', 'unsettled', 'unreadable')";
                number(sqlx::query(at_work).bind(own).fetch_one(&mut *connection).await?)? < i64::from(fewer_than)
            }
            Reservation::Trial { scope, since } => {
                let others = "SELECT COUNT(*) FROM attempts a JOIN incidents i ON i.id = a.incident WHERE a.purpose = 'do' \
                              AND a.at > $1 AND a.incident <> $2 AND i.closed IS NULL AND ($3 OR a.runbook = $4)";
                let others = sqlx::query(others).bind(since.millis()).bind(own).bind(scope == Scope::Everything);
                number(others.bind(permit.runbook()).fetch_one(&mut *connection).await?)? == 0
            }
            Reservation::Earned { deed, at_least } => {
                record_of(connection, permit.runbook(), &deed).await?.unwrap_or_default().level >= at_least
            }
        };
        if !within {
            return Ok(false);
        }
    }
    Ok(true)
}

fn number(row: sqlx::sqlite::SqliteRow) -> anyhow::Result<i64> {
    Ok(row.try_get(0)?)
}

/// Takes a hold on every target of the step, in order, all or none (the transaction sees to that).
async fn take_holds(connection: &mut SqliteConnection, permit: &Permit, at: Stamp) -> anyhow::Result<Option<IncidentId>> {
    for target in permit.touches() {
        let row = sqlx::query(
            "INSERT INTO holds (target, incident, since) VALUES ($1, $2, $3) \
             ON CONFLICT (target) DO UPDATE SET target = target RETURNING incident",
        )
        .bind(target.to_string())
        .bind(permit.incident().0 as i64)
        .bind(at.millis())
        .fetch_one(&mut *connection)
        .await?;
        let holder: i64 = row.try_get(0)?;
        if holder != permit.incident().0 as i64 {
            return Ok(Some(IncidentId(holder as u64)));
        }
    }
    Ok(None)
}

async fn write_attempt(connection: &mut SqliteConnection, permit: &Permit, at: Stamp) -> anyhow::Result<()> {
    let purpose = match permit.order().purpose {
        Purpose::Do if permit.continues() => "more",
        Purpose::Do => "do",
        Purpose::Undo => "undo",
        Purpose::End => "end",
    };
    sqlx::query("INSERT INTO attempts (incident, seq, runbook, target, at, purpose, acted_on, cost) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
        .bind(permit.incident().0 as i64)
        .bind(permit.seq() as i64)
        .bind(permit.runbook())
        .bind(permit.target().to_string())
        .bind(at.millis())
        .bind(purpose)
        .bind(permit.order().target.to_string())
        .bind(i64::from(permit.cost()))
        .execute(&mut *connection)
        .await
        .context("writing an attempt")?;
    Ok(())
}
