//! What was heard of alerts, turned into incidents: opened, joined, or only counted. One transaction takes a delivery out of
//! the inbox and writes all that follows from it, so that a crash routes it again or not at all. Deliberately the routing
//! itself is `policy`'s; here is only what needs the store: is one open already, is this a re-send, what came of it before.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use anyhow::Context;
use runbook::alert::{Alert, AlertStatus};
use runbook::incident::{Event, Incident, IncidentId, Opening, Trigger};
use runbook::target::{Class, TargetId};
use runbook::time::Stamp;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};

use crate::append::write_event;
use crate::codec;
use crate::earned::{Changed, told};
use crate::given_up::GIVEN_UP;
use crate::open::Journal;
use crate::outbox::{has_news, is_urgent};

/// The runbook and target that routing chose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chosen {
    /// The runbook's name in the configuration in force.
    pub runbook: String,
    /// The target.
    pub target: TargetId,
}

/// An alert with what routing said of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Heard {
    /// The alert.
    pub alert: Alert,
    /// Where it goes; none with the reason.
    pub chosen: Result<Chosen, String>,
}

/// What came of everything that was heard in one go.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct HeardOutcome {
    /// Incidents that were opened.
    pub opened: Vec<IncidentId>,
    /// Alerts that joined an open incident, or changed in one.
    pub joined: u64,
    /// Alerts that were known already: only counted.
    pub resent: u64,
    /// Alerts that no runbook is for.
    pub unmatched: u64,
    /// Resolved alerts that no open incident has: a resolved alert never starts anything.
    pub resolved_unknown: u64,
    /// An alert of an incident that was given up is over: nobody need be called for it any more.
    called_off: bool,
    /// The openings, for the counters.
    counted: Vec<(IncidentId, Chosen)>,
    /// What cures that came back have cost.
    earned: Vec<Changed>,
    /// Incidents that were folded on the way, as they are now: a storm on one incident folds it once.
    loaded: BTreeMap<IncidentId, Incident>,
}

/// A closed incident's alert that is sent again within this time is a re-send of the same news, not a new fault: Alertmanager
/// repeats a whole group whenever a sibling changes.
const SAME_NEWS: Duration = Duration::from_secs(300);
/// The same for an incident that ended because its alert was over.
const OVER_AND_BACK: Duration = Duration::from_secs(30);
/// More alerts than this in one incident are only counted.
const MOST_JOINED: usize = 1_000;
/// More names than this are not kept in the table of unmatched alerts.
const MOST_UNMATCHED: i64 = 1_000;

impl Journal {
    /// Takes what was heard in. With `done`, the inbox rows up to and including that one are deleted in the same transaction: they
    /// are read oldest first, and a new row's number is always higher.
    ///
    /// # Errors
    /// When the journal cannot be written; nothing was taken in then.
    pub async fn hear(&self, heard: &[Heard], done: Option<i64>, now: Stamp) -> anyhow::Result<HeardOutcome> {
        let mut writer = self.writer().await;
        let at = writer.stamp(now);
        let config = writer.config.clone();
        let outcome = async {
            let mut outcome = HeardOutcome::default();
            let mut unmatched: BTreeMap<&str, (i64, &str)> = BTreeMap::new();
            let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await.context("beginning to route")?;
            for one in heard {
                match (&one.alert.status, &one.chosen) {
                    (AlertStatus::Firing, Ok(chosen)) => {
                        self.hear_firing(&mut transaction, &one.alert, chosen, &config, at, &mut outcome).await?;
                    }
                    (AlertStatus::Firing, Err(why)) => {
                        outcome.unmatched += 1;
                        unmatched.entry(one.alert.name()).or_insert((0, why)).0 += 1;
                    }
                    (AlertStatus::Resolved, _) => {
                        self.hear_resolved(&mut transaction, &one.alert, &config, at, &mut outcome).await?;
                    }
                }
            }
            write_unmatched(&mut transaction, &unmatched, at).await?;
            if let Some(id) = done {
                sqlx::query("DELETE FROM deliveries WHERE id <= $1").bind(id).execute(&mut *transaction).await?;
            }
            transaction.commit().await.context("committing what was routed")?;
            Ok(outcome)
        }
        .await;
        let outcome = self.counted(self.note_trouble(outcome))?;
        self.count(|ledger| {
            for (id, chosen) in &outcome.counted {
                ledger.opened(*id, &chosen.runbook, &chosen.target, at, false);
            }
            outcome.earned.iter().for_each(|changed| told(ledger, Some(changed.clone())));
            for incident in outcome.loaded.values() {
                ledger.stands_as(incident);
            }
        });
        drop(writer);
        // What was only counted is no news for the engine.
        if !outcome.opened.is_empty() || outcome.joined > 0 || outcome.called_off {
            self.tell_changed();
        }
        Ok(outcome)
    }

