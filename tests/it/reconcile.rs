//! Reconciliation against a real Alertmanager: what was never delivered is heard, a silence stops, and an absence or an outage
//! ends nothing. Its webhook leads nowhere, so whatever opens an incident here came from reconciling, except where the test
//! delivers by hand. A marker alert shows that a round is over, so that what did not happen can be asserted.

use std::time::Duration;

use serde_json::{Value, json};
use xtask::http::Request;
use xtask::servers::Alertmanager;

use crate::support::daemon::{Daemon, Home, binary, delivery, until};

/// Two receivers; ours must not hear of the other's alerts.
const ROUTES: &str = "\
route:
  receiver: people
  routes:
    - {receiver: run.bookd, matchers: ['for=\"us\"'], group_wait: 1h}
receivers:
  - name: people
  - name: run.bookd
    webhook_configs: [{url: 'http://127.0.0.1:9/webhook/alertmanager'}]
inhibit_rules:
  - {source_matchers: ['alertname=\"Source\"'], target_matchers: ['inhibited=\"yes\"']}
";

/// Long enough for a round that is not due at once, on a busy machine.
const ROUND: Duration = Duration::from_secs(40);

fn runbook(name: &str) -> String {
    format!(
        "runbook: for-{}\nsummary: looks and cannot see\nmatch: ['alertname=\"{name}\"']\ntarget: postgres/main\nmode: auto\n\
         limits: {{cooldown: 10m, rate: [3/1h]}}\nlook:\n  sessions: {{postgres.sessions: {{idle_for: 10m}}}}\n\
         require: sessions.used_ratio > 0.8\nremedies:\n  - name: close idle sessions\n    steps:\n      \
         - postgres.terminate_idle: {{idle_for: 10m, at_most: 20}}\n    \
         verify: {{until: sessions.used_ratio < 0.7, within: 1m, hold: 15s}}\notherwise: escalate\n",
        name.to_lowercase()
    )
}

/// A daemon whose target cannot be reached, so that every incident stays open and waits for sight.
fn home(alertmanager: &Alertmanager) -> Home {
    home_with(&alertmanager.url())
}

fn home_with(alertmanager: &str) -> Home {
    let home = Home::new(&[]);
    home.write(
        "runbookd.yaml",
        &format!("listen: 127.0.0.1:PORT\nalertmanager:\n  - {{url: '{alertmanager}', receiver: run.bookd}}\n"),
    );
    home.write(
        "targets.yaml",
        "postgres/main: {host: 127.0.0.1, port: 1, database: postgres, look: {user: look, password: {env: HOME}}, class: P1, owner: dba@example.invalid}\n",
    );
    for name in ["Lost", "Silenced", "Inhibited", "Elsewhere", "Young", "Delivered", "Marker", "SecondMarker"] {
        home.write(&format!("runbooks/{}.yaml", name.to_lowercase()), &runbook(name));
    }
    home
}

/// A moment, as Alertmanager wants it.
fn at(seconds_from_now: i64) -> String {
    runbook::Stamp::from_millis(xtask::clock::wall_millis() + 1000 * seconds_from_now).to_string()
}

fn alert(name: &str, age: i64, labels: &[(&str, &str)]) -> Value {
    let mut all = json!({"alertname": name, "for": "us"});
    for (label, value) in labels {
        all[*label] = json!(value);
    }
    json!({"labels": all, "startsAt": at(-age), "endsAt": at(3600)})
}

fn silence(alertmanager: &Alertmanager, name: &str) -> String {
    silence_by(alertmanager, name, "ana")
}

fn silence_by(alertmanager: &Alertmanager, name: &str, by: &str) -> String {
    let body = json!({
        "matchers": [{"name": "alertname", "value": name, "isRegex": false, "isEqual": true}],
        "startsAt": at(-1), "endsAt": at(3600), "createdBy": by, "comment": "I am \u{1b}[31mmoving the database",
    });
    let answer = Request::post(&format!("{}/api/v2/silences", alertmanager.url())).json(&body).send().unwrap().ok().unwrap();
    answer.json().unwrap()["silenceID"].as_str().unwrap().to_owned()
}

/// Which alerts have incidents, by name, with the incident's summary.
fn of(daemon: &Daemon<'_>, name: &str) -> Option<Value> {
    daemon.incidents().into_iter().find(|incident| incident["title"] == name)
}

