//! A question to a person: what exactly is asked, who may agree, when it is told again, until when it stands, and what answers
//! do to the incident. Why everything stands in the question itself: after a restart it is due again when it was, whatever
//! a timer forgot. Deliberately no opinion on *who* may agree: that is `policy`, by the configuration of the moment.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::identity::Identity;
use crate::incident::Incident;
use crate::incident::event::Waiting;
use crate::incident::stage::{Aim, How, Stage};
use crate::order::Order;
use crate::time::Stamp;

/// A question to a person, bound to everything that was shown.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ask {
    /// Opaque, random, single use.
    pub id: String,
    /// Exactly what would be done.
    pub order: Order,
    /// The cap in force.
    pub at_most: u32,
    /// The identities in words, as shown.
    pub shown: BTreeMap<String, String>,
    /// No answer by then is a no.
    pub expires: Stamp,
    /// When it is told again, if nobody has answered; all before it expires, earliest first.
    #[serde(default)]
    pub remind: Vec<Stamp>,
    /// Who may agree, by name, as it was when it was asked; empty means whoever holds the API's token, under any name.
    #[serde(default)]
    pub who: Vec<String>,
}

/// However long a question stands, it is told again at most so often.
const MOST_REMINDERS: u32 = 12;
/// The last call comes this long before the end at the earliest.
const LAST_CALL: Duration = Duration::from_secs(300);

impl Ask {
    /// Identities with the words they were shown under.
    pub fn show(lines: BTreeMap<Identity, String>) -> BTreeMap<String, String> {
        lines.into_iter().map(|(identity, words)| (identity.to_string(), words)).collect()
    }

    /// When a question that is asked `now` and stands for `lasts` is told again: every so often, and once more shortly before
    /// its end. Never more than a dozen times, and never twice shortly one after the other.
    pub fn reminders(now: Stamp, lasts: Duration, every: Duration) -> Vec<Stamp> {
        let every = every.max(lasts / MOST_REMINDERS).max(Duration::from_secs(1));
        let last_call = lasts.saturating_sub((lasts / 6).min(LAST_CALL));
        let mut all = Vec::new();
        let mut after = every;
        while after + every / 2 < last_call {
            all.push(now.plus(after));
            after += every;
        }
        if last_call > Duration::ZERO {
            all.push(now.plus(last_call));
        }
        all
    }
}

/// By what a person's name is known to be theirs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// By nothing: it is the name they gave.
    #[default]
    Unproved,
    /// By a token that is theirs alone.
    Token,
}

impl Proof {
    /// Whether anything proves it.
    pub fn holds(self) -> bool {
        self != Proof::Unproved
    }
}

/// A person's answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Yes, to exactly this.
    Granted {
        /// Who.
        by: String,
        /// By what the name is known.
        #[serde(default)]
        proof: Proof,
    },
    /// No.
    Denied {
        /// Who.
        by: String,
        /// By what the name is known. A no needs no proof.
        #[serde(default)]
        proof: Proof,
        /// Why, if they said.
        why: String,
    },
    /// Nobody answered in time; the same as no.
    Expired,
}

/// What a person agreed to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// Which question was answered.
    pub ask: Ask,
    /// Who agreed.
    pub by: String,
    /// By what the name is known.
    #[serde(default)]
    pub proof: Proof,
    /// When.
    pub at: Stamp,
}

impl Incident {
    /// The question that is open, if one is.
    pub fn question(&self) -> Option<&Ask> {
        match &self.stage {
            Stage::Waiting { on: Waiting::Person(ask), .. } => Some(ask),
            _ => None,
        }
    }

    /// When the open question is due: told again, or expired.
    pub fn question_due(&self, ask: &Ask) -> Stamp {
        ask.remind.get(self.reminded as usize).map_or(ask.expires, |next| ask.expires.min(*next))
    }

    /// How many of the open question's reminders are due or past by now, where that is more than were told. After a long
    /// sleep several are told as one.
    pub fn reminder_due(&self, now: Stamp) -> Option<u32> {
        let due = self.question()?.remind.iter().take_while(|at| **at <= now).count();
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        (due > self.reminded).then_some(due)
    }