    /// Opens an incident that no alert asked for: a person did, or the calendar.
    ///
    /// # Errors
    /// When one is open for this runbook and target already, or the journal cannot be written.
    pub async fn open_incident(&self, chosen: &Chosen, trigger: Trigger, now: Stamp) -> anyhow::Result<IncidentId> {
        let mut writer = self.writer().await;
        let at = writer.stamp(now);
        let config = writer.config.clone();
        let mut transaction = writer.connection.begin_with("BEGIN IMMEDIATE").await?;
        if let Some(id) = open_one(&mut transaction, chosen).await? {
            anyhow::bail!("{id} is open for {} on {} already; see `runbookd incidents show {id}`", chosen.runbook, chosen.target);
        }
        let by_a_person = matches!(trigger, Trigger::Person { .. });
        let id = self.write_opening(&mut transaction, chosen, trigger, &config, at).await?;
        let outcome = transaction.commit().await.context("committing an opening");
        self.counted(self.note_trouble(outcome))?;
        self.count(|ledger| ledger.opened(id, &chosen.runbook, &chosen.target, at, by_a_person));
        drop(writer);
        self.tell_changed();
        Ok(id)
    }

    async fn hear_firing(
        &self,
        connection: &mut SqliteConnection,
        alert: &Alert,
        chosen: &Chosen,
        config: &str,
        at: Stamp,
        outcome: &mut HeardOutcome,
    ) -> anyhow::Result<()> {
        if let Some(id) = open_one(connection, chosen).await? {
            let known = sqlx::query(
                "SELECT 1 FROM alerts WHERE fingerprint = $1 AND incident = $2 AND starts_at = $3 AND status = 'firing'",
            )
            .bind(alert.fingerprint.to_string())
            .bind(id.0 as i64)
            .bind(alert.starts_at.millis())
            .fetch_optional(&mut *connection)
            .await?;
            if known.is_some() {
                outcome.resent += 1;
                count_resend(connection, id).await?;
                return Ok(());
            }
            return self.join(connection, id, alert, config, at, outcome).await;
        }
        if let Some(id) = already_answered(connection, alert, at).await? {
            outcome.resent += 1;
            count_resend(connection, id).await?;
            return Ok(());
        }
        let id = self.write_opening(connection, chosen, Trigger::Alert(alert.clone()), config, at).await?;
        remember_alert(connection, alert, id).await?;
        outcome.earned.extend(self.came_back(connection, id, chosen, config, at).await?);
        outcome.opened.push(id);
        outcome.counted.push((id, chosen.clone()));
        Ok(())
    }

