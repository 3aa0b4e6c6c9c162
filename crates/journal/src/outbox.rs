//! The outbox: what people are to be told, kept until it is delivered. The reporter follows the journal with a position of its
//! own; rows and position move in one transaction, so a crash tells twice at worst and never not at all. Deliberately knows
//! nothing of Slack: a row is a key, a body and a state.

use anyhow::Context;
use runbook::incident::{Event, IncidentId};
use runbook::time::Stamp;
use sqlx::{Connection, Row};

use crate::append::read_row;
use crate::lists::Recorded;
use crate::open::Journal;

/// Where a row is on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutgoingState {
    /// Not sent yet.
    Pending,
    /// A send was begun; whether it arrived is not known.
    Sending,
    /// Delivered.
    Sent,
    /// Will never be delivered; a person must mend something.
    Dead,
}

impl OutgoingState {
    const fn word(self) -> &'static str {
        match self {
            OutgoingState::Pending => "pending",
            OutgoingState::Sending => "sending",
            OutgoingState::Sent => "sent",
            OutgoingState::Dead => "dead",
        }
    }
}

/// One row of the outbox.
#[derive(Clone, PartialEq, Debug)]
pub struct Outgoing {
    /// The row.
    pub id: i64,
    /// For which incident.
    pub incident: IncidentId,
    /// Unique within the incident.
    pub key: String,
    /// What is to be sent, as the reporter wrote it.
    pub body: serde_json::Value,
    /// Where it is on its way.
    pub state: OutgoingState,
    /// How often it was tried.
    pub tries: u32,
}

impl Journal {
    /// The next events after the reporter's position, oldest first.
    ///
    /// # Errors
    /// When the journal cannot be read. An event that cannot be read is given as a note that says so: the report goes on.
    pub async fn unreported(&self, most: u32) -> anyhow::Result<Vec<Recorded>> {
        let rows = sqlx::query(
            "SELECT at, kind, version, body, position, incident, seq FROM events \
             WHERE position > (SELECT CAST(value AS INTEGER) FROM facts WHERE name = 'report_position') ORDER BY position LIMIT $1",
        )
        .bind(i64::from(most))
        .fetch_all(&self.inner.readers)
        .await?;
        rows.iter()
            .map(|row| {
                let (at, event) = read_row(row).unwrap_or_else(|error| {
                    let words = format!("an event cannot be read by this release: {error:#}");
                    (Stamp::default(), Event::Noted { by: "runbookd".to_owned(), words })
                });
                Ok(Recorded {
                    position: row.try_get(4)?,
                    incident: IncidentId(row.try_get::<i64, _>(5)? as u64),
                    seq: row.try_get::<i64, _>(6)? as u64,
                    at,
                    event,
                })
            })
            .collect()
    }

    /// Adds rows and moves the reporter's position, in one transaction. A row whose key is there already and not yet sent gets
    /// the newer body; one that was sent is left alone.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn fill_outbox(
        &self,
        rows: &[(IncidentId, String, serde_json::Value)],
        position: i64,
        now: Stamp,
    ) -> anyhow::Result<()> {
        let mut writer = self.writer().await;
        let outcome = async {
            let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await?;
            for (incident, key, body) in rows {
                sqlx::query(
                    "INSERT INTO outbox (incident, key, body, state, due) VALUES ($1, $2, $3, 'pending', $4) \
                     ON CONFLICT (incident, key) DO UPDATE SET body = $3, due = $4 WHERE state IN ('pending', 'sending')",
                )
                .bind(incident.0 as i64)
                .bind(key)
                .bind(body.to_string())
                .bind(now.millis())
                .execute(&mut *transaction)
                .await
                .context("filling the outbox")?;
            }
            sqlx::query("UPDATE facts SET value = $1 WHERE name = 'report_position'")
                .bind(position.to_string())
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await.context("committing the outbox")?;
            Ok(())
        }
        .await;
        self.note_trouble(outcome)?;
        drop(writer);
        self.tell_changed();
        Ok(())
    }

    /// Rows that are due, oldest first; those of one incident in their order.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn outgoing(&self, now: Stamp, most: u32) -> anyhow::Result<Vec<Outgoing>> {
        let rows = sqlx::query(
            "SELECT id, incident, key, body, state, tries FROM outbox WHERE state IN ('pending', 'sending') AND due <= $1 ORDER BY id LIMIT $2",
        )
        .bind(now.millis())
        .bind(i64::from(most))
        .fetch_all(&self.inner.readers)
        .await?;
        rows.iter().map(row_of).collect()
    }

    /// Every row of an incident.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn outgoing_of(&self, incident: IncidentId) -> anyhow::Result<Vec<Outgoing>> {
        let rows = sqlx::query("SELECT id, incident, key, body, state, tries FROM outbox WHERE incident = $1 ORDER BY id")
            .bind(incident.0 as i64)
            .fetch_all(&self.inner.readers)
            .await?;
        rows.iter().map(row_of).collect()
    }

    /// How many rows wait, and when the oldest became due.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn outbox_lag(&self) -> anyhow::Result<(u64, Option<Stamp>)> {
        let row = sqlx::query("SELECT COUNT(*), MIN(due) FROM outbox WHERE state IN ('pending', 'sending')")
            .fetch_one(&self.inner.readers)
            .await?;
        Ok((row.try_get::<i64, _>(0)? as u64, row.try_get::<Option<i64>, _>(1)?.map(Stamp::from_millis)))
    }

    /// Writes down how a row fares: before a send as `Sending`, afterwards as what came of it.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn mark_outgoing(&self, id: i64, state: OutgoingState, due: Stamp, error: &str) -> anyhow::Result<()> {
        let mut writer = self.writer().await;
        let outcome = sqlx::query(
            "UPDATE outbox SET state = $2, due = $3, error = $4, tries = tries + (CASE WHEN $2 = 'sending' THEN 1 ELSE 0 END) WHERE id = $1",
        )
        .bind(id)
        .bind(state.word())
        .bind(due.millis())
        .bind(error)
        .execute(&mut writer.connection)
        .await
        .context("marking a row of the outbox");
        self.note_trouble(outcome)?;
        Ok(())
    }

    /// What people were told of an incident so far, as the reporter wrote it.
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
        let outcome = sqlx::query("INSERT INTO told (incident, body) VALUES ($1, $2) ON CONFLICT (incident) DO UPDATE SET body = $2")
            .bind(incident.0 as i64)
            .bind(told.to_string())
            .execute(&mut writer.connection)
            .await
            .context("remembering what was told");
        self.note_trouble(outcome)?;
        Ok(())
    }
}

fn row_of(row: &sqlx::sqlite::SqliteRow) -> anyhow::Result<Outgoing> {
    let state = match row.try_get::<String, _>(4)?.as_str() {
        "pending" => OutgoingState::Pending,
        "sending" => OutgoingState::Sending,
        "sent" => OutgoingState::Sent,
        _ => OutgoingState::Dead,
    };
    Ok(Outgoing {
        id: row.try_get(0)?,
        incident: IncidentId(row.try_get::<i64, _>(1)? as u64),
        key: row.try_get(2)?,
        body: serde_json::from_str(&row.try_get::<String, _>(3)?)?,
        state,
        tries: row.try_get::<i64, _>(5)? as u32,
    })
}
