//! What runbookd gave up, or cannot see the end of, and a person has not taken yet. Why asked of the record each time and kept
//! nowhere else: whoever calls people for it can die at any moment, and asks the same question when it is there again. Deliberately
//! no word on how people are called.

use anyhow::Context;
use runbook::alert::Fingerprint;
use runbook::incident::{Event, IncidentId, Stage, Trigger};
use runbook::time::Stamp;
use sqlx::Row;

use crate::append::read_row;
use crate::open::Journal;

/// The words of the endings after which a person has to go on (`How::wants_a_person`), as SQL has them.
pub(crate) const GIVEN_UP: &str = "('handed_over', 'stuck', 'denied')";
/// More than this at once is a storm, which has had its own call long before.
const MOST: i64 = 500;

/// An incident that a person has to go on with, or to look after.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GivenUp {
    /// Which.
    pub incident: IncidentId,
    /// The runbook's name.
    pub runbook: String,
    /// What it worked on.
    pub target: String,
    /// The alert's name, or a person's words.
    pub title: String,
    /// How it ended, in a word; [`Stage::UNSETTLED`] where it is open and nobody can see how its act ended.
    pub how: String,
    /// Why, for people.
    pub why: String,
    /// When it was given up, or a person was called for it.
    pub at: Stamp,
}

impl Journal {
    /// Incidents that were given up since then, that nobody has noted anything to since, and whose alerts are not known to be over;
    /// newest first. What is stuck, and what no alert opened, counts until it is noted: no alert's end mends it. Behind them the
    /// open ones of which nobody can see how their act ended, until that is noted or seen.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn given_up(&self, since: Stamp) -> anyhow::Result<Vec<GivenUp>> {
        let sql = format!(
            "SELECT id, runbook, target, title, how, why, closed, (SELECT COUNT(*) FROM alerts WHERE incident = i.id) AS known \
             FROM incidents i WHERE how IN {GIVEN_UP} AND closed >= $1 \
             AND NOT EXISTS (SELECT 1 FROM events WHERE incident = i.id AND kind = 'noted' AND at >= i.closed) \
             AND (how = 'stuck' OR EXISTS (SELECT 1 FROM alerts WHERE incident = i.id AND status = 'firing') \
               OR NOT EXISTS (SELECT 1 FROM alerts WHERE incident = i.id)) ORDER BY closed DESC, id DESC LIMIT $2"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(since.millis()).bind(MOST).fetch_all(&self.inner.readers).await?;
        let mut all = Vec::new();
        for row in &rows {
            let incident = IncidentId(row.try_get::<i64, _>(0)? as u64);
            // Its alert fires anew and belongs to another incident by now: then that one speaks for it.
            let how: String = row.try_get(4)?;
            if how != "stuck" && row.try_get::<i64, _>(7)? == 0 && self.was_opened_by_an_alert(incident).await? {
                continue;
            }
            all.push(GivenUp {
                incident,
                runbook: row.try_get(1)?,
                target: row.try_get(2)?,
                title: row.try_get(3)?,
                how,
                why: row.try_get(5)?,
                at: Stamp::from_millis(row.try_get(6)?),
            });
        }
        all.extend(self.unsettled().await?);
        Ok(all)
    }

    async fn unsettled(&self) -> anyhow::Result<Vec<GivenUp>> {
        // An open one is always due, which an index knows.
        let sql = "SELECT i.id, i.runbook, i.target, i.title, i.why, e.at FROM incidents i JOIN events e ON e.incident = i.id \
                   WHERE i.due IS NOT NULL AND i.stage = 'unsettled' AND e.seq = \
                   (SELECT MAX(seq) FROM events WHERE incident = i.id AND kind = 'unsettled') \
                   AND NOT EXISTS (SELECT 1 FROM events WHERE incident = i.id AND kind = 'noted' AND seq > e.seq) \
                   ORDER BY e.at DESC, i.id DESC LIMIT $1";
        let rows = sqlx::query(sql).bind(MOST).fetch_all(&self.inner.readers).await?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            Ok(GivenUp {
                incident: IncidentId(row.try_get::<i64, _>(0)? as u64),
                runbook: row.try_get(1)?,
                target: row.try_get(2)?,
                title: row.try_get(3)?,
                how: Stage::UNSETTLED.to_owned(),
                why: row.try_get(4)?,
                at: Stamp::from_millis(row.try_get(5)?),
            })
        };
        rows.iter().map(read).collect()
    }

    /// The alerts of incidents that were given up since then, as far as they fire: it is asked elsewhere whether they still do.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn given_up_alerts(&self, since: Stamp) -> anyhow::Result<Vec<(IncidentId, String)>> {
        let sql = format!(
            "SELECT a.incident, a.fingerprint FROM alerts a JOIN incidents i ON i.id = a.incident \
             WHERE i.how IN {GIVEN_UP} AND i.closed >= $1 AND a.status = 'firing' LIMIT $2"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(since.millis()).bind(MOST).fetch_all(&self.inner.readers).await?;
        rows.iter().map(|row| Ok((IncidentId(row.try_get::<i64, _>(0)? as u64), row.try_get(1)?))).collect()
    }

    /// An alert of an incident that was given up fires no more, whoever says so.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn call_off(&self, incident: IncidentId, fingerprint: Fingerprint) -> anyhow::Result<()> {
        let mut writer = self.writer().await;
        let outcome = sqlx::query("UPDATE alerts SET status = 'resolved' WHERE incident = $1 AND fingerprint = $2")
            .bind(incident.0 as i64)
            .bind(fingerprint.to_string())
            .execute(&mut writer.connection)
            .await
            .context("noting that an alert is over");
        self.note_trouble(outcome)?;
        drop(writer);
        self.tell_changed();
        Ok(())
    }

    async fn was_opened_by_an_alert(&self, incident: IncidentId) -> anyhow::Result<bool> {
        let row = sqlx::query("SELECT at, kind, version, body FROM events WHERE incident = $1 AND seq = 0")
            .bind(incident.0 as i64)
            .fetch_one(&self.inner.readers)
            .await?;
        let opened = read_row(&row)?;
        Ok(matches!(opened, (_, Event::Opened(opening)) if matches!(opening.trigger, Trigger::Alert(_))))
    }
}