/// Asks for a round the way a truncated delivery does.
fn ask_for_a_round(daemon: &Daemon<'_>) {
    let body = json!({"version": "4", "receiver": "run\\.bookd", "status": "firing", "groupKey": "{}", "truncatedAlerts": 1, "alerts": []});
    assert_eq!(daemon.deliver(&body).unwrap().status, 200);
}

/// Waits until a round that began after now is over.
fn round(alertmanager: &Alertmanager, daemon: &Daemon<'_>, home: &Home, marker: &str) {
    alertmanager.send(&json!([alert(marker, 3600, &[])])).unwrap();
    ask_for_a_round(daemon);
    until("a round", ROUND, || of(daemon, marker), || home.log());
}

#[test]
fn what_was_never_delivered_is_heard_and_nothing_else() {
    let alertmanager = Alertmanager::start(ROUTES).unwrap();
    silence(&alertmanager, "Silenced");
    alertmanager
        .send(&json!([
            alert("Source", 3600, &[]),
            alert("Inhibited", 3600, &[("inhibited", "yes")]),
            alert("Silenced", 3600, &[]),
            alert("Elsewhere", 3600, &[("for", "others")]),
            alert("Young", 1, &[]),
            alert("NoRunbook", 3600, &[]),
            alert("Lost", 3600, &[]),
        ]))
        .unwrap();
    let home = home(&alertmanager);
    let daemon = home.start(binary(), &[]);
    until("the lost alert's incident", ROUND, || of(&daemon, "Lost"), || home.log());
    // From one round to the next are 30 s, but a truncated delivery asks for one now: two of them in less.
    let asked = xtask::clock::now();
    round(&alertmanager, &daemon, &home, "Marker");
    round(&alertmanager, &daemon, &home, "SecondMarker");
    assert!(asked.elapsed() < Duration::from_secs(28), "the rounds came when they were due: {:?}", asked.elapsed());
    for name in ["Inhibited", "Silenced", "Elsewhere", "Young"] {
        assert!(of(&daemon, name).is_none(), "{name} was heard\n{}", home.log());
    }
    assert_eq!(daemon.get("/api/v1/unmatched")["unmatched"], json!([]), "alerts without a runbook are left to deliveries");
    let lost = of(&daemon, "Lost").unwrap();
    assert_eq!(lost["resends"], 0, "what is known is not heard every round: {lost}");
    let metrics = Request::get(&daemon.url("/metrics")).send().unwrap().text();
    assert!(
        metrics.lines().any(|line| line.starts_with("runbookd_alertmanager_reachable{") && line.ends_with("} 1")),
        "{metrics}"
    );
}

#[test]
fn a_silence_stops_its_incident_and_says_whose_it_is() {
    let alertmanager = Alertmanager::start(ROUTES).unwrap();
    alertmanager.send(&json!([alert("Silenced", 3600, &[]), alert("Lost", 3600, &[])])).unwrap();
    let home = home(&alertmanager);
    let daemon = home.start(binary(), &[]);
    until("both incidents", ROUND, || of(&daemon, "Silenced").and_then(|_| of(&daemon, "Lost")), || home.log());
    // What runbookd silences itself, because a step raises it, is nobody's word.
    silence_by(&alertmanager, "Silenced", "runbookd");
    round(&alertmanager, &daemon, &home, "SecondMarker");
    assert!(of(&daemon, "Silenced").unwrap()["closed"].is_null(), "{}", home.log());
    let id = silence(&alertmanager, "Silenced");
    ask_for_a_round(&daemon);
    let stopped = || of(&daemon, "Silenced").filter(|incident| incident["how"] == "stopped");
    let stopped = until("the stop", ROUND, stopped, || format!("{:?}\n{}", daemon.incidents(), home.log()));
    let why = stopped["why"].as_str().unwrap();
    for part in ["Silenced is silenced", "ana", "moving the database", &id] {
        assert!(why.contains(part), "{part} is missing: {why}");
    }
    assert!(!why.contains('\u{1b}'), "{why:?}");
    assert!(of(&daemon, "Lost").unwrap()["closed"].is_null(), "the other goes on");

    // The silence ends, the same episode still fires: a person has it, so it is not started again.
    let gone = Request::new("DELETE", &format!("{}/api/v2/silence/{id}", alertmanager.url()));
    gone.send().unwrap().ok().unwrap();
    round(&alertmanager, &daemon, &home, "Marker");
    let all = daemon.incidents();
    assert_eq!(all.iter().filter(|incident| incident["title"] == "Silenced").count(), 1, "{all:?}");
}

