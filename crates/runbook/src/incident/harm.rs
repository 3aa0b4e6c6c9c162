//! Harm: a watched condition that came to hold since a rung's first step, and did not hold before it. What was bad already is what
//! is being cured, so it counts only once a look on record has seen it not hold. One look is no harm, a second one some time after
//! it is; what cannot be seen is neither harm nor fine.
//!
//! The same rule is asked in three places: by the fold with what is on record, by policy before each further act, and by the
//! engine with looks in between that are on no record. Deliberately no clock and no look.

use std::collections::{BTreeMap, BTreeSet};

use crate::book::Guard;
use crate::condition::{Condition, Truth};
use crate::finding::Findings;
use crate::incident::Incident;
use crate::incident::stage::{Aim, Stage};
use crate::order::{Purpose, Verdict};
use crate::text::inert;
use crate::time::{Span, Stamp};

/// What a guard goes by, from the first step of its rung on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Watch {
    /// Held before the first step, and in every look on record since then.
    excused: BTreeSet<usize>,
    /// Seen to hold, look after look.
    held: BTreeMap<usize, Held>,
}

/// A watched condition that was seen to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Held {
    since: Stamp,
    latest: Stamp,
    looks: u32,
}

/// What a guard comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judged {
    /// Everything watched was seen, and does not hold.
    Fine,
    /// Something watched holds, and was not seen often enough.
    Suspected {
        /// The condition, as written.
        condition: String,
        /// When it is to be looked at again.
        again: Stamp,
        /// In words for people.
        why: String,
    },
    /// It is harm.
    Harm {
        /// The condition, as written.
        condition: String,
        /// In words for people.
        why: String,
    },
    /// Something watched cannot be seen, so that it is neither.
    Unseen {
        /// The condition, as written.
        condition: String,
        /// Why not.
        why: String,
    },
}

impl Watch {
    /// What holds at the decision on the rung's first step is excused.
    pub fn begin(guard: &Guard, before: &Findings) -> Self {
        let holds = |(index, condition): (usize, &Condition)| condition.evaluate(before).holds().then_some(index);
        Self { excused: guard.stop_if.iter().enumerate().filter_map(holds).collect(), held: BTreeMap::new() }
    }

    /// The watched conditions that hold although no step was taken, which are no harm by it.
    pub fn excused<'a>(&'a self, guard: &'a Guard) -> impl Iterator<Item = &'a Condition> {
        self.excused.iter().filter_map(|index| guard.stop_if.get(*index))
    }

    /// A look on record has seen it not hold: from here on it counts.
    pub(super) fn arm(&mut self, guard: &Guard, findings: &Findings) {
        self.excused.retain(|index| guard.stop_if.get(*index).is_some_and(|one| one.evaluate(findings) != Truth::False));
    }

    /// Takes a look in. One that comes too soon after the last that counted does not count, and one that cannot see neither
    /// counts nor clears.
    pub fn look(&mut self, guard: &Guard, findings: &Findings, at: Stamp) {
        for (index, condition) in guard.stop_if.iter().enumerate().filter(|(index, _)| !self.excused.contains(index)) {
            match condition.evaluate(findings) {
                Truth::True => {
                    let held = self.held.entry(index).or_insert(Held { since: at, latest: at, looks: 1 });
                    if at.since(held.latest) >= guard.apart.duration() && at > held.latest {
                        *held = Held { latest: at, looks: held.looks.saturating_add(1), ..*held };
                    }
                }
                Truth::False => {
                    self.held.remove(&index);
                }
                Truth::Unknown(_) => {}
            }
        }
    }

    /// What was counted is no longer gone by: everything watched was seen not to hold.
    pub(super) fn calm(&mut self) {
        self.held.clear();
    }

    /// What it comes to after the look that saw these findings. Only what they show to hold is harm: one that cannot see tells
    /// nothing, whatever was counted before it.
    pub fn judge(&self, guard: &Guard, findings: &Findings) -> Judged {
        let held = self.held.iter().filter_map(|(index, held)| Some((guard.stop_if.get(*index)?, held)));
        let mut held = held.filter(|(condition, _)| condition.evaluate(findings).holds());
        if let Some((condition, held)) = held.clone().find(|(_, held)| held.looks >= guard.looks.max(1)) {
            let words = seen_in(held);
            let why = format!("harm: `{}` came to hold, {words} ({})", condition.source(), figures(condition, findings));
            return Judged::Harm { condition: condition.source().to_owned(), why };
        }
        if let Some((condition, held)) = held.next() {
            let again = held.latest.plus(guard.apart.duration());
            let words = seen_in(held);
            let why = format!(
                "`{}` came to hold, {words} ({}); looked at again before anything more is done",
                condition.source(),
                figures(condition, findings)
            );
            return Judged::Suspected { condition: condition.source().to_owned(), again, why };
        }
        for (_, condition) in guard.stop_if.iter().enumerate().filter(|(index, _)| !self.excused.contains(index)) {
            if let Truth::Unknown(why) = condition.evaluate(findings) {
                let why = format!("whether `{}` holds, which would be harm, cannot be seen: {why}", condition.source());
                return Judged::Unseen { condition: condition.source().to_owned(), why };
            }
        }
        Judged::Fine
    }

    fn truth_of(&self, guard: &Guard, source: &str, findings: &Findings) -> Option<Truth> {
        let watched =
            guard.stop_if.iter().enumerate().find(|(index, one)| one.source() == source && !self.excused.contains(index));
        watched.map(|(_, condition)| condition.evaluate(findings))
    }
}

