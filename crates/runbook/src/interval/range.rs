//! The rules of each range field, one function per field.
//!
//! The rules are Alertmanager's (`timeinterval/timeinterval.go`); where this is stricter, `interval.rs` says so.

use std::ops::RangeInclusive;

use chrono_tz::Tz;

use super::{IntervalError, RangeText, WrittenTimes, wrong};
use crate::text::closest;

/// Both ends inside.
pub(super) type Range = RangeInclusive<i64>;

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];
/// The length of the shortest month, by which it is judged whether a range can ever hold.
const SHORTEST_MONTH: i64 = 28;

/// Days of a month; negative ones count from its end, -1 being the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DayRange {
    begin: i64,
    end: i64,
}

impl DayRange {
    /// Whether the day lies inside, in a month of this length. A range that starts after the month's end is skipped.
    pub(super) fn contains(&self, day: i64, month_length: i64) -> bool {
        let place = |bound: i64| {
            if bound < 0 { month_length + bound + 1 } else { bound }
        };
        let (begin, end) = (place(self.begin), place(self.end));
        begin <= month_length && (begin..=end.min(month_length)).contains(&day)
    }
}

/// `HH:MM` to `HH:MM`, as minutes of the day.
pub(super) fn times(field: &str, written: &WrittenTimes) -> Result<std::ops::Range<u32>, IntervalError> {
    let minutes = |side: &str, text: &str| {
        minute_of_day(text).ok_or_else(|| {
            let field = format!("{field}.{side}");
            if text.is_empty() {
                return wrong(field, "the time is empty", "give both start_time and end_time");
            }
            wrong(field, format!("{text:?} is no time"), "write HH:MM with two digits each, from 00:00 to 24:00")
        })
    };
    let (start, end) = (minutes("start_time", &written.start_time)?, minutes("end_time", &written.end_time)?);
    if start >= end {
        let (from, to) = (&written.start_time, &written.end_time);
        let mend = if end == 0 {
            format!("end the day with 24:00: {from} to 24:00")
        } else if start == end {
            "let it end later, or leave times out for the whole day".into()
        } else {
            format!("to cross midnight write two ranges: {from} to 24:00 and 00:00 to {to}")
        };
        return Err(wrong(field, format!("the end {to} is not after the start {from}"), mend));
    }
    Ok(start..end)
}

/// Exactly `HH:MM`, 00:00 to 23:59, and 24:00.
fn minute_of_day(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let two =
        |digits: &str| (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse::<u32>().ok())?;
    let total = two(hours)? * 60 + two(minutes).filter(|minutes| *minutes < 60)?;
    (total <= 24 * 60).then_some(total)
}

/// Full English names of days.
pub(super) fn weekdays(field: &str, written: &RangeText) -> Result<Range, IntervalError> {
    let (begin, end) = bounds(field, written, |name| {
        WEEKDAYS.iter().position(|day| *day == name).and_then(|at| i64::try_from(at).ok()).ok_or_else(|| {
            let meant = WEEKDAYS.iter().find(|day| name.len() >= 2 && day.starts_with(name)).copied();
            let mend = match meant.or_else(|| closest(name, WEEKDAYS)) {
                Some(day) => format!("write {day}"),
                None => "write the English name of a day in full, such as monday".into(),
            };
            wrong(field, format!("{name:?} is no day of the week"), mend)
        })
    })?;
    if begin > end {
        let mend = format!("the week starts on sunday: write two members, {} and {}", upto(begin, 6), upto(0, end));
        return Err(wrong(field, format!("the range {} runs backwards", written.0), mend));
    }
    Ok(begin..=end)
}

/// A range of days as its author would write it.
fn upto(begin: i64, end: i64) -> String {
    let name = |day: i64| usize::try_from(day).ok().and_then(|day| WEEKDAYS.get(day)).copied().unwrap_or("");
    if begin == end { name(begin).into() } else { format!("'{}:{}'", name(begin), name(end)) }
}

