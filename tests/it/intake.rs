//! The delivery endpoint: what is answered 200 is on disk, what cannot be stored is answered 503, what is wrong 400, and no
//! sender can hold up another. Over real connections, on the real journal; the disk that is full is a real one too.
//! Deliberately nothing of what happens to a delivery afterwards.

mod bounds;
mod storage;
mod synced;
mod tls;

use serde_json::json;

use crate::door::{Door, WEBHOOK, payload, payload_of};

#[tokio::test]
async fn what_is_answered_200_is_on_disk_as_it_was_sent() {
    let door = Door::open().await;
    let body = payload("A");
    let reply = door.deliver(body.as_bytes()).await.expect(200);
    assert_eq!(reply.body, "");
    assert_eq!(door.stored().await, [body.clone().into_bytes()]);
    // The owner of the state directory may deliver over the socket, without a token.
    door.local("POST", WEBHOOK, &body).await.expect(200);
    // A slash at the end is no reason for a redirect: its 200 to a GET without a body would count as a delivery.
    door.local("POST", &format!("{WEBHOOK}/"), &body).await.expect(200);
    assert_eq!(door.stored().await.len(), 3);
    let metrics = door.get("/metrics").await.expect(200).body;
    assert!(metrics.contains("runbookd_deliveries_total{result=\"stored\"} 3"), "{metrics}");
    assert!(!metrics.contains("runbookd_last_delivery_timestamp_seconds 0"), "{metrics}");
    door.close().await;
}

#[tokio::test]
async fn a_delivery_survives_the_door() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let elsewhere = tempfile::tempdir().unwrap();
    let first = Door::at(elsewhere, &state, runbookd::http::Bounds::default(), "").await;
    first.deliver(payload("A").as_bytes()).await.expect(200);
    let token = first.token("webhook.token");
    first.close().await;
    let second = Door::at(folder, &state, runbookd::http::Bounds::default(), "").await;
    assert_eq!(second.stored().await, [payload("A").into_bytes()]);
    assert_eq!(second.token("webhook.token"), token, "the token is made once");
    second.close().await;
}

#[tokio::test]
async fn only_the_right_token_comes_in() {
    use base64::Engine;
    let door = Door::open().await;
    let token = door.token("webhook.token");
    let basic = |text: String| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
    let body = payload("A");
    let try_with = async |authorization: Option<String>| {
        let authorization = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
        let length = body.len();
        let request = format!(
            "POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        door.raw(request.as_bytes()).await
    };
    for right in
        [format!("Bearer {token}"), format!("bearer {token}"), basic(format!("alertmanager:{token}")), basic(format!(":{token}"))]
    {
        try_with(Some(right)).await.expect(200);
    }
    let wrong = [
        None,
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some(format!("Bearer {token}x")),
        Some(format!("Bearer {}", &token[..63])),
        Some(format!("Bearer {}", door.token("api.token"))),
        Some(format!("Bearer {}", "x".repeat(60_000))),
        Some(format!("Digest {token}")),
        Some(basic(format!("{token}:"))),
        Some(token.clone()),
    ];
    let refused = wrong.len();
    for authorization in wrong {
        let reply = try_with(authorization.clone()).await.expect(401);
        assert!(reply.head.to_lowercase().contains("www-authenticate: bearer"), "{reply:?}");
        assert!(reply.json()["mend"].as_str().unwrap().contains("credentials_file"));
        assert!(!reply.body.contains(&token) && !reply.head.to_lowercase().contains("location"), "{reply:?}");
    }
    assert_eq!(door.stored().await.len(), 4);
    let metrics = door.get("/metrics").await.body;
    assert!(metrics.contains(&format!("runbookd_deliveries_total{{result=\"unauthorized\"}} {refused}")), "{metrics}");
    door.close().await;
}

#[tokio::test]
async fn the_endpoint_is_open_only_where_that_was_asked_for_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let door = Door::at(folder, &state, runbookd::http::Bounds::default(), "webhook: {open: true}\n").await;
    let body = payload("A");
    let request =
        format!("POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    door.raw(request.as_bytes()).await.expect(200);
    door.get("/api/v1/incidents").await.expect(401);
    door.close().await;
}

#[tokio::test]
async fn what_no_repetition_mends_is_400_or_405_and_is_not_stored() {
    let door = Door::open().await;
    let table = [
        ("", "not Alertmanager's"),
        ("hello", "not Alertmanager's"),
        ("{}", "missing field"),
        ("{\"version\":\"4\",\"alerts\":[{\"status\":\"firing\",\"labels\":{\"a\":1}}]}", "expected a text"),
        ("{\"version\":\"3\",\"alerts\":[]}", "`3`"),
        ("{\"version\":\"1\\u001b[31m\",\"text\":\"a payload: of somebody's own\"}", "`1\\u{1b}[31m`"),
    ];
    for (body, says) in table {
        let reply = door.deliver(body.as_bytes()).await.expect(400);
        let error = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(says), "{body}: {error}");
    }
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let reply = door.local(method, WEBHOOK, "").await.expect(405);
        assert!(reply.head.to_lowercase().contains("allow: post"), "{reply:?}");
    }
    door.local("POST", "/webhook/other", &payload("A")).await.expect(404);
    assert_eq!(door.stored().await.len(), 0);
    door.close().await;
}