    async fn hear_resolved(
        &self,
        connection: &mut SqliteConnection,
        alert: &Alert,
        config: &str,
        at: Stamp,
        outcome: &mut HeardOutcome,
    ) -> anyhow::Result<()> {
        let row = sqlx::query(
            "SELECT i.id, a.status, a.starts_at FROM alerts a JOIN incidents i ON i.id = a.incident \
             WHERE a.fingerprint = $1 AND i.closed IS NULL",
        )
        .bind(alert.fingerprint.to_string())
        .fetch_optional(&mut *connection)
        .await?;
        let Some(row) = row else {
            match call_off(connection, alert).await? {
                true => (outcome.called_off, outcome.resent) = (true, outcome.resent + 1),
                false => outcome.resolved_unknown += 1,
            }
            return Ok(());
        };
        let (id, status, starts_at): (i64, String, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        // The end of an earlier episode that comes late says nothing of the one that fires now.
        if status == "resolved" || alert.starts_at.millis() < starts_at {
            outcome.resent += 1;
            return Ok(());
        }
        self.join(connection, IncidentId(id as u64), alert, config, at, outcome).await
    }

    async fn join(
        &self,
        connection: &mut SqliteConnection,
        id: IncidentId,
        alert: &Alert,
        config: &str,
        at: Stamp,
        outcome: &mut HeardOutcome,
    ) -> anyhow::Result<()> {
        // Remembered in any case, so that it is known when it is sent again, also once the incident is over.
        remember_alert(connection, alert, id).await?;
        if let Entry::Vacant(place) = outcome.loaded.entry(id) {
            match self.load_with(connection, id).await {
                Ok(incident) => {
                    place.insert(incident);
                }
                Err(error) if error.chain().any(|cause| cause.is::<sqlx::Error>()) => return Err(error),
                // An unreadable incident belongs to a person; what is heard of it is counted and harms nothing.
                Err(_) => {}
            }
        }
        let Some(incident) = outcome.loaded.get_mut(&id) else {
            outcome.resent += 1;
            return count_resend(connection, id).await;
        };
        if incident.alerts.len() >= MOST_JOINED && !incident.alerts.contains_key(&alert.fingerprint) {
            outcome.resent += 1;
            return count_resend(connection, id).await;
        }
        let event = Event::AlertHeard {
            fingerprint: alert.fingerprint,
            name: alert.name().to_owned(),
            status: alert.status,
            starts_at: alert.starts_at,
        };
        let seq = incident.seq;
        incident.follow(at, &event).context("joining an alert")?;
        write_event(connection, seq, at, config, &event, incident).await?;
        outcome.joined += 1;
        Ok(())
    }

    async fn write_opening(
        &self,
        connection: &mut SqliteConnection,
        chosen: &Chosen,
        trigger: Trigger,
        config: &str,
        at: Stamp,
    ) -> anyhow::Result<IncidentId> {
        let title = match &trigger {
            Trigger::Alert(alert) => alert.name().to_owned(),
            Trigger::Person { words, .. } => words.chars().take(120).collect(),
            Trigger::Clock { entry } => entry.clone(),
        };
        let opening =
            Opening { runbook: chosen.runbook.clone(), target: chosen.target.clone(), trigger, config: config.to_owned() };
        let row = sqlx::query(
            "INSERT INTO incidents (runbook, target, title, config, opened, updated, seq, stage, due) \
             VALUES ($1, $2, $3, $4, $5, $5, 1, 'looking', $5) RETURNING id",
        )
        .bind(&chosen.runbook)
        .bind(chosen.target.to_string())
        .bind(&title)
        .bind(config)
        .bind(at.millis())
        .fetch_one(&mut *connection)
        .await
        .context("writing an incident")?;
        let id = IncidentId(row.try_get::<i64, _>(0)? as u64);
        let event = Event::Opened(opening.clone());
        let incident = Incident::open(id, self.runbook_of(&opening).await?, at, &opening);
        sqlx::query("INSERT INTO events (incident, seq, at, kind, version, config, body) VALUES ($1, 0, $2, $3, $4, $5, $6)")
            .bind(id.0 as i64)
            .bind(at.millis())
            .bind(event.kind())
            .bind(i64::from(Event::VERSION))
            .bind(config)
            .bind(codec::write(&event)?)
            .execute(&mut *connection)
            .await
            .context("writing an opening")?;
        has_news(connection, id, incident.seq, at).await?;
        let configuration = self.configuration(config).await?;
        let class = configuration.inventory.get(&chosen.target).map(|target| target.traits.class);
        if matches!(class, Some(Class::P1 | Class::P2)) {
            is_urgent(connection, id).await?;
        }
        Ok(id)
    }
}

async fn open_one(connection: &mut SqliteConnection, chosen: &Chosen) -> anyhow::Result<Option<IncidentId>> {
    let row = sqlx::query("SELECT id FROM incidents WHERE runbook = $1 AND target = $2 AND closed IS NULL")
        .bind(&chosen.runbook)
        .bind(chosen.target.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(match row {
        Some(row) => Some(IncidentId(row.try_get::<i64, _>(0)? as u64)),
        None => None,
    })
}

/// The closed incident whose news this is: the same episode, either just closed or in a person's hands.
async fn already_answered(connection: &mut SqliteConnection, alert: &Alert, at: Stamp) -> anyhow::Result<Option<IncidentId>> {
    let row = sqlx::query(
        "SELECT i.id, i.how, i.closed FROM alerts a JOIN incidents i ON i.id = a.incident \
         WHERE a.fingerprint = $1 AND a.starts_at = $2 AND i.closed IS NOT NULL",
    )
    .bind(alert.fingerprint.to_string())
    .bind(alert.starts_at.millis())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (id, how, closed): (i64, String, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let a_person_has_it = matches!(how.as_str(), "handed_over" | "stuck" | "denied" | "stopped");
    // An alert that was over and fires again is a fault again, once what is merely on its way has arrived.
    let news = if how == "subsided" { OVER_AND_BACK } else { SAME_NEWS };
    let just_closed = at.since(Stamp::from_millis(closed)) < news;
    Ok((a_person_has_it || just_closed).then_some(IncidentId(id as u64)))
}

/// Notes that an alert of an incident that was given up is over; whether there was one. The end of an earlier episode says nothing.
pub(crate) async fn call_off(connection: &mut SqliteConnection, alert: &Alert) -> anyhow::Result<bool> {
    let sql = format!(
        "UPDATE alerts SET status = 'resolved' WHERE fingerprint = $1 AND starts_at <= $2 AND status = 'firing' \
         AND incident IN (SELECT id FROM incidents WHERE how IN {GIVEN_UP})"
    );
    let done = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(alert.fingerprint.to_string())
        .bind(alert.starts_at.millis())
        .execute(connection)
        .await
        .context("noting that an alert is over")?;
    Ok(done.rows_affected() > 0)
}

async fn count_resend(connection: &mut SqliteConnection, id: IncidentId) -> anyhow::Result<()> {
    sqlx::query("UPDATE incidents SET resends = resends + 1 WHERE id = $1").bind(id.0 as i64).execute(connection).await?;
    Ok(())
}

async fn remember_alert(connection: &mut SqliteConnection, alert: &Alert, id: IncidentId) -> anyhow::Result<()> {
    let status = match alert.status {
        AlertStatus::Firing => "firing",
        AlertStatus::Resolved => "resolved",
    };
    sqlx::query(
        "INSERT INTO alerts (fingerprint, incident, starts_at, status) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (fingerprint) DO UPDATE SET incident = $2, starts_at = $3, status = $4",
    )
    .bind(alert.fingerprint.to_string())
    .bind(id.0 as i64)
    .bind(alert.starts_at.millis())
    .bind(status)
    .execute(connection)
    .await
    .context("remembering an alert")?;
    Ok(())
}

async fn write_unmatched(
    connection: &mut SqliteConnection,
    unmatched: &BTreeMap<&str, (i64, &str)>,
    at: Stamp,
) -> anyhow::Result<()> {
    for (name, (times, why)) in unmatched {
        let name = runbook::text::inert(name, 200);
        sqlx::query(
            "INSERT INTO unmatched (alertname, times, last, why) SELECT $1, $2, $3, $4 \
             WHERE EXISTS (SELECT 1 FROM unmatched WHERE alertname = $1) OR (SELECT COUNT(*) FROM unmatched) < $5 \
             ON CONFLICT (alertname) DO UPDATE SET times = times + $2, last = $3, why = $4",
        )
        .bind(name)
        .bind(times)
        .bind(at.millis())
        .bind(*why)
        .bind(MOST_UNMATCHED)
        .execute(&mut *connection)
        .await
        .context("counting an alert that nothing matches")?;
    }
    Ok(())
}
