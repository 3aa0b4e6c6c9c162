//! What is to be said to people that belongs to no incident: the daemon's own trouble. At most one of a sort waits at a time; a
//! newer one takes its place, so that however long Slack was away only the newest state is said. Beside it a few small facts that
//! must outlive the process. Deliberately knows no words and no Slack.

use anyhow::Context;
use runbook::time::Stamp;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Row, Sqlite};

use crate::open::Journal;

/// One notice that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// What it is about.
    pub name: String,
    /// When it was written; with its name it is unique.
    pub at: Stamp,
    /// What is said.
    pub words: String,
    /// How often in a row saying it failed.
    pub tries: u32,
    /// It was attempted, and may have arrived.
    pub attempted: bool,
}

impl Journal {
    /// Puts a notice into the outbox, in place of one of the same name that was not said yet; it waits since that one did.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn notice(&self, name: &str, words: &str, now: Stamp) -> anyhow::Result<()> {
        let mut writer = self.writer().await;
        let at = writer.stamp(now);
        let outcome = sqlx::query(
            "INSERT INTO notices (name, at, words, due, waits_since) VALUES ($1, $2, $3, $2, $2) \
             ON CONFLICT (name) DO UPDATE SET at = $2, words = $3, attempted = 0, due = CASE WHEN tries = 0 THEN $2 ELSE due END",
        )
        .bind(name)
        .bind(at.millis())
        .bind(words)
        .execute(&mut writer.connection)
        .await
        .context("writing a notice");
        self.note_trouble(outcome)?;
        drop(writer);
        self.tell_changed();
        Ok(())
    }

    /// The notice that is due the longest by now.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn notice_due(&self, now: Stamp) -> anyhow::Result<Option<Notice>> {
        let row = sqlx::query("SELECT name, at, words, tries, attempted FROM notices WHERE due <= $1 ORDER BY due, name LIMIT 1")
            .bind(now.millis())
            .fetch_optional(&self.inner.readers)
            .await?;
        row.map(|row| {
            Ok(Notice {
                name: row.try_get(0)?,
                at: Stamp::from_millis(row.try_get(1)?),
                words: row.try_get(2)?,
                tries: row.try_get::<i64, _>(3)? as u32,
                attempted: row.try_get::<i64, _>(4)? != 0,
            })
        })
        .transpose()
    }

    /// It is about to be said; whoever finds it later looks whether it arrived.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn notice_attempted(&self, notice: &Notice) -> anyhow::Result<()> {
        let query = sqlx::query("UPDATE notices SET attempted = 1 WHERE name = $1 AND at = $2");
        self.settle(query.bind(&notice.name).bind(notice.at.millis())).await
    }

    /// It was said, and goes. One of the same name that was written meanwhile stays.
    ///
    /// # Errors
    /// When the journal cannot be written: it is then looked for and not said again.
    pub async fn notice_told(&self, notice: &Notice) -> anyhow::Result<()> {
        let query = sqlx::query("DELETE FROM notices WHERE name = $1 AND at = $2");
        self.settle(query.bind(&notice.name).bind(notice.at.millis())).await?;
        self.settle(sqlx::query("UPDATE notices SET waits_since = at WHERE name = $1").bind(&notice.name)).await
    }

    /// Saying it failed; it is tried again at `due`. `attempted` says whether it may have arrived.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn notice_later(&self, notice: &Notice, due: Stamp, attempted: bool, error: &str) -> anyhow::Result<()> {
        let query =
            sqlx::query("UPDATE notices SET due = $3, error = $4, tries = tries + 1, attempted = $5 WHERE name = $1 AND at = $2");
        let query = query.bind(&notice.name).bind(notice.at.millis()).bind(due.millis()).bind(error);
        self.settle(query.bind(i64::from(attempted))).await
    }

    async fn settle(&self, query: Query<'_, Sqlite, SqliteArguments>) -> anyhow::Result<()> {
        let mut writer = self.writer().await;
        let outcome = query.execute(&mut writer.connection).await.context("writing down what became of a notice");
        self.note_trouble(outcome)?;
        Ok(())
    }

    /// A moment that was remembered under this name.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn remembered(&self, name: &str) -> anyhow::Result<Option<Stamp>> {
        let row = sqlx::query("SELECT value FROM facts WHERE name = $1").bind(name).fetch_optional(&self.inner.readers).await?;
        let value: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
        Ok(value.and_then(|value| value.parse().ok()).map(Stamp::from_millis))
    }

    /// Remembers a moment under this name; forgets it where there is none.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn remember(&self, name: &str, moment: Option<Stamp>) -> anyhow::Result<()> {
        let mut writer = self.writer().await;
        let query = match moment {
            Some(moment) => {
                sqlx::query("INSERT INTO facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2")
                    .bind(name)
                    .bind(moment.millis().to_string())
            }
            None => sqlx::query("DELETE FROM facts WHERE name = $1").bind(name),
        };
        let outcome = query.execute(&mut writer.connection).await.context("remembering a moment");
        self.note_trouble(outcome)?;
        Ok(())
    }
}
