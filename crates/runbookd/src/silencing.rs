//! Silences for what a step raises by itself: made right before the act, by exact labels, ending with the step's deadline. Only where
//! every Alertmanager says that nothing fires with these labels, before and once more after the silence was made: what fires before
//! the act is none of its making, and a person may have been sent it. And only where their clocks agree with ours, and the silence is
//! seen to hold: it would hold at another time else, and hide what nobody else tells of. One Alertmanager takes the silence; its cluster shares it.
//! Deliberately no retry and no memory: what is not silenced in two seconds is heard, and what is not ended here is on record as silenced,
//! is ended with the others, and ends by itself at the latest.

use std::time::Duration;

use connect::http::Telling;
use futures_util::future::join_all;
use runbook::silence::{Became, Exact, Quieted, Silence};
use runbook::text::inert;
use runbook::time::Stamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::AlertmanagerSettings;
use crate::daemon::Current;
use crate::reconcile::{UP_FOR, is_in_force, lacks, proof};
use crate::world::Wish;

/// By this name our silences are told from a person's.
pub const BY: &str = "runbookd";
/// All of it, before the act.
const WITHIN: Duration = Duration::from_secs(2);
/// Of that asking, silencing, asking again.
const ASKED_WITHIN: Duration = Duration::from_millis(1_300);
/// Of that also ending what should not be.
const ENDED_WITHIN: Duration = Duration::from_millis(1_900);
/// Why nothing is said to be silenced where not even the deadlines within held.
const HANGS: &str = "it came to no end in time; a silence that was made all the same ends with the step's deadline";
/// Ending one before its time, later.
const END_WITHIN: Duration = Duration::from_secs(2);
/// Enough of an answer for an id, or to say why it refuses.
const MOST_BYTES: usize = 4 << 10;
/// A silence begins so long ago, which Alertmanager takes for now: one whose clock is a little behind ours would let it begin late.
const BEGAN: Duration = Duration::from_secs(60);

/// Silences what may be silenced; what became of each alert, in their order.
pub async fn silence(current: &Current, telling: &Telling, clock: &Clock, wish: &Wish) -> Vec<Quieted> {
    let began = Instant::now();
    let asking = Asking { current, telling, clock, began };
    // Everything that is asked ends by itself in that time; should something not, the act still does not wait for it.
    join_all(wish.alerts.iter().map(async |alert| {
        tokio::time::timeout_at(began + WITHIN, asking.one(alert, wish)).await.unwrap_or_else(|_| {
            tracing::warn!(%alert, "silencing what the step raises by itself hangs; the act goes on without it");
            Quieted { alert: alert.to_string(), became: Became::Not { why: HANGS.to_owned() } }
        })
    }))
    .await
}

/// Ends silences before their time, as far as they can be reached.
pub async fn end(current: &Current, telling: &Telling, silences: &[Silence]) {
    for (silence, ended) in
        silences.iter().zip(join_all(silences.iter().map(|one| delete(current, telling, one, END_WITHIN))).await)
    {
        match ended {
            Ok(()) => tracing::info!(silence = silence.id, alertmanager = silence.at, "a silence was ended before its time"),
            Err(why) => {
                tracing::warn!(silence = silence.id, alertmanager = silence.at, why, ends = %silence.ends, "a silence could not be ended, and ends by itself");
            }
        }
    }
}

/// The silence as Alertmanager wants it; none where its end has come already.
pub fn body(alert: &Exact, now: Stamp, ends: Stamp, comment: &str) -> Option<Value> {
    let equal = |(name, value): (&String, &String)| json!({"name": name, "value": value, "isRegex": false, "isEqual": true});
    let matchers: Vec<Value> = alert.labels().iter().map(equal).collect();
    (now < ends).then(|| {
        json!({
            "matchers": matchers,
            "startsAt": now.minus(BEGAN).to_string(),
            "endsAt": ends.to_string(),
            "createdBy": BY,
            "comment": comment,
        })
    })
}

