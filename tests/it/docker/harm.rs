//! Harm during a rolling restart of three replicas, with the real Prometheus, a real page and the real Engine as the eyes: whichever
//! of them sees it, the first replica is the last one, a person is called, and it says that a restart is not undone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use xtask::http::Request;
use xtask::servers::Prometheus;

use super::project::{OBEDIENT, Project, journal};
use crate::support::daemon::{Daemon, binary, delivery, until};
use crate::support::slack_standin::{CHANNEL, SlackStandin};

const WITHIN: Duration = Duration::from_secs(90);
const WELL: u8 = 0;
const ERRORS: u8 = 1;
const SLOW: u8 = 2;

const TARGETS: &str = "\
service/web: {engine: engine/main, project: shop, replicas: 3, class: P2, owner: ops@example.invalid}
prometheus/main: {url: \"PROMETHEUS\", class: P3, owner: ops@example.invalid}
http/front: {url: \"FRONT\", class: P2, owner: ops@example.invalid}
";

/// All three that a guard is for: error share, latency, healthy replicas.
const ROLLING: &str = r#"
runbook: web-rolling
summary: Restart every replica, one at a time
match: ['alertname="WebIsIll"']
target: service/web
mode: auto
limits: {cooldown: 0s, rate: [9/1h]}
look:
  web: docker.service
  errors: {prometheus.query: {target: prometheus/main, expr: 'max(shop_errors_share)'}}
  front: {http.get: {target: http/front}}
require: web.replicas == 3
remedies:
  - name: rolling
    steps:
      - docker.rolling_restart: {min_healthy: 2, stop_timeout: 3s, healthy_within: 15s, steady_for: 1s}
    verify: {until: web.healthy == 3, within: 20s, hold: 1s}
    guard: {stop_if: [errors.value > 0.1, front.seconds > 0.5, web.healthy < 2], looks: 2, apart: 1s}
otherwise: escalate
"#;

const ALL: [&str; 3] = ["shop_web_1", "shop_web_2", "shop_web_3"];

/// A shop's front: its page, and its own account of its errors.
async fn shop(state: Arc<AtomicU8>) -> String {
    async fn page(State(state): State<Arc<AtomicU8>>) -> &'static str {
        if state.load(Ordering::Relaxed) == SLOW {
            tokio::time::sleep(Duration::from_millis(900)).await;
        }
        "welcome"
    }
    async fn metrics(State(state): State<Arc<AtomicU8>>) -> String {
        let share = if state.load(Ordering::Relaxed) == ERRORS { 0.42 } else { 0.01 };
        format!("# TYPE shop_errors_share gauge\nshop_errors_share {share}\n")
    }
    let routes = axum::Router::new().route("/", get(page)).route("/metrics", get(metrics)).with_state(state);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    address.to_string()
}

fn fire(daemon: &Daemon<'_>, day: u64) {
    let starts_at = format!("2026-01-{day:02}T00:00:00Z");
    daemon.deliver(&delivery(&[("alertname", "WebIsIll")], "firing", &starts_at)).unwrap().ok().unwrap();
}

/// Waits until Prometheus has read this share.
fn wait_share(prometheus: &Prometheus, wanted: &str) {
    let read = || prometheus.api("/query?query=shop_errors_share").map(|answer| answer.to_string()).unwrap_or_default();
    until(&format!("Prometheus reads {wanted}"), WITHIN, || read().contains(wanted).then_some(()), read);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_that_does_harm_ends_after_the_first_replica_and_a_person_is_called() {
    let state = Arc::new(AtomicU8::new(WELL));
    let front = shop(Arc::clone(&state)).await;
    let scrape = format!(
        "global: {{scrape_interval: 500ms}}\nscrape_configs: [{{job_name: shop, static_configs: [{{targets: ['{front}']}}]}}]\n"
    );
    let prometheus = Prometheus::start(&scrape, &[]).unwrap();
    let slack = SlackStandin::start().await;
    // A replica is well again only some seconds after its start, so that what it does is seen before the next one's turn.
    let check = "{test: [CMD, test, -e, /tmp/well], interval: 5s, timeout: 5s, retries: 1}";
    let services = format!(
        "version: '2.4'\nservices:\n  web: {{image: runbookd-tiny, command: {OBEDIENT}, healthcheck: {check}, restart: unless-stopped}}\n"
    );
    let targets = TARGETS.replace("PROMETHEUS", &prometheus.url()).replace("FRONT", &format!("http://{front}/"));
    let project = Project::up(&services, &["--scale", "web=3"], &targets, &[("rolling", ROLLING)]);
    project.home.write("secrets/slack", "xoxb-first");
    let told = format!("slack: {{token: {{file: secrets/slack}}, channel: {CHANNEL}, base_url: \"{}\"}}\n", slack.base());
    project.home.write("runbookd.yaml", &format!("listen: 127.0.0.1:PORT\n{told}"));
    let well = || ALL.iter().for_each(|name| project.wait_health(name, "healthy"));
    well();
    wait_share(&prometheus, "0.01");
    let events = project.events();
    let daemon = project.home.start(binary(), &[]);

    let table = [
        (ERRORS, "harm: `errors.value > 0.1` came to hold, seen in 2 looks over", "(errors.value 0.42)"),
        (SLOW, "harm: `front.seconds > 0.5` came to hold, seen in 2 looks over", "(front.seconds 0.9"),
        (WELL, "harm: `web.healthy < 2` came to hold, seen in 2 looks over", "(web.healthy 1)"),
    ];
    for (number, (harm, why, figure)) in (1..).zip(table) {
        well();
        if harm == WELL {
            // This time the first replica does not come back, and another one fails.
            ALL.iter().for_each(|name| project.hurt(name, &["touch", "/tmp/broken"]));
        }
        let (before, ended) = (ALL.map(|name| project.started_at(name)), events.of("die").len());
        fire(&daemon, number);
        until("a replica is restarted", WITHIN, || events.of("die").get(ended).cloned(), || project.told(&daemon));
        let restarted = events.of("die")[ended].clone();
        state.store(harm, Ordering::Relaxed);
        if harm == WELL {
            let other = ALL.iter().find(|name| **name != restarted).unwrap();
            project.hurt(other, &["rm", "/tmp/well"]);
        }
        let closed = project.wait_closed(&daemon, number, WITHIN);
        state.store(WELL, Ordering::Relaxed);
        assert_eq!(closed["how"], "handed_over", "{}", project.told(&daemon));
        let said = closed["why"].as_str().unwrap();
        assert!(said.starts_with(why) && said.contains(figure), "{said}");
        assert!(said.ends_with("nothing more is done, and docker.rolling_restart cannot be undone"), "{said}");
        assert_eq!(events.of("die").len(), ended + 1, "no other replica: {:?}", events.so_far());
        let untouched = ALL.iter().zip(&before).filter(|(name, before)| project.started_at(name) == **before).count();
        assert_eq!(untouched, 2);
        // It was written down while the order was in doubt, and the order was settled all the same.
        let record = journal(&daemon, number);
        let (harmed, settled) = (record.find("\"kind\":\"harmed\""), record.find("\"kind\":\"settled\""));
        assert!(harmed.is_some() && settled.is_some(), "{record}");
        let in_channel = || {
            let messages = slack.messages();
            messages
                .iter()
                .any(|message| message.broadcast && message.text.contains("Stops it:") && message.text.contains(figure))
        };
        until("Slack is told", WITHIN, || in_channel().then_some(()), || format!("{:?}", slack.messages()));
        let id = format!("INC-{number}");
        let explained = project.home.command(binary(), &["explain", &id]).output().unwrap();
        let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
        assert!(
            explained.lines().any(|line| line.contains("CLOSED") && line.contains(" harm ") && line.contains(figure)),
            "{explained}"
        );
        wait_share(&prometheus, "0.01");
    }
    let metrics = Request::get(&daemon.url("/metrics")).send().unwrap();
    assert!(metrics.text().contains("runbookd_harm_total{runbook=\"web-rolling\"} 3"), "{}", metrics.text());
    assert_eq!(slack.complaints(), Vec::<String>::new());
}
