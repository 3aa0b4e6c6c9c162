//! Tells people: takes incidents that have something to say out of the outbox, renders, delivers, and writes down what was
//! said. Slack being down keeps nothing open and starts nothing; what could not be said is said later, in its newest form.
//! Deliberately one message at a time: a channel has a pace, and a storm must not hold up the one message that matters.

mod notice;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use journal::ToTell;
use report::slack::Slack;
use report::{Delivery, Pace, Sent};
use runbook::incident::Event;
use runbook::time::Stamp;
use secrecy::SecretString;

use crate::config::SlackSettings;
use crate::daemon::Daemon;

/// The longest sleep when nothing seems to be there.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long to wait after a refusal that a person must mend.
const AFTER_REFUSAL: Duration = Duration::from_secs(300);
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// How long the file of the token may take to be read.
const TOKEN_WITHIN: Duration = Duration::from_secs(5);

/// An incident that has been over for this long and was never told is not told any more.
const OLD_NEWS: Duration = Duration::from_secs(86_400);

/// The voice: a client for the settings in force, and the token as it was last resolved.
struct Voice {
    settings: SlackSettings,
    slack: Slack,
    token: Arc<Mutex<Option<SecretString>>>,
}

impl Voice {
    fn new(settings: &SlackSettings) -> anyhow::Result<Self> {
        let token: Arc<Mutex<Option<SecretString>>> = Arc::default();
        let held = token.clone();
        let give = move || {
            let token = held.lock().ok().and_then(|token| token.clone());
            token.ok_or_else(|| anyhow::anyhow!("the Slack token could not be read; see the log"))
        };
        let slack = Slack::new(&settings.base_url, &settings.channel, Arc::new(give))?;
        Ok(Self { settings: settings.clone(), slack, token })
    }

    /// Reads the token anew, so that a rotated one is picked up.
    async fn refresh(&self) -> anyhow::Result<()> {
        let token = connect::secret::resolve(&self.settings.token, TOKEN_WITHIN).await.map_err(anyhow::Error::msg)?;
        if let Ok(mut held) = self.token.lock() {
            *held = Some(token);
        }
        Ok(())
    }
}

/// A Slack client for the settings in force with its token resolved; none where Slack is not configured.
///
/// # Errors
/// When the client cannot be made or the token not be read.
pub async fn slack(daemon: &Daemon) -> anyhow::Result<Option<Slack>> {
    let Some(settings) = daemon.current().settings.slack.clone() else { return Ok(None) };
    let voice = Voice::new(&settings)?;
    voice.refresh().await?;
    Ok(Some(voice.slack))
}

/// Tells until the daemon stops.
pub async fn run(daemon: Arc<Daemon>) {
    let mut changes = daemon.journal.changes();
    let mut voice: Option<Voice> = None;
    let mut pace = Pace::default();
    let began = crate::clock::monotonic();
    while !daemon.stop.is_cancelled() {
        changes.borrow_and_update();
        let said = match prepare(&daemon, &mut voice).await {
            Ok(None) => Ok(None),
            Ok(Some(())) => match &voice {
                Some(voice) => tell_one(&daemon, voice, &mut pace, began).await,
                None => Ok(None),
            },
            Err(error) => Err(error),
        };
        let nap = match said {
            Ok(Some(nap)) => nap,
            Ok(None) => HEARTBEAT,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "people could not be told; it is tried again");
                HEARTBEAT
            }
        };
        if !nap.is_zero() {
            tokio::select! {
                () = daemon.stop.cancelled() => {}
                () = tokio::time::sleep(nap) => {}
                _ = changes.changed(), if nap == HEARTBEAT => {}
            }
        }
    }
}

/// Makes the client when the settings changed; none when Slack is not configured.
async fn prepare(daemon: &Daemon, voice: &mut Option<Voice>) -> anyhow::Result<Option<()>> {
    let Some(settings) = daemon.current().settings.slack.clone() else {
        *voice = None;
        return Ok(None);
    };
    if voice.as_ref().is_none_or(|voice| voice.settings != settings) {
        *voice = Some(Voice::new(&settings)?);
    }
    Ok(Some(()))
}

