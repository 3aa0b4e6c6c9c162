//! Others at the same moment: somebody removes, replaces or restarts the container right before the act, a person runs Compose, and
//! another incident wants the same service. What is not the very container that was chosen is not touched, and nobody is fought.

use super::super::project::{CHECK, OBEDIENT, Project};
use super::{
    ALL, Fault, RESTART, SLOW, Station, assert_whole, container, fire, journal, make_ill, services, start, target, times,
    wait_event,
};
use crate::support::daemon::binary;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_replaced_or_restarted_right_before_the_act_is_not_touched() {
    let all = ["gone", "restarted", "replaced"];
    let ill = format!("command: {OBEDIENT}, healthcheck: {CHECK}");
    let project = Project::up(&services(all.map(|name| (name, ill.clone()))), &[], "", &[]);
    all.iter().for_each(|service| project.wait_health(&container(service, 1), "healthy"));
    make_ill(&project, &all);
    let stations = all.map(|service| Station::before(&project, &target(service), &ALL));
    let daemons = start(&stations);
    let replace = || drop(project.compose(&["up", "-d", "--force-recreate", "--no-deps", "replaced"]));
    // The first call on the way to an act looks whether it is still the same; between that and the restart there is a last moment.
    let stories: [(&str, &dyn Fn(), &str, &str); 3] = [
        ("look", &|| drop(project.docker(&["rm", "--force", &container("gone", 1)])), "handed_over", "went away meanwhile"),
        // Somebody was faster, and it helped.
        ("look", &|| drop(project.docker(&["restart", &container("restarted", 1)])), "cured", "was started anew meanwhile"),
        ("restart", &replace, "handed_over", "No such container"),
    ];
    let mut after = Vec::new();
    for (((station, daemon), service), (at, deed, ..)) in stations.iter().zip(&daemons).zip(all).zip(stories) {
        let mut caught = station.on(at, Fault::Hold);
        fire(daemon, "Restart", service);
        caught.wait().await;
        deed();
        after.push((service != "gone").then(|| project.started_at(&container(service, 1))));
        station.faults.let_go();
    }
    for ((station, daemon), (_, _, how, words)) in stations.iter().zip(&daemons).zip(stories) {
        station.wait_end(daemon, 1, how);
        let said = journal(daemon, 1);
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(project.names("gone"), [""; 0]);
    for (service, after) in all.into_iter().zip(after).filter_map(|(service, after)| Some((service, after?))) {
        assert_whole(&project, service);
        assert_eq!(project.started_at(&container(service, 1)), after, "{service}: touched although it is another one");
    }
}

/// Lasts until somebody takes the clone away.
const UNTIL_FEWER: (&str, &str) = ("until: it.replicas > 0", "until: it.replicas < 2");

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_runs_compose_up_at_the_same_moment_is_not_fought() {
    let all = ["restarting", "being-made", "lasting", "going"];
    let slow = format!("command: {SLOW}, healthcheck: {CHECK}");
    let plain = format!("command: {OBEDIENT}");
    let project = Project::up(
        &services(all.map(|name| (name, if name == "restarting" { slow.clone() } else { plain.clone() }))),
        &[],
        "",
        &[],
    );
    project.wait_health(&container("restarting", 1), "healthy");
    make_ill(&project, &["restarting"]);
    let events = project.events();
    let lasting = ALL.map(|(name, text)| (name, text.replace(UNTIL_FEWER.0, UNTIL_FEWER.1)));
    let lasting: Vec<(&str, &str)> = lasting.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let stations = all.map(|service| {
        let runbooks: &[(&str, &str)] = if service == "lasting" { &lasting } else { &ALL };
        Station::before(&project, &target(service), runbooks)
    });
    let daemons = start(&stations);
    let mut made = stations[1].on("start", Fault::Hold);
    let mut going = stations[3].on("stop", Fault::Hold);
    all.iter().zip(&daemons).for_each(|(service, daemon)| {
        fire(daemon, if *service == "restarting" { "Restart" } else { "More" }, service);
    });
    made.wait().await;
    going.wait().await;
    stations[2].wait_stage(&daemons[2], 1, "sustaining");
    wait_event(&events, "kill", &container("restarting", 1));

    // Compose removes what has the highest number; a clone is to it a container too many.
    let told = project.compose(&["up", "-d"]);
    for service in ["being-made", "lasting", "going"] {
        assert_eq!(project.names(service), [container(service, 1)], "{told}");
    }
    stations.iter().for_each(|station| station.faults.let_go());

    let ends = [
        ("cured", "was restarted"),
        ("handed_over", "no clone was started"),
        ("cured", "1 were gone already"),
        ("cured", "1 of 1 clones are gone"),
    ];
    for (((station, daemon), service), (how, words)) in stations.iter().zip(&daemons).zip(all).zip(ends) {
        station.wait_end(daemon, 1, how);
        let said = journal(daemon, 1);
        assert!(said.contains(words), "{words}: {said}");
        assert_whole(&project, service);
        let clones = usize::from(service != "restarting");
        assert_eq!(times(&events, "create", &container(service, 2)), clones, "none is made a second time");
    }
    assert_eq!(times(&events, "die", &container("restarting", 1)), 1);
    assert_eq!(project.docker(&["ps", "--all", "--quiet"]).lines().count(), all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_incidents_on_one_service_the_second_waits_and_decides_on_what_it_then_sees() {
    let project = Project::up(&services([("web", format!("command: {OBEDIENT}, healthcheck: {CHECK}"))]), &[], "", &[]);
    project.wait_health(&container("web", 1), "healthy");
    make_ill(&project, &["web"]);
    let events = project.events();
    let second = RESTART.replace("runbook: restart", "runbook: again").replace("\"Restart\"", "\"Again\"");
    let second = second.replace("require: it.failing > 0", "require: it.replicas > 0");
    let station = Station::before(&project, &target("web"), &[("restart", RESTART), ("again", &second)]);
    let daemon = station.home.start(binary(), &[]);
    let mut caught = station.on("restart", Fault::Hold);
    fire(&daemon, "Restart", "web");
    caught.wait().await;
    fire(&daemon, "Again", "web");
    station.wait_stage(&daemon, 2, "held");
    assert_eq!(station.faults.changes().len(), 1, "{:?}", station.faults.changes());
    station.faults.let_go();
    station.wait_end(&daemon, 1, "cured");
    let why = station.wait_end(&daemon, 2, "handed_over");
    assert!(why.contains("no replica is failing"), "{why}");
    assert!(journal(&daemon, 2).contains("INC-1 is working on the target"), "{}", journal(&daemon, 2));
    assert_eq!(times(&events, "die", &container("web", 1)), 1);
}

const LADDER: &str = r#"
runbook: FIRST
summary: Two services, one after the other
match: ['alertname="FIRST"']
target: service/FIRST
mode: auto
limits: {cooldown: 0s, rate: [9/1h]}
look:
  own: docker.service
  other: {docker.service: {target: service/SECOND}}
require: own.replicas == 2
remedies:
  - name: both
    steps:
      - docker.scale: {to: 3, stop_timeout: 1s, healthy_within: 1s, steady_for: 1s, until: own.replicas > 0, at_most_for: 1h}
      - docker.rolling_restart: {target: service/SECOND, min_healthy: 1, stop_timeout: 3s, healthy_within: 1s, steady_for: 1s}
    verify: {until: own.running == 3 && other.running == 2, within: 5s, hold: 1s}
otherwise: escalate
"#;

#[tokio::test(flavor = "multi_thread")]
async fn two_ladders_over_two_services_in_opposite_order_run_one_after_the_other() {
    let plain = ["this", "that"].map(|name| (name, format!("command: {OBEDIENT}")));
    let project = Project::up(&services(plain), &["--scale", "this=2", "--scale", "that=2"], "", &[]);
    let targets = ["this", "that"].map(|name| target(name).replace("at_most: 3", "replicas: 2, at_most: 3")).concat();
    let ladder = |first: &str, second: &str| LADDER.replace("FIRST", first).replace("SECOND", second);
    let (this, that) = (ladder("this", "that"), ladder("that", "this"));
    let station = Station::before(&project, &targets, &[("this", &this), ("that", &that)]);
    let events = project.events();
    let daemon = station.home.start(binary(), &[]);
    fire(&daemon, "this", "any");
    fire(&daemon, "that", "any");
    // Whichever came first has both; the other has none of them, and does not begin with the one that is not yet worked on.
    let held = |number| super::find(&daemon, number).is_some_and(|incident| incident["stage"] == "held");
    let second = station.wait(&daemon, "one of the two waits", || [1, 2].into_iter().find(|number| held(*number)));
    let first = 3 - second;
    assert!(!journal(&daemon, second).contains("action_started"), "{}", journal(&daemon, second));
    station.wait_end(&daemon, first, "cured");
    station.wait_end(&daemon, second, "cured");
    let down = events.of("die");
    let services: Vec<_> =
        down.iter().filter(|name| !name.ends_with("_3")).map(|name| name.split('_').nth(1).unwrap_or_default()).collect();
    // Each restarts the other one's service.
    let of_this = super::find(&daemon, first).unwrap()["target"] == "service/this";
    let [one, other] = if of_this { ["that", "this"] } else { ["this", "that"] };
    assert_eq!(services, [one, one, other, other], "{down:?}");
}
