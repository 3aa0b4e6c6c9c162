//! The daemon is killed in the middle: between the stop and the start of a restart, between the creation and the start of a clone, in
//! the middle of scaling in, while a command runs. Started again, it finds out by looking; the service is whole, nothing is left over,
//! nothing was done twice, and the journal has every order with what became of it.

use std::time::Duration;

use super::super::project::{CHECK, OBEDIENT, Project};
use super::{
    ALL, Fault, SLOW, Station, assert_whole, container, fire, kinds, make_ill, services, start, target, times, wait_event, word,
};
use crate::support::daemon::until;

/// Two clones, so that the middle lies between them.
const TWO: (&str, &str) = ("to: 2", "to: 3");

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_in_the_middle_leaves_nothing_half_done() {
    let ill = ["restarting", "healing"];
    let project = Project::up(
        &services([
            ("restarting", format!("command: {SLOW}, healthcheck: {CHECK}")),
            ("healing", format!("command: {OBEDIENT}, healthcheck: {CHECK}")),
            ("out", format!("command: {OBEDIENT}")),
            ("in", format!("command: {OBEDIENT}")),
        ]),
        &[],
        "",
        &[],
    );
    ill.iter().for_each(|service| project.wait_health(&container(service, 1), "healthy"));
    make_ill(&project, &ill);
    let events = project.events();
    let two = ALL.map(|(name, text)| (name, text.replace(TWO.0, TWO.1).replace("it.healthy == 2", "it.healthy == 3")));
    let two: Vec<(&str, &str)> = two.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let slow_heal = target("healing").replace("echo healed", "sleep 3; echo healed");
    let targets = [target("restarting"), slow_heal, target("out"), target("in")];
    let stations = targets.map(|target| Station::before(&project, &target, &two));
    let daemons = start(&stations);
    let [restarting, healing, out, r#in] = &stations;
    let mut restart = restarting.on("restart", Fault::Hold);
    // The second of two clones: the first one runs already, or is gone already.
    let mut second_start = out.faults.on(2, Fault::Hold, |call| word(call) == "start");
    let mut second_remove = r#in.faults.on(2, Fault::Hold, |call| word(call) == "remove");
    let mut exec = healing.on("exec", Fault::Delay);
    let alerts = [("restarting", "Restart"), ("healing", "Heal"), ("out", "More"), ("in", "More")];
    let fire_at = |index: usize| fire(&daemons[index], alerts[index].1, alerts[index].0);
    [0, 2, 3].into_iter().for_each(fire_at);
    restart.wait().await;
    second_start.wait().await;
    second_remove.wait().await;
    fire_at(1);
    exec.wait().await;
    healing.faults.let_go();
    restarting.faults.let_go();
    wait_event(&events, "kill", &container("restarting", 1));
    // Dropped is killed, without a word.
    drop(daemons);
    assert_eq!(project.names("out"), [1, 2, 3].map(|number| container("out", number)));
    assert_eq!(project.names("in").len(), 2, "{:?}", project.names("in"));
    out.faults.let_go();
    r#in.faults.let_go();

    let daemons = start(&stations);
    let ends = ["cured", "cured", "handed_over", "cured"];
    for (((station, daemon), (service, _)), how) in stations.iter().zip(&daemons).zip(alerts).zip(ends) {
        station.wait_end(daemon, 1, how);
        assert_whole(&project, service);
        let kinds = kinds(daemon, 1);
        let count = |wanted: &str| kinds.iter().filter(|kind| *kind == wanted).count();
        assert_eq!(
            count("action_replied"),
            count("action_started") - 1,
            "{service}: one order has no reply on record: {kinds:?}"
        );
    }
    let web = container("restarting", 1);
    assert_eq!((times(&events, "die", &web), times(&events, "start", &web)), (1, 1), "{:?}", events.so_far());
    let healed = || project.docker(&["exec", &container("healing", 1), "cat", "/tmp/healed"]);
    until("it is healed", Duration::from_secs(5), || (healed() == "healed").then_some(()), healed);
    for (service, started) in [("out", [1, 0]), ("in", [1, 1])] {
        for (number, started) in [2, 3].into_iter().zip(started) {
            let clone = container(service, number);
            assert_eq!(times(&events, "create", &clone), 1, "{clone}");
            assert_eq!((times(&events, "start", &clone), times(&events, "die", &clone)), (started, started), "{clone}");
            assert_eq!(times(&events, "destroy", &clone), 1, "{clone}");
        }
    }
}
