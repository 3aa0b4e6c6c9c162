//! What every supported release of Alertmanager sends is read; what is no payload is refused in a sentence; the door and the
//! reader agree on every input. Deliberately no server here: a running Alertmanager delivers in tests/it.

use proptest::prelude::*;
use runbook::alert::{AlertStatus, Fingerprint};
use serde_json::{Value, json};

use super::*;

const V0_25: &str = include_str!("../../../../tests/fixtures/webhook/v0.25.json");
const V0_28: &str = include_str!("../../../../tests/fixtures/webhook/v0.28-truncated.json");
const V0_32: &str = include_str!("../../../../tests/fixtures/webhook/v0.32.json");
const V0_34: &str = include_str!("../../../../tests/fixtures/webhook/v0.34.json");
const LIST: &str = include_str!("../../../../tests/fixtures/webhook/api-v2-alerts.json");

#[test]
fn a_mixed_group_of_0_25_is_read_alert_by_alert() {
    let payload = read(V0_25.as_bytes()).unwrap();
    let statuses: Vec<_> = payload.alerts.iter().map(|alert| alert.status).collect();
    assert_eq!(statuses, [AlertStatus::Firing, AlertStatus::Resolved]);
    let first = &payload.alerts[0];
    assert_eq!(first.name(), "PostgresqlTooManyConnections");
    assert_eq!(first.starts_at.to_string(), "2026-11-24T03:00:12.513Z");
    assert_eq!(first.annotations["description"], "91 % of 20");
    assert_eq!(payload.alerts[1].starts_at.to_string(), "2026-11-24T02:58:00.000Z", "nanoseconds are read");
    assert_eq!(payload.receiver, quoted_receiver("run.bookd"));
    // The first is well-formed and wrong, the second is missing: ours counts for both, and only a difference is counted.
    assert_eq!(payload.fingerprints_differ, 1);
    assert!(payload.alerts.iter().all(|alert| alert.fingerprint == Fingerprint::of(&alert.labels)));
}

#[test]
fn the_other_releases_are_read_too() {
    let truncated = read(V0_28.as_bytes()).unwrap();
    assert_eq!((truncated.truncated, truncated.alerts.len()), (17, 1));
    assert_eq!(truncated.alerts[0].starts_at.to_string(), "2026-11-24T03:00:00.000Z", "an offset is read");
    let escaped = read(V0_32.as_bytes()).unwrap();
    assert_eq!(escaped.alerts[0].labels["note"], "quote \" backslash \\ newline \n surrogate 🙂");
    let newest = read(V0_34.as_bytes()).unwrap();
    assert_eq!((newest.alerts.len(), newest.unknown_status), (1, 1), "a status that nobody knows starts nothing");
    assert_eq!(newest.group_key, "{}/{severity=\"page\"}:{alertname=\"X\"}");
}

#[test]
fn only_version_and_alerts_are_needed_and_the_rest_may_be_new() {
    let least = json!({"version": "4", "alerts": [{"status": "firing", "labels": {}}]});
    let payload = read(least.to_string().as_bytes()).unwrap();
    assert_eq!(payload.alerts[0].starts_at.millis(), 0);
    let more = json!({"version": "4", "alerts": [], "new": {"deep": [1, 2, {"x": null}]}, "groupLabels": 5, "status": []});
    assert_eq!(read(more.to_string().as_bytes()).unwrap().alerts, []);
    let zero = json!({"version": "4", "alerts": [{"status": "firing", "labels": {}, "startsAt": "0001-01-01T00:00:00Z"}]});
    assert_eq!(read(zero.to_string().as_bytes()).unwrap().alerts[0].starts_at.millis(), 0);
}

