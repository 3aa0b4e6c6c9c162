//! Questions to people, whole: who may agree, one answer of many, what no longer stands, who started it, and telling again. At the
//! daemon's door each stage stands still to be asked about; with the whole daemon the act itself is counted.

mod whole;

use std::time::Duration;

use runbook::incident::Event;
use serde_json::{Value, json};

use crate::door::{Door, Reply, write_configuration};

const SOON: Duration = Duration::from_secs(600);

/// Three people: one by a file, one by a hash (of `the-token-of-the-lead`), and whoever holds the API's token.
const PEOPLE: &str = "approval:
  people:
    dba: {token: {file: dba.token}}
    lead: {sha256: 2ffc47f5d883431a652ee360854d5341024a623af3e9f163c7de3a7453e2f508}
    on-call: {token: {file: on-call.token}}
  who:
    - {classes: [P1], targets: [postgres/main], runbooks: [idle], actions: [postgres.terminate_idle], people: [dba, lead]}
";
const DBA: &str = "the-token-of-the-dba";
const LEAD: &str = "the-token-of-the-lead";
const ON_CALL: &str = "the-token-of-on-call";

async fn door(more: &str) -> Door {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let door = Door::at(folder, &state, runbookd::http::Bounds::default(), more).await;
    write_tokens(&door);
    door
}

fn write_tokens(door: &Door) {
    for (name, token) in [("dba.token", DBA), ("on-call.token", ON_CALL)] {
        std::fs::write(door.configuration.join(name), format!("{token}\n")).unwrap();
    }
}

