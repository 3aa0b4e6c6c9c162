//! The outbox: which incidents have something to say, kept until it is said. A row is written in the same transaction as the
//! event, so an incident cannot close without its report being on its way; what exactly is said is rendered when the row is
//! due, so that however long Slack was away, one update brings a message to the newest state. Deliberately knows nothing of
//! Slack: what was said is the reporter's own record, kept here unread.

use anyhow::Context;
use runbook::incident::IncidentId;
use runbook::time::Stamp;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use crate::open::Journal;

/// An incident that has something to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ToTell {
    /// Which.
    pub incident: IncidentId,
    /// Events below this number are to be told.
    pub seq: u64,
    /// How often in a row telling failed.
    pub tries: u32,
}

/// Puts an incident into the outbox; within the transaction of its event.
pub(crate) async fn has_news(connection: &mut SqliteConnection, incident: IncidentId, seq: u64, at: Stamp) -> anyhow::Result<()> {
    sqlx::query(
        "INSERT INTO outbox (incident, seq, due, waits_since) VALUES ($1, $2, $3, $3) \
         ON CONFLICT (incident) DO UPDATE SET seq = $2, due = CASE WHEN tries = 0 THEN $3 ELSE due END, \
         waits_since = CASE WHEN told < seq THEN waits_since ELSE $3 END",
    )
    .bind(incident.0 as i64)
    .bind(seq as i64)
    .bind(at.millis())
    .execute(connection)
    .await
    .context("writing the outbox")?;
    Ok(())
}

/// What an incident has to say comes before what others have to say, from its opening on; within that transaction.
pub(crate) async fn is_urgent(connection: &mut SqliteConnection, incident: IncidentId) -> anyhow::Result<()> {
    sqlx::query("UPDATE outbox SET urgent = 1 WHERE incident = $1")
        .bind(incident.0 as i64)
        .execute(connection)
        .await
        .context("writing the outbox")?;
    Ok(())
}

impl Journal {
    /// Incidents that have something to say by now: the urgent ones first, then those that are due the longest. A channel has a
    /// pace, and in a storm what burns must not wait behind what smoulders.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn to_tell(&self, now: Stamp, most: u32) -> anyhow::Result<Vec<ToTell>> {
        let rows = sqlx::query(
            "SELECT incident, seq, tries FROM outbox WHERE told < seq AND due <= $1 ORDER BY urgent DESC, due, incident LIMIT $2",
        )
        .bind(now.millis())
        .bind(i64::from(most))
        .fetch_all(&self.inner.readers)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(ToTell {
                    incident: IncidentId(row.try_get::<i64, _>(0)? as u64),
                    seq: row.try_get::<i64, _>(1)? as u64,
                    tries: row.try_get::<i64, _>(2)? as u32,
                })
            })
            .collect()
    }

    /// How many incidents and notices have something to say, and since when the oldest waits, however often it was put off.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn outbox_lag(&self) -> anyhow::Result<(u64, Option<Stamp>)> {
        let row = sqlx::query(
            "SELECT COUNT(*), MIN(since) FROM \
             (SELECT waits_since AS since FROM outbox WHERE told < seq UNION ALL SELECT waits_since FROM notices)",
        )
        .fetch_one(&self.inner.readers)
        .await?;
        Ok((row.try_get::<i64, _>(0)? as u64, row.try_get::<Option<i64>, _>(1)?.map(Stamp::from_millis)))
    }

    /// Everything below this number is told. What happened meanwhile stays to be told, and waits since it happened.
    ///
    /// # Errors
    /// When the journal cannot be written: it is then told again at worst.
    pub async fn told_through(&self, incident: IncidentId, seq: u64) -> anyhow::Result<()> {
        let mut writer = self.writer().await;
        let outcome = sqlx::query(
            "UPDATE outbox SET told = MAX(told, $2), tries = 0, error = '', waits_since = COALESCE(\
             (SELECT events.at FROM events WHERE events.incident = $1 AND events.seq >= MAX(outbox.told, $2) \
             ORDER BY events.seq LIMIT 1), waits_since) WHERE incident = $1",
        )
        .bind(incident.0 as i64)
        .bind(seq as i64)
        .execute(&mut writer.connection)
        .await
        .context("marking what was told");
        self.note_trouble(outcome)?;
        Ok(())
    }

    /// Telling failed; it is tried again at `due`. Since when it waits stays as it was.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn tell_later(&self, incident: IncidentId, due: Stamp, error: &str) -> anyhow::Result<()> {
        let mut writer = self.writer().await;
        let outcome = sqlx::query("UPDATE outbox SET due = $2, error = $3, tries = tries + 1 WHERE incident = $1")
            .bind(incident.0 as i64)
            .bind(due.millis())
            .bind(error)
            .execute(&mut writer.connection)
            .await
            .context("putting off what is to be told");
        self.note_trouble(outcome)?;
        Ok(())
    }

    /// The incidents whose news are on their way or told, whatever came of it: number, to be told, told, last error.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn outbox_of(&self, incident: IncidentId) -> anyhow::Result<Option<(u64, u64, String)>> {
        let row = sqlx::query("SELECT seq, told, error FROM outbox WHERE incident = $1")
            .bind(incident.0 as i64)
            .fetch_optional(&self.inner.readers)
            .await?;
        row.map(|row| Ok((row.try_get::<i64, _>(0)? as u64, row.try_get::<i64, _>(1)? as u64, row.try_get(2)?))).transpose()
    }

    /// What people were told of an incident so far, as the reporter wrote it down.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn told(&self, incident: IncidentId) -> anyhow::Result<Option<serde_json::Value>> {
        let row = sqlx::query("SELECT body FROM told WHERE incident = $1")
            .bind(incident.0 as i64)
            .fetch_optional(&self.inner.readers)
            .await?;
        row.map(|row| Ok(serde_json::from_str(&row.try_get::<String, _>(0)?)?)).transpose()
    }

    /// Remembers what people were told.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn remember_told(&self, incident: IncidentId, told: &serde_json::Value) -> anyhow::Result<()> {
        let mut writer = self.writer().await;
        let outcome =
            sqlx::query("INSERT INTO told (incident, body) VALUES ($1, $2) ON CONFLICT (incident) DO UPDATE SET body = $2")
                .bind(incident.0 as i64)
                .bind(told.to_string())
                .execute(&mut writer.connection)
                .await
                .context("remembering what was told");
        self.note_trouble(outcome)?;
        Ok(())
    }
}
