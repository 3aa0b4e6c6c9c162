//! A person's stop: for everything, a runbook or a target, with an end and a reason. It is part of the transaction that starts
//! an action, so that no act is admitted after a pause was acknowledged. A file `PAUSE` in the state directory is the same stop
//! for when nothing else works; configuration management does not own it. Deliberately no way to pause without a reason.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;

use anyhow::Context;
use policy::Pause;
use runbook::target::TargetId;
use runbook::time::Stamp;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection, Row};

use crate::open::Journal;

/// What is paused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Scope {
    /// Everything.
    All,
    /// One runbook, by name.
    Runbook(String),
    /// One target.
    Target(TargetId),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::All => f.write_str("all"),
            Scope::Runbook(name) => write!(f, "runbook:{name}"),
            Scope::Target(id) => write!(f, "target:{id}"),
        }
    }
}

impl FromStr for Scope {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "all" => Ok(Scope::All),
            Some(("runbook", name)) if !name.is_empty() => Ok(Scope::Runbook(name.to_owned())),
            Some(("target", id)) => id.parse().map(Scope::Target),
            _ => Err("a pause is for `all`, `runbook:NAME` or `target:KIND/NAME`".to_owned()),
        }
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

impl TryFrom<String> for Scope {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// One pause in force.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct PauseRow {
    /// What is paused.
    pub scope: String,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// Since when.
    pub since: Stamp,
    /// When it ends by itself.
    pub until: Option<Stamp>,
}

/// A pause that a person lifted before its end.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Lifted {
    /// The pause as it was.
    #[serde(flatten)]
    pub pause: PauseRow,
    /// When it was lifted.
    pub lifted: Stamp,
    /// Who lifted it.
    pub lifted_by: String,
}

/// The name of the file in the state directory that pauses everything while it is there.
pub const PAUSE_FILE: &str = "PAUSE";

impl Journal {
    /// Pauses; acknowledged only when it is on disk. No act is admitted afterwards. Where the same is paused already, the later
    /// end counts, so that nobody's stop is cut short by another's: to shorten one, resume first. Gives the end that counts.
    ///
    /// # Errors
    /// When the journal cannot be written: the caller then writes the pause file instead.
    pub async fn pause(
        &self,
        scope: &Scope,
        reason: &str,
        by: &str,
        now: Stamp,
        until: Option<Stamp>,
    ) -> anyhow::Result<Option<Stamp>> {
        let mut counts = until;
        self.change_pause(async |connection: &mut SqliteConnection| {
            let row = sqlx::query(
                "INSERT INTO pauses (scope, reason, by, since, until) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (scope) DO UPDATE SET \
                 by = $3, \
                 reason = CASE WHEN (until IS NULL OR until > $4) AND reason <> $2 \
                   THEN substr($2 || '; before that, ' || by || ': ' || reason, 1, 1000) ELSE $2 END, \
                 since = CASE WHEN until IS NULL OR until > $4 THEN MIN(since, $4) ELSE $4 END, \
                 until = CASE WHEN until IS NULL OR $5 IS NULL THEN NULL ELSE MAX(until, $5) END \
                 RETURNING until",
            )
            .bind(scope.to_string())
            .bind(reason)
            .bind(by)
            .bind(now.millis())
            .bind(until.map(Stamp::millis))
            .fetch_one(connection)
            .await
            .context("writing a pause")?;
            counts = row.try_get::<Option<i64>, _>(0)?.map(Stamp::from_millis);
            Ok(true)
        })
        .await?;
        Ok(counts)
    }

