//! A person's answer: one transaction under the one writer, so that of two answers at once exactly one is taken and the other
//! hears whose it was. What no longer stands is refused with what became of it; who may not agree is refused, and the attempt
//! is on record with the incident. Deliberately no opinion on who may: the caller asks `policy`.

use anyhow::Context;
use runbook::incident::{Answer, Ask, Event, Incident, IncidentId, Proof, Waiting};
use runbook::time::Stamp;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use crate::append::{AppendError, EVENTS_OF, read_row};
use crate::lists::Filter;
use crate::open::Journal;

/// Refused answers beyond this many are no longer kept with the incident: whoever tries for ever must not fill the disk.
const MOST_REFUSALS: i64 = 20;

/// Why an answer was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotAnswered<N> {
    /// No question ever had this name.
    #[error("there is no such question")]
    Unknown,
    /// It no longer stands.
    #[error("{why}")]
    Stale {
        /// What became of it.
        became: Became,
        /// In words.
        why: String,
    },
    /// Whoever answered may not; it still stands.
    #[error("whoever answered may not")]
    MayNot(N),
    /// The journal could not be written or read; nothing was taken.
    #[error(transparent)]
    Store(#[from] anyhow::Error),
}

/// What became of a question.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Became {
    /// Somebody answered.
    Answered,
    /// Nobody answered in time.
    Expired,
    /// Another one was asked instead.
    Superseded,
    /// What it was about is over, stopped, or is looked at anew.
    MovedOn,
}

impl Journal {
    /// Takes an answer, if its question still stands and `may` has nothing against it. `may` is asked of a yes only, with the
    /// incident and the question as they are in that moment; what it gives beside its reason is kept with the incident.
    ///
    /// # Errors
    /// [`NotAnswered`]; nothing was answered then.
    pub async fn answer<N>(
        &self,
        ask: &str,
        now: Stamp,
        answer: &Answer,
        may: impl FnOnce(&Incident, &Ask) -> Result<(), (N, String)>,
    ) -> Result<Incident, NotAnswered<N>> {
        let mut writer = self.writer().await;
        let at = writer.stamp(now);
        let Some(id) = incident_of(&mut writer.connection, ask).await? else { return Err(NotAnswered::Unknown) };
        let incident = self.load_with(&mut writer.connection, id).await?;
        let open = incident.question().filter(|open| open.id == ask).cloned();
        let Some(open) = open.filter(|open| at < open.expires) else {
            let (became, why) = became(&mut writer.connection, &incident, ask).await?;
            return Err(NotAnswered::Stale { became, why });
        };
        let taken = Event::Answered { ask: ask.to_owned(), answer: answer.clone() };
        let store = |error: AppendError| match error {
            AppendError::Store(error) => error,
            other => anyhow::Error::new(other),
        };
        let Answer::Granted { by, proof } = answer else {
            return Ok(self.append_holding(writer, incident, at, &taken).await.map_err(store)?);
        };
        match may(&incident, &open) {
            Ok(()) => Ok(self.append_holding(writer, incident, at, &taken).await.map_err(store)?),
            Err((no, why)) => {
                if refusals(&mut writer.connection, id).await? < MOST_REFUSALS {
                    let refused = refused(ask, by, *proof, why);
                    self.append_holding(writer, incident, at, &refused).await.map_err(store)?;
                }
                Err(NotAnswered::MayNot(no))
            }
        }
    }

    /// The questions that are open, oldest first, each with its incident as it is.
    ///
    /// # Errors
    /// When the journal cannot be read. An incident that cannot be read is left out: it is listed as unreadable.
    pub async fn questions(&self) -> anyhow::Result<Vec<(Incident, Ask)>> {
        let mut open = Vec::new();
        let summaries = self.incidents(Filter { open_only: true, most: u32::MAX }).await?;
        for summary in summaries.into_iter().rev().filter(|summary| summary.stage == "asking") {
            if let Ok(incident) = self.load(summary.id).await
                && let Some(ask) = incident.question().cloned()
            {
                open.push((incident, ask));
            }
        }
        Ok(open)
    }
}

fn refused(ask: &str, by: &str, proof: Proof, why: String) -> Event {
    Event::AnswerRefused { ask: ask.to_owned(), by: by.to_owned(), proof, why }
}

async fn incident_of(connection: &mut SqliteConnection, ask: &str) -> anyhow::Result<Option<IncidentId>> {
    let row = sqlx::query("SELECT incident FROM asks WHERE id = $1").bind(ask).fetch_optional(connection).await?;
    row.map(|row| Ok(IncidentId(row.try_get::<i64, _>(0)? as u64))).transpose()
}

async fn refusals(connection: &mut SqliteConnection, id: IncidentId) -> anyhow::Result<i64> {
    let counted = "SELECT COUNT(*) FROM events WHERE incident = $1 AND kind = 'answer_refused'";
    Ok(sqlx::query(counted).bind(id.0 as i64).fetch_one(connection).await?.try_get(0)?)
}

/// What became of a question that no longer stands, told from the incident's own events.
async fn became(connection: &mut SqliteConnection, incident: &Incident, ask: &str) -> anyhow::Result<(Became, String)> {
    let rows = sqlx::query(EVENTS_OF).bind(incident.id.0 as i64).fetch_all(connection).await?;
    let events: Vec<(Stamp, Event)> = rows.iter().map(read_row).collect::<Result<_, _>>().context("reading what became")?;
    let asked = events.iter().position(|(_, event)| question_of(event).is_some_and(|asked| asked.id == ask));
    let since = asked.map_or(&[][..], |asked| events.get(asked..).unwrap_or_default());
    for (at, event) in since {
        match event {
            Event::Answered { ask: answered, answer } if answered == ask => {
                return Ok(match answer {
                    Answer::Granted { by, .. } => (Became::Answered, format!("answered by {by} at {at}: agreed")),
                    Answer::Denied { by, .. } => (Became::Answered, format!("answered by {by} at {at}: no")),
                    Answer::Expired => (Became::Expired, format!("it expired at {at}; no answer in time is a no")),
                });
            }
            event => {
                if let Some(newer) = question_of(event).filter(|asked| asked.id != ask) {
                    let why = format!("another question was asked instead at {at}: {}", newer.id);
                    return Ok((Became::Superseded, why));
                }
            }
        }
    }
    match incident.question() {
        Some(open) if open.id == ask => {
            Ok((Became::Expired, format!("it expired at {}; no answer in time is a no", open.expires)))
        }
        _ => Ok((Became::MovedOn, format!("{} has moved on since it was asked: it is {} now", incident.id, incident.word()))),
    }
}

fn question_of(event: &Event) -> Option<&Ask> {
    match event {
        Event::Waits { on: Waiting::Person(ask), .. } => Some(ask),
        _ => None,
    }
}
