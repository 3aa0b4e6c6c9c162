//! The one place of this crate that reads a clock, and the waiting that goes with it.
//!
//! Why: time is an argument everywhere else in the workspace; automation waits for real servers, so it has to look
//! at a real clock, and does so here only. Deliberately no calendar: only durations are of interest.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

/// The monotonic clock, now.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "automation waits for real processes; this is its only reading of the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since the epoch, as the servers' logs and runbookd's journal count them.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "what servers say happened is compared with when it was brought about")]
pub fn wall_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Asks `look` every 50 ms until it answers `Some`, at most for `limit`.
///
/// # Errors
/// The first error of `look`, or, once `limit` is over, one that says what was waited for.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if start.elapsed() >= limit {
            bail!("waited {:.0?} for {what}, in vain", limit);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Like [`wait_for`], where an error means "not yet": the last one is told once `limit` is over.
///
/// # Errors
/// Once `limit` is over, what was waited for and the last error seen.
pub fn retry_for<T>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let start = now();
    loop {
        match attempt() {
            Ok(found) => return Ok(found),
            Err(error) if start.elapsed() >= limit => {
                return Err(error.context(format!("waited {limit:.0?} for {what}, in vain")));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_what_was_found_or_says_what_was_missing() {
        let mut left = 3;
        let found = wait_for("three looks", Duration::from_secs(5), || {
            left -= 1;
            Ok((left == 0).then_some("here"))
        });
        assert_eq!(found.unwrap(), "here");

        let missing = wait_for("a miracle", Duration::ZERO, || Ok(None::<()>)).unwrap_err();
        assert!(missing.to_string().contains("a miracle"));
    }
}
