//! The counters that decisions go by, beside the file: fed after each commit, made anew from the tables at start, and again
//! whenever a commit did not say how it ended. Why in memory: a decision must cost the same after a hundred thousand acts as
//! after ten. Why that is safe: one process has the file, and a start checks every limit again inside its transaction.

use anyhow::Context;
use policy::ledger::{OPENINGS, REMEMBERS};
use policy::{History, Ledger, Started};
use runbook::book::{Configuration, Runbook};
use runbook::incident::settled::UNSEEN;
use runbook::incident::{How, Incident, IncidentId, Stage};
use runbook::target::TargetId;
use runbook::time::Stamp;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection, Row};

use crate::earned::read_earned;
use crate::open::Journal;

/// The counters, and whether they are behind what is on disk.
#[derive(Default)]
pub(crate) struct Counted {
    ledger: Ledger,
    stale: bool,
}

/// What the limits of one case go by.
#[derive(Clone, PartialEq, Debug)]
pub struct Past {
    /// What was done, and what happens elsewhere.
    pub history: History,
    /// Another incident that holds one of the targets.
    pub held_by: Option<IncidentId>,
}

/// For how long an act whose end nobody saw is taken for what may have stopped something.
const DOUBTED_FOR_MS: i64 = 86_400_000;

impl Journal {
    /// What limits and holds go by, for the step that is next.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn past(&self, incident: &Incident, rules: &Runbook, current: &Configuration, now: Stamp) -> anyhow::Result<Past> {
        self.catch_up().await?;
        let held_by = self.holder_of(&incident.remedy_touches(), incident.id).await?;
        let doubtful = self.doubtful(incident, now).await?;
        let counted = self.inner.ledger.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let history = History { doubtful, ..counted.ledger.history(incident, rules, current, now) };
        Ok(Past { history, held_by })
    }

    /// The latest other incident that acted on what this one's step acts on, and ended within the last day because nobody could see
    /// whether that landed.
    async fn doubtful(&self, incident: &Incident, now: Stamp) -> anyhow::Result<Option<IncidentId>> {
        let target = incident.step().and_then(|step| step.target.as_ref()).unwrap_or(&incident.target);
        let row = sqlx::query(
            "SELECT max(incidents.id) FROM incidents JOIN attempts ON attempts.incident = incidents.id WHERE attempts.acted_on = $1 \
             AND attempts.purpose = 'do' AND incidents.closed > $3 AND incidents.id <> $2 AND incidents.how = 'stuck' AND incidents.why LIKE $4",
        )
        .bind(target.to_string())
        .bind(incident.id.0 as i64)
        .bind(now.millis() - DOUBTED_FOR_MS)
        .bind(format!("%{UNSEEN}%"))
        .fetch_one(&self.inner.readers)
        .await?;
        Ok(row.try_get::<Option<i64>, _>(0)?.map(|id| IncidentId(id as u64)))
    }

    /// Another incident that holds one of these targets.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn holder_of(&self, targets: &[TargetId], own: IncidentId) -> anyhow::Result<Option<IncidentId>> {
        for target in targets {
            let row = sqlx::query("SELECT incident FROM holds WHERE target = $1 AND incident <> $2")
                .bind(target.to_string())
                .bind(own.0 as i64)
                .fetch_optional(&self.inner.readers)
                .await?;
            if let Some(row) = row {
                return Ok(Some(IncidentId(row.try_get::<i64, _>(0)? as u64)));
            }
        }
        Ok(None)
    }

    /// How many other incidents are in the middle of an act.
    pub fn at_work(&self, own: IncidentId) -> u32 {
        self.inner.ledger.read().unwrap_or_else(std::sync::PoisonError::into_inner).ledger.at_work(own)
    }

    /// The counters as they are now.
    pub fn ledger(&self) -> Ledger {
        self.inner.ledger.read().unwrap_or_else(std::sync::PoisonError::into_inner).ledger.clone()
    }

    /// Makes the counters anew from what is on disk.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn recount(&self) -> anyhow::Result<()> {
        let mut writer = self.writer().await;
        let last = writer.last;
        // Under the writer's lock nothing is committed between the reading and the exchange.
        let ledger = read_all(&mut writer.connection, last).await.context("counting what is on record")?;
        *self.inner.ledger.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Counted { ledger, stale: false };
        Ok(())
    }

    /// After a commit, while the writer is still held.
    pub(crate) fn count(&self, note: impl FnOnce(&mut Ledger)) {
        note(&mut self.inner.ledger.write().unwrap_or_else(std::sync::PoisonError::into_inner).ledger);
    }

    /// A transaction that failed may be on disk all the same; then the counters are made anew before they are asked again.
    pub(crate) fn counted<T>(&self, outcome: anyhow::Result<T>) -> anyhow::Result<T> {
        if outcome.is_err() {
            self.inner.ledger.write().unwrap_or_else(std::sync::PoisonError::into_inner).stale = true;
        }
        outcome
    }

    async fn catch_up(&self) -> anyhow::Result<()> {
        let stale = self.inner.ledger.read().unwrap_or_else(std::sync::PoisonError::into_inner).stale;
        if stale { self.recount().await } else { Ok(()) }
    }
}

