//! The one place that reads the clock. Journal stamps come from the wall clock, deadlines from the monotonic one; when the two
//! part by more than a minute, nothing automatic acts for one cooldown, and the reason is said. Deliberately no time zone.

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
    wall: Stamp,
    monotonic: Instant,
    doubted_until: Option<Instant>,
}

impl Clock {
    /// A clock that trusts what it reads first.
    pub fn new() -> Self {
        Self { state: Mutex::new(State { wall: wall(), monotonic: monotonic(), doubted_until: None }) }
    }

    /// The wall clock now.
    pub fn now(&self) -> Stamp {
        let (wall, monotonic) = (wall(), monotonic());
        if let Ok(mut state) = self.state.lock() {
            let expected = state.wall.plus(monotonic.saturating_duration_since(state.monotonic));
            let apart = wall.since(expected).max(expected.since(wall));
            if apart > JUMP {
                tracing::error!(
                    apart_seconds = apart.as_secs(),
                    "the clock jumped: nothing acts by itself for {} s; check the machine's time synchronisation",
                    DOUBT.as_secs()
                );
                state.doubted_until = Some(monotonic + DOUBT);
            }
            // Both are taken anew each time, so that slow drift (which NTP makes on purpose) never adds up to a jump.
            state.wall = wall;
            state.monotonic = monotonic;
        }
        wall
    }

    /// Until when nothing automatic acts, if the clock jumped.
    pub fn doubted_until(&self) -> Option<Stamp> {
        let now = self.now();
        let state = self.state.lock().ok()?;
        let left = state.doubted_until?.saturating_duration_since(state.monotonic);
        (!left.is_zero()).then(|| now.plus(left))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge: the one place that reads the wall clock")]
fn wall() -> Stamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Stamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[expect(clippy::disallowed_methods, reason = "the edge: the one place that reads the monotonic clock")]
fn monotonic() -> Instant {
    Instant::now()
}
