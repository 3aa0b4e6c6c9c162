//! Evidence: what a step destroys, kept before it runs. Named by its content, compressed, capped, beside the events; an event
//! names hashes only. Deliberately does not redact: whoever captures does that before, where the meaning is known.

use anyhow::{Context, bail};
use runbook::incident::IncidentId;
use runbook::time::Stamp;
use sha2::{Digest, Sha256};
use sqlx::{Connection, Row};

use crate::open::{Journal, hex};

/// More than this is not kept; whoever captures cuts before and says so.
const MOST_BYTES: usize = 4 << 20;
const LEVEL: i32 = 3;

impl Journal {
    /// Keeps evidence for an incident and gives its hash.
    ///
    /// # Errors
    /// When it is too large, or the journal cannot be written.
    pub async fn keep_evidence(&self, incident: IncidentId, name: &str, body: &[u8], now: Stamp) -> anyhow::Result<String> {
        if body.len() > MOST_BYTES {
            bail!("the evidence {name} has {} bytes, and {MOST_BYTES} are kept at most", body.len());
        }
        let hash = hex(&Sha256::digest(body));
        let packed = zstd::bulk::compress(body, LEVEL).context("compressing evidence")?;
        let mut writer = self.writer().await;
        let outcome = async {
            let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::query("INSERT INTO evidence (hash, kept, size, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")
                .bind(&hash)
                .bind(now.millis())
                .bind(body.len() as i64)
                .bind(packed)
                .execute(&mut *transaction)
                .await?;
            sqlx::query("INSERT INTO evidence_of (incident, name, hash) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
                .bind(incident.0 as i64)
                .bind(name)
                .bind(&hash)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await.context("keeping evidence")?;
            Ok(())
        }
        .await;
        self.note_trouble(outcome)?;
        Ok(hash)
    }

    /// The evidence of an incident: name, hash, size in bytes; the body only with [`Journal::evidence`].
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn evidence_of(&self, incident: IncidentId) -> anyhow::Result<Vec<(String, String, Option<u64>)>> {
        let rows = sqlx::query("SELECT o.name, o.hash, e.size FROM evidence_of o LEFT JOIN evidence e ON e.hash = o.hash WHERE o.incident = $1 ORDER BY o.name")
            .bind(incident.0 as i64)
            .fetch_all(&self.inner.readers)
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get::<Option<i64>, _>(2)?.map(|size| size as u64))))
            .collect()
    }

    /// The body behind a hash; none when retention took it.
    ///
    /// # Errors
    /// When the journal cannot be read, or the body is not what its hash says.
    pub async fn evidence(&self, hash: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let row =
            sqlx::query("SELECT body, size FROM evidence WHERE hash = $1").bind(hash).fetch_optional(&self.inner.readers).await?;
        let Some(row) = row else { return Ok(None) };
        let (packed, size): (Vec<u8>, i64) = (row.try_get(0)?, row.try_get(1)?);
        let body = zstd::bulk::decompress(&packed, usize::try_from(size).unwrap_or(0)).context("decompressing evidence")?;
        if hex(&Sha256::digest(&body)) != hash {
            bail!("the evidence {hash} is not what its hash says");
        }
        Ok(Some(body))
    }
}
