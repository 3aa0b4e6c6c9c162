//! A round of looks asks each Engine for its list once, sees what single looks see, and never says "none" by an old list.

use connect::Connections;
use probe::Round;
use runbook::finding::{Attribute, Finding, Seen};
use runbook::probe::{DockerProbe, Probe};
use runbook::target::{Inventory, Place, Scope, Target};

use super::{Stage, WAITS, WITHIN};
use crate::databases::{now, target};
use crate::looks::{assert_all_seen, listed};
use crate::support::engine_proxy::{EngineProxy, Fault};

const SERVICES: [&str; 3] = ["worker", "other", "absent"];

/// Three services of the stage's project behind the proxy, each of which may be cloned.
fn three(stage: &Stage, proxy: &EngineProxy) -> (Inventory, Connections) {
    let engine = Place::Engine { look: proxy.address(), inside: None, act: None, tls: None };
    let service = |name: &str| {
        let engine = "engine/main".parse().unwrap();
        let place = Place::Service { engine, project: stage.project.clone(), service: name.to_owned(), scope: Scope::default() };
        let mut service = target(&format!("service/{name}"), place);
        service.traits.may_be_cloned = true;
        service
    };
    listed(SERVICES.map(service).into_iter().chain([target("engine/main", engine)]))
}

fn service<'a>(inventory: &'a Inventory, name: &str) -> &'a Target {
    inventory.get(&format!("service/{name}").parse().unwrap()).unwrap()
}

async fn in_round((inventory, connections): &(Inventory, Connections), round: &Round, name: &str) -> Finding {
    let probe = Probe::Docker(DockerProbe::Service);
    let asked = (service(inventory, name), &probe);
    probe::look_in_round(round, connections.looking(), inventory, asked, now, WITHIN).await
}

async fn alone((inventory, connections): &(Inventory, Connections), name: &str) -> Finding {
    let probe = Probe::Docker(DockerProbe::Service);
    probe::look(connections.looking(), inventory, service(inventory, name), &probe, now, WITHIN).await
}

/// What was seen but for how long it has been so.
fn timeless(finding: Finding) -> Seen {
    let mut seen = finding.seen;
    let Seen::Known { fields, subjects, .. } = &mut seen else { panic!("{seen:?}") };
    fields.remove("youngest_seconds");
    for subject in subjects {
        let lasting = subject.attributes.iter().filter(|(attribute, _)| *attribute != Attribute::RunningSeconds);
        subject.attributes = lasting.map(|(attribute, value)| (attribute, value.clone())).collect();
    }
    seen
}

/// How many lists the Engine was asked for: those of all containers, and others.
fn lists(proxy: &EngineProxy) -> (usize, usize) {
    let calls = proxy.calls();
    let lists = calls.iter().filter(|call| call.path.starts_with("/containers/json"));
    let (some, all): (Vec<_>, Vec<_>) = lists.partition(|call| call.path.contains("filters="));
    (all.len(), some.len())
}

const OTHER: [&str; 2] = ["--label", "com.docker.compose.service=other"];

#[tokio::test(flavor = "multi_thread")]
async fn a_round_lists_an_engine_once_and_sees_what_single_looks_see() {
    let mut stage = Stage::new("round");
    let name = |name: &str| format!("{}_{name}", stage.project);
    let [one, two, other, strange] = ["worker_1", "worker_2", "other_1", "worker_9"].map(name);
    let number = ["1", "2"].map(|number| format!("com.docker.compose.container-number={number}"));
    stage.run(&[&["--label", &number[0], "--name", &one], WAITS].concat());
    stage.run(&[&["create", "--label", &number[1], "--name", &two], WAITS].concat());
    stage.run(&[&OTHER[..], &["--name", &other], WAITS].concat());
    // Of nobody's service, with a name that a clone would get.
    stage.run(&[&["--label", "com.docker.compose.project=", "--name", &strange], WAITS].concat());

    let proxy = EngineProxy::before(stage.engine.socket());
    let three = three(&stage, &proxy);
    let round = Round::new();
    let looks = futures_util::future::join_all(SERVICES.map(|name| in_round(&three, &round, name))).await;
    // The service without containers was listed by itself, because the shared list may be older than its containers.
    assert_eq!(lists(&proxy), (1, 1), "{:?}", proxy.calls());
    for (name, together) in SERVICES.into_iter().zip(looks) {
        if name != "absent" {
            assert_all_seen(&together, &[]);
        }
        assert_eq!(timeless(together), timeless(alone(&three, name).await), "{name}");
    }
    let worker = alone(&three, "worker").await;
    assert_eq!(worker.subjects().len(), 2);
    assert!(worker.subjects().iter().all(|subject| subject.attributes.text(Attribute::Taken) == "9"), "{worker:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_anew_after_the_list_is_seen() {
    let mut stage = Stage::new("anew");
    stage.run(WAITS);
    let old = stage.run(&[&OTHER[..], WAITS].concat());
    let proxy = EngineProxy::before(stage.engine.socket());
    let three = three(&stage, &proxy);
    let round = Round::new();
    assert_eq!(in_round(&three, &round, "worker").await.number("running"), Some(1.0));
    stage.engine.run(&["rm", "--force", &old]).unwrap();
    stage.run(&[&OTHER[..], WAITS].concat());
    stage.run(&[&["--label", "com.docker.compose.service=absent"][..], WAITS].concat());
    for name in ["other", "absent"] {
        assert_eq!(in_round(&three, &round, name).await.number("running"), Some(1.0), "{name}");
    }
    assert_eq!(lists(&proxy), (1, 2), "{:?}", proxy.calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_is_asked_once_and_leaves_every_look_of_the_round_unknown() {
    let stage = Stage::new("hangs");
    let proxy = EngineProxy::before(stage.engine.socket());
    let held = proxy.on(1, Fault::Hold, |call| call.path.starts_with("/containers/json"));
    let three = three(&stage, &proxy);
    let (round, begun) = (Round::new(), xtask::clock::now());
    let looks = futures_util::future::join_all(SERVICES.map(|name| in_round(&three, &round, name))).await;
    let late = in_round(&three, &round, "worker").await;
    for finding in looks.iter().chain([&late]) {
        assert!(finding.unknown().is_some_and(|why| why.contains("no answer within 4.5s")), "{finding:?}");
    }
    assert!(held.come() && begun.elapsed() < WITHIN * 2, "{:?}", begun.elapsed());
    assert_eq!(lists(&proxy), (1, 0), "{:?}", proxy.calls());
    proxy.let_go();
}
