//! Backup, retention and the integrity check. Retention takes evidence first and events of closed incidents last; what is open
//! is never touched. Deliberately no automatic repair: a journal that does not check out is a person's matter.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use runbook::incident::IncidentId;
use runbook::time::Stamp;
use sqlx::{Connection, Row};

use crate::copy::{self, Over};
use crate::open::Journal;

/// How much is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Retention {
    /// Closed incidents and evidence older than this go.
    pub age: Duration,
    /// When the file is larger than this, evidence goes first, oldest first, then the oldest closed incidents.
    pub bytes: u64,
}

impl Default for Retention {
    /// 400 days, so that a year can be compared with the one before; 4 GiB.
    fn default() -> Self {
        Self { age: Duration::from_secs(400 * 86_400), bytes: 4 << 30 }
    }
}

/// What retention took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Pruned {
    /// Pieces of evidence.
    pub evidence: u64,
    /// Closed incidents with all their events.
    pub incidents: u64,
    /// Size of the data afterwards, in bytes.
    pub bytes: u64,
}

/// What the check found.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Health {
    /// Incidents that were folded.
    pub incidents: u64,
    /// Pieces of evidence that were compared with their hash.
    pub evidence: u64,
    /// Everything that is wrong, in sentences.
    pub complaints: Vec<String>,
}

/// Limits look back at most this far (`check` refuses longer windows), so younger incidents stay whatever they weigh.
pub const LIMITS_REMEMBER: Duration = Duration::from_secs(31 * 86_400);
/// Closed incidents are taken in portions, so that the writer is never held for long.
const PORTION: i64 = 200;

impl Journal {
    /// Copies the journal to a new file, consistently, while it is in use. Once begun it goes to its end, also when nobody waits for it
    /// any more: SQLite cannot be stopped in the middle, and would leave its half behind.
    ///
    /// # Errors
    /// When the file exists, or cannot be written.
    pub async fn backup(&self, to: &Path) -> anyhow::Result<()> {
        static BACKUPS: AtomicU64 = AtomicU64::new(0);
        anyhow::ensure!(to.symlink_metadata().is_err(), "{} exists; a backup never overwrites", to.display());
        // Of its own for each backup, so that two to one place cannot mix.
        let mut unfinished = to.as_os_str().to_owned();
        unfinished.push(format!(".{}-{}.unfinished", std::process::id(), BACKUPS.fetch_add(1, Ordering::Relaxed)));
        let (journal, to) = (self.clone(), to.to_owned());
        let copying = tokio::spawn(async move {
            let mut reader = journal.inner.readers.acquire().await?;
            copy::whole(&mut reader, unfinished.into(), &to, Over::Nothing).await
        });
        copying.await.context("the copy broke off")?
    }