impl Door {
    /// Over the socket, with somebody's own token.
    async fn as_person(&self, token: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let request = format!(
            "POST /api/v1{path} HTTP/1.1\r\nHost: x\r\nX-Runbookd-Person: {token}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let reply = crate::door::exchange(tokio::net::UnixStream::connect(&self.socket).await.unwrap(), request.as_bytes()).await;
        (reply.status, reply.json())
    }

    /// Over TCP, with this bearer token.
    async fn over_tcp(&self, token: &str, method: &str, path: &str, body: &str) -> Reply {
        let head = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.raw(format!("{head}{body}").as_bytes()).await
    }

    async fn asked(&self) -> String {
        self.ask_a_person(self.daemon.clock.now().plus(SOON)).await
    }

    async fn kinds(&self) -> Vec<String> {
        let shown = self.get_json("/incidents/1").await;
        shown["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
    }

    async fn counted(&self, line: &str) -> bool {
        self.get("/metrics").await.body.lines().any(|found| found == line)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_answers_at_once_one_is_taken_and_the_others_hear_whose() {
    let door = std::sync::Arc::new(door("").await);
    door.open_incident().await;
    let ask = door.asked().await;
    let answers: Vec<_> = (0..64)
        .map(|number| {
            let (door, ask) = (door.clone(), ask.clone());
            let (word, by) = (if number % 3 == 0 { "deny" } else { "approve" }, format!("person-{number}"));
            tokio::spawn(async move { (by.clone(), door.ask("POST", &format!("/asks/{ask}/{word}"), json!({"by": by})).await) })
        })
        .collect();
    let mut taken = Vec::new();
    let mut refused = Vec::new();
    for answer in answers {
        match answer.await.unwrap() {
            (by, (200, _)) => taken.push(by),
            (_, (409, value)) => refused.push(value["error"].as_str().unwrap().to_owned()),
            (_, other) => panic!("{other:?}"),
        }
    }
    assert_eq!((taken.len(), refused.len()), (1, 63));
    let whose = format!("answered by {} at ", taken[0]);
    assert!(refused.iter().all(|why| why.starts_with(&whose)), "{whose}: {refused:?}");
    assert_eq!(door.kinds().await.iter().filter(|kind| *kind == "answered").count(), 1);
    assert!(door.counted("runbookd_answers_refused_total{reason=\"answered\"} 63").await);
    std::sync::Arc::into_inner(door).unwrap().close().await;
}

#[tokio::test]
async fn what_no_longer_stands_is_refused_with_what_became_of_it() {
    let door = door("").await;
    let id = door.open_incident().await;
    let now = door.daemon.clock.now();
    let approve = async |ask: &str| {
        let (status, value) = door.ask("POST", &format!("/asks/{ask}/approve"), json!({"by": "somebody"})).await;
        (status, value["error"].as_str().unwrap_or_default().to_owned())
    };
    let refused = async |ask: &str, says: &str| {
        let (status, why) = approve(ask).await;
        assert!(status == 409 && why.contains(says), "{status}: {why}, and {says} was expected");
    };

    // Agreed to, and asked about anew, because what was there had gone: the first is answered, and cannot be again.
    let first = door.asked().await;
    assert_eq!(approve(&first).await.0, 200);
    let second = door.ask_a_person(now.plus(SOON * 2)).await;
    refused(&first, "answered by somebody at ").await;

    // What was asked for is no longer in the runbook, and then the runbook is gone.
    let runbook = door.configuration.join("runbooks/idle.yaml");
    let text = std::fs::read_to_string(&runbook).unwrap();
    std::fs::write(&runbook, text.replace("at_most: 20", "at_most: 5")).unwrap();
    assert_eq!(door.ask("POST", "/reload", Value::Null).await.0, 200);
    refused(&second, "with other arguments now").await;
    let listed = door.get_json("/asks").await;
    assert!(listed["asks"][0]["gone"].as_str().unwrap().contains("with other arguments now"), "{listed}");
    std::fs::write(&runbook, text.replace("runbook: idle", "runbook: busy")).unwrap();
    assert_eq!(door.ask("POST", "/reload", Value::Null).await.0, 200);
    refused(&second, "the runbook idle is no longer in the configuration").await;
    std::fs::write(&runbook, &text).unwrap();
    assert_eq!(door.ask("POST", "/reload", Value::Null).await.0, 200);

    // A person stopped the incident: it is looked at anew, and the question is about nothing any more.
    door.daemon.journal.append_from_outside(id, now, &Event::Stopped { why: "silenced".to_owned() }).await.unwrap();
    refused(&second, "INC-1 has moved on since it was asked: it is looking now").await;
    let third = door.ask_a_person(now.plus(SOON * 3)).await;
    refused(&second, "another question was asked instead").await;
    let (status, value) = door.ask("POST", &format!("/asks/{third}/deny"), json!({"by": "somebody"})).await;
    assert_eq!(status, 200, "{value}");
    assert_eq!(approve("no-such-question").await.0, 404);
    for line in [
        "runbookd_answers_total{answer=\"granted\"} 1",
        "runbookd_answers_total{answer=\"denied\"} 1",
        "runbookd_answers_refused_total{reason=\"superseded\"} 1",
        "runbookd_answers_refused_total{reason=\"moved_on\"} 1",
        "runbookd_answers_refused_total{reason=\"configuration\"} 2",
        "runbookd_answers_refused_total{reason=\"unknown\"} 1",
    ] {
        assert!(door.counted(line).await, "{line}");
    }
    door.close().await;
}

#[tokio::test]
async fn an_answer_after_the_end_is_none() {
    let door = door("").await;
    door.open_incident().await;
    let ask = door.ask_a_person(door.daemon.clock.now().plus(Duration::from_millis(1))).await;
    tokio::time::timeout(Duration::from_secs(10), async {
        while door.daemon.clock.now() <= door.daemon.journal.questions().await.unwrap()[0].1.expires {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    for word in ["approve", "deny"] {
        let (status, value) = door.ask("POST", &format!("/asks/{ask}/{word}"), json!({"by": "somebody"})).await;
        assert!(status == 409 && value["error"].as_str().unwrap().starts_with("it expired at "), "{value}");
    }
    assert!(!door.kinds().await.iter().any(|kind| kind == "answered"));
    door.close().await;
}

#[tokio::test]
async fn who_may_agree_is_proved_by_a_token_of_their_own() {
    let door = door(PEOPLE).await;
    door.open_incident().await;
    let ask = door.asked().await;
    let path = format!("/asks/{ask}/approve");
    let (status, value) = door.ask("POST", &path, json!({"by": "dba"})).await;
    assert!(status == 403 && value["mend"].as_str().unwrap().contains("--token-file"), "a name alone is no proof: {value}");
    let (status, value) = door.as_person("the-token-of-nobody", &path, &json!({})).await;
    assert!(status == 401 && value["error"].as_str().unwrap().contains("nobody's"), "{value}");
    let (status, value) = door.as_person(ON_CALL, &path, &json!({})).await;
    assert!(status == 403 && value["error"].as_str().unwrap().ends_with("dba, lead may"), "{value}");
    let (status, value) = door.as_person(DBA, &path, &json!({"by": "lead"})).await;
    assert!(status == 403 && value["error"].as_str().unwrap().contains("the token is dba's"), "{value}");
    let kinds = door.kinds().await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "answer_refused").count(), 2, "who may not is on record: {kinds:?}");
    let explained = door.get_json("/incidents/1").await.to_string();
    assert!(explained.contains("on-call may not agree to"), "{explained}");

    // Over TCP a person's own token opens the questions, and nothing else.
    for (method, place, wanted) in
        [("GET", "/asks", 200), ("GET", "/incidents", 401), ("POST", "/pauses", 401), ("GET", "/asksx", 401)]
    {
        assert_eq!(door.over_tcp(LEAD, method, place, "").await.status, wanted, "{method} {place}");
    }
    assert_eq!(door.over_tcp("the-token-of-nobody", "GET", "/asks", "").await.status, 401);
    let listed = door.over_tcp(LEAD, "GET", "/asks", "").await.json();
    assert_eq!(listed["asks"][0]["may_agree"], json!(["dba", "lead"]), "{listed}");
    let said = door.over_tcp(LEAD, "POST", &path, "{}").await.expect(200).json();
    assert_eq!((&said["by"], &said["proved"]), (&json!("lead"), &json!(true)));
    let (_, value) = door.as_person(DBA, &path, &json!({})).await;
    assert!(value["error"].as_str().unwrap().starts_with("answered by lead at "), "{value}");
    let events = door.get_json("/incidents/1").await["events"].to_string();
    assert!(events.contains(r#""proof":"token""#), "{events}");
    for token in [DBA, LEAD, ON_CALL] {
        assert!(!events.contains(token), "no token is on record");
    }
    door.close().await;
}

#[tokio::test]
async fn a_no_is_anybodys_and_trying_for_ever_fills_no_disk() {
    let door = door(PEOPLE).await;
    door.open_incident().await;
    let ask = door.asked().await;
    for _ in 0..30 {
        assert_eq!(door.as_person(ON_CALL, &format!("/asks/{ask}/approve"), &json!({})).await.0, 403);
    }
    assert_eq!(door.kinds().await.iter().filter(|kind| *kind == "answer_refused").count(), 20);
    assert!(door.counted("runbookd_answers_refused_total{reason=\"not_allowed\"} 30").await);
    let (status, value) =
        door.ask("POST", &format!("/asks/{ask}/deny"), json!({"login": "someone@host", "why": "not now"})).await;
    assert_eq!((status, &value["proved"]), (200, &json!(false)), "{value}");
    door.close().await;
}

#[tokio::test]
async fn who_started_it_does_not_agree_to_it() {
    let run = json!({"runbook": "idle", "login": "someone@host"});
    for own in [false, true] {
        let more = format!("{PEOPLE}  self_approval: {own}\n");
        let door = door(&more).await;
        if own {
            assert_eq!(door.as_person(DBA, "/run", &run).await.0, 200);
        } else {
            let (status, value) = door.ask("POST", "/run", run.clone()).await;
            assert_eq!(status, 403, "{value}");
            assert!(value["error"].as_str().unwrap().contains("who starts something must be known"), "{value}");
            let (status, value) = door.ask("POST", "/report", json!({"words": "idle is needed", "by": "dba"})).await;
            assert_eq!(status, 403, "{value}");
            assert_eq!(door.as_person(DBA, "/run", &run).await.0, 200);
        }
        let ask = door.asked().await;
        let path = format!("/asks/{ask}/approve");
        let (status, value) = door.as_person(DBA, &path, &json!({})).await;
        if own {
            assert_eq!(status, 200, "{value}");
        } else {
            assert!(status == 403 && value["error"].as_str().unwrap().contains("dba started it"), "{value}");
            assert!(door.counted("runbookd_answers_refused_total{reason=\"own\"} 1").await);
            assert_eq!(door.as_person(LEAD, &path, &json!({})).await.0, 200);
        }
        door.close().await;
    }
}

#[tokio::test]
async fn the_api_token_may_be_one_persons_and_a_reload_counts_at_once() {
    let door =
        door("approval: {people: {console: {api_token: true}, dba: {token: {file: dba.token}}}, self_approval: true}\n").await;
    door.open_incident().await;
    let ask = door.asked().await;
    let path = format!("/asks/{ask}/approve");
    write_configuration(
        &door.configuration,
        "approval: {people: {console: {api_token: true}, dba: {token: {file: dba.token}}}, who: [{classes: [P1], people: [dba]}]}\n",
    );
    assert_eq!(door.ask("POST", "/reload", Value::Null).await.0, 200);
    let (status, value) = door.ask("POST", &path, json!({"login": "someone@host"})).await;
    assert!(status == 403 && value["error"].as_str().unwrap().contains("console may not"), "{value}");
    let (status, value) = door.as_person(DBA, &path, &json!({})).await;
    assert_eq!((status, &value["by"]), (200, &json!("dba")), "{value}");
    door.close().await;
}
