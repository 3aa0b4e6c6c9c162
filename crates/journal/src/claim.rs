//! Claims: which worker has an incident, under a lease with a generation. A late worker's generation is lower, and every write
//! of its claim is refused. Deliberately no fairness beyond "longest due first": nothing here may starve.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use runbook::incident::{Incident, IncidentId};
use runbook::time::Stamp;
use sqlx::{Connection, Row};

use crate::open::Journal;

/// An incident in a worker's hands.
#[derive(Debug)]
pub struct Claim {
    /// The incident as its events leave it.
    pub incident: Incident,
    pub(crate) lease: i64,
    pub(crate) lasts: Duration,
}

/// What claiming the next due incident gave.
#[derive(Debug)]
pub enum Claimed {
    /// Nothing is due before this moment; none when nothing is waiting at all.
    NothingBefore(Option<Stamp>),
    /// This one.
    Claim(Box<Claim>),
    /// This one cannot be read; it was set aside for a person and will not come due again.
    Unreadable {
        /// Which.
        id: IncidentId,
        /// Why.
        why: String,
    },
}

impl Journal {
    /// Claims the incident that has been due the longest and that nobody has.
    ///
    /// # Errors
    /// When the journal cannot be written or read.
    pub async fn claim(&self, now: Stamp, lasts: Duration) -> anyhow::Result<Claimed> {
        self.claim_except(&BTreeSet::new(), now, lasts).await
    }

    /// The same, but none of these, whatever has become of the lease on them.
    ///
    /// # Errors
    /// When the journal cannot be written or read.
    pub async fn claim_except(&self, busy: &BTreeSet<IncidentId>, now: Stamp, lasts: Duration) -> anyhow::Result<Claimed> {
        let busy: Vec<u64> = busy.iter().map(|id| id.0).collect();
        let busy = serde_json::to_string(&busy)?;
        let mut writer = self.writer().await;
        let outcome = async {
            let row = sqlx::query(
                "SELECT id FROM incidents WHERE due IS NOT NULL AND due <= $1 AND leased_until <= $1 \
                 AND id NOT IN (SELECT value FROM json_each($2)) ORDER BY due, id LIMIT 1",
            )
            .bind(now.millis())
            .bind(&busy)
            .fetch_optional(&mut writer.connection)
            .await?;
            let Some(row) = row else { return Ok(None) };
            let id: i64 = row.try_get(0)?;
            // Due at 0 is woken, which a claim takes: what is woken again meanwhile stays so when the claim is given back.
            let leases =
                "UPDATE incidents SET lease = lease + 1, leased_until = $2, due = MAX(due, 1) WHERE id = $1 RETURNING lease";
            let row = sqlx::query(leases)
                .bind(id)
                .bind(now.plus(lasts).millis())
                .fetch_one(&mut writer.connection)
                .await
                .context("leasing an incident")?;
            Ok(Some((IncidentId(id as u64), row.try_get::<i64, _>(0)?)))
        }
        .await;
        let Some((id, lease)) = self.note_trouble(outcome)? else {
            drop(writer);
            return self.next_due(&busy, now).await;
        };
        match self.load_with(&mut writer.connection, id).await {
            Ok(incident) => Ok(Claimed::Claim(Box::new(Claim { incident, lease, lasts }))),
            // That the store could not be read says nothing of the incident: it is tried again.
            Err(error) if error.chain().any(|cause| cause.is::<sqlx::Error>()) => Err(error),
            Err(error) => {
                let why = format!("{error:#}");
                sqlx::query(
                    "UPDATE incidents SET unreadable = $2, due = NULL, leased_until = 0, stage = 'unreadable' WHERE id = $1",
                )
                .bind(id.0 as i64)
                .bind(&why)
                .execute(&mut writer.connection)
                .await
                .context("setting an unreadable incident aside")?;
                // It keeps its targets, and not a turn: nobody works on it, and others are to be cured meanwhile.
                self.count(|ledger| ledger.stands(id, false, false));
                Ok(Claimed::Unreadable { id, why })
            }
        }
    }

    async fn next_due(&self, busy: &str, now: Stamp) -> anyhow::Result<Claimed> {
        let next = "SELECT MIN(MAX(due, leased_until)) FROM incidents WHERE due IS NOT NULL AND id NOT IN (SELECT value FROM json_each($1))";
        let row = sqlx::query(next).bind(busy).fetch_one(&self.inner.readers).await?;
        let due: Option<i64> = row.try_get(0)?;
        Ok(Claimed::NothingBefore(due.map(|due| Stamp::from_millis(due).max(now))))
    }

    /// Keeps a claim for longer.
    ///
    /// # Errors
    /// When the lease is another's by now, or the journal cannot be written.
    pub async fn renew(&self, claim: &Claim, now: Stamp, lease: Duration) -> anyhow::Result<bool> {
        let mut writer = self.writer().await;
        let outcome = sqlx::query("UPDATE incidents SET leased_until = MAX(leased_until, $3) WHERE id = $1 AND lease = $2")
            .bind(claim.incident.id.0 as i64)
            .bind(claim.lease)
            .bind(now.plus(lease).millis())
            .execute(&mut writer.connection)
            .await
            .context("renewing a lease");
        Ok(self.note_trouble(outcome)?.rows_affected() == 1)
    }

    /// Gives a claim back. The incident comes due at `due`, or when its stage says so.
    ///
    /// # Errors
    /// When the journal cannot be written; the lease then runs out by itself.
    pub async fn release(&self, claim: Claim, due: Option<Stamp>) -> anyhow::Result<()> {
        let mut writer = self.writer().await;
        let outcome = async {
            let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await?;
            // An event from outside may have moved the due time meanwhile; then the earlier one counts. Who wakes all of them appends
            // no event.
            sqlx::query(
                "UPDATE incidents SET leased_until = 0, due = CASE WHEN closed IS NOT NULL OR due IS NULL OR due = 0 THEN due \
                 WHEN $3 IS NULL THEN due WHEN seq = $4 THEN $3 ELSE MIN(due, $3) END WHERE id = $1 AND lease = $2",
            )
            .bind(claim.incident.id.0 as i64)
            .bind(claim.lease)
            .bind(due.map(Stamp::millis))
            .bind(claim.incident.seq as i64)
            .execute(&mut *transaction)
            .await
            .context("releasing a claim")?;
            transaction.commit().await?;
            Ok(())
        }
        .await;
        self.note_trouble(outcome)?;
        drop(writer);
        self.tell_changed();
        Ok(())
    }
}
