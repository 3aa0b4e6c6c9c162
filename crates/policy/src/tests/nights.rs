//! Schedules over the nights on which the clocks change. What decides is the wall clock of the zone, whatever it does; it is reckoned
//! here by the law of the European Union and not by the table of zones that the code goes by: forward on the last Sunday of March and
//! back on the last Sunday of October, at 01:00 UTC (directive 2000/84/EC).

use runbook::rules::Quiet;

use super::*;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// The first day of a month, in days since 1970. Only for years from 1970 to 2099, in which every fourth is a leap year.
fn first_of(year: i64, month: i64) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap = i64::from(year % 4 == 0 && month > 2);
    (year - 1970) * 365 + (year - 1969) / 4 + BEFORE[usize::try_from(month - 1).unwrap()] + leap
}

/// The moment at which the clocks change in this month, which has 31 days. The first day of 1970 was a Thursday.
fn changes_at(year: i64, month: i64) -> i64 {
    let last = first_of(year, month) + 30;
    let sunday = last - (last + 4) % 7;
    sunday * DAY + 60 * MINUTE
}

/// The minute of the day on a wall in Berlin.
fn wall(at: i64, year: i64) -> i64 {
    let summer = changes_at(year, 3) <= at && at < changes_at(year, 10);
    (at / MINUTE + if summer { 120 } else { 60 }).rem_euclid(24 * 60)
}

fn interval(from: i64, to: i64) -> BTreeMap<String, runbook::interval::Intervals> {
    let clock = |minute: i64| format!("{:02}:{:02}", minute / 60, minute % 60);
    let written = serde_json::json!({"name": "night", "time_intervals": [
        {"location": "Europe/Berlin", "times": [{"start_time": clock(from), "end_time": clock(to)}]}]});
    BTreeMap::from([("night".to_owned(), serde_json::from_value(written).unwrap())])
}

fn ruled(current: &Configuration, now: i64) -> Decision {
    let now = Stamp::from_millis(now);
    let book = current.runbooks["cure"].clone();
    let trigger = Trigger::Person { by: "a person".to_owned(), words: String::new() };
    let opening = Opening { runbook: book.name.clone(), target: target(), trigger, config: String::new() };
    let mut incident = Incident::open(IncidentId(1), std::sync::Arc::new(book), now, &opening);
    let findings = findings(Value::Flag(true), now);
    incident.apply(now, &Event::Looked { findings: findings.clone() }).unwrap();
    let (pause, history) = (Pause::default(), History::default());
    let case = Case {
        incident: &incident,
        aim: Aim::Do,
        findings: &findings,
        now,
        current,
        pause: &pause,
        history: &history,
        clock_doubted_until: None,
        held_by: None,
        ask_id: "ask",
    };
    decide(&case).decision
}

proptest! {
    /// Within the interval and at no other minute it acts by itself, and within it and at no other minute it is quiet.
    #[test]
    fn the_wall_decides_when_it_acts_and_when_it_is_quiet(
        year in 1997_i64..2037,
        autumn in any::<bool>(),
        from in 0_i64..360,
        long in 1_i64..240,
        gaps in prop::collection::vec(1_i64..25, 20..60),
    ) {
        let mut free = configuration(runbook(Mode::Ask));
        free.intervals = interval(from, from + long);
        free.runbooks.edit().get_mut("cure").unwrap().mode.during.insert("night".to_owned(), Mode::Auto);
        let mut quiet = configuration(runbook(Mode::Auto));
        quiet.intervals = interval(from, from + long);
        let actions = vec!["rehearsal.effect".to_owned()];
        quiet.rules.quiet = vec![Quiet { during: "night".to_owned(), targets: vec![target()], kinds: vec![], actions }];
        let mut at = changes_at(year, if autumn { 10 } else { 3 }) - 4 * 60 * MINUTE;
        for gap in gaps {
            at += gap * MINUTE;
            let inside = (from..from + long).contains(&wall(at, year));
            let (by_itself, left_alone) = (ruled(&free, at), ruled(&quiet, at));
            prop_assert_eq!(matches!(by_itself, Decision::Act(_)), inside, "minute {} on the wall", wall(at, year));
            let asks = matches!(by_itself, Decision::Wait { on: Waiting::Person(_), .. });
            prop_assert_eq!(asks, !inside);
            let waits = matches!(left_alone, Decision::Wait { on: Waiting::Quiet, .. });
            prop_assert_eq!(waits, inside, "{:?}", left_alone);
            prop_assert_eq!(matches!(left_alone, Decision::Act(_)), !inside);
        }
    }
}

#[test]
fn the_hour_that_is_skipped_never_comes_and_the_one_that_is_repeated_comes_twice() {
    let minutes = |month: i64| {
        let mut current = configuration(runbook(Mode::Ask));
        current.intervals = interval(120, 180);
        current.runbooks.edit().get_mut("cure").unwrap().mode.during.insert("night".to_owned(), Mode::Auto);
        let from = changes_at(2026, month) - 6 * 60 * MINUTE;
        (0..12 * 60).filter(|minute| matches!(ruled(&current, from + minute * MINUTE), Decision::Act(_))).count()
    };
    assert_eq!((minutes(3), minutes(10), minutes(5)), (0, 120, 60));
}