    /// Takes what is too old or too much.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn prune(&self, retention: Retention, now: Stamp) -> anyhow::Result<Pruned> {
        let before = now.minus(retention.age).millis();
        // Limits count the past: no incident that acted is forgotten within the longest window that they may have, and for want of space
        // alone none at all.
        let remembered = now.minus(LIMITS_REMEMBER).millis();
        let mut pruned = Pruned::default();
        pruned.evidence += self.drop_evidence("DELETE FROM evidence WHERE kept < $1", before).await?;
        loop {
            let gone = self.drop_incidents(before, remembered).await?;
            pruned.incidents += gone;
            if gone == 0 {
                break;
            }
        }
        while self.used_bytes().await? > retention.bytes {
            let sql = "DELETE FROM evidence WHERE hash IN (SELECT hash FROM evidence ORDER BY kept LIMIT $1)";
            let mut gone = self.drop_evidence(sql, PORTION).await?;
            pruned.evidence += gone;
            if gone == 0 {
                gone = self.drop_incidents(remembered, remembered).await?;
                pruned.incidents += gone;
            }
            if gone == 0 {
                break;
            }
        }
        if pruned.incidents > 0 {
            self.drop_what_nothing_names().await?;
        }
        pruned.bytes = self.used_bytes().await?;
        Ok(pruned)
    }

    /// Bytes of the file that hold data.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn used_bytes(&self) -> anyhow::Result<u64> {
        let row = sqlx::query("SELECT (page_count - freelist_count) * page_size FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()")
            .fetch_one(&self.inner.readers)
            .await?;
        Ok(row.try_get::<i64, _>(0)? as u64)
    }

    async fn drop_evidence(&self, sql: &'static str, bound: i64) -> anyhow::Result<u64> {
        let mut writer = self.writer().await;
        let done = sqlx::query(sql).bind(bound).execute(&mut writer.connection).await.context("pruning evidence");
        Ok(self.note_trouble(done)?.rows_affected())
    }

    /// Once, and not for each portion: it reads every event.
    async fn drop_what_nothing_names(&self) -> anyhow::Result<()> {
        let mut writer = self.writer().await;
        let config = writer.config.clone();
        let outcome = async {
            let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::query("DELETE FROM evidence WHERE hash NOT IN (SELECT hash FROM evidence_of)").execute(&mut *transaction).await?;
            sqlx::query("DELETE FROM configurations WHERE hash NOT IN (SELECT config FROM incidents) AND hash NOT IN (SELECT DISTINCT config FROM events) AND hash <> $1")
                .bind(config)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await.context("pruning what no incident names any more")
        }
        .await;
        self.note_trouble(outcome)
    }

    /// Drops a portion of those closed before a moment; of those that acted, only what closed before `remembered`.
    async fn drop_incidents(&self, before: i64, remembered: i64) -> anyhow::Result<u64> {
        let mut writer = self.writer().await;
        let outcome = async {
            let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await?;
            let ids = sqlx::query(
                "SELECT id FROM incidents WHERE closed < $1 AND (closed < $2 OR NOT EXISTS \
                 (SELECT 1 FROM attempts WHERE incident = incidents.id)) ORDER BY closed LIMIT $3",
            )
            .bind(before)
            .bind(remembered)
            .bind(PORTION)
            .fetch_all(&mut *transaction)
            .await?;
            if ids.is_empty() {
                return Ok(0);
            }
            for row in &ids {
                let id: i64 = row.try_get(0)?;
                for table in [
                    "DELETE FROM events WHERE incident = $1",
                    "DELETE FROM alerts WHERE incident = $1",
                    "DELETE FROM attempts WHERE incident = $1",
                    "DELETE FROM holds WHERE incident = $1",
                    "DELETE FROM asks WHERE incident = $1",
                    "DELETE FROM evidence_of WHERE incident = $1",
                    "DELETE FROM outbox WHERE incident = $1",
                    "DELETE FROM told WHERE incident = $1",
                    "DELETE FROM incidents WHERE id = $1",
                ] {
                    sqlx::query(table).bind(id).execute(&mut *transaction).await?;
                }
            }
            transaction.commit().await.context("pruning incidents")?;
            Ok(ids.len() as u64)
        }
        .await;
        self.note_trouble(outcome)
    }

    /// Reads everything: the file's own integrity, every incident's fold, every piece of evidence against its hash.
    ///
    /// # Errors
    /// When the journal cannot be read at all; what is wrong within is listed in [`Health::complaints`].
    pub async fn check(&self) -> anyhow::Result<Health> {
        let mut health = Health::default();
        for row in sqlx::query("PRAGMA integrity_check").fetch_all(&self.inner.readers).await? {
            let said: String = row.try_get(0)?;
            if said != "ok" {
                health.complaints.push(format!("the file: {said}"));
            }
        }
        for row in sqlx::query("SELECT id, seq, stage FROM incidents ORDER BY id").fetch_all(&self.inner.readers).await? {
            let (id, seq, stage): (i64, i64, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let id = IncidentId(id as u64);
            health.incidents += 1;
            match self.load(id).await {
                Ok(incident) if incident.seq as i64 != seq || incident.word() != stage => {
                    health.complaints.push(format!(
                        "{id}: the summary says {stage} at {seq}, the events say {} at {}",
                        incident.word(),
                        incident.seq
                    ));
                }
                Ok(_) => {}
                Err(error) => health.complaints.push(format!("{id}: {error:#}")),
            }
        }
        for row in sqlx::query("SELECT hash FROM evidence").fetch_all(&self.inner.readers).await? {
            let hash: String = row.try_get(0)?;
            health.evidence += 1;
            if let Err(error) = self.evidence(&hash).await {
                health.complaints.push(format!("{error:#}"));
            }
        }
        Ok(health)
    }

    /// Tries a write that changes nothing, so that a full or read-only disk is noticed, and its end too, without traffic.
    pub async fn try_writing(&self) -> bool {
        let mut writer = self.writer().await;
        // In a transaction, as everything that matters is written.
        let outcome = async {
            let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::query("UPDATE facts SET value = value WHERE name = 'pause_epoch'").execute(&mut *transaction).await?;
            transaction.commit().await
        };
        let outcome = outcome.await.context("writing to the journal");
        self.note_trouble(outcome).is_ok()
    }
}
