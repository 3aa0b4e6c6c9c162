//! Moments and spans as values. Why: the pure crates never read a clock, so time has to travel as an argument, and
//! it has to survive being written to disk. Deliberately no "now" here.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment in milliseconds since the Unix epoch. Journal stamps never go back (the journal sees to that).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(i64);

impl Stamp {
    /// The moment this many milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The moment `by` later, saturating at the end of time.
    pub fn plus(self, by: Duration) -> Self {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(by))
    }

    /// The moment `by` earlier, saturating at the beginning of time.
    pub fn minus(self, by: Duration) -> Self {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(by))
    }

    /// How long after `earlier` this moment is; zero when it is not after it.
    pub fn since(self, earlier: Stamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The window of this length that ends with this moment.
    pub fn window(self, length: Duration) -> Window {
        let whole = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
        Window { end: self, length: whole.saturating_add(i64::from(!length.subsec_nanos().is_multiple_of(1_000_000))) }
    }

    /// `HH:MM:SS` in UTC, for timelines.
    pub fn clock_time(self) -> String {
        match chrono::DateTime::from_timestamp_millis(self.0) {
            Some(at) => at.format("%H:%M:%S").to_string(),
            None => format!("@{}", self.0),
        }
    }
}

/// A stretch of time up to a moment. Why a type of its own: limits ask it of every act on record, at every decision, and whole
/// milliseconds are compared many times as quickly as durations are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    end: Stamp,
    /// In milliseconds; of one that is no whole number of them, the next.
    length: i64,
}

impl Window {
    /// Whether a moment lies in it: so long ago, or longer, is outside. What is stamped later than its end, by a clock that was
    /// ahead, is inside.
    pub fn holds(self, at: Stamp) -> bool {
        self.end.0.saturating_sub(at.0).max(0) < self.length
    }
}

impl FromStr for Stamp {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let read = chrono::DateTime::parse_from_rfc3339(text.trim());
        read.map(|at| Self::from_millis(at.timestamp_millis())).map_err(|_| "a moment is written 2026-11-25T03:00:00Z".to_owned())
    }
}

impl fmt::Display for Stamp {
    /// RFC 3339 in UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_millis(self.0) {
            Some(at) => write!(f, "{}", at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)),
            None => write!(f, "@{}ms", self.0),
        }
    }
}

/// A length of time as people write it in Prometheus: `10m`, `1h30m`, `500ms`, `1d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span(Duration);

impl Span {
    /// A span of this many milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// A span of this many seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// The same as the standard type.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

/// Units of Prometheus's duration syntax, largest first, in milliseconds.
const UNITS: [(&str, u64); 7] =
    [("y", 365 * 86_400_000), ("w", 7 * 86_400_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl FromStr for Span {
    type Err = String;

    /// Accepts what Prometheus accepts: whole numbers, each unit at most once, largest first; `0` alone is zero.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no duration; write it as in Prometheus, for example 10m, 1h30m or 500ms");
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let mut rest = text;
        let mut total: u64 = 0;
        let mut next_unit = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(letters);
            let number: u64 = number.parse().map_err(|_| wrong())?;
            let at = UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(wrong)?;
            if at < next_unit {
                return Err(wrong());
            }
            next_unit = at + 1;
            let part = UNITS.get(at).and_then(|(_, ms)| number.checked_mul(*ms)).ok_or_else(wrong)?;
            total = total.checked_add(part).ok_or_else(wrong)?;
            rest = tail;
        }
        if text.is_empty() || i64::try_from(total).is_err() {
            return Err(wrong());
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        // Weeks and years are left out on writing: "14d" reads better than "2w".
        for (name, size) in UNITS.iter().skip(2) {
            if rest >= *size {
                write!(f, "{}{}", rest / size, name)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A duration in Prometheus's syntax: 10m, 1h30m, 500ms.",
            "pattern": "^(0|([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_prometheus_reads_them() {
        for (text, millis) in
            [("10m", 600_000), ("1h30m", 5_400_000), ("500ms", 500), ("1d", 86_400_000), ("0", 0), ("1m500ms", 60_500)]
        {
            assert_eq!(text.parse::<Span>().map(|s| s.duration().as_millis()), Ok(millis), "{text}");
        }
        for text in ["", "10", "m", "1m1h", "1m2m", "-1s", "1.5h", "99999999999999999999y", " 1m"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_span_writes_what_it_reads() {
        for text in ["10m", "1h30m", "500ms", "14d", "1m500ms", "0s"] {
            let span: Span = if text == "0s" { Span::secs(0) } else { text.parse().unwrap() };
            assert_eq!(span.to_string(), text);
        }
    }

    #[test]
    fn a_window_holds_what_is_younger_than_it_is_long() {
        let now = Stamp::from_millis(1_000_000);
        for length in [0, 1, 999, 1_000, 500_000].map(Duration::from_millis).into_iter().chain([Duration::from_micros(1_500)]) {
            for ago in [-5, 0, 1, 2, 999, 1_000, 1_001, 500_000, 1_000_000] {
                let at = Stamp::from_millis(1_000_000 - ago);
                assert_eq!(now.window(length).holds(at), now.since(at) < length, "{length:?}, {ago}");
            }
        }
    }

    #[test]
    fn stamps_saturate() {
        assert_eq!(Stamp::from_millis(5).since(Stamp::from_millis(9)), Duration::ZERO);
        assert_eq!(Stamp::from_millis(i64::MAX).plus(Duration::from_secs(1)).millis(), i64::MAX);
        assert_eq!(Stamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
    }
}
