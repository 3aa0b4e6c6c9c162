//! The Engine dies in the middle of a restart, of a scale-out and of a scale-in, and comes back: alone, and with the daemon, as when the
//! machine is reset. What was stopped for a restart is up again, whatever its restart policy makes of a stop, and half a clone is
//! taken away.

use super::super::project::{CHECK, OBEDIENT, Project};
use super::{
    ALL, Fault, SLOW, Station, assert_whole, container, fire, journal, kinds, make_ill, services, start, target, times,
    wait_event,
};

/// A service, what is fired for it, the call that it is in the middle of, and how the incident ends.
type Story = (&'static str, &'static str, &'static str, Fault, &'static str);

/// Two that are restarted, one that is scaled out, one that is on its way in.
const ALONE: [Story; 4] = [
    ("kept", "Restart", "restart", Fault::Hold, "cured"),
    ("bare", "Restart", "restart", Fault::Hold, "cured"),
    ("out", "More", "start", Fault::CutBefore, "handed_over"),
    ("in", "More", "stop", Fault::Hold, "cured"),
];

/// The same once more; their daemons die with the Engine.
const WITH_THE_DAEMON: [Story; 4] = [
    ("kept-too", "Restart", "restart", Fault::Hold, "cured"),
    ("bare-too", "Restart", "restart", Fault::Hold, "cured"),
    ("out-too", "More", "start", Fault::CutBefore, "handed_over"),
    ("in-too", "More", "stop", Fault::Hold, "cured"),
];

fn definition(service: &str) -> String {
    let restarted = format!("command: {SLOW}, healthcheck: {CHECK}");
    // An Engine that comes back asks what still runs to stop, and takes that for somebody's wish: only `always` outlives it.
    match service.trim_end_matches("-too") {
        "kept" => format!("{restarted}, restart: unless-stopped"),
        "bare" => restarted,
        "out" => format!("command: {OBEDIENT}, restart: always"),
        _ => format!("command: {SLOW}, restart: always"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_dies_in_the_middle_alone_or_with_the_daemon_leaves_nothing_half_done() {
    let stories: Vec<Story> = ALONE.into_iter().chain(WITH_THE_DAEMON).collect();
    let mut project = Project::up(&services(stories.iter().map(|(service, ..)| (*service, definition(service)))), &[], "", &[]);
    let ill: Vec<&str> = stories.iter().filter(|story| story.1 == "Restart").map(|(service, ..)| *service).collect();
    ill.iter().for_each(|service| project.wait_health(&container(service, 1), "healthy"));
    make_ill(&project, &ill);
    let events = project.events();
    let stations: Vec<_> = stories.iter().map(|(service, ..)| Station::before(&project, &target(service), &ALL)).collect();
    let (alone, with_the_daemon) = stations.split_at(ALONE.len());
    let mut survive = start(alone);
    let die = start(with_the_daemon);
    let caught: Vec<_> = stories.iter().zip(&stations).map(|((_, _, call, fault, _), at)| at.on(call, *fault)).collect();
    for ((service, alert, ..), daemon) in stories.iter().zip(survive.iter().chain(&die)) {
        fire(daemon, alert, service);
    }
    for mut caught in caught {
        caught.wait().await;
    }
    // All are in the middle: of two a clone is made and not started, and six are being stopped.
    let stopped = || stories.iter().zip(&stations).filter(|((_, _, call, ..), _)| *call != "start");
    stopped().for_each(|(_, station)| station.faults.let_go());
    for ((service, _, call, ..), _) in stopped() {
        wait_event(&events, "kill", &container(service, if *call == "stop" { 2 } else { 1 }));
    }
    drop(die);
    project.engine.kill_and_start_again().unwrap();
    let events = project.events();
    survive.extend(start(with_the_daemon));

    for ((station, daemon), (service, _, _, _, how)) in stations.iter().zip(&survive).zip(&stories) {
        station.wait_end(daemon, 1, how);
        assert_whole(&project, service);
        let name = container(service, 1);
        assert!(times(&events, "start", &name) <= 1 && times(&events, "die", &name) == 0, "{service}: {:?}", events.so_far());
        assert_eq!(times(&events, "create", &container(service, 2)), 0, "no second clone: {:?}", events.so_far());
    }
    for kept in [0, ALONE.len()] {
        let said = journal(&survive[kept], 1);
        assert!(said.contains("has not started anew") && said.contains("that is finished first"), "{said}");
        let orders = kinds(&survive[kept], 1).iter().filter(|kind| *kind == "action_started").count();
        assert_eq!(orders, 2, "{said}");
    }
}