fn seen_in(held: &Held) -> String {
    match held.looks {
        0 | 1 => "seen once".to_owned(),
        looks => format!("seen in {looks} looks over {}", Span::from(held.latest.since(held.since))),
    }
}

// What was seen of its fields: the numbers are what people ask next.
fn figures(condition: &Condition, findings: &Findings) -> String {
    let seen = |path: &String| format!("{path} {}", inert(&findings.value(path).to_string(), 60));
    condition.paths().iter().map(seen).collect::<Vec<_>>().join(", ")
}

impl Incident {
    // Whether something that is watched, or is to be watched from the next step on, cannot be seen.
    pub(super) fn watches_blindly(&self, findings: &Findings) -> bool {
        let Some(guard) = self.guard() else { return false };
        let excused = |index: &usize| self.watch.as_ref().is_some_and(|watch| watch.excused.contains(index));
        let watched = guard.stop_if.iter().enumerate().filter(|(index, _)| !excused(index));
        watched.map(|(_, condition)| condition.evaluate(findings)).any(|truth| matches!(truth, Truth::Unknown(_)))
    }

    // Whether everything that is watched was seen and does not hold. Without a guard nothing is.
    pub(super) fn is_harmless(&self, findings: &Findings) -> bool {
        let (Some(watch), Some(guard)) = (&self.watch, self.guard()) else { return true };
        let watched = guard.stop_if.iter().enumerate().filter(|(index, _)| !watch.excused.contains(index));
        watched.map(|(_, condition)| condition.evaluate(findings)).all(|truth| truth == Truth::False)
    }

    // At the start of an act: of the rung's first, what holds already is excused; no further one is begun while something
    // watched holds or cannot be seen. What our own restart left down is started again whatever is seen.
    pub(super) fn begin_watching(&mut self) -> Result<(), String> {
        let Stage::Deciding { findings, .. } = &self.stage else { return Err("no fresh findings are there".to_owned()) };
        if self.was_left_down(findings).is_some() {
            return Ok(());
        }
        if self.harm.is_some() {
            return Err("harm was seen, so nothing more is done".to_owned());
        }
        let Some(guard) = self.guard() else { return Ok(()) };
        if self.watch.is_some() {
            return match self.is_harmless(findings) {
                true => Ok(()),
                false => Err("a watched condition holds, or cannot be seen".to_owned()),
            };
        }
        if self.watches_blindly(findings) {
            return Err("a watched condition cannot be seen, so harm would not be either".to_owned());
        }
        self.watch = Some(Watch::begin(guard, findings));
        Ok(())
    }

    // InDoubt stays, so that a look settles the order first; everything else goes back the way it came.
    pub(super) fn harmed(&mut self, condition: &str, findings: &Findings, why: &str, unseen: bool) -> Result<(), String> {
        if self.harm.is_some() {
            return Err("it was stopped for harm already".to_owned());
        }
        let (Some(watch), Some(guard)) = (&self.watch, self.guard()) else {
            return Err("no step was taken that anything watches over".to_owned());
        };
        match (watch.truth_of(guard, condition, findings), unseen) {
            (Some(Truth::True), false) | (Some(Truth::Unknown(_)), true) => {}
            (None, _) => return Err("nothing of this kind is watched, or it held before the first step".to_owned()),
            _ => return Err("it was not seen so".to_owned()),
        }
        let doing = self.last_attempt().is_some_and(|last| last.order.purpose == Purpose::Do);
        match (&self.stage, unseen) {
            (Stage::InDoubt, false) if doing => self.harm = Some(why.to_owned()),
            (Stage::Deciding { aim: Aim::Do, .. } | Stage::Verifying { .. }, false) => {
                self.harm = Some(why.to_owned());
                self.unwind("harm was seen");
            }
            (_, false) if self.sustains() => {
                self.harm = Some(why.to_owned());
                self.unwind("harm was seen");
            }
            // What lasts is ended as it would have been, only sooner: an end needs nothing to be seen.
            (_, true) if self.sustains() => {
                self.harm = Some(why.to_owned());
                self.stage = Stage::Looking(Aim::End);
            }
            _ => return Err("nothing is being done that harm could stop".to_owned()),
        }
        Ok(())
    }

    // How it ends for harm: what was taken back, and what no undo takes back. None without harm.
    pub(super) fn harm_in_the_end(&self) -> Option<String> {
        let why = self.harm.as_ref()?;
        let undone = self
            .attempts
            .iter()
            .filter(|attempt| attempt.at.rung == self.at.rung)
            .any(|attempt| attempt.order.purpose == Purpose::Undo && matches!(attempt.verdict, Some(Verdict::Landed(_))));
        let applied = self.applied.iter().filter_map(|index| self.attempts.get(*index));
        let stays: BTreeSet<&str> = applied.map(|attempt| attempt.order.action.facts().name).collect();
        let stays = stays.into_iter().collect::<Vec<_>>().join(", ");
        Some(match (undone, stays.is_empty()) {
            (true, true) => format!("{why}; what was done is undone"),
            (false, true) => format!("{why}; nothing more is done"),
            (true, false) => format!("{why}; what can be undone is, {stays} cannot be"),
            (false, false) => format!("{why}; nothing more is done, and {stays} cannot be undone"),
        })
    }
}