#[tokio::test]
async fn above_32_mib_is_413_with_and_without_a_length() {
    let door = Door::open().await;
    let large = vec![b' '; (32 << 20) + 1];
    door.deliver(&large).await.expect(413);
    // Without a length the bytes themselves are counted.
    let mut request = format!("POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n", door.token("webhook.token")).into_bytes();
    for chunk in large.chunks(1 << 20) {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    door.raw(&request).await.expect(413);
    // Just below it works.
    let mut body = payload("A").into_bytes();
    body.resize(32 << 20, b' ');
    door.deliver(&body).await.expect(200);
    assert_eq!(door.stored().await.len(), 1);
    door.close().await;
}

#[tokio::test]
async fn ten_thousand_alerts_and_a_label_of_a_megabyte_are_one_delivery_each() {
    let door = Door::open().await;
    let many: Vec<_> = (0..10_000)
        .map(|n| json!({"alertname": format!("Many{}", n % 50), "instance": format!("host-{n}:9100"), "job": "node"}))
        .collect();
    door.deliver(payload_of(&many).as_bytes()).await.expect(200);
    let long = "x".repeat(1 << 20);
    door.deliver(payload_of(&[json!({"alertname": "Long", "long": long})]).as_bytes()).await.expect(200);
    let stored = door.stored().await;
    assert_eq!(stored.len(), 2);
    assert_eq!(runbookd::wire::read(&stored[0]).unwrap().alerts.len(), 10_000);
    while runbookd::routing::route_waiting(&door.daemon).await.unwrap() > 0 {}
    assert_eq!(door.stored().await.len(), 0);
    let names = door.local("GET", "/api/v1/unmatched", "").await.expect(200).json();
    assert_eq!(names["unmatched"].as_array().unwrap().len(), 51);
    door.close().await;
}

#[tokio::test]
async fn labels_that_are_written_to_do_harm_stay_text() {
    let door = Door::open().await;
    let hostile = [
        "$(reboot); `reboot` | rm -rf / # ../../etc/passwd",
        "'; DROP TABLE incidents; --",
        "\u{1b}[2J\u{1b}]0;title\u{7}",
        "evil\u{202e}gpj.exe\u{2066}",
        "<!channel> <@U1> *bold* &amp;",
        "\0\r\nInjected: header",
    ];
    for name in hostile {
        door.deliver(payload(name).as_bytes()).await.expect(200);
    }
    while runbookd::routing::route_waiting(&door.daemon).await.unwrap() > 0 {}
    let reply = door.local("GET", "/api/v1/unmatched", "").await.expect(200);
    let steering = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c);
    assert!(!reply.body.chars().any(steering), "{reply:?}");
    assert_eq!(reply.json()["unmatched"].as_array().unwrap().len(), hostile.len());
    let metrics = door.get("/metrics").await.body;
    assert!(!metrics.contains("DROP") && !metrics.contains("reboot"), "labels of alerts make no series");
    door.local("GET", "/api/v1/incidents", "").await.expect(200);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_alertmanager_delivers_and_comes_again_after_a_503() {
    use sqlx::{ConnectOptions, Executor};
    let door = Door::open().await;
    let configuration = format!(
        "route: {{receiver: 'run.bookd', group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}\n\
         receivers: [{{name: 'run.bookd', webhook_configs: [{{url: 'http://{}{WEBHOOK}', http_config: {{authorization: {{credentials_file: token}}}}}}]}}]\n",
        door.address
    );
    let settings = xtask::servers::AlertmanagerSettings {
        files: vec![("token".to_owned(), door.token("webhook.token"))],
        ..Default::default()
    };
    let alertmanager =
        tokio::task::spawn_blocking(move || xtask::servers::Alertmanager::start_with(&configuration, &settings).unwrap())
            .await
            .unwrap();
    // While the journal is locked, the first tries are answered 503; the sender repeats until one is stored.
    let mut other = sqlx::sqlite::SqliteConnectOptions::new().filename(door.state.join("journal.db")).connect().await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let labels = json!({"alertname": "Ünïcödé", "note": "quote \" backslash \\ newline \n", "empty": ""});
    let alerts = json!([{"labels": labels, "annotations": {"summary": "x"}}]);
    let alertmanager = tokio::task::spawn_blocking(move || {
        alertmanager.send(&alerts).unwrap();
        alertmanager
    });
    let alertmanager = alertmanager.await.unwrap();
    door.until("/readyz", 503).await;
    other.execute("ROLLBACK").await.unwrap();
    let waiting = async {
        while door.stored().await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(crate::door::PATIENCE, waiting).await.expect("it comes again");
    let payload = runbookd::wire::read(&door.stored().await[0]).unwrap();
    assert_eq!(payload.receiver, runbookd::wire::quoted_receiver("run.bookd"));
    assert_eq!((payload.alerts.len(), payload.fingerprints_differ, payload.unknown_status), (1, 0, 0), "its fingerprint is ours");
    assert_eq!(payload.alerts[0].labels["note"], "quote \" backslash \\ newline \n");
    let listed =
        tokio::task::spawn_blocking(move || (alertmanager.api("/alerts").unwrap().to_string(), alertmanager)).await.unwrap();
    let listed = runbookd::wire::read_listed(listed.0.as_bytes()).unwrap();
    assert_eq!(listed[0].alert.fingerprint, payload.alerts[0].fingerprint);
    assert_eq!(listed[0].alert.starts_at, payload.alerts[0].starts_at, "both spellings name the same episode");
    assert_eq!((listed[0].state, &*listed[0].receivers), (runbookd::wire::State::Active, &["run.bookd".to_owned()][..]));
    door.close().await;
}
