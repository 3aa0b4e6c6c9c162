//! The dead man's switch, each link of the chain cut in turn: a real Prometheus, a real Alertmanager with the shipped routes, the
//! real daemon, Slack's stand-in, and an outside address that keeps when it was asked. In each case somebody is told: the test
//! says who. Only times are shortened.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use xtask::servers::{Alertmanager, Prometheus};

use crate::support::daemon::{Home, binary, delivery, until};
use crate::support::slack_standin::{CHANNEL, Fault, SlackStandin};

/// What nobody may read in a log.
const SECRET: &str = "3f1c-not-for-logs";
/// Long enough for a chain on a busy machine to recover within.
const SOON: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Kept {
    asked: Mutex<Vec<Instant>>,
    broken: AtomicBool,
}

/// The outside address: keeps when it was asked, and fails on demand.
struct Outside {
    address: SocketAddr,
    kept: Arc<Kept>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Outside {
    async fn start() -> Self {
        let kept: Arc<Kept> = Arc::default();
        let routes = axum::Router::new().route("/ping/{secret}", axum::routing::get(asked)).with_state(kept.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, kept, task }
    }

    fn count(&self) -> usize {
        self.kept.asked.lock().unwrap().len()
    }

    fn breaks(&self, broken: bool) {
        self.kept.broken.store(broken, Ordering::SeqCst);
    }

    /// As such a service does: somebody is called when it was not asked for so long.
    #[expect(clippy::disallowed_methods, reason = "a test measures in real time")]
    fn calls_somebody(&self, after: Duration) -> bool {
        let last = self.kept.asked.lock().unwrap().last().copied();
        last.is_some_and(|last| Instant::now().duration_since(last) > after)
    }
}

#[expect(clippy::disallowed_methods, reason = "a test measures in real time")]
async fn asked(State(kept): State<Arc<Kept>>, Path(secret): Path<String>) -> StatusCode {
    if secret != SECRET {
        return StatusCode::NOT_FOUND;
    }
    if kept.broken.load(Ordering::SeqCst) {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    kept.asked.lock().unwrap().push(Instant::now());
    StatusCode::OK
}

/// The shipped routes with the heartbeat's waits made short.
fn alertmanager(home: &Home) -> Alertmanager {
    let mut text = std::fs::read_to_string(xtask::paths::root().join("deploy/alertmanager/alertmanager.yml")).unwrap();
    let token = home.state().join("webhook.token");
    for (from, to) in [
        (
            "      group_interval: 30s\n      repeat_interval: 1m\n",
            "      group_interval: 1s\n      repeat_interval: 1s\n".to_owned(),
        ),
        ("http://runbookd:9095", format!("http://127.0.0.1:{}", home.port())),
        ("/etc/alertmanager/runbookd-token", token.display().to_string()),
    ] {
        assert!(text.contains(from), "the shipped file has no `{from}` any more");
        text = text.replacen(from, &to, 1);
    }
    Alertmanager::start(&text).unwrap()
}

/// The shipped rules, evaluated every second, and an end that is believed after four.
fn prometheus(alertmanager: &Alertmanager) -> Prometheus {
    let rules = std::fs::read_to_string(xtask::paths::root().join("deploy/prometheus/runbookd.yml")).unwrap();
    let configuration = format!(
        "global: {{evaluation_interval: 1s}}\nrule_files: [runbookd.yml]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{}']}}]}}]}}\n",
        alertmanager.port()
    );
    Prometheus::start_with(&configuration, &[("runbookd.yml", &rules)], &["--rules.alert.resend-delay=1s"]).unwrap()
}

fn home(slack: &SlackStandin, outside: &Outside) -> Home {
    let target = "redis/cache: {host: 127.0.0.1, port: 1, class: P2, owner: team@example.invalid}\n";
    let home = Home::new(&[("targets.yaml", target.to_owned())]);
    std::fs::create_dir_all(home.config().join("runbooks")).unwrap();
    home.write("secrets/slack", "xoxb-first");
    home.write("secrets/outside", &format!("http://{}/ping/{SECRET}\n", outside.address));
    home.write(
        "runbookd.yaml",
        &format!(
            "listen: 127.0.0.1:PORT\nslack: {{token: {{file: secrets/slack}}, channel: {CHANNEL}, base_url: \"{}\"}}\n\
             watchdog: {{ping: {{file: secrets/outside}}, every: 1s, silence_after: 15s}}\n",
            slack.base()
        ),
    );
    home
}

fn wait_said(slack: &SlackStandin, home: &Home, words: &str, times: usize) {
    let said = || slack.messages().iter().filter(|message| message.text.contains(words)).count() >= times;
    until(
        &format!("Slack is told `{words}` {times} times"),
        SOON,
        || said().then_some(()),
        || format!("{:?}\n{}", slack.messages(), home.log()),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_link_is_cut_somebody_is_told() {
    let (slack, outside) = (SlackStandin::start().await, Outside::start().await);
    let home = home(&slack, &outside);
    let daemon = home.start(binary(), &[]);
    let alertmanager = alertmanager(&home);
    let prometheus = prometheus(&alertmanager);
    let pinged = |more: usize| {
        let wanted = outside.count() + more;
        until("the outside address is asked", SOON, || (outside.count() >= wanted).then_some(()), || home.log());
    };
    pinged(3);
    assert!(slack.messages().is_empty(), "all is well, and nobody is told anything: {:?}", slack.messages());
    assert!(!daemon.get("/api/v1/unmatched").to_string().contains("Watchdog"), "the heartbeat is no alert that a runbook lacks");

    // Prometheus stands still: Alertmanager lets its alert go, and runbookd tells people.
    prometheus.process().stop().unwrap();
    wait_said(&slack, &home, "has not reached runbookd for", 1);
    prometheus.process().cont().unwrap();
    wait_said(&slack, &home, "has reached runbookd again", 1);

    // Alertmanager stands still: runbookd tells people, by a way that does not lead through it.
    alertmanager.process().stop().unwrap();
    wait_said(&slack, &home, "has not reached runbookd for", 2);
    alertmanager.process().cont().unwrap();
    wait_said(&slack, &home, "has reached runbookd again", 2);

    // The outside address is down: runbookd tells people.
    outside.breaks(true);
    wait_said(&slack, &home, "outside address that watches runbookd has not answered", 1);
    outside.breaks(false);
    wait_said(&slack, &home, "answers again", 1);

    // Slack is down while Alertmanager lives: the outside address is still asked, so nobody outside is called for nothing, and what
    // could not be said is counted, which the rule RunbookdTellsNobody tells people of.
    slack.fail(std::iter::repeat_n(Fault::Status(503), 3));
    outside.breaks(true);
    let metric = |name: &str| {
        let text = xtask::http::Request::get(&daemon.url("/metrics")).send().unwrap().text();
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok()).unwrap_or_default()
    };
    until("it waits to be said", SOON, || (metric("runbookd_outbox_age_seconds ") > 0.0).then_some(()), || home.log());
    outside.breaks(false);
    pinged(2);

    // runbookd is killed: the outside address is asked no more, which is how people hear of it.
    drop(daemon);
    until(
        "the outside address calls somebody",
        SOON,
        || outside.calls_somebody(Duration::from_secs(6)).then_some(()),
        || home.log(),
    );

    // Its next life goes on where it was.
    let daemon = home.start(binary(), &[]);
    pinged(2);
    let metrics = xtask::http::Request::get(&daemon.url("/metrics")).send().unwrap().text();
    assert!(metrics.contains("runbookd_watchdog_pings_total{result=\"answered\"}"), "{metrics}");
    assert!(!home.log().contains(SECRET) && !metrics.contains(SECRET), "the outside address is a secret");
    assert_eq!(slack.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_that_never_comes_is_told_however_often_the_daemon_dies() {
    let (slack, outside) = (SlackStandin::start().await, Outside::start().await);
    let home = home(&slack, &outside);
    let daemon = home.start(binary(), &[]);
    wait_said(&slack, &home, "has not reached runbookd for", 1);
    // A daemon that starts again knows that it was told, and does not tell it at every start.
    drop(daemon);
    let daemon = home.start(binary(), &[]);
    let alert = delivery(&[("alertname", "Watchdog")], "resolved", "2026-01-01T00:00:00Z");
    daemon.deliver(&alert).unwrap().ok().unwrap();
    assert_eq!(outside.count(), 0, "the end of the heartbeat is no heartbeat");
    let alert = delivery(&[("alertname", "Watchdog")], "firing", "2026-01-01T00:00:00Z");
    daemon.deliver(&alert).unwrap().ok().unwrap();
    wait_said(&slack, &home, "has reached runbookd again", 1);
    let told = slack.messages().iter().filter(|message| message.text.contains("has not reached")).count();
    assert_eq!(told, 1, "{:?}", slack.messages());
    assert!(
        outside.count() > 0 || {
            until("it is asked", SOON, || (outside.count() > 0).then_some(()), || home.log());
            true
        }
    );
}

/// What a reload leaves as it is goes on: otherwise a reload every now and then would keep people from ever being told.
#[tokio::test(flavor = "multi_thread")]
async fn reloads_do_not_put_off_that_people_are_told_and_new_settings_count_at_once() {
    let (slack, outside) = (SlackStandin::start().await, Outside::start().await);
    let home = home(&slack, &outside);
    let text = std::fs::read_to_string(home.config().join("runbookd.yaml")).unwrap();
    assert!(text.contains("silence_after: 15s"));
    let text = text.replace("silence_after: 15s", "silence_after: 10s");
    home.write("runbookd.yaml", &text);
    let daemon = home.start(binary(), &[]);
    let mut reloads = 0;
    let mut reload = || {
        assert!(daemon.post("/api/v1/reload", &serde_json::json!({})).unwrap().status < 300);
        reloads += 1;
    };
    let is_told = |words: &str| slack.messages().iter().any(|message| message.text.contains(words));
    let state = || format!("{:?}\n{}", slack.messages(), home.log());
    let silent = || {
        reload();
        is_told("has not reached runbookd for").then_some(())
    };
    until("the silence is told between reloads", SOON, silent, state);
    // An outside address that does not answer, likewise.
    outside.breaks(true);
    let fails = || {
        reload();
        daemon.deliver(&delivery(&[("alertname", "Watchdog")], "firing", "2026-01-01T00:00:00Z")).unwrap().ok().unwrap();
        is_told("has not answered for").then_some(())
    };
    until("the outside address is told of between reloads", SOON, fails, state);
    assert!(reloads > 20, "{reloads}");
    // Settings that did change count from the next reload on.
    let other = Outside::start().await;
    home.write("secrets/other", &format!("http://{}/ping/{SECRET}\n", other.address));
    home.write("runbookd.yaml", &text.replace("secrets/outside", "secrets/other"));
    assert!(daemon.post("/api/v1/reload", &serde_json::json!({})).unwrap().status < 300);
    let asked = || {
        daemon.deliver(&delivery(&[("alertname", "Watchdog")], "firing", "2026-01-01T00:00:00Z")).unwrap().ok().unwrap();
        (other.count() > 0).then_some(())
    };
    until("the other address is asked", SOON, asked, state);
}
