//! The inbox: a delivery is on disk before its sender hears 200. Deliveries that arrive together share one durable commit, so
//! a storm costs few syncs. Bounded in number and in bytes: what does not fit is refused at once, and the sender is told to
//! come again (503), never lost behind a 200. Deliberately does not read what it keeps; routing does, later.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use runbook::time::Stamp;
use sqlx::Row;
use tokio::sync::{mpsc, oneshot};

use crate::open::{Journal, Writer};

/// Most deliveries that may wait for a commit at once.
const MOST_WAITING: usize = 4_096;
/// Most bytes that may wait for a commit at once.
const MOST_BYTES: usize = 256 << 20;
/// Bytes that are read at once, beyond the first row.
const MOST_AT_ONCE: i64 = 8 << 20;
/// Most bytes in one row; a larger batch is parted.
const ROW_BYTES: usize = 4 << 20;

/// Why a delivery was not taken; the sender is to come again.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotTaken {
    /// Too much is waiting already.
    #[error("too many deliveries are waiting to be stored")]
    Full,
    /// The journal could not be written.
    #[error("the delivery could not be stored: {0}")]
    Store(String),
}

/// The way into the inbox. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    sender: mpsc::Sender<Waiting>,
    bytes: Arc<AtomicUsize>,
}

struct Waiting {
    body: Vec<u8>,
    stored: oneshot::Sender<Result<(), NotTaken>>,
}

/// Deliveries that shared one commit, as they were sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// The row, to be named when it is done.
    pub id: i64,
    /// When it was stored.
    pub received: Stamp,
    /// The bodies.
    pub bodies: Vec<Vec<u8>>,
}

impl Intake {
    /// Returns once the body is on disk.
    ///
    /// # Errors
    /// [`NotTaken`]; then nothing was promised.
    pub async fn take(&self, body: Vec<u8>) -> Result<(), NotTaken> {
        let size = body.len();
        if self.bytes.fetch_add(size, Ordering::AcqRel) > MOST_BYTES {
            self.bytes.fetch_sub(size, Ordering::AcqRel);
            return Err(NotTaken::Full);
        }
        let (stored, answer) = oneshot::channel();
        let sent = self.sender.try_send(Waiting { body, stored });
        let outcome = match sent {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(NotTaken::Store("the intake has stopped".to_owned()))),
            Err(mpsc::error::TrySendError::Full(_)) => Err(NotTaken::Full),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(NotTaken::Store("the intake has stopped".to_owned())),
        };
        self.bytes.fetch_sub(size, Ordering::AcqRel);
        outcome
    }
}

impl Journal {
    /// Starts the task that commits deliveries, and gives the way in. The task ends when the last [`Intake`] is dropped.
    pub fn intake(&self, now: impl Fn() -> Stamp + Send + 'static) -> Intake {
        let (sender, mut receiver) = mpsc::channel::<Waiting>(MOST_WAITING);
        let journal = self.clone();
        tokio::spawn(async move {
            let mut batch = Vec::new();
            while receiver.recv_many(&mut batch, MOST_WAITING).await > 0 {
                // Whoever has the writer keeps it for about a sync; what arrives meanwhile shares the commit.
                let mut writer = journal.writer().await;
                while batch.len() < MOST_WAITING
                    && let Ok(more) = receiver.try_recv()
                {
                    batch.push(more);
                }
                let outcome =
                    journal.store(&mut writer, &batch, now()).await.map_err(|error| NotTaken::Store(format!("{error:#}")));
                if let Err(error) = &outcome {
                    tracing::error!(deliveries = batch.len(), %error, "deliveries were not stored; their senders are told to come again");
                }
                drop(writer);
                for waiting in batch.drain(..) {
                    // A sender that has gone away does not mind.
                    let _ = waiting.stored.send(outcome.clone());
                }
            }
        });
        Intake { sender, bytes: Arc::new(AtomicUsize::new(0)) }
    }

    async fn store(&self, writer: &mut Writer, batch: &[Waiting], now: Stamp) -> anyhow::Result<()> {
        let mut rows: Vec<Vec<u8>> = vec![Vec::new()];
        for waiting in batch {
            let size = waiting.body.len();
            if rows.last().is_some_and(|row| !row.is_empty() && row.len() + size > ROW_BYTES) {
                rows.push(Vec::with_capacity(size + 4));
            }
            if let Some(row) = rows.last_mut() {
                let length = u32::try_from(size).context("a delivery of more than 4 GiB")?;
                row.extend_from_slice(&length.to_le_bytes());
                row.extend_from_slice(&waiting.body);
            }
        }
        let outcome = async {
            if rows.len() == 1 {
                // One statement is its own transaction, and its own sync.
                for row in rows {
                    insert(&mut writer.connection, now, row).await?;
                }
                return Ok(());
            }
            let mut transaction = sqlx::Connection::begin_with(&mut writer.connection, "BEGIN IMMEDIATE").await?;
            for row in rows {
                insert(&mut transaction, now, row).await?;
            }
            transaction.commit().await.context("committing deliveries")
        }
        .await;
        self.note_trouble(outcome)?;
        self.tell_arrived();
        Ok(())
    }

    /// The oldest deliveries that nobody has routed yet: at most this many rows, and after the first no more than fit in 8 MiB.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn deliveries(&self, most: u32) -> anyhow::Result<Vec<Delivery>> {
        let rows = sqlx::query(
            "SELECT id, received, bodies FROM deliveries WHERE id IN (SELECT id FROM \
             (SELECT id, SUM(size) OVER (ORDER BY id) - size AS before FROM \
             (SELECT id, LENGTH(bodies) AS size FROM deliveries ORDER BY id LIMIT $1)) WHERE before < $2) ORDER BY id",
        )
        .bind(i64::from(most))
        .bind(MOST_AT_ONCE)
        .fetch_all(&self.inner.readers)
        .await?;
        rows.iter()
            .map(|row| {
                let bodies: Vec<u8> = row.try_get(2)?;
                Ok(Delivery { id: row.try_get(0)?, received: Stamp::from_millis(row.try_get(1)?), bodies: unpack(&bodies)? })
            })
            .collect()
    }

    /// How many rows wait to be routed.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn deliveries_waiting(&self) -> anyhow::Result<u64> {
        let row = sqlx::query("SELECT COUNT(*) FROM deliveries").fetch_one(&self.inner.readers).await?;
        Ok(row.try_get::<i64, _>(0)? as u64)
    }
}

async fn insert(connection: &mut sqlx::SqliteConnection, now: Stamp, row: Vec<u8>) -> anyhow::Result<()> {
    sqlx::query("INSERT INTO deliveries (received, bodies) VALUES ($1, $2)")
        .bind(now.millis())
        .bind(row)
        .execute(connection)
        .await
        .context("storing deliveries")?;
    Ok(())
}

fn unpack(mut packed: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut bodies = Vec::new();
    while let Some((length, rest)) = packed.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let body = rest.get(..length).context("a stored delivery is cut off")?;
        bodies.push(body.to_vec());
        packed = rest.get(length..).unwrap_or_default();
    }
    anyhow::ensure!(packed.is_empty(), "a stored delivery is cut off");
    Ok(bodies)
}