    /// Ends a pause, and keeps who did; false when there was none.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn resume(&self, scope: &Scope, by: &str, now: Stamp) -> anyhow::Result<bool> {
        self.change_pause(async |connection: &mut SqliteConnection| {
            sqlx::query(
                "INSERT INTO lifted_pauses (scope, reason, by, since, until, lifted, lifted_by) \
                 SELECT scope, reason, by, since, until, $2, $3 FROM pauses WHERE scope = $1 AND (until IS NULL OR until > $2)",
            )
            .bind(scope.to_string())
            .bind(now.millis())
            .bind(by)
            .execute(&mut *connection)
            .await
            .context("keeping who ended a pause")?;
            let done = sqlx::query("DELETE FROM pauses WHERE scope = $1")
                .bind(scope.to_string())
                .execute(connection)
                .await
                .context("ending a pause")?;
            Ok(done.rows_affected() > 0)
        })
        .await
    }

    /// Keeps that somebody removed the pause file, which has said this.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn pause_file_removed(&self, said: &str, by: &str, now: Stamp) -> anyhow::Result<()> {
        let mut writer = self.writer().await;
        let kept = sqlx::query(
            "INSERT INTO lifted_pauses (scope, reason, by, since, until, lifted, lifted_by) \
             VALUES ('all', $1, 'the pause file', $2, NULL, $2, $3)",
        )
        .bind(said)
        .bind(now.millis())
        .bind(by)
        .execute(&mut writer.connection)
        .await
        .context("keeping who removed the pause file");
        self.note_trouble(kept).map(drop)
    }

    async fn change_pause(
        &self,
        change: impl AsyncFnOnce(&mut SqliteConnection) -> anyhow::Result<bool>,
    ) -> anyhow::Result<bool> {
        let mut writer = self.writer().await;
        let outcome = async {
            let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await?;
            let changed = change(&mut transaction).await?;
            sqlx::query("UPDATE facts SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) WHERE name = 'pause_epoch'")
                .execute(&mut *transaction)
                .await?;
            sqlx::query("UPDATE incidents SET due = 0 WHERE closed IS NULL AND due IS NOT NULL AND stage = 'waiting'")
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(changed)
        }
        .await;
        let changed = self.note_trouble(outcome)?;
        drop(writer);
        self.tell_changed();
        Ok(changed)
    }

    /// Has every incident that waits look at once whether it still has what to wait for: the configuration is another.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn wake_all(&self) -> anyhow::Result<()> {
        let mut writer = self.writer().await;
        let waits =
            "UPDATE incidents SET due = 0 WHERE closed IS NULL AND due IS NOT NULL AND stage IN ('waiting', 'held', 'asking')";
        let woken = sqlx::query(waits).execute(&mut writer.connection).await.context("waking what waits");
        self.note_trouble(woken)?;
        drop(writer);
        self.tell_changed();
        Ok(())
    }

    /// The stop that applies to this runbook on these targets now.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn pause_for(&self, runbook: &str, targets: &[TargetId], now: Stamp) -> anyhow::Result<Pause> {
        let mut reader = self.inner.readers.acquire().await?;
        pause_with(&mut reader, self.directory(), runbook, targets, now).await
    }

    /// All pauses that are in force.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn pauses(&self, now: Stamp) -> anyhow::Result<Vec<PauseRow>> {
        let rows =
            sqlx::query("SELECT scope, reason, by, since, until FROM pauses WHERE until IS NULL OR until > $1 ORDER BY scope")
                .bind(now.millis())
                .fetch_all(&self.inner.readers)
                .await?;
        let mut pauses = rows.iter().map(pause_in).collect::<sqlx::Result<Vec<_>>>()?;
        if let Some(file) = pause_file(self.directory(), now) {
            let since = pause_file_since(self.directory()).map_or(now, |since| since.min(now));
            let by = "the pause file".to_owned();
            pauses.push(PauseRow { scope: "all".to_owned(), reason: file.reason, by, since, until: file.until });
        }
        Ok(pauses)
    }

    /// Pauses that people lifted, the latest first, at most so many.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn lifted_pauses(&self, most: u32) -> anyhow::Result<Vec<Lifted>> {
        let rows = sqlx::query(
            "SELECT scope, reason, by, since, until, lifted, lifted_by FROM lifted_pauses ORDER BY lifted DESC, id DESC LIMIT $1",
        )
        .bind(most)
        .fetch_all(&self.inner.readers)
        .await?;
        let lifted = |row: &SqliteRow| -> sqlx::Result<Lifted> {
            Ok(Lifted { pause: pause_in(row)?, lifted: Stamp::from_millis(row.try_get(5)?), lifted_by: row.try_get(6)? })
        };
        Ok(rows.iter().map(lifted).collect::<sqlx::Result<_>>()?)
    }
}

/// A pause in a row that begins with its five columns.
fn pause_in(row: &SqliteRow) -> sqlx::Result<PauseRow> {
    Ok(PauseRow {
        scope: row.try_get(0)?,
        reason: row.try_get(1)?,
        by: row.try_get(2)?,
        since: Stamp::from_millis(row.try_get(3)?),
        until: row.try_get::<Option<i64>, _>(4)?.map(Stamp::from_millis),
    })
}

