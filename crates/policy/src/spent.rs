//! What acts cost of the budget of disruption, as the ledger counts it. Why running sums: what lies within a window is then the
//! difference of two of them, found by halving, however many acts there were lately. Deliberately no budget: that is a rule.

use std::collections::VecDeque;
use std::time::Duration;

use runbook::time::Stamp;

use crate::ledger::push;

/// Costs in the order of time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Spent(VecDeque<Cost>);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cost {
    at: Stamp,
    cost: u32,
    /// Of all acts before it, those included that are forgotten by now.
    before: u64,
}

impl Cost {
    fn sum(&self) -> u64 {
        self.before.saturating_add(u64::from(self.cost))
    }
}

impl Spent {
    pub(crate) fn add(&mut self, at: Stamp, cost: u32) {
        let place = self.0.partition_point(|earlier| earlier.at <= at);
        let before = match place.checked_sub(1).and_then(|index| self.0.get(index)) {
            Some(last) => last.sum(),
            None => self.0.front().map_or(0, |next| next.before),
        };
        for later in self.0.iter_mut().skip(place) {
            later.before = later.before.saturating_add(u64::from(cost));
        }
        push(&mut self.0, Cost { at, cost, before }, |cost| cost.at);
    }

    /// How much was spent within so long.
    pub(crate) fn within(&self, window: Duration, now: Stamp) -> u32 {
        let window = now.window(window);
        let first = self.0.get(self.0.partition_point(|cost| !window.holds(cost.at)));
        let (Some(first), Some(last)) = (first, self.0.back()) else { return 0 };
        u32::try_from(last.sum().saturating_sub(first.before)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::REMEMBERS;

    const DAY: i64 = 86_400_000;

    proptest! {
        #[test]
        fn a_window_holds_the_sum_of_what_lies_in_it(
            acts in prop::collection::vec((0..40 * DAY, 0_u32..6), 0..80),
            windows in prop::collection::vec((0..31 * DAY, 0..45 * DAY), 1..8),
        ) {
            let mut spent = Spent::default();
            let mut kept: Vec<(Stamp, u32)> = Vec::new();
            for (at, cost) in acts {
                let at = Stamp::from_millis(at);
                spent.add(at, cost);
                kept.push((at, cost));
                // As the counters do: nothing is forgotten but from the oldest on, by the age that the new one gives it.
                kept.retain(|(old, _)| at.since(*old) <= REMEMBERS);
            }
            for (window, now) in windows {
                let (window, now) = (Duration::from_millis(window as u64), Stamp::from_millis(now));
                let naive: u32 = kept.iter().filter(|(at, _)| now.since(*at) < window).map(|(_, cost)| cost).sum();
                prop_assert_eq!(spent.within(window, now), naive);
            }
        }
    }
}