    pub(super) fn answered(&mut self, at: Stamp, id: &str, answer: &Answer) -> Result<(), String> {
        let Stage::Waiting { aim, on: Waiting::Person(ask), .. } = &self.stage else {
            return Err("no question is open".to_owned());
        };
        let (aim, ask) = (*aim, ask.clone());
        if ask.id != id {
            return Err("another question is open; this answer is stale".to_owned());
        }
        match answer {
            Answer::Granted { by, proof } if at < ask.expires => {
                self.grant = Some(Grant { ask, by: by.clone(), proof: *proof, at });
                self.stage = Stage::Looking(aim);
                Ok(())
            }
            Answer::Granted { .. } => Err("the question had expired; no answer in time is a no".to_owned()),
            Answer::Denied { by, why, .. } => {
                let why = if why.is_empty() { format!("{by} said no") } else { format!("{by} said no: {why}") };
                self.decline(aim, How::Denied, why);
                Ok(())
            }
            Answer::Expired if at >= ask.expires => {
                self.decline(aim, How::HandedOver, "nobody answered in time, which is a no".to_owned());
                Ok(())
            }
            Answer::Expired => Err("the question has not expired yet".to_owned()),
        }
    }

    // Where something was left down, whoever said no may have brought it up: it is looked at once more before it ends.
    fn decline(&mut self, aim: Aim, how: How, why: String) {
        if aim == Aim::Do && self.left_behind().is_some() {
            self.declined = Some((how, why));
            self.stage = Stage::Looking(aim);
        } else {
            self.end(how, why);
        }
    }

    // A reminder is told only of the question that is open, in its time, and each once.
    pub(super) fn is_reminded(&mut self, at: Stamp, id: &str, through: u32) -> Result<(), String> {
        let ask = self.question().filter(|ask| ask.id == id).ok_or("that question is not open")?;
        if at >= ask.expires {
            return Err("the question has expired".to_owned());
        }
        match self.reminder_due(at) {
            Some(due) if due == through => {
                self.reminded = through;
                Ok(())
            }
            _ => Err("no such reminder is due".to_owned()),
        }
    }

    // Somebody tried to answer the open question and may not; it stays open.
    pub(super) fn was_refused(&self, id: &str) -> Result<(), String> {
        self.question().filter(|ask| ask.id == id).map(|_| ()).ok_or_else(|| "that question is not open".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(reminders: &[Stamp]) -> Vec<u64> {
        reminders.iter().map(|at| at.millis() as u64 / 1_000).collect()
    }

    #[test]
    fn it_is_told_again_every_so_often_and_shortly_before_its_end() {
        let asked = Stamp::from_millis(0);
        let secs = Duration::from_secs;
        for (lasts, every, wanted) in [
            (1_800, 600, vec![600, 1_500]),
            (1_800, 300, vec![300, 600, 900, 1_200, 1_500]),
            (1_800, 3_600, vec![1_500]),
            (60, 20, vec![20, 50]),
            (60, 5, vec![5, 10, 15, 20, 25, 30, 35, 40, 45, 50]),
        ] {
            assert_eq!(after(&Ask::reminders(asked, secs(lasts), secs(every))), wanted, "{lasts} s, every {every} s");
        }
    }

    #[test]
    fn answers_of_earlier_releases_are_read() {
        let old = r#"{"granted":{"by":"a person"}}"#;
        assert_eq!(
            serde_json::from_str::<Answer>(old).unwrap(),
            Answer::Granted { by: "a person".to_owned(), proof: Proof::Unproved }
        );
        let old = r#"{"denied":{"by":"a person","why":"no"}}"#;
        assert!(matches!(serde_json::from_str::<Answer>(old).unwrap(), Answer::Denied { proof: Proof::Unproved, .. }));
    }

    proptest! {
        #[test]
        fn reminders_are_few_in_order_and_before_the_end(lasts in 60_u64..604_800, every in 0_u64..700_000) {
            let (asked, lasts) = (Stamp::from_millis(7_000), Duration::from_secs(lasts));
            let all = Ask::reminders(asked, lasts, Duration::from_secs(every));
            prop_assert!(!all.is_empty() && all.len() <= MOST_REMINDERS as usize);
            prop_assert!(all.windows(2).all(|two| two[0] < two[1]));
            prop_assert!(all.iter().all(|at| *at > asked && *at < asked.plus(lasts)));
        }
    }
}