/// What of the pause file is read.
const MOST_SAID: u64 = 4_096;

/// What the pause file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PauseFile {
    /// Why, in the words of who wrote it; empty where none can be read.
    pub words: String,
    /// Why, and how it is lifted.
    pub reason: String,
    /// When it ends by itself; only where a line `until: 2026-11-25T03:00:00Z` says so.
    pub until: Option<Stamp>,
}

/// Why the pause file stops everything, if it is there and its end has not come. Whatever stands under its name stops: a folder,
/// a link, a pipe, junk. Only a plain file is read, and of it no more than a reason is long, without ever waiting: this is
/// asked before every act. An end that cannot be read is none.
pub fn pause_file(directory: &Path, now: Stamp) -> Option<PauseFile> {
    written_pause_file(directory).filter(|file| file.until.is_none_or(|until| until > now))
}

/// What stands under the name of the pause file, also when its end has come.
pub fn written_pause_file(directory: &Path) -> Option<PauseFile> {
    let path = directory.join(PAUSE_FILE);
    match std::fs::symlink_metadata(&path) {
        Ok(_) => {
            let said = reason_in(&path).unwrap_or_default();
            let ends: Vec<&str> = said.lines().filter_map(|line| line.trim().strip_prefix("until:")).collect();
            // Two ends contradict each other, and the careful reading of that is no end.
            let until = match ends.as_slice() {
                [one] => one.parse().ok(),
                _ => None,
            };
            let words: Vec<&str> = said.lines().filter(|line| !line.trim().starts_with("until:")).collect();
            let words = runbook::text::inert(words.join(" ").trim(), 400);
            let lift = format!("remove {} to go on", path.display());
            let reason = if words.is_empty() { lift } else { format!("{} ({lift})", runbook::text::inert(&words, 200)) };
            Some(PauseFile { words, reason, until })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            let reason = format!("whether {} is there cannot be told: {error}", path.display());
            Some(PauseFile { words: String::new(), reason, until: None })
        }
    }
}

/// When the pause file was written, as far as the file system says.
fn pause_file_since(directory: &Path) -> Option<Stamp> {
    let written = std::fs::symlink_metadata(directory.join(PAUSE_FILE)).ok()?.modified().ok()?;
    let since = written.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Stamp::from_millis(i64::try_from(since.as_millis()).ok()?))
}

fn reason_in(path: &Path) -> std::io::Result<String> {
    // Not waiting matters also between the look at what it is and the opening: it may have become a pipe by then.
    let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(String::new());
    }
    let mut said = Vec::new();
    file.take(MOST_SAID).read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// The pause that applies, within a transaction or a read.
pub(crate) async fn pause_with(
    connection: &mut SqliteConnection,
    directory: &Path,
    runbook: &str,
    targets: &[TargetId],
    now: Stamp,
) -> anyhow::Result<Pause> {
    let row =
        sqlx::query("SELECT CAST(value AS INTEGER) FROM facts WHERE name = 'pause_epoch'").fetch_one(&mut *connection).await?;
    let epoch: i64 = row.try_get(0)?;
    let mut pause = Pause { epoch: epoch as u64, reason: None, until: None };
    if let Some(file) = pause_file(directory, now) {
        (pause.reason, pause.until) = (Some(file.reason), file.until);
        return Ok(pause);
    }
    let rows = sqlx::query("SELECT scope, reason, by, until FROM pauses WHERE until IS NULL OR until > $1")
        .bind(now.millis())
        .fetch_all(&mut *connection)
        .await?;
    for row in rows {
        let scope: String = row.try_get(0)?;
        let (reason, by): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        let applies = match scope.parse() {
            Ok(Scope::All) => true,
            Ok(Scope::Runbook(name)) => name == runbook,
            Ok(Scope::Target(id)) => targets.contains(&id),
            // A scope that this release cannot read stops everything rather than nothing.
            Err(_) => true,
        };
        if applies {
            pause.until = row.try_get::<Option<i64>, _>(3)?.map(Stamp::from_millis);
            let end = pause.until.map(|until| format!(", until {until}")).unwrap_or_default();
            pause.reason = Some(format!("{reason} (by {by}{end}; `runbookd resume {scope}` lifts it)"));
        }
    }
    Ok(pause)
}
