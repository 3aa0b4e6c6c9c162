//! Time intervals by table: every rule of the format, the calendar's corners, and the nights on which clocks change.

use super::*;
use chrono::{TimeZone, Utc};

fn spec(json: &str) -> Result<Interval, Vec<IntervalError>> {
    Interval::check(&serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}")))
}

/// An instant from `2026-03-29T01:30Z`.
fn at(text: &str) -> i64 {
    chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%MZ")
        .map(|time| Utc.from_utc_datetime(&time).timestamp_millis())
        .unwrap()
}

#[test]
fn instants_are_inside_or_outside() {
    let night = r#"{"times":[{"start_time":"22:00","end_time":"24:00"},{"start_time":"00:00","end_time":"06:00"}]}"#;
    let table = [
        ("{}", "2026-01-01T00:00Z", true),
        (night, "2026-01-01T21:59Z", false),
        (night, "2026-01-01T22:00Z", true),
        (night, "2026-01-01T23:59Z", true),
        (night, "2026-01-01T00:00Z", true),
        (night, "2026-01-01T05:59Z", true),
        (night, "2026-01-01T06:00Z", false),
        // 2026-01-04 is a Sunday.
        (r#"{"weekdays":["monday:friday"]}"#, "2026-01-04T12:00Z", false),
        (r#"{"weekdays":["Monday:Friday"]}"#, "2026-01-05T00:00Z", true),
        (r#"{"weekdays":["sunday:wednesday"]}"#, "2026-01-04T12:00Z", true),
        (r#"{"weekdays":["saturday","sunday"]}"#, "2026-01-03T12:00Z", true),
        (r#"{"days_of_month":["1:5"]}"#, "2026-01-05T12:00Z", true),
        (r#"{"days_of_month":["1:5"]}"#, "2026-01-06T12:00Z", false),
        (r#"{"days_of_month":[15]}"#, "2026-01-15T12:00Z", true),
        (r#"{"days_of_month":["-1"]}"#, "2026-02-28T12:00Z", true),
        (r#"{"days_of_month":["-1"]}"#, "2028-02-28T12:00Z", false),
        (r#"{"days_of_month":["-1"]}"#, "2028-02-29T12:00Z", true),
        (r#"{"days_of_month":["-3:-1"]}"#, "2026-04-28T12:00Z", true),
        (r#"{"days_of_month":["-3:-1"]}"#, "2026-04-27T12:00Z", false),
        (r#"{"days_of_month":["31"]}"#, "2026-04-30T12:00Z", false),
        (r#"{"days_of_month":["30:31"]}"#, "2026-04-30T12:00Z", true),
        (r#"{"days_of_month":["29:31"]}"#, "2026-02-28T12:00Z", false),
        (r#"{"days_of_month":["-31:-1"]}"#, "2026-02-01T12:00Z", true),
        (r#"{"days_of_month":["1:-1"]}"#, "2026-02-14T12:00Z", true),
        (r#"{"months":["november:december"]}"#, "2026-11-30T12:00Z", true),
        (r#"{"months":["1:3"]}"#, "2026-04-01T00:00Z", false),
        (r#"{"months":[5,"JUNE"]}"#, "2026-06-01T12:00Z", true),
        (r#"{"years":["2026:2028"]}"#, "2028-12-31T23:59Z", true),
        (r#"{"years":[2027]}"#, "2026-12-31T23:59Z", false),
        // All fields together: one that fails is enough.
        (
            r#"{"weekdays":["sunday"],"months":["january"],"years":[2026],"days_of_month":["4"],"times":[{"start_time":"12:00","end_time":"12:01"}]}"#,
            "2026-01-04T12:00Z",
            true,
        ),
        (r#"{"weekdays":["sunday"],"months":["february"]}"#, "2026-01-04T12:00Z", false),
        // The zone decides the day: 23:30 UTC on Sunday is Monday in Berlin.
        (r#"{"weekdays":["monday"],"location":"Europe/Berlin"}"#, "2026-01-04T23:30Z", true),
        (r#"{"weekdays":["monday"],"location":"UTC"}"#, "2026-01-04T23:30Z", false),
        (r#"{"times":[{"start_time":"09:00","end_time":"17:00"}],"location":"Asia/Kolkata"}"#, "2026-01-05T03:30Z", true),
        (r#"{"times":[{"start_time":"09:00","end_time":"17:00"}],"location":"Asia/Kolkata"}"#, "2026-01-05T03:29Z", false),
    ];
    for (json, instant, wanted) in table {
        assert_eq!(spec(json).unwrap().contains(at(instant)), wanted, "{json} at {instant}");
    }
}

#[test]
fn on_the_nights_of_a_clock_change_the_wall_clock_counts() {
    let hour = r#"{"times":[{"start_time":"02:00","end_time":"03:00"}],"location":"Europe/Berlin"}"#;
    let small = spec(hour).unwrap();
    // Forward on 2026-03-29 at 01:00 UTC: 02:00 to 03:00 does not exist.
    for (instant, wanted) in
        [("2026-03-29T00:59Z", false), ("2026-03-29T01:00Z", false), ("2026-03-29T01:30Z", false), ("2026-03-30T00:30Z", true)]
    {
        assert_eq!(small.contains(at(instant)), wanted, "{instant}");
    }
    // Back on 2026-10-25 at 01:00 UTC: 02:00 to 03:00 comes twice, and counts twice.
    for (instant, wanted) in [
        ("2026-10-24T23:59Z", false),
        ("2026-10-25T00:00Z", true),
        ("2026-10-25T00:59Z", true),
        ("2026-10-25T01:30Z", true),
        ("2026-10-25T02:00Z", false),
    ] {
        assert_eq!(small.contains(at(instant)), wanted, "{instant}");
    }
    // The same wall time in summer and winter is another instant.
    let morning = spec(r#"{"times":[{"start_time":"08:00","end_time":"08:01"}],"location":"America/New_York"}"#).unwrap();
    for (instant, wanted) in
        [("2026-03-07T13:00Z", true), ("2026-03-08T12:00Z", true), ("2026-03-08T13:00Z", false), ("2026-11-01T13:00Z", true)]
    {
        assert_eq!(morning.contains(at(instant)), wanted, "{instant}");
    }
    // Half an hour of change, and the last day of a month that loses an hour.
    let howe = spec(r#"{"times":[{"start_time":"02:00","end_time":"02:30"}],"location":"Australia/Lord_Howe"}"#).unwrap();
    assert!(!howe.contains(at("2026-10-03T15:30Z")) && howe.contains(at("2026-10-02T15:45Z")));
    let last = spec(r#"{"days_of_month":["-1"],"location":"Europe/Berlin"}"#).unwrap();
    assert!(last.contains(at("2026-03-31T12:00Z")) && !last.contains(at("2026-03-30T12:00Z")));
}

#[test]
fn what_is_wrong_has_a_field_and_a_mend() {
    let times = |start: &str, end: &str| format!(r#"{{"times":[{{"start_time":"{start}","end_time":"{end}"}}]}}"#);
    let table = [
        (times("9:00", "17:00"), "times[0].start_time", "HH:MM"),
        (times("09:00", "25:00"), "times[0].end_time", "HH:MM"),
        (times("09:00", "24:01"), "times[0].end_time", "HH:MM"),
        (times("09:60", "10:00"), "times[0].start_time", "HH:MM"),
        (times("+9:00", "10:00"), "times[0].start_time", "HH:MM"),
        (times("", "10:00"), "times[0].start_time", "both"),
        (times("22:00", "06:00"), "times[0]", "22:00 to 24:00 and 00:00 to 06:00"),
        (times("22:00", "00:00"), "times[0]", "24:00"),
        (times("06:00", "06:00"), "times[0]", "later"),
        (r#"{"times":[]}"#.into(), "times", "leave the field out"),
        (r#"{"weekdays":["friday:monday"]}"#.into(), "weekdays[0]", "'friday:saturday' and 'sunday:monday'"),
        (r#"{"weekdays":["mon"]}"#.into(), "weekdays[0]", "write monday"),
        (r#"{"weekdays":[1]}"#.into(), "weekdays[0]", "in full"),
        (r#"{"weekdays":["monday:tuesday:friday"]}"#.into(), "weekdays[0]", "from:to"),
        (r#"{"weekdays":["monday: friday"]}"#.into(), "weekdays[0]", "write friday"),
        (r#"{"days_of_month":["0"]}"#.into(), "days_of_month[0]", "1 to 31"),
        (r#"{"days_of_month":["32"]}"#.into(), "days_of_month[0]", "1 to 31"),
        (r#"{"days_of_month":["-3:3"]}"#.into(), "days_of_month[0]", "same end"),
        (r#"{"days_of_month":["20:10"]}"#.into(), "days_of_month[0]", "swap"),
        (r#"{"days_of_month":["28:-2"]}"#.into(), "days_of_month[0]", "swap"),
        (r#"{"days_of_month":["first"]}"#.into(), "days_of_month[0]", "number"),
        (r#"{"months":[13]}"#.into(), "months[0]", "1 to 12"),
        (r#"{"months":["sept"]}"#.into(), "months[0]", "september"),
        (r#"{"months":["november:february"]}"#.into(), "months[0]", "'11:12' and '1:2'"),
        (r#"{"years":["2028:2026"]}"#.into(), "years[0]", "'2026:2028'"),
        (r#"{"years":["99999999999999999999"]}"#.into(), "years[0]", "number"),
        (r#"{"location":"Local"}"#.into(), "location", "machine's zone"),
        (r#"{"location":"Europe/Berln"}"#.into(), "location", "Europe/Berlin"),
        (r#"{"location":"Mars/Olympus Mons"}"#.into(), "location", "IANA"),
        (r#"{"location":""}"#.into(), "location", "IANA"),
    ];
    for (json, field, word) in table {
        let errors = spec(&json).unwrap_err();
        assert_eq!(errors.len(), 1, "{json}: {errors:?}");
        assert_eq!(errors[0].field, field, "{json}");
        assert!(errors[0].mend.contains(word) && !errors[0].message.is_empty(), "{json}: {}", errors[0]);
    }
}

#[test]
fn a_named_interval_reports_everything_at_once_and_holds_when_one_spec_does() {
    let named = |json: &str| Intervals::check(&serde_json::from_str(json).unwrap());
    let errors =
        named(r#"{"name":"","time_intervals":[{"weekdays":["mon"],"location":"Local"},{"months":["0"],"years":["x"]}]}"#)
            .unwrap_err();
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "name",
            "time_intervals[0].weekdays[0]",
            "time_intervals[0].location",
            "time_intervals[1].months[0]",
            "time_intervals[1].years[0]"
        ]
    );
    assert_eq!(named(r#"{"name":"never","time_intervals":[]}"#).unwrap_err()[0].field, "time_intervals");

    let night = named(
        r#"{"name":"night","time_intervals":[{"times":[{"start_time":"22:00","end_time":"24:00"}]},{"weekdays":["sunday"]}]}"#,
    )
    .unwrap();
    assert_eq!(night.name(), "night");
    for (instant, wanted) in [("2026-01-04T12:00Z", true), ("2026-01-05T12:00Z", false), ("2026-01-05T22:00Z", true)] {
        assert_eq!(night.contains(at(instant)), wanted, "{instant}");
    }
    assert!(!night.contains(i64::MAX) && !night.contains(i64::MIN));
    let json = serde_json::to_string(&night).unwrap();
    assert_eq!(serde_json::from_str::<Intervals>(&json).unwrap(), night);
    let bad = json.replace("sunday", "sun").replace("night", "");
    let error = serde_json::from_str::<Intervals>(&bad).unwrap_err().to_string();
    assert!(error.contains("name: ") && error.contains("weekdays[0]"), "{error}");
}

#[test]
fn the_written_form_refuses_what_it_does_not_know_and_round_trips() {
    for json in
        [r#"{"time_zone":"UTC"}"#, r#"{"times":[{"start_time":"01:00"}]}"#, r#"{"weekdays":[1.5]}"#, r#"{"months":"may"}"#]
    {
        assert!(serde_json::from_str::<WrittenInterval>(json).is_err(), "{json}");
    }
    let written: WrittenInterval = serde_json::from_str(r#"{"days_of_month":[1,"-3:-1"],"location":"Europe/Berlin"}"#).unwrap();
    let json = serde_json::to_string(&written).unwrap();
    assert_eq!(json, r#"{"days_of_month":["1","-3:-1"],"location":"Europe/Berlin"}"#);
    assert_eq!(serde_json::from_str::<WrittenInterval>(&json).unwrap(), written);
    assert!(serde_json::to_string(&schemars::schema_for!(WrittenIntervals)).unwrap().contains("days_of_month"));
}
