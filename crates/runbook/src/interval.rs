//! Named time intervals in Alertmanager's form: when a mode, such as acting without asking, is in force.
//!
//! The written form ([`WrittenIntervals`]) is what stands in the configuration; [`Intervals::check`] turns it into the checked
//! form and says everything that is wrong with it at once. Within a field the ranges are alternatives, all fields must hold,
//! a field that is absent holds always, and the specs under one name are alternatives. Times are half open, to the minute, by
//! the wall clock of the spec's zone: on the night the clock goes forward the skipped hour never comes, and on the night it
//! goes back the repeated hour counts twice. Zones are bundled; without one it is UTC.
//!
//! Deliberate differences from Alertmanager (`timeinterval/timeinterval.go`), each because a slip here decides whether
//! something acts at night: the zone `Local` is refused (the machine's zone decides nothing), so are months outside 1 to 12
//! and empty lists, which there match nothing without a word; and the length of a month is the calendar's, where
//! Alertmanager's division by 24 hours loses a day in a month whose clock goes forward.
//! This file reads no clock: the instant is an argument.

mod range;
mod written;

use chrono::{DateTime, Datelike, Timelike};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use range::{DayRange, Range};
pub use written::{RangeText, WrittenInterval, WrittenIntervals, WrittenTimes};

/// What is wrong with a written interval.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}; {mend}")]
pub struct IntervalError {
    /// The field, as a path from the named interval: `time_intervals[0].times[1].start_time`.
    pub field: String,
    /// What is wrong, without a full stop.
    pub message: String,
    /// How to mend it, without a full stop.
    pub mend: String,
}

/// A named set of alternatives, checked. Stored as its author wrote it, and checked again when read.
#[derive(Clone, Debug, PartialEq)]
pub struct Intervals {
    written: WrittenIntervals,
    specs: Vec<Interval>,
}

impl Intervals {
    /// Checks the written form.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(written: &WrittenIntervals) -> Result<Intervals, Vec<IntervalError>> {
        let mut errors = Vec::new();
        if written.name.is_empty() {
            errors.push(wrong("name", "the name is empty", "name the interval, modes refer to it by name"));
        }
        if written.time_intervals.is_empty() {
            errors.push(wrong(
                "time_intervals",
                "there is no interval, so no time is ever inside",
                "add one, or remove the name",
            ));
        }
        let mut specs = Vec::new();
        for (index, spec) in written.time_intervals.iter().enumerate() {
            match Interval::check(spec) {
                Ok(spec) => specs.push(spec),
                Err(inner) => errors.extend(
                    inner
                        .into_iter()
                        .map(|error| IntervalError { field: format!("time_intervals[{index}].{}", error.field), ..error }),
                ),
            }
        }
        if errors.is_empty() { Ok(Intervals { written: written.clone(), specs }) } else { Err(errors) }
    }

    /// The name that modes refer to.
    pub fn name(&self) -> &str {
        &self.written.name
    }

    /// Whether the instant, in milliseconds since 1970 UTC, lies inside any of the alternatives.
    pub fn contains(&self, stamp_ms: i64) -> bool {
        self.specs.iter().any(|spec| spec.contains(stamp_ms))
    }
}

impl Serialize for Intervals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Intervals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = WrittenIntervals::deserialize(deserializer)?;
        Intervals::check(&written).map_err(|errors| {
            let all: Vec<String> = errors.iter().map(IntervalError::to_string).collect();
            serde::de::Error::custom(all.join("; "))
        })
    }
}

/// One spec, checked. Absent fields hold always.
#[derive(Clone, Debug, PartialEq)]
pub struct Interval {
    /// Minutes of the day, the end exclusive.
    times: Option<Vec<std::ops::Range<u32>>>,
    /// 0 is Sunday.
    weekdays: Option<Vec<Range>>,
    days_of_month: Option<Vec<DayRange>>,
    months: Option<Vec<Range>>,
    years: Option<Vec<Range>>,
    location: Tz,
}

impl Interval {
    /// Checks one written spec.
    ///
    /// # Errors
    /// Everything that is wrong with it, fields as paths from the spec.
    pub fn check(written: &WrittenInterval) -> Result<Interval, Vec<IntervalError>> {
        let mut errors = Vec::new();
        let interval = Interval {
            times: each("times", written.times.as_deref(), &mut errors, range::times),
            weekdays: each("weekdays", written.weekdays.as_deref(), &mut errors, range::weekdays),
            days_of_month: each("days_of_month", written.days_of_month.as_deref(), &mut errors, range::days_of_month),
            months: each("months", written.months.as_deref(), &mut errors, range::months),
            years: each("years", written.years.as_deref(), &mut errors, range::years),
            location: range::location(written.location.as_deref()).unwrap_or_else(|error| {
                errors.push(error);
                Tz::UTC
            }),
        };
        if errors.is_empty() { Ok(interval) } else { Err(errors) }
    }

    /// Whether the instant, in milliseconds since 1970 UTC, lies inside. An instant beyond the calendar (some 260,000 years
    /// away) lies inside of nothing.
    pub fn contains(&self, stamp_ms: i64) -> bool {
        let Some(utc) = DateTime::from_timestamp_millis(stamp_ms) else {
            return false;
        };
        let local = utc.with_timezone(&self.location);
        let minute = local.hour() * 60 + local.minute();
        let weekday = i64::from(local.weekday().num_days_from_sunday());
        let (day, month_length) = (i64::from(local.day()), i64::from(local.num_days_in_month()));
        let within = |ranges: &Option<Vec<Range>>, value: i64| any(ranges, |range| range.contains(&value));
        any(&self.times, |range| range.contains(&minute))
            && within(&self.weekdays, weekday)
            && any(&self.days_of_month, |range| range.contains(day, month_length))
            && within(&self.months, i64::from(local.month()))
            && within(&self.years, i64::from(local.year()))
    }
}

/// A field that is absent holds; one that is there holds when one of its ranges does.
fn any<R>(ranges: &Option<Vec<R>>, holds: impl FnMut(&R) -> bool) -> bool {
    ranges.as_ref().is_none_or(|ranges| ranges.iter().any(holds))
}

/// Checks every member of a field, collecting what is wrong.
fn each<W, C>(
    field: &str,
    written: Option<&[W]>,
    errors: &mut Vec<IntervalError>,
    check: impl Fn(&str, &W) -> Result<C, IntervalError>,
) -> Option<Vec<C>> {
    let written = written?;
    if written.is_empty() {
        errors.push(wrong(field, "the list is empty and matches no time", "leave the field out to match any"));
    }
    let mut checked = Vec::with_capacity(written.len());
    for (index, member) in written.iter().enumerate() {
        match check(&format!("{field}[{index}]"), member) {
            Ok(member) => checked.push(member),
            Err(error) => errors.push(error),
        }
    }
    Some(checked)
}

fn wrong(field: impl Into<String>, message: impl Into<String>, mend: impl Into<String>) -> IntervalError {
    IntervalError { field: field.into(), message: message.into(), mend: mend.into() }
}

#[cfg(test)]
mod tests;
