//! Appending an event: the fold is asked first, then the event, the summary and the holds are written in one transaction that
//! is conditional on the sequence number. Deliberately the same code for the engine's events and for those that come from
//! outside (an alert, a person), so that no path can forget the summary.

use std::sync::Arc;

use anyhow::Context;
use runbook::incident::{Event, IllegalEvent, Incident, IncidentId, Opening, Stage, Waiting};
use runbook::time::Stamp;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection, Row};
use tokio::sync::MutexGuard;

use crate::claim::Claim;
use crate::codec;
use crate::earned::{told, weigh};
use crate::open::{Journal, Writer};
use crate::outbox::has_news;

/// Why an event was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Something else was appended in between; the claim now holds the newer incident.
    #[error("the incident changed in between")]
    Conflict,
    /// The lease is another's by now; the claim is void.
    #[error("the lease on the incident was lost")]
    LeaseLost,
    /// The incident's stage does not list the event.
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
    /// The journal could not be written or read.
    #[error(transparent)]
    Store(#[from] anyhow::Error),
}

impl Journal {
    /// Appends an event to a claimed incident, durably.
    ///
    /// # Errors
    /// [`AppendError`]; on a conflict the claim was reloaded, and the caller asks again what is next.
    pub async fn append(&self, claim: &mut Claim, now: Stamp, event: &Event) -> Result<(), AppendError> {
        let mut writer = self.writer().await;
        let at = writer.stamp(now);
        let mut next = claim.incident.clone();
        next.apply(at, event)?;
        let config = writer.config.clone();
        let rule = self.rule_of(&next.runbook.name, &config).await?;
        let outcome = async {
            let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await.context("beginning an append")?;
            if let Some(refused) = check_claim(&mut transaction, claim).await? {
                return Ok(Err(refused));
            }
            write_event(&mut transaction, claim.incident.seq, at, &config, event, &next).await?;
            let earned = weigh(&mut transaction, &next, at, event, rule).await?;
            keep_lease(&mut transaction, claim, at).await?;
            transaction.commit().await.context("committing an event")?;
            Ok(Ok(earned))
        }
        .await;
        let written = self.counted(self.note_trouble(outcome))?;
        match written {
            Ok(earned) => {
                claim.incident = next;
                self.count(|ledger| {
                    ledger.happened(&claim.incident, at, event);
                    told(ledger, earned);
                });
                drop(writer);
                self.tell_changed();
                Ok(())
            }
            Err(Refused::LeaseLost) => Err(AppendError::LeaseLost),
            Err(Refused::Changed) => {
                drop(writer);
                claim.incident = self.load(claim.incident.id).await?;
                Err(AppendError::Conflict)
            }
        }
    }

    /// Appends an event that comes from outside: a person's note, a stop. Answers have a way of their own.
    ///
    /// # Errors
    /// [`AppendError::Illegal`] when the incident's stage does not list it, with a reason for people.
    pub async fn append_from_outside(&self, id: IncidentId, now: Stamp, event: &Event) -> Result<Incident, AppendError> {
        let mut writer = self.writer().await;
        let at = writer.stamp(now);
        let incident = self.load_with(&mut writer.connection, id).await?;
        self.append_holding(writer, incident, at, event).await
    }

    /// Appends an event from outside to an incident that was loaded while the writer was held, and lets the writer go.
    pub(crate) async fn append_holding(
        &self,
        mut writer: MutexGuard<'_, Writer>,
        mut incident: Incident,
        at: Stamp,
        event: &Event,
    ) -> Result<Incident, AppendError> {
        let config = writer.config.clone();
        let seq = incident.seq;
        incident.apply(at, event)?;
        let rule = self.rule_of(&incident.runbook.name, &config).await?;
        let outcome = async {
            let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await.context("beginning an append")?;
            write_event(&mut transaction, seq, at, &config, event, &incident).await?;
            let earned = weigh(&mut transaction, &incident, at, event, rule).await?;
            transaction.commit().await.context("committing an event")?;
            Ok(earned)
        }
        .await;
        let earned = self.counted(self.note_trouble(outcome))?;
        self.count(|ledger| {
            ledger.happened(&incident, at, event);
            told(ledger, earned);
        });
        drop(writer);
        self.tell_changed();
        Ok(incident)
    }

    /// Folds an incident from its events.
    ///
    /// # Errors
    /// When it is not there, or when an event cannot be read or does not fit; the caller hands it to a person.
    pub async fn load(&self, id: IncidentId) -> anyhow::Result<Incident> {
        // The reader goes back to the pool before the configuration is asked for: holding one while wanting another could
        // leave every loader waiting for the others.
        let rows = sqlx::query(EVENTS_OF).bind(id.0 as i64).fetch_all(&self.inner.readers).await?;
        self.fold(id, &rows).await
    }

    pub(crate) async fn load_with(&self, connection: &mut SqliteConnection, id: IncidentId) -> anyhow::Result<Incident> {
        let rows = sqlx::query(EVENTS_OF).bind(id.0 as i64).fetch_all(connection).await?;
        self.fold(id, &rows).await
    }

    async fn fold(&self, id: IncidentId, rows: &[SqliteRow]) -> anyhow::Result<Incident> {
        let mut events = rows.iter().map(read_row);
        let (opened, first) = events.next().with_context(|| format!("there is no incident {id}"))??;
        let Event::Opened(opening) = first else { anyhow::bail!("{id} does not begin with its opening") };
        let runbook = self.runbook_of(&opening).await?;
        let mut incident = Incident::open(id, runbook, opened, &opening);
        for event in events {
            let (at, event) = event?;
            incident.follow(at, &event).with_context(|| format!("folding {id}"))?;
        }
        Ok(incident)
    }

