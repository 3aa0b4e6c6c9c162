//! The Engine of this machine, which is only looked at, and containers of our own under a Compose project that nobody else has.

use std::time::Duration;

use runbook::condition::Value;
use runbook::identity::Identity;
use runbook::probe::{DockerProbe, Probe};
use runbook::target::Place;

use super::{assert_all_seen, assert_fields, listed, look};
use crate::databases::target;

/// A container's name and labels are taken away with it, also when the test fails.
struct Containers<'a>(&'a xtask::engine::Engine, Vec<String>);

impl Drop for Containers<'_> {
    fn drop(&mut self) {
        for id in &self.1 {
            let _ = self.0.run(&["rm", "--force", id]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_and_its_services_are_seen_by_their_labels() {
    let engine = xtask::engine::ensure().unwrap();
    xtask::engine::ensure_tiny(&engine).unwrap();
    let project = format!("looks{}", std::process::id());
    let (of, service) = (format!("com.docker.compose.project={project}"), "com.docker.compose.service=worker");
    let run = |more: &[&str]| {
        let mut arguments = vec!["run", "--detach", "--network", "none", "--label", &of, "--label", service];
        arguments.extend(["--label", "com.docker.compose.oneoff=False"]);
        arguments.extend(more);
        engine.run(&arguments).unwrap()
    };
    let mut containers = Containers(&engine, vec![]);
    containers.1.push(run(&[xtask::engine::TINY]));
    containers.1.push(run(&["--health-cmd", "exit 1", "--health-interval", "1s", "--health-retries", "1", xtask::engine::TINY]));
    containers.1.push(run(&[xtask::engine::TINY, "false"]));
    let place = |look: String| Place::Engine { look, inside: None, act: None, tls: None };
    let worker =
        Place::Service { engine: "engine/main".parse().unwrap(), project, service: "worker".into(), scope: Default::default() };
    let (inventory, connections) =
        listed([target("engine/main", place(engine.host())), target("service/worker", worker.clone())]);
    let finding = look(&connections, &inventory, "engine/main", Probe::Docker(DockerProbe::Engine)).await;
    assert_all_seen(&finding, &[]);
    assert_eq!(finding.field("answering"), Value::Flag(true));
    let look_at_service = || look(&connections, &inventory, "service/worker", Probe::Docker(DockerProbe::Service));
    let mut finding = look_at_service().await;
    for _ in 0..100 {
        if finding.number("unhealthy") == Some(1.0) && finding.number("exited") == Some(1.0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        finding = look_at_service().await;
    }
    assert_all_seen(&finding, &[]);
    let numbers =
        ["replicas", "running", "healthy", "unhealthy", "restarting", "exited", "restarts"].map(|name| finding.number(name));
    assert_eq!(numbers, [3.0, 2.0, 1.0, 1.0, 0.0, 1.0, 0.0].map(Some));
    assert!(finding.subjects().iter().all(
        |subject| matches!(&subject.identity, Identity::Container { id, started_at } if id.len() == 64 && !started_at.is_empty())
    ));

    let (inventory, connections) =
        listed([target("engine/main", place("unix:///nowhere/docker.sock".into())), target("service/worker", worker)]);
    let finding = look(&connections, &inventory, "engine/main", Probe::Docker(DockerProbe::Engine)).await;
    assert_fields(&finding);
    assert_eq!(finding.field("answering"), Value::Flag(false));
    assert!(look(&connections, &inventory, "service/worker", Probe::Docker(DockerProbe::Service)).await.unknown().is_some());
}
