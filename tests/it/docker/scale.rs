//! Scaling out and in, from a real alert to the end of the effect, on a service that Compose itself cannot scale: a fixed container
//! name, two networks. Clones are Compose's like any other container, go by their own stop signal, and are never killed.

use std::collections::BTreeSet;
use std::time::Duration;

use policy::Committed;
use runbook::Span;
use runbook::action::{DockerAction, Patience, Scale};
use runbook::incident::Reply;

use super::orders::{Bench, assert_refused};
use super::project::{CHECK, Events, OBEDIENT, Project, journal};
use crate::support::daemon::{Daemon, binary, delivery};

const WITHIN: Duration = Duration::from_secs(60);

const TARGETS: &str = "\
service/worker: {engine: engine/main, project: shop, at_most: 3, may_be_cloned: true, class: P2, owner: ops@example.invalid}
service/backlog: {engine: engine/main, project: shop, class: P3, owner: ops@example.invalid}
";

const MORE: &str = r#"
runbook: more-workers
summary: Three workers for as long as there is a backlog
match: ['alertname="Backlog"']
target: service/worker
mode: auto
limits: {cooldown: 0s, rate: [9/1h]}
look:
  worker: docker.service
  backlog: {docker.service: {target: service/backlog}}
require: backlog.running > 0
remedies:
  - name: more workers
    steps:
      - docker.scale: {to: 3, stop_timeout: 1s, healthy_within: 10s, steady_for: 1s, until: backlog.running < 1, at_most_for: 1h}
    verify: {until: worker.healthy == 3, within: 10s, hold: 1s}
otherwise: escalate
"#;

const CLONES: [&str; 2] = ["shop_worker_2", "shop_worker_3"];

fn project() -> Project {
    let services = format!(
        "version: '2.4'\nservices:\n\
         \x20 worker: {{image: runbookd-tiny, container_name: the-worker, command: {OBEDIENT}, healthcheck: {CHECK}, mem_limit: 32m,\n\
         \x20   cpus: 0.3, restart: unless-stopped, networks: [inner, outer], volumes: [/scratch]}}\n\
         \x20 backlog: {{image: runbookd-tiny, command: {OBEDIENT}}}\n\
         networks: {{inner: {{}}, outer: {{}}}}\n"
    );
    let project = Project::up(&services, &[], TARGETS, &[("more", MORE)]);
    project.wait_health("the-worker", "healthy");
    project
}

fn fire(daemon: &Daemon<'_>, starts_at: &str) {
    daemon.deliver(&delivery(&[("alertname", "Backlog")], "firing", starts_at)).unwrap().ok().unwrap();
}

/// The signals that were sent to a container, and the codes with which it ended.
fn fate(events: &Events, name: &str) -> (Vec<String>, Vec<String>) {
    let all = events.so_far();
    let of = |what: &str| all.iter().filter(move |event| event.what == what && event.to == name).cloned().collect::<Vec<_>>();
    (of("kill").into_iter().map(|event| event.signal).collect(), of("die").into_iter().map(|event| event.code).collect())
}

