//! Opening a state directory: the lock that proves one process, and the connections to the journal in it. Deliberately no
//! query of its own beyond the configuration that events are stamped with.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use anyhow::Context;
use runbook::book::Configuration;
use runbook::time::Stamp;
use sha2::{Digest, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Row};
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::counted::Counted;
use crate::migrate::{migrate, refuse_newer};

/// The journal of one state directory. Cheap to clone; all clones share one writer.
#[derive(Clone)]
pub struct Journal {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) writer: Mutex<Writer>,
    pub(crate) readers: SqlitePool,
    pub(crate) directory: PathBuf,
    pub(crate) configurations: RwLock<HashMap<String, Arc<Configuration>>>,
    pub(crate) changed: watch::Sender<u64>,
    pub(crate) arrived: watch::Sender<u64>,
    pub(crate) trouble: watch::Sender<Option<String>>,
    pub(crate) ledger: RwLock<Counted>,
    _lock: Option<File>,
}

/// The one connection that writes, and the last stamp it wrote.
pub(crate) struct Writer {
    pub(crate) connection: SqliteConnection,
    pub(crate) last: Stamp,
    pub(crate) config: String,
    options: SqliteConnectOptions,
}

impl Writer {
    /// Makes the connection anew where it is of no use any more. On a full disk SQLite rolls a transaction back by itself, the rollback
    /// that follows fails, and the library believes for ever that it is in a transaction (sqlx 0.9): nothing could be written
    /// until a restart, however much room there is.
    async fn mend(&mut self) -> anyhow::Result<()> {
        // A rollback that is only on its way is over once this is answered.
        if self.connection.ping().await.is_ok() && !self.connection.is_in_transaction() {
            return Ok(());
        }
        // Where the file is gone, a new one in its place would be a journal without a past.
        let options = self.options.clone().create_if_missing(false);
        self.connection = SqliteConnection::connect_with(&options).await.context("opening the journal again")?;
        Ok(())
    }

    /// A stamp that never goes back: the later of the wall clock and the last stamp.
    pub(crate) fn stamp(&mut self, now: Stamp) -> Stamp {
        self.last = self.last.max(now);
        self.last
    }
}