/// The same Alertmanager, which says that it has been up for an hour: nobody waits ten minutes in a test.
async fn aged(alertmanager: &Alertmanager) -> String {
    let behind = alertmanager.url();
    let answer = move |uri: axum::http::Uri| {
        let url = format!("{behind}{uri}");
        async move {
            let answer = tokio::task::spawn_blocking(move || Request::get(&url).send().unwrap().text()).await.unwrap();
            let mut said: Value = serde_json::from_str(&answer).unwrap();
            if said.get("uptime").is_some() {
                said["uptime"] = json!(at(-3600));
            }
            axum::Json(said)
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new().fallback(axum::routing::get(answer));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_alertmanager_that_has_long_been_up_lacks_is_over_where_nothing_was_done() {
    let alertmanager = Alertmanager::start(ROUTES).unwrap();
    let home = home_with(&aged(&alertmanager).await);
    let daemon = home.start(binary(), &[]);
    let mut by_hand = delivery(&[("alertname", "Young"), ("for", "us")], "firing", &at(-3600));
    by_hand["alerts"][0]["generatorURL"] = json!("runbookd:by-hand");
    let lacked = delivery(&[("alertname", "Delivered"), ("for", "us")], "firing", &at(-3600));
    for body in [by_hand, lacked] {
        assert_eq!(daemon.deliver(&body).unwrap().status, 200);
    }
    until("both incidents", ROUND, || of(&daemon, "Young").and_then(|_| of(&daemon, "Delivered")), || home.log());
    let mut asked = xtask::clock::now();
    let over = || {
        if asked.elapsed() > Duration::from_secs(2) {
            ask_for_a_round(&daemon);
            asked = xtask::clock::now();
        }
        of(&daemon, "Delivered").filter(|incident| !incident["closed"].is_null())
    };
    let over = until("its end", ROUND, over, || home.log());
    assert_eq!(over["how"], "subsided", "an absence is no cure: {over}");
    assert!(home.log().contains("no Alertmanager has its alert any more"), "{}", home.log());
    assert!(of(&daemon, "Young").unwrap()["closed"].is_null(), "what was fired by hand was never there: {}", home.log());
}

#[test]
fn an_absence_from_a_young_alertmanager_and_an_outage_end_nothing() {
    let alertmanager = Alertmanager::start(ROUTES).unwrap();
    let home = home(&alertmanager);
    let daemon = home.start(binary(), &[]);
    // Delivered by hand, and unknown to Alertmanager, which has been up for seconds.
    let body = delivery(&[("alertname", "Delivered"), ("for", "us")], "firing", &at(-60));
    assert_eq!(daemon.deliver(&body).unwrap().status, 200);
    until("the incident", ROUND, || of(&daemon, "Delivered"), || home.log());
    round(&alertmanager, &daemon, &home, "Marker");
    round(&alertmanager, &daemon, &home, "SecondMarker");
    assert!(of(&daemon, "Delivered").unwrap()["closed"].is_null(), "{}", home.log());

    drop(alertmanager);
    ask_for_a_round(&daemon);
    let told = || home.log().contains("Alertmanager cannot be asked what fires").then_some(());
    until("the outage is told", ROUND, told, || home.log());
    ask_for_a_round(&daemon);
    let reachable = || {
        let metrics = Request::get(&daemon.url("/metrics")).send().unwrap().text();
        metrics.lines().any(|line| line.starts_with("runbookd_alertmanager_reachable{") && line.ends_with("} 0")).then_some(())
    };
    until("the metric", ROUND, reachable, || home.log());
    assert_eq!(home.log().matches("Alertmanager cannot be asked what fires").count(), 1, "told once:\n{}", home.log());
    for name in ["Delivered", "Marker", "SecondMarker"] {
        assert!(of(&daemon, name).unwrap()["closed"].is_null(), "{name} ended\n{}", home.log());
    }
}
