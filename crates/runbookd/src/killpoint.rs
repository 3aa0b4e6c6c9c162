//! Named points at which a rehearsal kills the real process. Only in builds with the feature `rehearsal`, which default builds
//! lack (`tests/it/kill.rs` asserts it); everywhere else this is nothing. Deliberately SIGKILL and not a panic: nothing is unwound,
//! nothing flushed, exactly as when the machine takes the process away.

use crate::world::Point;

/// The environment variable that names the point, with `#N` behind it for the N-th time it is passed.
pub const VARIABLE: &str = "RUNBOOKD_KILL_AT";

/// Passes a point.
#[cfg(not(feature = "rehearsal"))]
pub fn pass(_point: Point) {}

/// Passes a point; the process is gone if the environment names it.
#[cfg(feature = "rehearsal")]
pub fn pass(point: Point) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let Ok(wanted) = std::env::var(VARIABLE) else { return };
    let (name, times) = match wanted.rsplit_once('#') {
        Some((name, times)) => (name.to_owned(), times.parse().unwrap_or(1)),
        None => (wanted, 1),
    };
    if point.name() == name && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == times {
        // A kill that fails would let a rehearsal prove nothing; then the process must not go on either.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::thread::park();
    }
}