struct Asking<'a> {
    current: &'a Current,
    telling: &'a Telling,
    clock: &'a Clock,
    began: Instant,
}

impl Asking<'_> {
    async fn one(&self, alert: &Exact, wish: &Wish) -> Quieted {
        let became = match self.quiet(alert, wish).await {
            Ok(silence) => {
                if let Some(why) = &silence.although {
                    tracing::warn!(%alert, silence = silence.id, why, "is silenced although it should not be");
                }
                tracing::info!(%alert, silence = silence.id, alertmanager = silence.at, ends = %silence.ends, "silenced what the step raises by itself");
                Became::Silenced(silence)
            }
            Err(why) => {
                tracing::info!(%alert, why, "does not silence what the step raises by itself");
                Became::Not { why: inert(&why, 500) }
            }
        };
        Quieted { alert: alert.to_string(), became }
    }

    async fn quiet(&self, alert: &Exact, wish: &Wish) -> Result<Silence, String> {
        if self.current.settings.alertmanagers.is_empty() {
            return Err("no Alertmanager is configured".to_owned());
        }
        self.nobody_was_told(alert, &wish.own).await?;
        let mut silence = self.make(alert, wish).await?;
        let (told, holds) = tokio::join!(self.nobody_was_told(alert, &wish.own), self.holds(&silence));
        let Err(why) = told.and(holds) else { return Ok(silence) };
        let Err(also) = delete(self.current, self.telling, &silence, self.left(ENDED_WITHIN)).await else {
            return Err(format!("{why}; that was seen once it was silenced, so the silence was ended again"));
        };
        silence.although =
            Some(inert(&format!("{why}; that was seen once it was silenced, and it could not be ended: {also}"), 500));
        Ok(silence)
    }

    /// Every Alertmanager has to say so: one that cannot be asked may be the one that told somebody.
    async fn nobody_was_told(&self, alert: &Exact, own: &[String]) -> Result<(), String> {
        let http = self.current.connections.looking().http();
        let known = (self.clock, knows_after());
        let asked = self.current.settings.alertmanagers.iter().map(|settings| async move {
            let lacks = lacks(http, settings, alert, own, known, self.left(ASKED_WITHIN)).await;
            lacks.map_err(|why| format!("{}: {why}", settings.url))
        });
        join_all(asked).await.into_iter().collect()
    }

    async fn holds(&self, silence: &Silence) -> Result<(), String> {
        let settings = self.current.settings.alertmanagers.iter().find(|settings| settings.url == silence.at);
        let settings = settings.ok_or("that Alertmanager is no longer configured")?;
        let holds = is_in_force(self.current.connections.looking().http(), settings, &silence.id, self.left(ASKED_WITHIN)).await;
        holds.map_err(|why| format!("{}: {why}", settings.url))
    }

    async fn make(&self, alert: &Exact, wish: &Wish) -> Result<Silence, String> {
        let mut refused = Vec::new();
        for settings in &self.current.settings.alertmanagers {
            let body = body(alert, self.clock.now(), wish.ends, &wish.comment).ok_or("the step's deadline is over")?;
            match self.post(settings, &body).await {
                Ok(id) => return Ok(Silence { id, at: settings.url.clone(), ends: wish.ends, although: None }),
                Err(why) => refused.push(format!("{}: {why}", settings.url)),
            }
        }
        Err(refused.join("; "))
    }

    async fn post(&self, settings: &AlertmanagerSettings, body: &Value) -> Result<String, String> {
        let url = below(settings, &["silences"])?;
        let answer = self.telling.post(url, body, proof(settings), MOST_BYTES, self.left(ASKED_WITHIN)).await;
        // Whoever did not clearly refuse may have taken it.
        let perhaps =
            |why: String| format!("{why}; should it have taken the silence all the same, that ends with the step's deadline");
        let answer = answer.map_err(|error| perhaps(inert(&format!("{error:#}"), 300)))?;
        match answer.status {
            200 => {}
            status @ 400..500 => return Err(format!("it answers {status}: {}", answer.words())),
            status => return Err(perhaps(format!("it answers {status}: {}", answer.words()))),
        }
        let said = answer.json().map_err(|error| perhaps(inert(&format!("it answers 200, but {error:#}"), 300)))?;
        said["silenceID"].as_str().map(|id| inert(id, 100)).ok_or_else(|| perhaps("its answer names no silence".to_owned()))
    }

    fn left(&self, within: Duration) -> Duration {
        (self.began + within).saturating_duration_since(Instant::now())
    }
}

