//! What runbooks have earned and which breakers a person closed: small tables of their own, changed in the transaction of the event
//! that changes them, because what they say must outlive the incidents and the counters' memory. Deliberately no rule of its own:
//! what an event weighs is policy's.

use anyhow::Context;
use policy::{Ledger, Record, Weight};
use runbook::book::{Earned, Runbook};
use runbook::incident::{Event, Incident, IncidentId};
use runbook::time::Stamp;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};

use crate::heard::Chosen;
use crate::open::Journal;

/// What a text of a runbook has earned, as it was just written.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Changed {
    runbook: String,
    deed: String,
    record: Record,
}

/// Tells the counters, after the commit.
pub(crate) fn told(ledger: &mut Ledger, changed: Option<Changed>) {
    if let Some(Changed { runbook, deed, record }) = changed {
        ledger.earns(&runbook, &deed, record);
    }
}

/// Writes down what an event says of its runbook, if anything. `after` is the incident as the event left it.
pub(crate) async fn weigh(
    connection: &mut SqliteConnection,
    after: &Incident,
    at: Stamp,
    event: &Event,
    rule: Option<Earned>,
) -> anyhow::Result<Option<Changed>> {
    match Weight::of(after, event) {
        Some(weight) => write(connection, &after.runbook, weight, (after.id, after.opened), at, rule).await.map(Some),
        None => Ok(None),
    }
}

async fn write(
    connection: &mut SqliteConnection,
    runbook: &Runbook,
    weight: Weight,
    (id, opened): (IncidentId, Stamp),
    at: Stamp,
    rule: Option<Earned>,
) -> anyhow::Result<Changed> {
    let deed = runbook.deed();
    let mut record = record_of(connection, &runbook.name, &deed).await?.unwrap_or_default();
    record.weigh(weight, &id.to_string(), opened, at, rule);
    sqlx::query(
        "INSERT INTO earned (runbook, deed, body) VALUES ($1, $2, $3) ON CONFLICT (runbook, deed) DO UPDATE SET body = $3",
    )
    .bind(&runbook.name)
    .bind(&deed)
    .bind(serde_json::to_string(&record)?)
    .execute(&mut *connection)
    .await
    .context("writing what a runbook has earned")?;
    Ok(Changed { runbook: runbook.name.clone(), deed, record })
}

/// What a text of a runbook has earned; nothing where nothing was ever said of it.
pub(crate) async fn record_of(connection: &mut SqliteConnection, runbook: &str, deed: &str) -> anyhow::Result<Option<Record>> {
    let row = sqlx::query("SELECT body FROM earned WHERE runbook = $1 AND deed = $2")
        .bind(runbook)
        .bind(deed)
        .fetch_optional(connection)
        .await?;
    row.map(|row| read(&row.try_get::<String, _>(0)?)).transpose()
}

fn read(body: &str) -> anyhow::Result<Record> {
    serde_json::from_str(body).context("reading what a runbook has earned")
}

/// Reads all of it into the counters.
pub(crate) async fn read_earned(connection: &mut SqliteConnection, ledger: &mut Ledger) -> anyhow::Result<()> {
    for row in sqlx::query("SELECT runbook, deed, body FROM earned").fetch_all(&mut *connection).await? {
        let (runbook, deed, body): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        ledger.earns(&runbook, &deed, read(&body)?);
    }
    let closings = "SELECT runbook, MAX(at) FROM breaker_closings GROUP BY runbook";
    for row in sqlx::query(closings).fetch_all(&mut *connection).await? {
        let runbook: Option<String> = row.try_get(0)?;
        ledger.closed_by_hand(runbook.as_deref(), Stamp::from_millis(row.try_get(1)?));
    }
    Ok(())
}

impl Journal {
    /// How the runbook of this name earns its autonomy under this configuration; not at all where nothing is said.
    pub(crate) async fn rule_of(&self, runbook: &str, config: &str) -> anyhow::Result<Option<Earned>> {
        if config.is_empty() {
            return Ok(None);
        }
        let configuration = self.configuration(config).await?;
        Ok(configuration.runbooks.get(runbook).and_then(|runbook| runbook.mode.earned))
    }

    /// An alert opened this incident: where as many cures came before it as make a mask, the runbook has not cured what it said.
    pub(crate) async fn came_back(
        &self,
        connection: &mut SqliteConnection,
        id: IncidentId,
        chosen: &Chosen,
        config: &str,
        at: Stamp,
    ) -> anyhow::Result<Option<Changed>> {
        let configuration = self.configuration(config).await?;
        let Some(runbook) = configuration.runbooks.get(&chosen.runbook) else { return Ok(None) };
        let Some(limit) = runbook.limits.recurrence else { return Ok(None) };
        let cured = "SELECT COUNT(*) FROM incidents WHERE runbook = $1 AND target = $2 AND how = 'cured' AND closed > $3";
        let cured = sqlx::query(cured)
            .bind(&chosen.runbook)
            .bind(chosen.target.to_string())
            .bind(at.minus(limit.within.duration()).millis())
            .fetch_one(&mut *connection)
            .await?;
        if cured.try_get::<i64, _>(0)? < i64::from(limit.times) {
            return Ok(None);
        }
        write(connection, runbook, Weight::CameBack, (id, at), at, runbook.mode.earned).await.map(Some)
    }

    /// A person closes the breaker of a runbook, or of all: what failed before is no longer counted by it. On disk with their name and
    /// their reason before it is acknowledged.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn close_breaker(&self, runbook: Option<&str>, by: &str, why: &str, now: Stamp) -> anyhow::Result<()> {
        let mut writer = self.writer().await;
        let at = writer.stamp(now);
        let outcome = async {
            let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::query("INSERT INTO breaker_closings (runbook, at, by, why) VALUES ($1, $2, $3, $4)")
                .bind(runbook)
                .bind(at.millis())
                .bind(by)
                .bind(why)
                .execute(&mut *transaction)
                .await
                .context("writing that a breaker was closed")?;
            transaction.commit().await.context("committing that a breaker was closed")
        }
        .await;
        self.counted(self.note_trouble(outcome))?;
        self.count(|ledger| ledger.closed_by_hand(runbook, at));
        drop(writer);
        self.tell_changed();
        Ok(())
    }

    /// Who last closed the breaker of a runbook, or of all: when, by whom, and why.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn last_closing(&self, runbook: Option<&str>) -> anyhow::Result<Option<(Stamp, String, String)>> {
        let row = sqlx::query("SELECT at, by, why FROM breaker_closings WHERE runbook IS $1 ORDER BY id DESC LIMIT 1")
            .bind(runbook)
            .fetch_optional(&self.inner.readers)
            .await?;
        row.map(|row| Ok((Stamp::from_millis(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?))).transpose()
    }
}
