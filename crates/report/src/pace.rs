//! How fast one channel may be written to: about one message a second, short bursts tolerated (Slack's documented rate), and not
//! before a `Retry-After` is over. Why ours: an alert storm must not earn the refusals that then hold up the one message that matters.
//! Deliberately no clock and no sleep: time comes in as the time since the process began, and what comes out is how long to wait.

use std::time::Duration;

/// The pace of one channel.
#[derive(Clone, Debug)]
pub struct Pace {
    every: Duration,
    burst: u32,
    /// When the bucket would be full again.
    full_at: Duration,
    /// Nothing before this, whatever the bucket says.
    held_until: Duration,
}

impl Default for Pace {
    /// One message every 1.1 s, bursts of three.
    fn default() -> Self {
        Self::new(Duration::from_millis(1_100), 3)
    }
}

impl Pace {
    /// One message `every` so often, and `burst` at once after a silence.
    pub fn new(every: Duration, burst: u32) -> Self {
        Self { every, burst: burst.max(1), full_at: Duration::ZERO, held_until: Duration::ZERO }
    }

    /// How long the next message has to wait; zero when it may go now.
    pub fn wait(&self, now: Duration) -> Duration {
        let slack = self.every.saturating_mul(self.burst - 1);
        let bucket = self.full_at.saturating_sub(slack);
        bucket.max(self.held_until).saturating_sub(now)
    }

    /// A message goes now.
    pub fn spend(&mut self, now: Duration) {
        self.full_at = self.full_at.max(now).saturating_add(self.every);
    }

    /// Slack asked for silence.
    pub fn hold_off(&mut self, now: Duration, silence: Duration) {
        self.held_until = self.held_until.max(now.saturating_add(silence));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_then_one_a_second_and_never_into_a_silence() {
        let mut pace = Pace::new(ms(1_000), 3);
        for _ in 0..3 {
            assert_eq!(pace.wait(ms(50)), Duration::ZERO);
            pace.spend(ms(50));
        }
        assert_eq!(pace.wait(ms(50)), ms(1_000));
        assert_eq!(pace.wait(ms(1_050)), Duration::ZERO);
        pace.hold_off(ms(1_050), ms(30_000));
        assert_eq!(pace.wait(ms(1_050)), ms(30_000));
        pace.hold_off(ms(1_060), ms(10));
        assert_eq!(pace.wait(ms(2_050)), ms(29_000), "a shorter silence does not end a longer one");
        assert_eq!(pace.wait(ms(40_000)), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn no_stretch_ever_sees_more_than_its_share(gaps in proptest::collection::vec(0u64..3_000, 1..60)) {
            let mut pace = Pace::new(ms(1_000), 3);
            let mut now = Duration::ZERO;
            let mut sent: Vec<Duration> = Vec::new();
            for gap in gaps {
                now += ms(gap);
                now += pace.wait(now);
                pace.spend(now);
                sent.push(now);
            }
            for (index, first) in sent.iter().enumerate() {
                for (count, last) in sent[index..].iter().enumerate() {
                    let allowed = 3 + (*last - *first).as_millis() / 1_000;
                    prop_assert!((count as u128) < allowed, "{} in {:?}", count + 1, *last - *first);
                }
            }
        }
    }
}