/// Why a state directory could not be opened; the daemon's exit code depends on it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("another runbookd has {0}; one process per state directory, so stop that one or use another --state")]
    InUse(PathBuf),
    /// A newer release wrote it.
    #[error("the journal in {directory} has version {found}, and this release knows up to {known}; run the newer release")]
    Newer {
        /// Which directory.
        directory: PathBuf,
        /// The version on disk.
        found: i64,
        /// The version of this release.
        known: i64,
    },
    /// Anything else.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl Journal {
    /// Opens the journal in this directory, making it where there is none. Leases of an earlier process are taken back at
    /// once: the lock proves that it is gone.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is changed when the journal is in use or newer.
    pub async fn open(directory: &Path) -> Result<Self, OpenError> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("creating the state directory {}", directory.display()))?;
        let mode = std::fs::metadata(directory).with_context(|| format!("looking at {}", directory.display()))?.mode();
        if mode & 0o022 != 0 {
            let shown = directory.display();
            return Err(anyhow::anyhow!(
                "others may write to the state directory {shown}, and so decide what runbookd does; chmod 700 {shown}"
            )
            .into());
        }
        let lock_path = directory.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).custom_flags(libc::O_NOFOLLOW).open(&lock_path);
        let lock = lock.with_context(|| format!("creating {}", lock_path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(directory.to_owned())),
            Err(TryLockError::Error(error)) => {
                return Err(anyhow::Error::new(error).context(format!("locking {}", lock_path.display())).into());
            }
        }
        let path = directory.join("journal.db");
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(2));
        let mut connection =
            SqliteConnection::connect_with(&options).await.with_context(|| format!("opening the journal {}", path.display()))?;
        migrate(&mut connection, directory).await?;
        let mut journal = Self::assemble(connection, options, directory, Some(lock)).await?;
        journal.take_leases_back().await?;
        journal.recount().await?;
        Ok(journal)
    }

    /// Opens the journal for reading beside a running daemon, or after it died. Writing through it fails.
    ///
    /// # Errors
    /// [`OpenError`] when there is no journal, or a newer one.
    pub async fn open_to_read(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join("journal.db");
        let options = SqliteConnectOptions::new().filename(&path).read_only(true).busy_timeout(Duration::from_secs(2));
        let mut connection =
            SqliteConnection::connect_with(&options).await.with_context(|| format!("opening the journal {}", path.display()))?;
        refuse_newer(&mut connection, directory).await?;
        Ok(Self::assemble(connection, options, directory, None).await?)
    }

    async fn assemble(
        mut connection: SqliteConnection,
        options: SqliteConnectOptions,
        directory: &Path,
        lock: Option<File>,
    ) -> anyhow::Result<Self> {
        let last: Option<i64> = sqlx::query("SELECT MAX(at) FROM events").fetch_one(&mut connection).await?.try_get(0)?;
        let readers = SqlitePoolOptions::new().max_connections(4).connect_lazy_with(
            SqliteConnectOptions::new().filename(options.get_filename()).read_only(true).busy_timeout(Duration::from_secs(2)),
        );
        let writer = Writer { connection, last: Stamp::from_millis(last.unwrap_or(0)), config: String::new(), options };
        Ok(Self {
            inner: Arc::new(Inner {
                writer: Mutex::new(writer),
                readers,
                directory: directory.to_owned(),
                configurations: RwLock::new(HashMap::new()),
                changed: watch::Sender::new(0),
                arrived: watch::Sender::new(0),
                trouble: watch::Sender::new(None),
                ledger: RwLock::new(Counted::default()),
                _lock: lock,
            }),
        })
    }

    async fn take_leases_back(&mut self) -> anyhow::Result<()> {
        let mut writer = self.inner.writer.lock().await;
        sqlx::query("UPDATE incidents SET lease = lease + 1, leased_until = 0 WHERE closed IS NULL")
            .execute(&mut writer.connection)
            .await
            .context("taking the leases of the last process back")?;
        Ok(())
    }

    /// The stamp of the last event; the clock never falls behind it.
    pub async fn last_stamp(&self) -> Stamp {
        self.writer().await.last
    }

    /// The state directory.
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// Rises with every change of an incident, a pause or the outbox; the engine and the reporter wait on it.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// Rises with every stored delivery; routing waits on it. Apart from [`Journal::changes`], because a storm that no runbook is
    /// for must not wake everybody with every commit.
    pub fn arrivals(&self) -> watch::Receiver<u64> {
        self.inner.arrived.subscribe()
    }

    /// Why the journal cannot be written at the moment; none when it can. `/readyz` shows it.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.inner.trouble.subscribe()
    }

    pub(crate) async fn writer(&self) -> MutexGuard<'_, Writer> {
        let mut writer = self.inner.writer.lock().await;
        if (writer.connection.is_in_transaction() || self.inner.trouble.borrow().is_some())
            && let Err(error) = writer.mend().await
        {
            // Whatever is asked of it next fails in its own words, and the one after that tries again.
            tracing::warn!(error = format!("{error:#}"), "the journal's connection is out of order and cannot be made anew");
        }
        writer
    }

    pub(crate) fn tell_arrived(&self) {
        self.inner.arrived.send_modify(|count| *count += 1);
    }

    pub(crate) fn tell_changed(&self) {
        self.inner.changed.send_modify(|count| *count += 1);
    }

    /// Keeps the state of health in step with what writing says.
    pub(crate) fn note_trouble<T>(&self, outcome: anyhow::Result<T>) -> anyhow::Result<T> {
        let trouble = outcome.as_ref().err().map(|error| format!("{error:#}"));
        self.inner.trouble.send_if_modified(|now| {
            let changed = *now != trouble;
            *now = trouble;
            changed
        });
        outcome
    }

    /// Stores a configuration under its hash and makes it the one that events name from now on.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn adopt(&self, configuration: &Configuration, now: Stamp) -> anyhow::Result<String> {
        let body = serde_json::to_string(configuration).context("writing the configuration")?;
        let hash = hex(&Sha256::digest(body.as_bytes()));
        let mut writer = self.writer().await;
        let stored = sqlx::query("INSERT INTO configurations (hash, stored, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(&hash)
            .bind(now.millis())
            .bind(&body)
            .execute(&mut writer.connection)
            .await
            .context("storing the configuration");
        self.note_trouble(stored)?;
        writer.config.clone_from(&hash);
        if let Ok(mut known) = self.inner.configurations.write() {
            known.insert(hash.clone(), Arc::new(configuration.clone()));
        }
        Ok(hash)
    }

    /// The configuration of this hash.
    ///
    /// # Errors
    /// When it is not there or cannot be read by this release.
    pub async fn configuration(&self, hash: &str) -> anyhow::Result<Arc<Configuration>> {
        if let Some(known) = self.inner.configurations.read().ok().and_then(|known| known.get(hash).cloned()) {
            return Ok(known);
        }
        let row = sqlx::query("SELECT body FROM configurations WHERE hash = $1")
            .bind(hash)
            .fetch_optional(&self.inner.readers)
            .await?
            .with_context(|| format!("the configuration {hash} is not in the journal"))?;
        let body: String = row.try_get(0)?;
        let configuration: Configuration =
            serde_json::from_str(&body).with_context(|| format!("reading the stored configuration {hash}"))?;
        let configuration = Arc::new(configuration);
        if let Ok(mut known) = self.inner.configurations.write() {
            known.insert(hash.to_owned(), configuration.clone());
        }
        Ok(configuration)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
