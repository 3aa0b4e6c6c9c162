//! Reading: summaries and events. Deliberately only reads, over read-only connections, so that the
//! command line can use it beside a running daemon or after it died.

use runbook::alert::Fingerprint;
use runbook::incident::{Event, IncidentId};
use runbook::time::Stamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::append::read_row;
use crate::open::Journal;

/// One event with its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Recorded {
    /// Rises over all incidents.
    pub position: i64,
    /// Of which incident.
    pub incident: IncidentId,
    /// Its number within the incident.
    pub seq: u64,
    /// When.
    pub at: Stamp,
    /// What.
    pub event: Event,
    /// The hash of the configuration that was in force then.
    pub config: String,
}

/// One incident in a list.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Summary {
    /// Its number.
    pub id: IncidentId,
    /// The runbook's name.
    pub runbook: String,
    /// The target.
    pub target: String,
    /// The alert's name, or a person's words.
    pub title: String,
    /// When it was opened.
    pub opened: Stamp,
    /// When something last happened.
    pub updated: Stamp,
    /// Where it is, in a word.
    pub stage: String,
    /// Why it ended or is ending.
    pub why: String,
    /// When it ended.
    pub closed: Option<Stamp>,
    /// How it ended.
    pub how: Option<String>,
    /// How often its alerts were sent again.
    pub resends: u64,
    /// Why this release cannot read it, if it cannot.
    pub unreadable: Option<String>,
}

/// Which incidents to list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// Only those that are not over.
    pub open_only: bool,
    /// At most this many, newest first; 0 means 100.
    pub most: u32,
}

const SUMMARY: &str =
    "SELECT id, runbook, target, title, opened, updated, stage, why, closed, how, resends, unreadable FROM incidents";

impl Journal {
    /// A list of incidents, newest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn incidents(&self, filter: Filter) -> anyhow::Result<Vec<Summary>> {
        let most = if filter.most == 0 { 100 } else { filter.most };
        let rows = sqlx::query(
            "SELECT id, runbook, target, title, opened, updated, stage, why, closed, how, resends, unreadable FROM incidents \
             WHERE ($1 = 0 OR closed IS NULL) ORDER BY id DESC LIMIT $2",
        )
        .bind(i64::from(filter.open_only))
        .bind(i64::from(most))
        .fetch_all(&self.inner.readers)
        .await?;
        rows.iter().map(summary_of).collect()
    }

    /// One incident's summary.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn summary(&self, id: IncidentId) -> anyhow::Result<Option<Summary>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{SUMMARY} WHERE id = $1")))
            .bind(id.0 as i64)
            .fetch_optional(&self.inner.readers)
            .await?;
        row.as_ref().map(summary_of).transpose()
    }

    /// All events of an incident, oldest first.
    ///
    /// # Errors
    /// When the journal cannot be read, or one of them not by this release.
    pub async fn events(&self, id: IncidentId) -> anyhow::Result<Vec<Recorded>> {
        let rows =
            sqlx::query("SELECT at, kind, version, body, position, seq, config FROM events WHERE incident = $1 ORDER BY seq")
                .bind(id.0 as i64)
                .fetch_all(&self.inner.readers)
                .await?;
        rows.iter()
            .map(|row| {
                let (at, event) = read_row(row)?;
                let (position, seq, config) = (row.try_get(4)?, row.try_get::<i64, _>(5)? as u64, row.try_get(6)?);
                Ok(Recorded { position, incident: id, seq, at, event, config })
            })
            .collect()
    }

    /// How many incidents are in each stage now, and how many ended how.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn count_by_stage(&self) -> anyhow::Result<Vec<(String, u64)>> {
        let rows = sqlx::query("SELECT stage, COUNT(*) FROM incidents WHERE closed IS NULL GROUP BY stage")
            .fetch_all(&self.inner.readers)
            .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<i64, _>(1)? as u64))).collect()
    }

    /// Open incidents with the alerts that belong to them: what the reconcile loop compares with Alertmanager.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn open_alerts(&self) -> anyhow::Result<Vec<(IncidentId, String, Stamp)>> {
        let rows = sqlx::query(
            "SELECT a.incident, a.fingerprint, a.starts_at FROM alerts a JOIN incidents i ON i.id = a.incident \
             WHERE i.closed IS NULL AND a.status = 'firing' ORDER BY a.incident",
        )
        .fetch_all(&self.inner.readers)
        .await?;
        rows.iter()
            .map(|row| Ok((IncidentId(row.try_get::<i64, _>(0)? as u64), row.try_get(1)?, Stamp::from_millis(row.try_get(2)?))))
            .collect()
    }

    /// Whether some incident, open or over, has this very episode of an alert.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn has_heard(&self, fingerprint: Fingerprint, starts_at: Stamp) -> anyhow::Result<bool> {
        let row = sqlx::query("SELECT 1 FROM alerts WHERE fingerprint = $1 AND starts_at = $2 AND status = 'firing'")
            .bind(fingerprint.to_string())
            .bind(starts_at.millis())
            .fetch_optional(&self.inner.readers)
            .await?;
        Ok(row.is_some())
    }

    /// Names of alerts that no runbook is for: name, how often, last, why.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn unmatched(&self) -> anyhow::Result<Vec<(String, u64, Stamp, String)>> {
        let rows = sqlx::query("SELECT alertname, times, last, why FROM unmatched ORDER BY times DESC")
            .fetch_all(&self.inner.readers)
            .await?;
        rows.iter()
            .map(|row| {
                Ok((row.try_get(0)?, row.try_get::<i64, _>(1)? as u64, Stamp::from_millis(row.try_get(2)?), row.try_get(3)?))
            })
            .collect()
    }
}

fn summary_of(row: &SqliteRow) -> anyhow::Result<Summary> {
    Ok(Summary {
        id: IncidentId(row.try_get::<i64, _>(0)? as u64),
        runbook: row.try_get(1)?,
        target: row.try_get(2)?,
        title: row.try_get(3)?,
        opened: Stamp::from_millis(row.try_get(4)?),
        updated: Stamp::from_millis(row.try_get(5)?),
        stage: row.try_get(6)?,
        why: row.try_get(7)?,
        closed: row.try_get::<Option<i64>, _>(8)?.map(Stamp::from_millis),
        how: row.try_get(9)?,
        resends: row.try_get::<i64, _>(10)? as u64,
        unreadable: row.try_get(11)?,
    })
}
