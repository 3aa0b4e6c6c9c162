//! Evidence of containers, and an Engine that does not answer: each piece by itself, each look unknown within its deadline.

use std::time::Duration;

use runbook::action::{Action, DockerAction, Patience, Restart};
use runbook::identity::{Identity, Selection};
use runbook::order::{Order, Purpose};
use runbook::probe::{DockerProbe, Inside, Logs};
use runbook::target::Inventory;
use runbook::time::Span;
use xtask::engine::TINY;

use super::{Stage, WAITS, look};
use crate::looks::listed;
use crate::support::engine_proxy::{EngineProxy, Fault};

/// The deadline of a capture in the daemon.
const CAPTURE: Duration = Duration::from_secs(3);

fn restart(selection: Selection) -> Order {
    let restart = Restart { min_healthy: 0, stop_timeout: Span::secs(1), patience: Patience::default() };
    let action = Action::Docker(DockerAction::Restart(restart));
    Order { purpose: Purpose::Do, action, target: "service/worker".parse().unwrap(), selection }
}

fn container(id: &str) -> Identity {
    Identity::Container { id: id.to_owned(), started_at: "at some time".into() }
}

async fn capture(
    (inventory, connections): &(Inventory, connect::Connections),
    identities: &[Identity],
) -> Vec<(String, Result<String, String>)> {
    let order = restart(Selection::of(identities.iter().cloned()).unwrap());
    let pieces = probe::capture(connections.looking(), inventory, &order, CAPTURE).await;
    pieces.into_iter().map(|(name, piece)| (name, piece.map(|piece| String::from_utf8(piece).unwrap()))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restart_destroys_is_kept_without_a_secret() {
    let mut stage = Stage::new("kept");
    let says = "echo connecting to $BROKER_URL; echo signed with $SIGNING_TOKEN; i=0; \
                while [ $i -lt 700 ]; do echo line $i; i=$((i + 1)); done; echo the end; sleep 86400";
    let name = format!("{}_1", stage.project);
    let variables =
        ["BROKER_URL=amqp://user:geheim1@broker/", "SIGNING_TOKEN=geheim-two", "PLAIN=geheim3", "DB_PASSWORD=geheim4"];
    let mut arguments = vec!["--name", &name];
    variables.iter().for_each(|variable| arguments.extend(["--env", variable]));
    arguments.extend([TINY, "sh", "-c", says, "--password", "geheim5", "--url=redis://:geheim6@cache"]);
    let id = stage.run(&arguments);
    let clone = format!("{}_2", stage.project);
    stage.run(&[&["--name", &clone, "--label", &format!("runbookd.clone-of={id}")], WAITS].concat());
    let foreign = format!("{}_3", stage.project);
    stage.run(&[&["--name", &foreign], WAITS].concat());
    let new = format!("{}_new", stage.project);
    stage.run(&[&["--name", &new, "--label", &format!("runbookd.replaces={id}")], WAITS].concat());
    xtask::clock::wait_for("the end", Duration::from_secs(20), || {
        Ok(stage.engine.run(&["logs", "--tail", "1", &id])?.ends_with("the end").then_some(()))
    })
    .unwrap();
    let clone_of = |name: &str, number| Identity::Clone { of: id.clone(), name: name.to_owned(), number };
    let asked = [container(&id), clone_of(&clone, 2), clone_of(&foreign, 3)];
    let pieces = capture(&stage.listed(), &asked).await;
    let names: Vec<&str> = pieces.iter().map(|(name, _)| name.as_str()).collect();
    // What took its place is kept with it; a container of a clone's name that is no clone is nobody of ours.
    let wanted: Vec<String> = [&name, &clone, &new]
        .iter()
        .flat_map(|name| ["logs", "inspect", "stats", "top"].map(|piece| format!("{piece} of {name}")))
        .chain([foreign.clone()])
        .collect();
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(names.iter().map(|name| (*name).to_owned()).collect()), sorted(wanted));
    let piece = |wanted: &str| &pieces.iter().find(|(name, _)| name == wanted).unwrap().1;
    assert!(piece(&foreign).is_err());
    for (name, piece) in pieces.iter().filter(|(name, _)| *name != foreign) {
        let piece = piece.as_ref().unwrap_or_else(|why| panic!("{name}: {why}"));
        assert!(!piece.contains("geheim"), "{name}: {piece}");
    }
    let logs = piece(&format!("logs of {name}")).as_ref().unwrap();
    assert!(logs.starts_with("[earlier lines are not kept]\nline 20") && logs.ends_with("line 699\nthe end\n"), "{logs}");
    assert_eq!(logs.lines().count(), 501);
    let inspect = piece(&format!("inspect of {name}")).as_ref().unwrap();
    assert!(inspect.contains("\"PLAIN=[removed]\"") && inspect.contains("com.docker.compose.project") && inspect.contains(&id));
    assert!(piece(&format!("stats of {name}")).as_ref().unwrap().contains("total_usage"));
    assert!(piece(&format!("top of {name}")).as_ref().unwrap().contains("sleep 86400"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_that_cannot_be_had_keeps_no_other_back() {
    let mut stage = Stage::new("pieces");
    let running = stage.run(WAITS);
    let ended = stage.run(&[TINY, "sh", "-c", "echo last words"]);
    stage.engine.run(&["wait", &ended]).unwrap();
    let proxy = EngineProxy::before(stage.engine.socket());
    let held = proxy.on(1, Fault::Hold, |call| call.path.contains("/stats"));
    let held_list = proxy.on(1, Fault::Hold, |call| call.path.starts_with("/containers/json"));
    let begun = xtask::clock::now();
    let pieces = capture(&stage.listed_at(proxy.address(), None, None), &[container(&running)]).await;
    assert!(begun.elapsed() < CAPTURE, "{:?}", begun.elapsed());
    assert!(held.come() && held_list.come());
    let failed: Vec<&str> = pieces.iter().filter(|(_, piece)| piece.is_err()).map(|(name, _)| &name[..5]).collect();
    assert_eq!(failed, ["stats", "a rep"], "{pieces:?}");
    assert_eq!(pieces.len(), 5);
    proxy.let_go();

    // One that has ended has no processes, and its last words all the same; of one that is gone there is nothing.
    let gone = "0".repeat(64);
    let pieces = capture(&stage.listed(), &[container(&ended), container(&gone)]).await;
    let piece = |start: &str| &pieces.iter().find(|(name, _)| name.starts_with(start) && !name.ends_with("0000")).unwrap().1;
    assert_eq!(piece("logs").as_deref(), Ok("last words\n"));
    assert!(piece("inspect").is_ok() && piece("top").is_err());
    let nothing: Vec<_> = pieces.iter().filter(|(name, _)| name.ends_with("container 000000000000")).collect();
    assert!(nothing.len() == 4 && nothing.iter().all(|(_, piece)| piece.is_err()), "{pieces:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_answer_leaves_every_look_unknown_in_time() {
    let mut stage = Stage::new("silent");
    let id = stage.run(WAITS);
    let (stage, at) = (&stage, |proxy: &EngineProxy| stage.listed_at(proxy.address(), Some(proxy.address()), None));
    let at = &at;
    // At the first call, and at the last that each makes; all at the same time, each through a proxy of its own.
    let looks = [
        (DockerProbe::Service, "/json"),
        (DockerProbe::Logs(Logs { tail: 10, since: Span::secs(60), pattern: None }), "/logs"),
        (DockerProbe::Stats, "/stats"),
        (DockerProbe::Top, "/top"),
        (DockerProbe::Inside(Inside::DiskFree("/".into())), "/start"),
    ];
    let held = looks.iter().flat_map(|(probe, last)| [(probe, "/containers/json"), (probe, *last)]);
    let unanswered = held.map(|(probe, held)| async move {
        let proxy = EngineProxy::before(stage.engine.socket());
        let caught = proxy.on(1, Fault::Hold, move |call| call.path.split('?').next().unwrap().ends_with(held));
        let (inventory, connections) = at(&proxy);
        let begun = xtask::clock::now();
        let finding = look(&connections, &inventory, probe.clone()).await;
        assert!(finding.unknown().is_some_and(|why| why.contains("no answer within 4.5s")), "{probe:?} at {held}: {finding:?}");
        assert!(begun.elapsed() < super::WITHIN + Duration::from_secs(1) && caught.come());
    });
    futures_util::future::join_all(unanswered).await;

    let proxy = EngineProxy::before(stage.engine.socket());
    let (inventory, connections) = at(&proxy);
    let caught = proxy.on(1, Fault::CutBefore, |_| true);
    let finding = look(&connections, &inventory, DockerProbe::Service).await;
    assert!(finding.unknown().is_some() && caught.come(), "{finding:?}");
    assert!(look(&connections, &inventory, DockerProbe::Service).await.unknown().is_none());

    // Nobody there at all: every piece says so, and quickly.
    let (inventory, connections) = listed(inventory.iter().filter(|target| target.id.name == "worker").cloned());
    let pieces = capture(&(inventory, connections), &[container(&id)]).await;
    assert!(pieces.iter().all(|(_, piece)| piece.as_ref().is_err_and(|why| why.contains("not in the inventory"))));
}
