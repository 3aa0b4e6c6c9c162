//! The Engine stands still in the middle of a restart, for longer than looks are borne that cannot see how it ended, and answers again
//! later: a person is called meanwhile, once, also over the death of the daemon, and what is found then is gone on with without one.
//! The patience alone is shorter than at night.

use serde_json::Value;
use xtask::servers::Alertmanager;

use super::super::project::{CHECK, OBEDIENT, Project, journal};
use super::{ALL, Fault, Station, assert_whole, container, find, fire, kinds, make_ill, services, target, times};
use crate::support::daemon::{Daemon, rehearsal_binary};

const QUIET: &str = "route: {receiver: none}\nreceivers: [{name: none}, {name: runbookd}]\n";
/// A person is called 3 s after the act can no longer land, and it is looked at every 2 s from then on.
const PATIENCE: [(&str, &str); 1] = [("RUNBOOKD_PATIENCE", "3s,2s,1d")];

/// How often a person was called because it could not be seen.
fn unsettled(daemon: &Daemon<'_>) -> usize {
    kinds(daemon, 1).iter().filter(|kind| *kind == "unsettled").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_for_long_and_answers_again_finds_its_restart_done() {
    let project = Project::up(&services([("web", format!("command: {OBEDIENT}, healthcheck: {CHECK}"))]), &[], "", &[]);
    let web = container("web", 1);
    project.wait_health(&web, "healthy");
    make_ill(&project, &["web"]);
    let events = project.events();
    let alertmanager = Alertmanager::start(QUIET).unwrap();
    let station = Station::before(&project, &target("web"), &ALL);
    let asks = format!("alertmanager: [{{url: \"{}\", receiver: runbookd}}]\n", alertmanager.url());
    station.home.write("runbookd.yaml", &format!("listen: 127.0.0.1:PORT\n{asks}"));
    // What is raised now, for which incident and since when.
    let called = || -> Vec<(String, String)> {
        let raised = alertmanager.api("/alerts?filter=alertname=RunbookdGaveUp").unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        raised.as_array().unwrap().iter().map(|one| (text(&one["labels"]["incident"]), text(&one["startsAt"]))).collect()
    };

    let daemon = station.home.start(rehearsal_binary(), &PATIENCE);
    // The call never reaches the Engine, and what became of it cannot be seen.
    let mut restart = station.on("restart", Fault::Hold);
    fire(&daemon, "Restart", "web");
    restart.wait().await;
    project.engine.process().stop().unwrap();
    station.wait_stage(&daemon, 1, "unsettled");
    let first = station.wait(&daemon, "a person is called", || called().first().cloned());
    assert_eq!(first.0, "INC-1");
    assert!(!find(&daemon, 1).unwrap()["why"].as_str().unwrap_or_default().is_empty(), "{}", journal(&daemon, 1));

    // Dropped is killed, without a word; the next life looks on, and calls nobody anew.
    drop(daemon);
    station.faults.let_go();
    let before = station.home.log().matches("was told to call one").count();
    let daemon = station.home.start(rehearsal_binary(), &PATIENCE);
    let told_again = || (station.home.log().matches("was told to call one").count() > before).then_some(());
    station.wait(&daemon, "the next life knows of it", told_again);
    assert_eq!((called(), unsettled(&daemon)), (vec![first], 1), "{}", station.told(&daemon));
    assert_eq!(times(&events, "die", &web), 0, "nothing is done meanwhile");

    project.engine.process().cont().unwrap();
    station.wait_end(&daemon, 1, "cured");
    station.wait(&daemon, "the call ends", || called().is_empty().then_some(()));
    let said = journal(&daemon, 1);
    assert_eq!(kinds(&daemon, 1).iter().filter(|kind| *kind == "action_started").count(), 2, "{said}");
    assert_eq!(unsettled(&daemon), 1, "{said}");
    station.wait(&daemon, "its start is told", || (times(&events, "start", &web) > 0).then_some(()));
    assert_eq!((times(&events, "die", &web), times(&events, "start", &web)), (1, 1), "{:?}", events.so_far());
    assert_whole(&project, "web");
}