fn networks(project: &Project, container: &str) -> BTreeSet<String> {
    let listed = project.field(container, "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}");
    listed.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_service_with_a_fixed_name_and_two_networks_is_scaled_out_and_in() {
    let project = project();
    let before = project.started_at("the-worker");
    let events = project.events();
    let daemon = project.home.start(binary(), &[]);
    fire(&daemon, "2026-01-01T00:00:00Z");
    project.wait_stage(&daemon, 1, "sustaining", WITHIN);

    // Compose takes them for its own.
    assert_eq!(project.names("worker"), ["shop_worker_2", "shop_worker_3", "the-worker"]);
    let listed = project.compose(&["ps"]);
    let logged = project.compose(&["logs", "worker"]);
    for clone in CLONES {
        assert!(listed.contains(clone) && listed.contains("Up (healthy)"), "{listed}");
        assert!(logged.lines().any(|line| line.contains(clone.trim_start_matches("shop_")) && line.ends_with("up")), "{logged}");
        assert_eq!(networks(&project, clone), networks(&project, "the-worker"));
        assert_eq!(networks(&project, clone).len(), 2);
        let template = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.RestartPolicy.Name}} {{.Config.Image}}";
        let own = project.field(clone, template);
        assert!(own.starts_with("33554432 300000000 unless-stopped sha256:"), "{own}");
        let volume = "{{range .Mounts}}{{.Name}}{{end}}";
        assert_ne!(project.field(clone, volume), project.field("the-worker", volume), "each has its own anonymous volume");
        // By the service's name one of them answers, from either network.
        let resolved = project.docker(&["exec", "the-worker", "nslookup", "worker"]);
        let address = project.field(clone, "{{(index .NetworkSettings.Networks \"shop_inner\").IPAddress}}");
        assert!(resolved.contains(&address), "{resolved}");
    }

    // The backlog is gone, and so are they: asked once each, and never killed.
    project.docker(&["stop", "shop_backlog_1"]);
    let closed = project.wait_closed(&daemon, 1, WITHIN);
    assert_eq!(closed["how"], "cured", "{}", project.told(&daemon));
    for clone in CLONES {
        assert_eq!(fate(&events, clone), (vec!["15".into()], vec!["42".into()]), "{:?}", events.so_far());
    }
    assert_eq!(project.names("worker"), ["the-worker"]);
    assert_eq!(project.started_at("the-worker"), before, "the original was left alone");
    let said = journal(&daemon, 1);
    assert!(said.contains("containers use") && said.contains("2 of 2 clones were taken away"), "{said}");

    // Again, and a person takes the project down meanwhile: nothing of ours is in the way, nothing is left.
    project.docker(&["start", "shop_backlog_1"]);
    fire(&daemon, "2026-01-02T00:00:00Z");
    project.wait_stage(&daemon, 2, "sustaining", WITHIN);
    let down = project.compose(&["down"]);
    assert!(CLONES.iter().all(|clone| down.contains(clone)), "{down}");
    assert_eq!(project.docker(&["ps", "--all", "--quiet"]), "");
    assert!(!project.docker(&["network", "ls", "--format", "{{.Name}}"]).contains("shop_"));
    let closed = project.wait_closed(&daemon, 2, WITHIN);
    assert_eq!(closed["how"], "cured", "{}", project.told(&daemon));
}

#[test]
fn a_clone_that_does_not_go_is_not_killed_and_a_person_is_called() {
    let project = project();
    let events = project.events();
    let daemon = project.home.start(binary(), &[]);
    fire(&daemon, "2026-01-01T00:00:00Z");
    project.wait_stage(&daemon, 1, "sustaining", WITHIN);
    project.hurt("shop_worker_3", &["touch", "/tmp/deaf"]);
    project.docker(&["stop", "shop_backlog_1"]);
    let closed = project.wait_closed(&daemon, 1, Duration::from_secs(150));
    assert_eq!(closed["how"], "stuck", "{}", project.told(&daemon));
    assert!(closed["why"].as_str().unwrap().contains("could not be ended in 3 tries"), "{closed}");
    assert_eq!(project.names("worker"), ["shop_worker_3", "the-worker"]);
    assert_eq!(project.field("shop_worker_3", "{{.State.Running}}"), "true");
    let (signals, ends) = fate(&events, "shop_worker_3");
    assert!(!signals.is_empty() && signals.iter().all(|signal| signal == "15") && ends.is_empty(), "{:?}", events.so_far());
    assert!(journal(&daemon, 1).contains("still runs"), "{}", journal(&daemon, 1));
    assert_eq!(fate(&events, "shop_worker_2").1, ["42"]);
    // Once it does go, it is gone for good: it was told to stop, so its restart policy lets it.
    project.hurt("shop_worker_3", &["rm", "/tmp/deaf"]);
    project.docker(&["stop", "shop_worker_3"]);
    assert_eq!(fate(&events, "shop_worker_3").1, ["42"]);
}