/// Days of the month, from either end.
pub(super) fn days_of_month(field: &str, written: &RangeText) -> Result<DayRange, IntervalError> {
    let (begin, end) = bounds(field, written, |text| number(field, text))?;
    for day in [begin, end] {
        if day == 0 || !(-31..=31).contains(&day) {
            return Err(wrong(field, format!("there is no day {day}"), "write 1 to 31, or -1 to -31 from the end of the month"));
        }
    }
    if begin < 0 && end > 0 {
        let mend = "let both count from the same end of the month";
        return Err(wrong(
            field,
            format!("the range {} starts from the end of the month and ends from its start", written.0),
            mend,
        ));
    }
    let shortest = |day: i64| if day < 0 { SHORTEST_MONTH + day } else { day };
    if shortest(begin) > shortest(end) {
        let message = format!("in the range {} the end comes before the start in a month of {SHORTEST_MONTH} days", written.0);
        return Err(wrong(field, message, "swap the ends, or write two members"));
    }
    Ok(DayRange { begin, end })
}

/// Months by name or number.
pub(super) fn months(field: &str, written: &RangeText) -> Result<Range, IntervalError> {
    let (begin, end) = bounds(field, written, |name| {
        let named = MONTHS.iter().zip(1..).find(|(month, _)| **month == name).map(|(_, number)| number);
        named.or_else(|| name.parse().ok().filter(|number| (1..=12).contains(number))).ok_or_else(|| {
            let meant = MONTHS.iter().find(|month| name.len() >= 3 && month.starts_with(name)).copied();
            let mend = match meant.or_else(|| closest(name, MONTHS)) {
                Some(month) => format!("write {month}"),
                None => "write a number from 1 to 12 or an English name such as march".into(),
            };
            wrong(field, format!("{name:?} is no month"), mend)
        })
    })?;
    if begin > end {
        let mend = format!("write two members, '{begin}:12' and '1:{end}'");
        return Err(wrong(field, format!("the range {} runs backwards", written.0), mend));
    }
    Ok(begin..=end)
}

/// Years.
pub(super) fn years(field: &str, written: &RangeText) -> Result<Range, IntervalError> {
    let (begin, end) = bounds(field, written, |text| number(field, text))?;
    if begin > end {
        return Err(wrong(field, format!("the range {} runs backwards", written.0), format!("write '{end}:{begin}'")));
    }
    Ok(begin..=end)
}

/// The bundled zone of this name; UTC without one.
pub(super) fn location(written: Option<&str>) -> Result<Tz, IntervalError> {
    let Some(name) = written else {
        return Ok(Tz::UTC);
    };
    if name.eq_ignore_ascii_case("local") {
        let mend = "the machine's zone decides nothing here: name the zone, such as Europe/Berlin";
        return Err(wrong("location", format!("{name} is not accepted"), mend));
    }
    name.parse::<Tz>().map_err(|_| {
        let mend = match closest(name, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())) {
            Some(zone) => format!("write {zone}"),
            None => "write an IANA name such as Europe/Berlin, or leave it out for UTC".into(),
        };
        wrong("location", format!("{name:?} is no known time zone"), mend)
    })
}

/// Splits `from:to`, or takes a single value as both ends. Names are compared in lower case.
fn bounds(
    field: &str,
    written: &RangeText,
    read: impl Fn(&str) -> Result<i64, IntervalError>,
) -> Result<(i64, i64), IntervalError> {
    let text = written.0.to_lowercase();
    match text.split_once(':') {
        None => read(&text).map(|value| (value, value)),
        Some((_, to)) if to.contains(':') => Err(wrong(
            field,
            format!("{:?} has more than two ends", written.0),
            "write from:to, and several ranges as several members",
        )),
        Some((from, to)) => Ok((read(from)?, read(to)?)),
    }
}

fn number(field: &str, text: &str) -> Result<i64, IntervalError> {
    // The width of i32 is far beyond any calendar and keeps the sums above from overflowing.
    text.parse::<i32>()
        .map(i64::from)
        .map_err(|_| wrong(field, format!("{text:?} is no number"), "write a number, or a range such as '1:5'"))
}
