//! The one place that reads the clock. Journal stamps come from the wall clock, deadlines from the monotonic one; when the two
//! part by more than a minute, nothing automatic acts for one cooldown, and the reason is said. The time given out never goes
//! back: a wall clock that was set back is caught up with at half speed, and until then nothing acts by itself either. Why not
//! simply the wall clock: what is due is written down in it, and a night in which nothing comes due is a night without
//! runbookd. Deliberately no time zone.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use runbook::time::Stamp;

/// How far the clocks may part before the wall clock is doubted.
pub const JUMP: Duration = Duration::from_secs(60);
/// How long nothing automatic acts after a jump.
pub const DOUBT: Duration = Duration::from_secs(600);

/// Wall and monotonic time, watched against each other.
pub struct Clock {
    state: Mutex<State>,
}

struct State {
    given: Stamp,
    /// Of the half speed, what is not yet a whole millisecond.
    rest: Duration,
    wall: Stamp,
    monotonic: Instant,
    doubted_until: Option<Instant>,
}

impl Clock {
    /// A clock that trusts what it reads first.
    pub fn new() -> Self {
        let wall = wall();
        Self { state: Mutex::new(State { given: wall, rest: Duration::ZERO, wall, monotonic: monotonic(), doubted_until: None }) }
    }

    /// Never gives out a time before this one: the journal's last stamp.
    pub fn never_before(&self, stamp: Stamp) {
        if let Ok(mut state) = self.state.lock() {
            if stamp.since(state.wall) > JUMP {
                tracing::error!(
                    journal = %stamp, wall = %state.wall,
                    "the journal's last stamp lies ahead of the clock: nothing acts by itself until the clock has caught up; check the machine's time"
                );
            }
            state.given = state.given.max(stamp);
        }
    }

    /// The time now: the wall clock's, as long as that does not go back.
    pub fn now(&self) -> Stamp {
        let (wall, monotonic) = (wall(), monotonic());
        if let Ok(mut state) = self.state.lock() {
            let passed = monotonic.saturating_duration_since(state.monotonic);
            let expected = state.wall.plus(passed);
            let apart = wall.since(expected).max(expected.since(wall));
            if apart > JUMP {
                tracing::error!(
                    apart_seconds = apart.as_secs(),
                    "the clock jumped: nothing acts by itself for {} s; check the machine's time synchronisation",
                    doubt().as_secs()
                );
                state.doubted_until = Some(monotonic + doubt());
            }
            // Both are taken anew each time, so that slow drift (which NTP makes on purpose) never adds up to a jump.
            state.wall = wall;
            state.monotonic = monotonic;
            let behind = state.rest + passed / 2;
            let whole = Duration::from_millis(u64::try_from(behind.as_millis()).unwrap_or(0));
            state.rest = behind - whole;
            state.given = wall.max(state.given.plus(whole));
            return state.given;
        }
        wall
    }

    /// Until when nothing automatic acts, if the clock jumped.
    pub fn doubted_until(&self) -> Option<Stamp> {
        let now = self.now();
        let state = self.state.lock().ok()?;
        let left = state.doubted_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(state.monotonic));
        let ahead = state.given.since(state.wall);
        if ahead > JUMP {
            return Some(now.plus(left.max(doubt())));
        }
        (!left.is_zero()).then(|| now.plus(left))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(not(feature = "rehearsal"))]
fn doubt() -> Duration {
    DOUBT
}

/// In rehearsals the doubt may be shorter: a test cannot wait for ten minutes.
#[cfg(feature = "rehearsal")]
fn doubt() -> Duration {
    let seconds = std::env::var("RUNBOOKD_DOUBT_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    seconds.map_or(DOUBT, Duration::from_secs)
}

#[expect(clippy::disallowed_methods, reason = "the edge: the one place that reads the wall clock")]
fn wall() -> Stamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Stamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The monotonic clock now.
#[expect(clippy::disallowed_methods, reason = "the edge: the one place that reads the monotonic clock")]
pub fn monotonic() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back_and_a_clock_behind_the_journal_is_doubted() {
        let clock = Clock::new();
        let now = clock.now();
        assert!(clock.doubted_until().is_none());
        let ahead = now.plus(Duration::from_secs(3_600));
        clock.never_before(ahead);
        let later = clock.now();
        assert!(later >= ahead, "what is due is written down in the journal's time");
        assert!(clock.doubted_until().is_some_and(|until| until > later), "nothing acts by itself until the clock has caught up");
        clock.never_before(now);
        assert!(clock.now() >= later);
    }
}
