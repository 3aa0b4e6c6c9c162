//! `docker.service` and the rights on it: every field, every attribute that an order is chosen by, and whose container is whose.

use runbook::action::{Action, DockerAction, Patience, Start};
use runbook::condition::Value;
use runbook::finding::{Attribute, Attributes, Finding, Subject};
use runbook::identity::Identity;
use runbook::probe::DockerProbe;

use super::{Stage, WAITS, WITHIN};
use crate::looks::{assert_all_seen, assert_fields};

fn by_name<'a>(stage: &Stage, finding: &'a Finding, name: &str) -> &'a Attributes {
    let name = format!("{}_{name}", stage.project);
    &finding.subjects().iter().find(|subject| subject.attributes.text(Attribute::Name) == name).unwrap().attributes
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_service_and_every_attribute_of_its_containers() {
    let mut stage = Stage::new("fields");
    let name = |name: &str| format!("{}_{name}", stage.project);
    let [plain, sick, failed, stopped, clone, kept, hungry, shy, once] =
        ["1", "2", "3", "4", "5", "6.runbookd-INC-7", "7", "8", "run"].map(name);
    let plain_id = stage.run(
        &[&["--name", &plain, "--restart", "unless-stopped", "--label", "com.docker.compose.container-number=1"], WAITS].concat(),
    );
    let sick_check = ["--health-cmd", "exit 1", "--health-interval", "1s", "--health-retries", "1"];
    stage.run(&[&["--name", &sick][..], &sick_check, &["--label", &format!("runbookd.replaces={plain_id}")], WAITS].concat());
    stage.run(&["--name", &failed, "--restart", "on-failure:1", xtask::engine::TINY, "sh", "-c", "exit 3"]);
    let stopped_id = stage.run(&[&["--name", &stopped, "--restart", "unless-stopped"], WAITS].concat());
    let clone_of = format!("runbookd.clone-of={plain_id}");
    stage.run(&[&["--name", &clone, "--label", &clone_of, "--label", "runbookd.incident=INC-7"], WAITS].concat());
    let kept_id = stage.run(&[&["--name", &kept], WAITS].concat());
    let eats = "x=a; while :; do x=$x$x; done";
    stage.run(&["--name", &hungry, "--memory", "16m", "--memory-swap", "16m", xtask::engine::TINY, "sh", "-c", eats]);
    stage.run(&[&["create", "--name", &shy, "--volume", "/tmp:/host"], WAITS].concat());
    stage.run(&[&["--name", &once, "--label", "com.docker.compose.oneoff=True"], WAITS].concat());
    stage.engine.run(&["stop", "--time", "0", &stopped_id, &kept_id]).unwrap();

    let finding = stage
        .look_until(DockerProbe::Service, |finding| {
            finding.number("unhealthy") == Some(1.0)
                && finding.number("exited") == Some(3.0)
                && finding.number("restarts") == Some(1.0)
        })
        .await;
    assert_all_seen(&finding, &[]);
    let wanted = [
        ("replicas", 7.0),
        ("running", 3.0),
        ("healthy", 2.0),
        ("unhealthy", 1.0),
        ("restarting", 0.0),
        ("exited", 3.0),
        ("restarts", 1.0),
        ("exit_code", 137.0),
        // The sick and the failed; the hungry may have been stopped, and the shy was never started.
        ("failing", 2.0),
        ("clones", 1.0),
        ("stopped_by_person", 1.0),
    ];
    for (field, number) in wanted {
        assert_eq!(finding.number(field), Some(number), "{field}");
    }
    assert_eq!(finding.field("oom_killed"), Value::Flag(true));
    assert!(finding.number("youngest_seconds").is_some_and(|seconds| (0.0..60.0).contains(&seconds)));

    // What a recreate keeps is shown and not counted; what `docker-compose run` started is neither.
    assert_eq!(finding.subjects().len(), 8);
    let flag = |name: &str, attribute: Attribute| match by_name(&stage, &finding, name).get(attribute) {
        Some(Value::Flag(flag)) => *flag,
        other => panic!("{name}.{attribute:?}: {other:?}"),
    };
    let text = |name: &str, attribute: Attribute| match by_name(&stage, &finding, name).get(attribute) {
        Some(Value::Text(text)) => text.clone(),
        None => String::new(),
        other => panic!("{name}.{attribute:?}: {other:?}"),
    };
    assert!(
        text("7", Attribute::AtRest).contains("for want of memory") && text("8", Attribute::AtRest).contains("never started")
    );
    assert!(text("3", Attribute::AtRest).is_empty() && text("1", Attribute::AtRest).is_empty());
    assert!(
        flag("4", Attribute::StoppedByPerson)
            && flag("5", Attribute::Clone)
            && flag("6.runbookd-INC-7", Attribute::Kept)
            && flag("7", Attribute::OomKilled)
    );
    assert!(
        !flag("1", Attribute::StoppedByPerson)
            && !flag("1", Attribute::Clone)
            && !flag("1", Attribute::Kept)
            && !flag("1", Attribute::OomKilled)
    );
    assert_eq!(
        [text("1", Attribute::State), text("1", Attribute::Policy), text("1", Attribute::Compose)],
        ["running", "unless-stopped", "1.29.2"]
    );
    assert_eq!(
        [text("2", Attribute::Health), text("2", Attribute::Replaces), text("1", Attribute::Health)],
        ["unhealthy", &plain_id, ""]
    );
    assert_eq!(
        [text("5", Attribute::Incident), text("8", Attribute::State), text("3", Attribute::Policy)],
        ["INC-7", "created", "on-failure"]
    );
    assert!(
        text("8", Attribute::NoClone).contains("/host")
            && text("8", Attribute::Refused).is_empty()
            && text("1", Attribute::NoClone).is_empty()
    );
    assert_eq!(by_name(&stage, &finding, "1").number(Attribute::Number), Some(1.0));
    assert_eq!(by_name(&stage, &finding, "3").number(Attribute::ExitCode), Some(3.0));
    assert_eq!(by_name(&stage, &finding, "3").number(Attribute::Restarts), Some(1.0));
    let runs = |subject: &Subject| subject.attributes.text(Attribute::State) == "running";
    assert!(
        finding.subjects().iter().all(|subject| subject.attributes.get(Attribute::RunningSeconds).is_some() == runs(subject))
    );
    let exact = |subject: &Subject| matches!(&subject.identity, Identity::Container { id, started_at } if id.len() == 64 && !started_at.is_empty());
    assert!(finding.subjects().iter().all(exact));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_containers_has_none_and_nothing_is_known_of_its_insides() {
    let mut stage = Stage::new("empty");
    let finding = stage.look(DockerProbe::Service).await;
    assert_fields(&finding);
    assert_eq!((finding.number("replicas"), finding.number("failing")), (Some(0.0), Some(0.0)));
    assert!(finding.field("youngest_seconds").unknown().is_some());
    for probe in [DockerProbe::Stats, DockerProbe::Top] {
        assert!(stage.look(probe).await.unknown().is_some_and(|why| why.contains("no container")));
    }
    let start = Action::Docker(DockerAction::Start(Start { patience: Patience::default() }));
    let (inventory, connections) = stage.listed();
    let service = inventory.get(&"service/worker".parse().unwrap()).unwrap();
    let missing = probe::rights(connections.looking(), &inventory, service, &start, WITHIN).await.unwrap_err();
    assert!(missing.contains(&stage.project) && missing.contains("no container"), "{missing}");

    stage.run(WAITS);
    assert_eq!(probe::rights(connections.looking(), &inventory, service, &start, WITHIN).await, Ok(()));
    let (inventory, connections) = stage.listed_at(stage.proxy.look(), None, None);
    let service = inventory.get(&"service/worker".parse().unwrap()).unwrap();
    let missing = probe::rights(connections.looking(), &inventory, service, &start, WITHIN).await.unwrap_err();
    assert!(missing.contains("add `act`"), "{missing}");
    // An address that is there and may not act, and one that is not there, are told before the night.
    let nowhere = "unix:///nowhere/act.sock".to_owned();
    for (act, told) in [
        (stage.proxy.look(), "front for looking, "),
        (stage.proxy.inside(), "front for looking inside"),
        (nowhere, "is the proxy up"),
    ] {
        let (inventory, connections) = stage.listed_at(stage.proxy.look(), None, Some(act));
        let service = inventory.get(&"service/worker".parse().unwrap()).unwrap();
        let why = probe::rights(connections.looking(), &inventory, service, &start, WITHIN).await.unwrap_err();
        assert!(why.contains(told), "{told}: {why}");
    }
}