async fn order(bench: &Bench, to: u32) -> Committed {
    let scale = Scale { to, stop_timeout: Span::secs(1), patience: Patience::default() };
    bench.order(&bench.seen().await, DockerAction::Scale(scale))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_between_the_look_and_the_scale_out_is_seen_right_before() {
    let bench = Bench::start([]);
    let source = bench.worker("run", "the-worker", "1", &["--detach", "--memory", "32m", "--memory-swap", "-1"]);

    // Compose made another replica meanwhile, under another name: two more would be too many.
    let three = order(&bench, 3).await;
    let names: Vec<_> = three.order().selection.iter().map(ToString::to_string).collect();
    assert!(names[0].starts_with("shop_worker_2, a clone") && names[1].starts_with("shop_worker_3, a clone"), "{names:?}");
    bench.worker("run", "compose-made", "2", &["--detach"]);
    assert_refused(&bench.act(three).await, "2 replicas are there now");
    bench.docker(&["rm", "--force", "compose-made"]);

    // Somebody made one under the very name.
    let two = order(&bench, 2).await;
    bench.worker("create", "shop_worker_2", "2", &[]);
    assert_refused(&bench.act(two).await, "is no clone of this incident");
    bench.docker(&["rm", "shop_worker_2"]);

    // The name is taken by a container of nobody's service, which only the Engine can say: it was asked, so it failed.
    let two = order(&bench, 2).await;
    bench.docker(&["create", "--name", "shop_worker_2", "runbookd-tiny"]);
    let reply = bench.act(two).await;
    let failed = |said: &str| said.contains("already in use") && said.contains("no clone was started");
    assert!(matches!(&reply, Reply::Failed(said) if failed(said)), "{reply:?}");
    let names: Vec<_> = order(&bench, 2).await.order().selection.iter().map(ToString::to_string).collect();
    assert!(names[0].starts_with("shop_worker_3, a clone"), "the next look sees that it is taken: {names:?}");
    bench.docker(&["rm", "shop_worker_2"]);

    // An earlier try of this incident created one and came no further: it is gone on with. What the containers use is measured
    // meanwhile, and one of them has something to do.
    bench.docker(&["run", "--detach", "--name", "busy", "--cpus", "0.2", "runbookd-tiny", "sh", "-c", "while :; do :; done"]);
    let three = order(&bench, 3).await;
    let of = format!("--label=runbookd.clone-of={source}");
    bench.worker("create", "shop_worker_2", "2", &["--label=runbookd.incident=INC-42", &of]);
    let made = bench.docker(&["inspect", "--format", "{{.Id}}", "shop_worker_2"]);
    let reply = bench.act(three).await;
    let Reply::Done(said) = &reply else { panic!("{reply:?}") };
    assert!(said.starts_with("shop_worker_2, shop_worker_3 were started"), "{said}");
    let busy: Option<f64> =
        said.split_once(" MiB and ").and_then(|(_, rest)| rest.split(' ').next()).and_then(|n| n.parse().ok());
    assert!(busy.is_some_and(|cpus| (0.02..0.5).contains(&cpus)), "{said}");
    assert_eq!(bench.docker(&["inspect", "--format", "{{.Id}} {{.State.Running}}", "shop_worker_2"]), format!("{made} true"));
    bench.docker(&["rm", "--force", "busy", "shop_worker_2", "shop_worker_3"]);

    // What a clone may use counts, and the host has not that much.
    bench.docker(&["update", "--memory", "900g", "--memory-swap", "-1", "the-worker"]);
    assert_refused(&bench.act(order(&bench, 2).await).await, "too little memory");
    bench.docker(&["update", "--memory", "32m", "--memory-swap", "-1", "the-worker"]);

    // The source goes away.
    let two = order(&bench, 2).await;
    bench.docker(&["rm", "--force", "the-worker"]);
    assert_refused(&bench.act(two).await, "went away meanwhile");
    assert_eq!(bench.docker(&["ps", "--all", "--quiet"]), "");
}