/// Says the next thing that is due. Gives how long to rest; none when nothing is due.
async fn tell_one(daemon: &Daemon, voice: &Voice, pace: &mut Pace, began: Instant) -> anyhow::Result<Option<Duration>> {
    let now = daemon.clock.now();
    let notice = daemon.journal.notice_due(now).await?;
    let to_tell = daemon.journal.to_tell(now, 1).await?.into_iter().next();
    if notice.is_none() && to_tell.is_none() {
        return Ok(None);
    }
    let wait = pace.wait(began.elapsed());
    if !wait.is_zero() {
        return Ok(Some(wait));
    }
    if let Some(notice) = notice {
        notice::say(daemon, voice, pace, began, notice).await?;
        return Ok(Some(Duration::ZERO));
    }
    let Some(to_tell) = to_tell else { return Ok(None) };
    if let Err(error) = voice.refresh().await {
        put_off(daemon, to_tell, AFTER_REFUSAL, &format!("{error:#}")).await?;
        tracing::error!(error = format!("{error:#}"), "the Slack token cannot be read; mend the reference in runbookd.yaml");
        return Ok(Some(Duration::ZERO));
    }
    let incident = match daemon.journal.load(to_tell.incident).await {
        Ok(incident) => incident,
        Err(error) => {
            // One that cannot be read must not keep the others from being told.
            tracing::error!(incident = %to_tell.incident, error = format!("{error:#}"), "an incident cannot be read, so nobody can be told of it");
            put_off(daemon, to_tell, AFTER_REFUSAL, &format!("{error:#}")).await?;
            return Ok(Some(Duration::ZERO));
        }
    };
    let events: Vec<(Stamp, Event)> =
        daemon.journal.events(to_tell.incident).await?.into_iter().map(|recorded| (recorded.at, recorded.event)).collect();
    let told = daemon.journal.told(to_tell.incident).await?;
    if told.is_none() && incident.is_closed() && now.since(incident.last) > OLD_NEWS {
        // Slack was not there when it happened, or not configured yet. What is over for a day is read in the list; it must
        // not stand in front of what happens now.
        daemon.journal.told_through(to_tell.incident, incident.seq).await?;
        return Ok(Some(Duration::ZERO));
    }
    let mut sent: Sent = match told.map(serde_json::from_value).transpose() {
        Ok(sent) => sent.unwrap_or_default(),
        Err(error) => {
            put_off(daemon, to_tell, AFTER_REFUSAL, &format!("what was told cannot be read: {error}")).await?;
            return Ok(Some(Duration::ZERO));
        }
    };
    let manner = report::Manner::default();
    let Some(next) = report::outgoing(&incident, &events, &sent, &manner).into_iter().next() else {
        daemon.journal.told_through(to_tell.incident, incident.seq).await?;
        return Ok(Some(Duration::ZERO));
    };
    sent.attempts(&next);
    daemon.journal.remember_told(to_tell.incident, &serde_json::to_value(&sent)?).await?;
    pace.spend(began.elapsed());
    let delivery = report::deliver(&voice.slack, &next).await;
    sent.learns(&next, &delivery);
    daemon.journal.remember_told(to_tell.incident, &serde_json::to_value(&sent)?).await?;
    match delivery {
        Delivery::Delivered { .. } => {}
        Delivery::Later(wait, why) => {
            pace.hold_off(began.elapsed(), wait);
            put_off(daemon, to_tell, wait, &why).await?;
        }
        Delivery::Unknown(why) => {
            let wait = Duration::from_secs(1 << to_tell.tries.min(8)).min(LONGEST_WAIT);
            put_off(daemon, to_tell, wait, &why).await?;
        }
        Delivery::Never(refusal) => {
            tracing::error!(incident = %to_tell.incident, %refusal, "Slack does not take a message");
            put_off(daemon, to_tell, AFTER_REFUSAL, &refusal.to_string()).await?;
        }
    }
    Ok(Some(Duration::ZERO))
}

async fn put_off(daemon: &Daemon, to_tell: ToTell, wait: Duration, why: &str) -> anyhow::Result<()> {
    daemon.journal.tell_later(to_tell.incident, daemon.clock.now().plus(wait), why).await
}
