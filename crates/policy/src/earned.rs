//! Autonomy that is earned: what a person said of a runbook's proposals and cures lifts it from observe to ask and from ask to auto,
//! one level after so many in a row; one bad outcome lowers it at once. A function of what happened, in its order. Why persons'
//! marks alone lift: a cure that verified is no proof that it was wanted. Deliberately no look at time: trust does not fade, and
//! is never given for waiting.

use runbook::book::{Earned, Mode};
use runbook::incident::{Event, How, Incident, Stage};
use runbook::time::Stamp;
use serde::{Deserialize, Serialize};

/// What one text of a runbook has earned, and how.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// As far as it may go, where its autonomy is to be earned.
    pub level: Mode,
    /// In a row since the level last changed, or since the last bad outcome.
    pub streak: u32,
    /// Incidents that a person marked right, and that stayed right.
    pub right: u32,
    /// Incidents that a person marked wrong.
    pub wrong: u32,
    /// Cures that verified.
    pub cured: u32,
    /// Of these, cures that a person had agreed to and then marked right.
    pub confirmed: u32,
    /// Incidents that acted and ended in a person's hands.
    pub failed: u32,
    /// Times that the fault was back after as many cures as make a mask.
    pub came_back: u32,
    /// When the level or the row last began anew; only what was opened later counts.
    pub since: Stamp,
    /// Why it did, for people.
    pub why: String,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            level: Mode::Observe,
            streak: 0,
            right: 0,
            wrong: 0,
            cured: 0,
            confirmed: 0,
            failed: 0,
            came_back: 0,
            since: Stamp::from_millis(0),
            why: "nothing has been earned yet".to_owned(),
        }
    }
}

/// What one event of an incident says of the runbook.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weight {
    /// A person marked a proposal, or whatever else was no agreed cure, right.
    Right,
    /// A person agreed to every act of it, it was verified, and a person marked it right.
    Confirmed,
    /// A person marked right what went wrong all the same: it lifts nothing.
    RightInVain,
    /// A person marked it wrong.
    Wrong {
        /// It had been marked right.
        corrects: bool,
        /// It went wrong by itself before, and was counted for that.
        counted: bool,
    },
    /// It was cured, and nobody has said anything of it yet.
    Cured,
    /// It acted, and a person had to go on.
    Failed,
    /// The fault was back after as many verified cures as make a mask.
    CameBack,
}

impl Weight {
    /// What an event that left its incident like this weighs, if anything.
    pub fn of(after: &Incident, event: &Event) -> Option<Self> {
        match event {
            Event::Judged { right: false, .. } => {
                let corrects = after.weighed.judged.as_ref().is_some_and(|judged| judged.corrects);
                Some(Weight::Wrong { corrects, counted: after.went_wrong() })
            }
            Event::Judged { .. } if after.went_wrong() => Some(Weight::RightInVain),
            Event::Judged { .. } if after.cured_with_agreement() => Some(Weight::Confirmed),
            Event::Judged { .. } => Some(Weight::Right),
            Event::Closed { .. } if after.went_wrong() => Some(Weight::Failed),
            Event::Closed { .. } if matches!(after.stage, Stage::Closed { how: How::Cured, .. }) => Some(Weight::Cured),
            _ => None,
        }
    }
}

impl Record {
    /// Takes in what happened to this incident, opened at that moment. `rule` is the one in force; without one the level never rises,
    /// but what goes wrong lowers it all the same.
    pub fn weigh(&mut self, weight: Weight, incident: &str, opened: Stamp, now: Stamp, rule: Option<Earned>) {
        match weight {
            Weight::Right => {
                up(&mut self.right);
                if self.level == Mode::Observe {
                    self.counts(opened, now, rule);
                }
            }
            Weight::Confirmed => {
                up(&mut self.right);
                up(&mut self.confirmed);
                self.counts(opened, now, rule);
            }
            Weight::RightInVain => up(&mut self.right),
            Weight::Wrong { corrects, counted } => {
                up(&mut self.wrong);
                if corrects {
                    self.right = self.right.saturating_sub(1);
                }
                if !counted {
                    self.falls(now, format!("{incident} was marked wrong"));
                }
            }
            Weight::Cured => up(&mut self.cured),
            Weight::Failed => {
                up(&mut self.failed);
                self.falls(now, format!("{incident} acted, and a person had to go on"));
            }
            Weight::CameBack => {
                up(&mut self.came_back);
                self.falls(now, format!("{incident} was back although it had been cured so often"));
            }
        }
    }

    // One more in the row. What was opened before the row began says nothing of what has been learnt since.
    fn counts(&mut self, opened: Stamp, now: Stamp, rule: Option<Earned>) {
        if opened < self.since || self.level == Mode::Auto {
            return;
        }
        up(&mut self.streak);
        if let Some(rule) = rule
            && self.streak >= rule.after
        {
            let why = format!("{} in a row were right", self.streak);
            self.level = if self.level == Mode::Observe { Mode::Ask } else { Mode::Auto };
            (self.streak, self.since, self.why) = (0, now, why);
        }
    }

    fn falls(&mut self, now: Stamp, why: String) {
        self.level = if self.level == Mode::Auto { Mode::Ask } else { Mode::Observe };
        (self.streak, self.since, self.why) = (0, now, why);
    }

    /// How many more there have to be for the next level; none at the highest.
    pub fn missing(&self, rule: Earned) -> Option<u32> {
        (self.level != Mode::Auto).then(|| rule.after.saturating_sub(self.streak).max(1))
    }

    /// Who lifts it, in words.
    pub fn lift(&self, rule: Earned) -> String {
        let more = self.missing(rule).unwrap_or(0);
        match self.level {
            Mode::Observe => format!("{more} more that a person marks right in a row (`runbookd mark ID right`) lift it to ask"),
            Mode::Ask => format!(
                "{more} more cures in a row that a person agreed to, that verified and that a person then marks right \
                 (`runbookd mark ID right`) lift it to auto"
            ),
            Mode::Auto => "one bad outcome lowers it".to_owned(),
        }
    }
}

fn up(count: &mut u32) {
    *count = count.saturating_add(1);
}

/// What the text of a runbook that an incident follows has earned, beside what other texts of it have.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Standing {
    /// Of this very text.
    pub record: Record,
    /// The most that another text under the same name had earned, where this one has no record at all.
    pub before: Option<Mode>,
}

impl Standing {
    /// The level with where it comes from, in words.
    pub fn words(&self) -> String {
        let record = &self.record;
        match self.before {
            Some(before) => format!("what it does has changed since it earned {}, and begins anew at observe", before.word()),
            None => format!("earned {}: {}", record.level.word(), record.why),
        }
    }
}
