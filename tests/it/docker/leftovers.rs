//! What is left on an Engine of acts that no open incident knows, as after a lost journal: told by `doctor`, each with what takes it away.

use serde_json::Value;

use super::project::{OBEDIENT, Project};
use crate::support::daemon::binary;

/// A configuration needs one; it never matches here.
const ANY: &str = r#"
runbook: any
summary: Never matched here
match: ['alertname="Never"']
target: service/web
mode: ask
limits: {cooldown: 10m, rate: [3/1h]}
look:
  web: docker.service
require: web.failing > 0
remedies:
  - name: restart
    steps:
      - docker.restart: {min_healthy: 0}
    verify: {until: web.healthy == 1, within: 10s, hold: 1s}
otherwise: escalate
"#;

#[test]
fn what_no_open_incident_knows_is_told_with_what_takes_it_away() {
    let services =
        format!("version: '2.4'\nservices:\n\x20 web: {{image: runbookd-tiny, command: {OBEDIENT}, container_name: the-web}}\n");
    let target = "service/web: {engine: engine/main, project: shop, class: P2, owner: ops@example.invalid}\n";
    let project = Project::up(&services, &[], target, &[("any", ANY)]);
    let label = |what: &str| format!("--label=runbookd.{what}");
    let inc = label("incident=INC-7");
    let of = [label("clone-of=x"), label("replaces=x")];
    project.docker(&["create", "--name", "shop_web_2", &inc, &of[0], "runbookd-tiny"]);
    project.docker(&["run", "--detach", "--name", "serves", &inc, &of[1], "runbookd-tiny", "sleep", "1000"]);
    project.docker(&["create", "--name", "the-web.always.runbookd-INC-9", "runbookd-tiny"]);
    let daemon = project.home.start(binary(), &[]);
    let output = project.home.command(binary(), &["doctor", "--json"]).output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines =
        found["lines"].as_array().unwrap().iter().filter(|line| line["about"] == "engine/main" && line["state"] == "wrong");
    let told: Vec<&str> = lines.filter_map(|line| line["says"].as_str()).collect();
    assert_eq!(told.len(), 2, "{found:#}");
    assert!(told[0].contains("shop_web_2 is a clone for INC-7") && told[0].contains("docker rm shop_web_2"), "{told:?}");
    assert!(told[1].contains("docker rename the-web.always.runbookd-INC-9 the-web"), "{told:?}");
    let said = || project.home.log().contains("shop_web_2 is a clone for INC-7").then_some(());
    crate::support::daemon::until("it is said at the start", std::time::Duration::from_secs(30), said, || project.home.log());
    drop(daemon);
    project.docker(&["rm", "--force", "shop_web_2", "serves", "the-web.always.runbookd-INC-9"]);
}