    pub(crate) async fn runbook_of(&self, opening: &Opening) -> anyhow::Result<Arc<runbook::book::Runbook>> {
        let configuration = self.configuration(&opening.config).await?;
        let runbook = configuration.runbooks.get(&opening.runbook);
        Ok(Arc::new(runbook.with_context(|| format!("the runbook {} is not in its configuration", opening.runbook))?.clone()))
    }
}

pub(crate) const EVENTS_OF: &str = "SELECT at, kind, version, body FROM events WHERE incident = $1 ORDER BY seq";

pub(crate) fn read_row(row: &SqliteRow) -> anyhow::Result<(Stamp, Event)> {
    let at = Stamp::from_millis(row.try_get(0)?);
    let (kind, version, body): (String, i64, String) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
    Ok((at, codec::read(&kind, version, &body)?))
}

pub(crate) enum Refused {
    Changed,
    LeaseLost,
}

/// Whether the claim still stands: same lease generation, same sequence.
pub(crate) async fn check_claim(connection: &mut SqliteConnection, claim: &Claim) -> anyhow::Result<Option<Refused>> {
    let row = sqlx::query("SELECT seq, lease FROM incidents WHERE id = $1")
        .bind(claim.incident.id.0 as i64)
        .fetch_one(connection)
        .await?;
    let (seq, lease): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    if lease != claim.lease {
        return Ok(Some(Refused::LeaseLost));
    }
    Ok((seq != claim.incident.seq as i64).then_some(Refused::Changed))
}

/// Who writes is alive: the lease begins anew with every append, so that several slow steps in a row never outlive it.
pub(crate) async fn keep_lease(connection: &mut SqliteConnection, claim: &Claim, at: Stamp) -> anyhow::Result<()> {
    sqlx::query("UPDATE incidents SET leased_until = MAX(leased_until, $3) WHERE id = $1 AND lease = $2")
        .bind(claim.incident.id.0 as i64)
        .bind(claim.lease)
        .bind(at.plus(claim.lasts).millis())
        .execute(connection)
        .await
        .context("keeping a lease")?;
    Ok(())
}

/// When the engine has to look at the incident next, as far as its stage says so.
pub(crate) fn due(incident: &Incident, at: Stamp) -> Option<Stamp> {
    match &incident.stage {
        Stage::Closed { .. } => None,
        Stage::Waiting { on: Waiting::Person(ask), .. } => Some(incident.question_due(ask)),
        Stage::Waiting { until, .. } => Some(*until),
        _ => Some(at),
    }
}

/// Writes the event with everything that must change with it: the summary, the question's row, the holds.
pub(crate) async fn write_event(
    connection: &mut SqliteConnection,
    seq: u64,
    at: Stamp,
    config: &str,
    event: &Event,
    after: &Incident,
) -> anyhow::Result<()> {
    let id = after.id.0 as i64;
    sqlx::query("INSERT INTO events (incident, seq, at, kind, version, config, body) VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind(id)
        .bind(seq as i64)
        .bind(at.millis())
        .bind(event.kind())
        .bind(i64::from(Event::VERSION))
        .bind(config)
        .bind(codec::write(event)?)
        .execute(&mut *connection)
        .await
        .context("writing an event")?;
    let (closed, how, why) = match &after.stage {
        Stage::Closed { how, why } => (Some(after.last.millis()), Some(how.word()), why.as_str()),
        Stage::Closing { why, .. } => (None, None, why.as_str()),
        Stage::Waiting { .. } if let Event::Waits { why, .. } = event => (None, None, why.as_str()),
        _ => (None, None, after.unsettled().map_or("", |unsettled| unsettled.why.as_str())),
    };
    // Why it waits stands for as long as it does, whatever is heard meanwhile.
    let waits_on = matches!(after.stage, Stage::Waiting { .. }) && !matches!(event, Event::Waits { .. });
    // A note to a closed incident must not move the moment it was closed; what was woken stays so until somebody claims it.
    sqlx::query(
        "UPDATE incidents SET seq = $2, updated = $3, stage = $4, \
         due = CASE WHEN $5 IS NOT NULL AND due = 0 THEN 0 ELSE $5 END, closed = COALESCE(closed, $6), how = $7, \
         why = CASE WHEN $9 THEN why ELSE $8 END WHERE id = $1",
    )
    .bind(id)
    .bind(after.seq as i64)
    .bind(at.millis())
    .bind(after.word())
    .bind(due(after, at).map(Stamp::millis))
    .bind(closed)
    .bind(how)
    .bind(why)
    .bind(waits_on)
    .execute(&mut *connection)
    .await
    .context("writing the summary")?;
    has_news(connection, after.id, after.seq, at).await?;
    match event {
        Event::Waits { on: Waiting::Person(ask), .. } => {
            sqlx::query("INSERT INTO asks (id, incident, expires) VALUES ($1, $2, $3)")
                .bind(&ask.id)
                .bind(id)
                .bind(ask.expires.millis())
                .execute(&mut *connection)
                .await
                .context("writing a question")?;
        }
        Event::Answered { ask, answer } => {
            sqlx::query("UPDATE asks SET answered = $2 WHERE id = $1")
                .bind(ask)
                .bind(serde_json::to_string(answer)?)
                .execute(&mut *connection)
                .await
                .context("writing an answer")?;
        }
        _ => {}
    }
    if !after.needs_holds() {
        let released = sqlx::query("DELETE FROM holds WHERE incident = $1").bind(id).execute(&mut *connection).await?;
        if released.rows_affected() > 0 || after.is_closed() {
            // Whoever waits for the target, its turn or the end of its cause looks again at once instead of at its next poll.
            sqlx::query("UPDATE incidents SET due = MIN(due, $1) WHERE stage = 'held' AND closed IS NULL")
                .bind(at.millis())
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}