/// What came out of an act, in the order of time.
enum Outcome {
    Failed { runbook: String },
    Ended { runbook: String, target: TargetId, cured: bool },
}

async fn read_all(connection: &mut SqliteConnection, last: Stamp) -> anyhow::Result<Ledger> {
    let since = last.minus(REMEMBERS).millis();
    let mut transaction = connection.begin().await?;
    let mut ledger = Ledger::default();
    let opened = "SELECT id, runbook, target, opened, closed IS NOT NULL, stage, \
                  EXISTS (SELECT 1 FROM holds WHERE incident = incidents.id), \
                  COALESCE((SELECT json_extract(body, '$.opened.trigger.person') IS NOT NULL FROM events \
                            WHERE incident = incidents.id AND seq = 0), 0) \
                  FROM incidents WHERE opened > $1 OR closed IS NULL ORDER BY opened, id";
    for row in sqlx::query(opened).bind(last.minus(OPENINGS).millis()).fetch_all(&mut *transaction).await? {
        let (id, runbook, target) = names(&row)?;
        let (at, closed, stage): (i64, bool, String) = (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
        ledger.opened(id, &runbook, &target, Stamp::from_millis(at), row.try_get(7)?);
        if closed {
            // How it came out is counted below, in the order of the ends.
            ledger.ended(id, How::Refused, Stamp::from_millis(at), false);
        } else {
            let sustains = stage == "sustaining";
            let at_work = row.try_get::<bool, _>(6)? && !sustains && stage != Stage::UNSETTLED && stage != "unreadable";
            ledger.stands(id, at_work, sustains);
        }
    }
    let attempts = "SELECT incident, runbook, target, acted_on, at, cost FROM attempts \
                    WHERE purpose = 'do' AND at > $1 ORDER BY at, incident, seq";
    for row in sqlx::query(attempts).bind(since).fetch_all(&mut *transaction).await? {
        let (incident, runbook, target) = names(&row)?;
        let acted_on: String = row.try_get(3)?;
        let at = Stamp::from_millis(row.try_get(4)?);
        let acted_on = acted_on.parse().map_err(anyhow::Error::msg)?;
        let cost = u32::try_from(row.try_get::<i64, _>(5)?).unwrap_or(u32::MAX);
        ledger.started(&Started { incident, runbook, target, acted_on, at, cost });
    }
    for (at, id, outcome) in outcomes(&mut transaction, since).await? {
        match outcome {
            Outcome::Failed { runbook } | Outcome::Ended { runbook, cured: false, .. } => ledger.failed(id, &runbook, at),
            Outcome::Ended { runbook, target, cured: true } => ledger.cured(id, &runbook, &target, at),
        }
    }
    read_earned(&mut transaction, &mut ledger).await?;
    transaction.commit().await?;
    Ok(ledger)
}

async fn outcomes(connection: &mut SqliteConnection, since: i64) -> anyhow::Result<Vec<(Stamp, IncidentId, Outcome)>> {
    let mut all = Vec::new();
    let failed = "SELECT e.incident, i.runbook, i.target, e.at FROM events e JOIN incidents i ON i.id = e.incident \
                  WHERE e.kind IN ('not_verified', 'harmed') AND e.at > $1 ORDER BY e.at, e.position";
    for row in sqlx::query(failed).bind(since).fetch_all(&mut *connection).await? {
        let (id, runbook, _) = names(&row)?;
        all.push((Stamp::from_millis(row.try_get(3)?), id, Outcome::Failed { runbook }));
    }
    // An act that was refused, and that a look found undone, was never tried.
    let ended = "SELECT id, runbook, target, closed, how = 'cured' FROM incidents WHERE closed > $1 AND (how = 'cured' OR \
                 how IN ('handed_over', 'stuck') AND \
                 (SELECT COUNT(*) FROM attempts WHERE incident = incidents.id) > \
                 (SELECT COUNT(*) FROM events r WHERE r.incident = incidents.id AND r.kind = 'action_replied' \
                  AND json_extract(r.body, '$.action_replied.reply.refused') IS NOT NULL \
                  AND (SELECT json_extract(s.body, '$.settled.verdict.not_landed') IS NOT NULL FROM events s \
                       WHERE s.incident = r.incident AND s.seq > r.seq AND s.kind = 'settled' ORDER BY s.seq LIMIT 1))) \
                 ORDER BY closed, id";
    for row in sqlx::query(ended).bind(since).fetch_all(&mut *connection).await? {
        let (id, runbook, target) = names(&row)?;
        let outcome = Outcome::Ended { runbook, target, cured: row.try_get(4)? };
        all.push((Stamp::from_millis(row.try_get(3)?), id, outcome));
    }
    // A remedy that failed comes before the end of its incident, also within one millisecond.
    all.sort_by_key(|(at, _, outcome)| (*at, matches!(outcome, Outcome::Ended { .. })));
    Ok(all)
}

fn names(row: &SqliteRow) -> anyhow::Result<(IncidentId, String, TargetId)> {
    let target: String = row.try_get(2)?;
    Ok((
        IncidentId(row.try_get::<i64, _>(0)? as u64),
        row.try_get(1)?,
        target.parse().map_err(anyhow::Error::msg).context("reading a target's name")?,
    ))
}