async fn delete(current: &Current, telling: &Telling, silence: &Silence, within: Duration) -> Result<(), String> {
    let found = current.settings.alertmanagers.iter().find(|settings| settings.url == silence.at);
    let settings = found.ok_or("that Alertmanager is no longer configured")?;
    let url = below(settings, &["silence", &silence.id])?;
    let answer = telling.delete(url, proof(settings), MOST_BYTES, within).await;
    let answer = answer.map_err(|error| inert(&format!("{error:#}"), 300))?;
    if answer.status == 200 { Ok(()) } else { Err(format!("it answers {}: {}", answer.status, answer.words())) }
}

fn below(settings: &AlertmanagerSettings, path: &[&str]) -> Result<reqwest::Url, String> {
    let base: reqwest::Url = settings.url.parse().map_err(|error| format!("its address is no URL: {error}"))?;
    let parts: Vec<&str> = ["api", "v2"].into_iter().chain(path.iter().copied()).collect();
    connect::http::below(&base, &parts).map_err(|error| format!("{error:#}"))
}

/// How long an Alertmanager must have been up before its lacking an alert means anything. A rehearsal cannot wait that long.
#[cfg(feature = "rehearsal")]
fn knows_after() -> Duration {
    let said = std::env::var("RUNBOOKD_ALERTMANAGER_KNOWS_AFTER").ok();
    said.and_then(|seconds| seconds.parse().ok()).map_or(UP_FOR, Duration::from_secs)
}

/// How long an Alertmanager must have been up before its lacking an alert means anything.
#[cfg(not(feature = "rehearsal"))]
fn knows_after() -> Duration {
    UP_FOR
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use runbook::incident::Trigger;
    use runbook::silence::SideEffect;

    use super::*;

    proptest! {
        /// However long the way to the act was: no silence ends after the deadline, none has a pattern, an empty value or a name alone.
        #[test]
        fn no_silence_is_longer_than_its_step_or_wider_than_its_labels(
            labels in prop::collection::btree_map("[a-z_]{1,6}", ".{0,8}", 0..5),
            now in 0i64..100_000,
            deadline in 0i64..100_000,
        ) {
            let named = labels.into_iter().chain([("alertname".to_owned(), "BackendErrors".to_owned())]).collect();
            let Ok(effect) = SideEffect::new(named) else { return Ok(()) };
            let alert = effect.exact(&Trigger::Clock { entry: "nightly".to_owned() });
            let (now, ends) = (Stamp::from_millis(now), Stamp::from_millis(deadline));
            let made = alert.ok().and_then(|alert| body(&alert, now, ends, "why"));
            let Some(made) = made else { return Ok(()) };
            prop_assert!(now < ends);
            prop_assert_eq!(&made["endsAt"], &json!(ends.to_string()));
            let matchers = made["matchers"].as_array().unwrap();
            prop_assert!(matchers.len() >= 2 && matchers.iter().any(|one| one["name"] == "alertname"));
            for one in matchers {
                prop_assert!(one["isRegex"] == false && one["isEqual"] == true && one["value"].as_str().is_some_and(|v| !v.is_empty()));
            }
        }
    }
}
