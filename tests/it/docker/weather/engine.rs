//! The Engine dies in the middle of a restart, of a scale-out and of a scale-in, and comes back; alone, and together with the daemon, as
//! when the machine is reset. What was stopped for a restart is up again, whatever its restart policy says of somebody's stop, and half
//! a clone is taken away.

use super::super::project::{CHECK, OBEDIENT, Project};
use super::{
    ALL, Fault, SLOW, Station, assert_whole, container, fire, journal, make_ill, services, start, target, times, wait_event,
};

/// The services of the story: two that are restarted, one that is scaled out, one that is on its way in.
const KEPT: &str = "kept";
const BARE: &str = "bare";
const OUT: &str = "out";
const IN: &str = "in";

async fn the_engine_dies(with_the_daemons: bool) {
    // An Engine that comes back asks what still runs to stop, and takes that for somebody's wish: only `always` outlives it.
    let (unless, always) = ("restart: unless-stopped", "restart: always");
    let mut project = Project::up(
        &services([
            (KEPT, format!("command: {SLOW}, healthcheck: {CHECK}, {unless}")),
            (BARE, format!("command: {SLOW}, healthcheck: {CHECK}")),
            (OUT, format!("command: {OBEDIENT}, {always}")),
            (IN, format!("command: {SLOW}, {always}")),
        ]),
        &[],
        "",
        &[],
    );
    [KEPT, BARE].iter().for_each(|service| project.wait_health(&container(service, 1), "healthy"));
    make_ill(&project, &[KEPT, BARE]);
    let events = project.events();
    let stories = [
        (KEPT, "Restart", "restart", Fault::Hold, "cured"),
        (BARE, "Restart", "restart", Fault::Hold, "cured"),
        (OUT, "More", "start", Fault::CutBefore, "handed_over"),
        (IN, "More", "stop", Fault::Hold, "cured"),
    ];
    let stations = stories.map(|(service, ..)| Station::before(&project, &target(service), &ALL));
    let daemons = start(&stations);
    let caught: Vec<_> =
        stories.iter().zip(&stations).map(|((_, _, call, fault, _), station)| station.on(call, *fault)).collect();
    stories.iter().zip(&daemons).for_each(|((service, alert, ..), daemon)| fire(daemon, alert, service));
    for mut caught in caught {
        caught.wait().await;
    }
    // All are in the middle: one clone is made and not started, the other three are being stopped.
    for (station, (service, ..)) in stations.iter().zip(stories).filter(|(_, (service, ..))| *service != OUT) {
        station.faults.let_go();
        wait_event(&events, "kill", &container(service, if service == IN { 2 } else { 1 }));
    }
    let daemons = if with_the_daemons {
        drop(daemons);
        None
    } else {
        Some(daemons)
    };
    project.engine.kill_and_start_again().unwrap();
    let events = project.events();
    stations.iter().for_each(|station| station.faults.let_go());
    let daemons = daemons.unwrap_or_else(|| start(&stations));

    for ((station, daemon), (service, .., how)) in stations.iter().zip(&daemons).zip(stories) {
        station.wait_end(daemon, 1, how);
        assert_whole(&project, service);
        let name = container(service, 1);
        assert!(times(&events, "start", &name) <= 1 && times(&events, "die", &name) == 0, "{service}: {:?}", events.so_far());
        assert!(times(&events, "create", &container(service, 2)) == 0, "no second clone: {:?}", events.so_far());
    }
    let said = journal(&daemons[0], 1);
    assert!(said.contains("has not started anew"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_dies_in_the_middle_leaves_nothing_half_done() {
    the_engine_dies(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_reset_in_the_middle_leaves_nothing_half_done() {
    the_engine_dies(true).await;
}
