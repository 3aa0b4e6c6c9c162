//! `/api/v1` and the endpoints for supervisors: each path, its refusals, and who may ask. Against the real journal, over the
//! real listeners. Deliberately no engine: incidents are told event by event, so each stage stands still to be asked about.

use std::time::Duration;

use journal::{Claim, Claimed, Journal};
use runbook::Stamp;
use runbook::finding::Findings;
use runbook::identity::{Identity, Selection};
use runbook::incident::{Ask, Event, Gate, GateName, IncidentId, Waiting};
use runbook::order::{Order, Purpose};
use serde_json::{Value, json};

use crate::door::{Door, payload, payload_of, write_configuration};

impl Door {
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let reply = self.local(method, &format!("/api/v1{path}"), &body).await;
        (reply.status, reply.json())
    }

    pub(crate) async fn get_json(&self, path: &str) -> Value {
        let (status, value) = self.ask("GET", path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    /// Fires the alert that the runbook is for, and routes it.
    pub(crate) async fn open_incident(&self) -> IncidentId {
        let (status, fired) = self.ask("POST", "/fire", json!({"alert": "TooMany", "labels": {"severity": "critical"}})).await;
        assert_eq!(status, 200, "{fired}");
        while runbookd::routing::route_waiting(&self.daemon).await.unwrap() > 0 {}
        IncidentId(self.get_json("/incidents?open=true").await["incidents"][0]["id"].as_u64().unwrap())
    }

    pub(crate) async fn claim(&self) -> Claim {
        match self.daemon.journal.claim(self.daemon.clock.now(), Duration::from_secs(60)).await.unwrap() {
            Claimed::Claim(claim) => *claim,
            other => panic!("{other:?}"),
        }
    }

    /// Brings the open incident to where a person is asked, and gives the question.
    pub(crate) async fn ask_a_person(&self, expires: Stamp) -> String {
        let now = self.daemon.clock.now();
        let mut claim = self.claim().await;
        let step = claim.incident.step().unwrap().clone();
        let order = Order {
            purpose: Purpose::Do,
            action: step.action,
            target: claim.incident.target.clone(),
            selection: Selection::of([Identity::Session { pid: 7, backend_start: 1 }]).unwrap(),
        };
        let ask = Ask {
            id: format!("ask-{}", expires.millis()),
            order,
            at_most: 20,
            shown: [("pid 7".to_owned(), "idle".to_owned())].into(),
            expires,
            remind: Vec::new(),
            who: Vec::new(),
        };
        let gate = Gate { name: GateName::Mode, open: false, why: "a person approves each act".into() };
        let events = [
            Event::Looked { findings: Findings::default() },
            Event::Waits {
                until: expires,
                on: Waiting::Person(ask.clone()),
                why: "a person is asked".to_owned(),
                gates: vec![gate],
            },
        ];
        for event in events {
            self.daemon.journal.append(&mut claim, now, &event).await.unwrap();
        }
        self.daemon.journal.release(claim, None).await.unwrap();
        ask.id
    }
}

#[tokio::test]
async fn over_tcp_the_api_wants_its_token_and_the_rest_wants_none() {
    let door = Door::open().await;
    for path in ["/api/v1/incidents", "/api/v1/nothing", "/api/v2/x", "/api/"] {
        let reply = door.get(path).await.expect(401);
        assert!(reply.json()["mend"].as_str().unwrap().contains("api.token"));
        let with =
            |token: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
        door.raw(with(&door.token("webhook.token")).as_bytes()).await.expect(401);
        let right = door.raw(with(&door.token("api.token")).as_bytes()).await;
        assert_eq!(right.status, if path.ends_with("incidents") { 200 } else { 404 }, "{right:?}");
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        door.get(path).await.expect(200);
    }
    door.get("/").await.expect(404);
    let reply = door.local("POST", "/healthz", "").await.expect(405);
    assert!(reply.json()["mend"].is_string());
    door.close().await;
}

#[tokio::test]
async fn a_fired_alert_goes_the_way_of_every_delivery() {
    let door = Door::open().await;
    let id = door.open_incident().await;
    let list = door.get_json("/incidents?open=true&limit=1").await;
    let summary = &list["incidents"][0];
    assert_eq!(
        (&summary["runbook"], &summary["target"], &summary["title"]),
        (&json!("idle"), &json!("postgres/main"), &json!("TooMany"))
    );
    let shown = door.get_json(&format!("/incidents/{id}")).await;
    assert_eq!(shown["events"][0]["kind"], "opened");
    assert_eq!(shown["incident"], *summary);
    // The same episode from Alertmanager joins it or is counted; it opens nothing.
    door.deliver(payload("TooMany").as_bytes()).await.expect(200);
    while runbookd::routing::route_waiting(&door.daemon).await.unwrap() > 0 {}
    assert_eq!(door.get_json("/incidents").await["incidents"].as_array().unwrap().len(), 1);
    for (body, says) in [
        (json!({}), "missing field"),
        (json!({"alert": ""}), "no name"),
        (json!({"alert": "A", "label": {}}), "unknown field"),
        (json!({"alert": "A", "status": "maybe"}), "unknown variant"),
    ] {
        let (status, value) = door.ask("POST", "/fire", body).await;
        assert!(status == 400 && value["error"].as_str().unwrap().contains(says), "{value}");
    }
    door.close().await;
}

#[tokio::test]
async fn an_incident_is_shown_explained_reported_and_annotated() {
    let door = Door::open().await;
    let id = door.open_incident().await;
    door.ask_a_person(door.daemon.clock.now().plus(Duration::from_secs(600))).await;
    let explained = door.get_json(&format!("/incidents/{}/explain", id.0)).await;
    assert_eq!(explained["incident"]["stage"], "asking");
    assert_eq!(explained["decisions"][0]["decision"], "wait");
    assert_eq!(
        explained["decisions"][0]["gates"][0],
        json!({"name": "mode", "open": false, "why": "a person approves each act"})
    );
    let report = door.get_json(&format!("/incidents/{id}/report")).await;
    assert!(report["text"].as_str().unwrap().contains("idle") && report["report"]["runbook"] == "idle", "{report}");
    let (status, _) =
        door.ask("POST", &format!("/incidents/{id}/notes"), json!({"by": "ann", "words": "I am \u{1b}[31mlooking"})).await;
    assert_eq!(status, 200);
    let shown = door.get_json(&format!("/incidents/{id}")).await;
    assert_eq!(shown["events"].as_array().unwrap().last().unwrap()["kind"], "noted");
    let hash = door.daemon.journal.keep_evidence(id, "sessions", b"pid 7 \x1b[2J", door.daemon.clock.now()).await.unwrap();
    let listed = door.get_json(&format!("/incidents/{id}")).await["evidence"].clone();
    assert_eq!(listed, json!([{"name": "sessions", "hash": hash, "bytes": 10}]));
    let evidence = door.local("GET", &format!("/api/v1/evidence/{hash}"), "").await.expect(200);
    assert_eq!(evidence.body.as_bytes(), b"pid 7 \x1b[2J");
    let head = evidence.head.to_lowercase();
    assert!(head.contains("application/octet-stream") && head.contains("nosniff") && head.contains("attachment"), "{head}");
    for (method, path, body, status) in [
        ("GET", "/incidents/99".to_owned(), Value::Null, 404),
        ("GET", "/incidents/99/explain".to_owned(), Value::Null, 404),
        ("GET", "/incidents/99/report".to_owned(), Value::Null, 404),
        ("GET", "/incidents/x".to_owned(), Value::Null, 400),
        ("GET", "/incidents?limit=x".to_owned(), Value::Null, 400),
        ("POST", "/incidents/99/notes".to_owned(), json!({"by": "ann", "words": "x"}), 404),
        ("POST", format!("/incidents/{id}/notes"), json!({"by": " ", "words": "x"}), 400),
        ("POST", format!("/incidents/{id}/notes"), json!({"by": "ann", "words": ""}), 400),
        ("GET", format!("/evidence/{}", "0".repeat(64)), Value::Null, 404),
        ("GET", "/evidence/..%2f..%2fetc%2fpasswd".to_owned(), Value::Null, 400),
    ] {
        let (found, value) = door.ask(method, &path, body).await;
        assert_eq!(found, status, "{path}: {value}");
        assert!(value["error"].is_string() && value["mend"].is_string(), "{value}");
    }
    door.close().await;
}

#[tokio::test]
async fn a_question_is_answered_once_in_time_and_by_somebody() {
    let door = Door::open().await;
    door.open_incident().await;
    let ask = door.ask_a_person(door.daemon.clock.now().plus(Duration::from_secs(600))).await;
    let (status, _) = door.ask("POST", &format!("/asks/{ask}/approve"), json!({"by": ""})).await;
    assert_eq!(status, 400);
    let (status, _) = door.ask("POST", "/asks/no-such-question/approve", json!({"by": "ann"})).await;
    assert_eq!(status, 404);
    let (status, value) = door.ask("POST", &format!("/asks/{ask}/approve"), json!({"by": "ann"})).await;
    assert_eq!((status, &value["stage"]), (200, &json!("looking")), "granted means: look again, then act on what was approved");
    for word in ["approve", "deny"] {
        let (status, value) = door.ask("POST", &format!("/asks/{ask}/{word}"), json!({"by": "bob", "why": "no"})).await;
        assert_eq!(status, 409, "{value}");
        assert!(!value["error"].as_str().unwrap().is_empty());
    }
    door.close().await;
}

#[tokio::test]
async fn a_no_is_kept_with_its_reason() {
    let door = Door::open().await;
    let id = door.open_incident().await;
    let ask = door.ask_a_person(door.daemon.clock.now().plus(Duration::from_secs(600))).await;
    let (status, _) = door.ask("POST", &format!("/asks/{ask}/deny"), json!({"by": "ann", "why": "the report runs"})).await;
    assert_eq!(status, 200);
    let events = door.get_json(&format!("/incidents/{id}")).await["events"].clone();
    let answer = events.as_array().unwrap().iter().find(|event| event["kind"] == "answered").unwrap().to_string();
    assert!(answer.contains("the report runs") && answer.contains("ann"), "{answer}");
    door.close().await;
}

#[tokio::test]
async fn pauses_are_made_listed_and_lifted() {
    let door = Door::open().await;
    let wanted = json!({"scope": "target:postgres/main", "reason": "migration", "by": "ann", "for": "2h"});
    let (status, value) = door.ask("POST", "/pauses", wanted).await;
    assert!(status == 200 && value["until"].is_i64(), "{value}");
    let (status, _) = door.ask("POST", "/pauses", json!({"scope": "all", "reason": "storm", "by": "bob"})).await;
    assert_eq!(status, 200);
    let pauses = door.get_json("/pauses").await;
    let scopes: Vec<_> = pauses["pauses"].as_array().unwrap().iter().map(|pause| pause["scope"].clone()).collect();
    assert_eq!(scopes, ["all", "target:postgres/main"]);
    for (scope, status, mend) in [
        ("target:postgres/mian", 404, "postgres/main"),
        ("runbook:idel", 404, "idle"),
        ("everything", 400, "for example"),
        ("target:x", 400, ""),
    ] {
        let (found, value) = door.ask("POST", "/pauses", json!({"scope": scope, "reason": "r", "by": "b"})).await;
        assert!(found == status && value["mend"].as_str().unwrap().contains(mend), "{scope}: {value}");
    }
    for body in
        [json!({"scope": "all", "reason": " ", "by": "b"}), json!({"scope": "all", "reason": "r", "by": "b", "for": "0s"})]
    {
        let (status, value) = door.ask("POST", "/pauses", body).await;
        assert_eq!(status, 400, "no pause without a reason, and none that stops nothing: {value}");
    }
    for (path, status) in [
        ("/pauses/target:postgres/main", 400),
        ("/pauses/target:postgres/main?by=", 400),
        ("/pauses/target:postgres/main?by=ann", 200),
        ("/pauses/target:postgres/main?by=ann", 404),
        ("/pauses/all?by=c%20%C3%A9", 200),
        ("/pauses/x?by=ann", 400),
    ] {
        assert_eq!(door.ask("DELETE", path, Value::Null).await.0, status, "{path}");
    }
    let said = door.get_json("/pauses").await;
    let lifted: Vec<_> =
        said["lifted"].as_array().unwrap().iter().map(|one| (&one["scope"], &one["by"], &one["lifted_by"])).collect();
    let (all, main, bob, ann, who) = (json!("all"), json!("target:postgres/main"), json!("bob"), json!("ann"), json!("c \u{e9}"));
    assert_eq!(lifted, [(&all, &bob, &who), (&main, &ann, &ann)], "the last comes first");
    std::fs::write(door.state.join(journal::PAUSE_FILE), "by hand").unwrap();
    let (status, value) = door.ask("DELETE", "/pauses/all?by=ann", Value::Null).await;
    assert!(status == 409 && value["mend"].as_str().unwrap().contains("PAUSE"), "{value}");
    assert_eq!(door.get_json("/pauses").await["pauses"][0]["by"], "the pause file");
    std::fs::remove_file(door.state.join(journal::PAUSE_FILE)).unwrap();
    std::os::unix::fs::symlink("nowhere", door.state.join(journal::PAUSE_FILE)).unwrap();
    assert_eq!(door.ask("DELETE", "/pauses/all?by=ann", Value::Null).await.0, 409, "a link into nowhere stops as well");
    door.close().await;
}

#[tokio::test]
async fn targets_are_listed_without_secrets_and_looked_at() {
    let door = Door::open().await;
    let listed = door.get_json("/targets").await;
    assert_eq!(listed["targets"][0]["target"]["id"], "postgres/main");
    assert_eq!(listed["targets"][0]["can_act"], true);
    let (status, value) = door.ask("POST", "/look", json!({"target": "postgres/main"})).await;
    assert_eq!(status, 200, "{value}");
    assert!(value["finding"].to_string().to_lowercase().contains("unknown"), "nobody is there, and that is a finding: {value}");
    let (status, all) = door.ask("POST", "/looks", json!({})).await;
    assert_eq!((status, &all["targets"][0]["target"]), (200, &json!("postgres/main")), "{all}");
    assert_eq!(all["targets"].as_array().unwrap().len(), listed["targets"].as_array().unwrap().len(), "{all}");
    assert_eq!(all["targets"][0]["finding"]["probe"], value["finding"]["probe"]);
    let metrics = door.get("/metrics").await.body;
    assert!(metrics.contains("runbookd_probe_unknown_total{probe=\"postgres.sessions\"} 2"), "{metrics}");
    for (body, status) in [
        (json!({"target": "postgres/mian"}), 404),
        (json!({"target": "main"}), 400),
        (json!({"target": "postgres/main", "probe": {"Redis": "Memory"}}), 400),
        (json!({"target": "postgres/main", "probe": "DROP"}), 400),
    ] {
        let (found, value) = door.ask("POST", "/look", body).await;
        assert_eq!(found, status, "{value}");
    }
    let runbooks = door.get_json("/runbooks").await;
    assert_eq!((&runbooks["runbooks"][0]["name"], runbooks["hash"].as_str().unwrap().len()), (&json!("idle"), 64));
    door.close().await;
}

#[tokio::test]
async fn a_reload_takes_the_new_configuration_or_keeps_the_old() {
    let door = Door::open().await;
    let before = door.get_json("/runbooks").await["hash"].clone();
    let chosen = journal::Chosen { runbook: "idle".to_owned(), target: "postgres/main".parse().unwrap() };
    let by = runbook::incident::Trigger::Person { by: "ann".to_owned(), words: String::new() };
    let opened = door.daemon.journal.open_incident(&chosen, by, door.daemon.clock.now()).await.unwrap();
    let file = door.configuration.join("runbooks/idle.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("mode: {default: ask}", "mode: {default: aks}")).unwrap();
    let (status, value) = door.ask("POST", "/reload", Value::Null).await;
    assert_eq!(status, 422, "{value}");
    assert!(value["detail"].to_string().contains("idle.yaml"), "{value}");
    assert_eq!(door.get_json("/runbooks").await["hash"], before);
    assert!(door.get("/metrics").await.body.contains("runbookd_reload_succeeded 0"));
    std::fs::write(&file, text.replace("at_most: 20", "at_most: 5")).unwrap();
    let (status, value) = door.ask("POST", "/reload", Value::Null).await;
    assert_eq!(status, 200, "{value}");
    assert_ne!(value["hash"], before);
    assert_eq!((&value["outdated"], &value["wants_restart"]), (&json!([opened]), &json!(false)), "{value}");
    let daemon = door.configuration.join("runbookd.yaml");
    std::fs::write(&daemon, "listen: 127.0.0.1:2\n").unwrap();
    assert_eq!(door.ask("POST", "/reload", Value::Null).await.1["wants_restart"], true);
    assert_eq!(door.ask("POST", "/reload", Value::Null).await.1["wants_restart"], true, "it still listens where it did");
    assert_eq!(door.get_json("/runbooks").await["hash"], value["hash"]);
    assert!(door.get("/metrics").await.body.contains(&format!("runbookd_configuration_hash{{hash={}}} 1", value["hash"])));
    write_configuration(&door.configuration, "");
    let back = door.ask("POST", "/reload", Value::Null).await.1;
    assert_eq!((&back["hash"], &back["wants_restart"]), (&before, &json!(false)), "the same files give the same hash");
    door.close().await;
}

#[tokio::test]
async fn the_journal_is_backed_up_checked_and_pruned() {
    let door = Door::open().await;
    door.open_incident().await;
    let checked = door.get_json("/journal/check").await;
    assert_eq!((&checked["incidents"], &checked["complaints"]), (&json!(1), &json!([])));
    let copies = tempfile::tempdir().unwrap();
    let to = copies.path().join("journal.db");
    let (status, value) = door.ask("POST", "/journal/backup", json!({"to": to})).await;
    assert!(status == 200 && value["bytes"].as_u64().unwrap() > 0, "{value}");
    let copy = Journal::open_to_read(copies.path()).await.unwrap();
    assert_eq!(copy.incidents(journal::Filter::default()).await.unwrap().len(), 1);
    for (body, status) in [(json!({"to": to}), 409), (json!({"to": "journal.db"}), 400), (json!({}), 400)] {
        assert_eq!(door.ask("POST", "/journal/backup", body).await.0, status);
    }
    let body = json!({"to": copies.path().join("other.db")}).to_string();
    let request = format!(
        "POST /api/v1/journal/backup HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        door.token("api.token"),
        body.len()
    );
    door.raw(request.as_bytes()).await.expect(403);
    let (status, value) = door.ask("POST", "/journal/prune", Value::Null).await;
    assert_eq!((status, &value["incidents"]), (200, &json!(0)));
    door.close().await;
}

#[tokio::test]
async fn what_nothing_matches_is_counted_by_name() {
    let door = Door::open().await;
    let labels =
        [json!({"alertname": "Unknown", "n": "1"}), json!({"alertname": "Unknown", "n": "2"}), json!({"alertname": "Other"})];
    door.deliver(payload_of(&labels).as_bytes()).await.expect(200);
    while runbookd::routing::route_waiting(&door.daemon).await.unwrap() > 0 {}
    let unmatched = door.get_json("/unmatched").await;
    assert_eq!((&unmatched["unmatched"][0]["alertname"], &unmatched["unmatched"][0]["times"]), (&json!("Unknown"), &json!(2)));
    assert!(door.get("/metrics").await.body.contains("runbookd_alerts_total{outcome=\"unmatched\"} 3"));
    door.close().await;
}

#[tokio::test]
async fn a_person_starts_a_runbook_rehearses_it_or_reports_in_their_words() {
    let door = Door::open().await;
    let (status, dry) = door.ask("POST", "/run", json!({"runbook": "idle", "by": "ann", "dry_run": true})).await;
    assert_eq!((status, &dry["acts"]), (200, &json!(false)), "{dry}");
    assert_eq!(door.get_json("/incidents").await["incidents"], json!([]), "a dry run leaves no trace");
    let (status, value) = door.ask("POST", "/run", json!({"runbook": "idle", "by": "ann"})).await;
    assert_eq!(status, 200, "{value}");
    assert_eq!(door.ask("POST", "/run", json!({"runbook": "idle", "by": "ann"})).await.0, 409);
    assert_eq!(
        door.ask("POST", "/report", json!({"words": "postgres/main is slow", "by": "ann"})).await.0,
        409,
        "one is open already"
    );
    for (path, body, status) in [
        ("/run", json!({"runbook": "idel", "by": "ann"}), 404),
        ("/run", json!({"runbook": "idle", "by": ""}), 400),
        ("/run", json!({"runbook": "idle", "by": "ann", "force": true}), 400),
        ("/report", json!({"words": "the coffee is cold", "by": "ann"}), 409),
        ("/report", json!({"words": "", "by": "ann"}), 400),
    ] {
        let (found, value) = door.ask("POST", path, body).await;
        assert!(found == status && value["mend"].is_string(), "{path}: {value}");
    }
    door.close().await;
}

#[tokio::test]
async fn the_examination_says_what_would_be_refused() {
    let door = Door::open().await;
    let examination = door.get_json("/doctor").await;
    assert_eq!(examination["runbooks"][0]["ready"], false, "its server is not there: {examination}");
    assert!(door.get("/metrics").await.body.contains("runbookd_runbook_ready{runbook=\"idle\"} 0"));
    door.close().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let door = Door::open().await;
    let body = json!({"alert": "A", "labels": {"long": "x".repeat(2 << 20)}});
    assert_eq!(door.ask("POST", "/fire", body).await.0, 413);
    door.close().await;
}

#[tokio::test]
async fn prometheus_and_the_parser_of_pypi_read_the_metrics() {
    let door = Door::open().await;
    door.open_incident().await;
    door.get("/metrics").await.expect(200);
    let (address, folder) = (door.address, tempfile::tempdir().unwrap());
    let reply = door.get("/metrics").await;
    assert!(
        reply.head.to_lowercase().contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{}",
        reply.head
    );
    let file = folder.path().join("metrics");
    std::fs::write(&file, &reply.body).unwrap();
    let asking = tokio::task::spawn_blocking(move || {
        xtask::packages::ensure(&["python3-prometheus-client", "prometheus"]).unwrap();
        let script = "import sys\nfrom prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
                      print(len(list(parse(open(sys.argv[1]).read()))))";
        let parsed = std::process::Command::new("/usr/bin/python3").args(["-c", script]).arg(&file).output().unwrap();
        assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
        let families: usize = String::from_utf8_lossy(&parsed.stdout).trim().parse().unwrap();
        assert!(families >= 15, "{families} families");
        let scrape = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: runbookd, static_configs: [{{targets: ['{address}']}}]}}]\n"
        );
        let prometheus = xtask::servers::Prometheus::start(&scrape, &[]).unwrap();
        let seen = xtask::clock::wait_for("a scrape", Duration::from_secs(30), || {
            let found = prometheus.api("/query?query=runbookd_incidents_open%7Bstage%3D%22looking%22%7D")?;
            Ok(found["result"][0]["value"][1].as_str().map(str::to_owned))
        });
        assert_eq!(seen.unwrap(), "1");
        prometheus.api("/targets").unwrap()["activeTargets"][0]["lastError"].clone()
    });
    assert_eq!(asking.await.unwrap(), "", "Prometheus has nothing to complain about");
    door.close().await;
}