#[test]
fn what_is_no_payload_is_refused_in_a_sentence() {
    let table = [
        ("", "EOF"),
        ("hello", "expected value"),
        ("[]", "not Alertmanager's"),
        ("{\"version\":\"4\"", "EOF"),
        ("{\"version\":\"4\"}", "missing field `alerts`"),
        ("{\"alerts\":[]}", "missing field `version`"),
        ("{\"version\":4,\"alerts\":[]}", "not Alertmanager's"),
        ("{\"version\":\"5\",\"alerts\":{}}", "`5`, and \"4\""),
        ("{\"version\":\"1\\u202e\",\"text\":\"custom\"}", "`1\\u{202e}`"),
        ("{\"version\":\"4\",\"alerts\":[{\"status\":\"firing\",\"labels\":{\"a\":1}}]}", "expected a"),
        ("{\"version\":\"4\",\"alerts\":[{\"labels\":{}}]}", "missing field `status`"),
        ("{\"version\":\"4\",\"alerts\":[],\"truncatedAlerts\":-1}", "invalid value"),
        ("{\"version\":\"4\",\"alerts\":[]} trailing", "trailing"),
    ];
    for (body, says) in table {
        let error = read(body.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(says) && error.len() < 400, "{body}: {error}");
        assert!(check(body.as_bytes()).is_err(), "{body}");
    }
    let deep = format!("{{\"version\":\"4\",\"alerts\":[],\"x\":{}1{}}}", "[".repeat(50_000), "]".repeat(50_000));
    // Depth in what is ignored costs no stack; depth in what is read is refused.
    assert!(check(deep.as_bytes()).is_ok() && read(deep.as_bytes()).is_ok());
    let deep = deep.replace("\"x\"", "\"receiver\"");
    assert!(check(deep.as_bytes()).is_err());
}

#[test]
fn the_list_of_api_v2_is_read() {
    let list = read_listed(LIST.as_bytes()).unwrap();
    let states: Vec<_> = list.iter().map(|listed| listed.state).collect();
    assert_eq!(states, [State::Active, State::Suppressed, State::Other]);
    assert_eq!(list[0].receivers, ["runbookd", "people"]);
    assert_eq!(list[0].alert.fingerprint, Fingerprint::of(&list[0].alert.labels));
    assert_eq!((list[1].silenced_by.len(), list[1].inhibited_by.len(), &*list[1].muted_by[0]), (1, 1, "nights"));
    assert_eq!(list[2].alert.starts_at.millis(), 0);
    assert!(read_listed(b"{}").is_err() && read_listed(b"[{}]").is_err());
}

#[test]
fn a_receiver_is_quoted_as_go_quotes_it() {
    assert_eq!(quoted_receiver("team.db (night)/x-y_z"), r"team\.db \(night\)/x-y_z");
    assert_eq!(quoted_receiver(r"a\b+c*d?e|f[g]h{i}^$"), r"a\\b\+c\*d\?e\|f\[g\]h\{i\}\^\$");
}

/// Values of every JSON shape, biased towards the payload's own field names.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(Value::from("4")),
        Just(Value::from("firing")),
    ];
    let name = prop_oneof![
        Just("version"),
        Just("alerts"),
        Just("status"),
        Just("labels"),
        Just("annotations"),
        Just("startsAt"),
        Just("fingerprint"),
        Just("truncatedAlerts"),
        Just("groupKey"),
        Just("x"),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..7).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_or_read_and_never_more(body in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(check(&body).is_ok(), read(&body).is_ok());
        let _ = read_listed(&body);
    }

    #[test]
    fn the_door_and_the_reader_agree(mut value in any_json(), as_payload in any::<bool>()) {
        if as_payload && let Value::Object(map) = &mut value {
            map.insert("version".into(), "4".into());
        }
        let body = value.to_string();
        prop_assert_eq!(check(body.as_bytes()).is_ok(), read(body.as_bytes()).is_ok());
    }

    #[test]
    fn a_payload_with_a_byte_changed_is_refused_or_read(at in 0..V0_25.len(), byte in any::<u8>()) {
        let mut body = V0_25.as_bytes().to_vec();
        body[at] = byte;
        prop_assert_eq!(check(&body).is_ok(), read(&body).is_ok());
    }
}
