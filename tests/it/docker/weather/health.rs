//! Health that never comes, and illness that goes by itself. A clone that does not get well is taken away again; a replica that fails in
//! one look only is left alone. That a rolling restart ends at the first replica that does not come back is told in `restart`.

use super::super::project::{CHECK, Project, journal};
use super::{ALL, Station, assert_whole, container, fire, make_ill, services, target, times};
use crate::support::daemon::binary;

/// Well only once somebody says so, which nobody does to a clone; ends by itself with 42.
const NEVER_WELL: &str = "[sh, -c, \"trap 'exit 42' TERM; while :; do sleep 0.3; done\"]";

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_that_does_not_get_well_is_taken_away_again() {
    let project = Project::up(&services([("web", format!("command: {NEVER_WELL}, healthcheck: {CHECK}"))]), &[], "", &[]);
    let (web, clone) = (container("web", 1), container("web", 2));
    project.hurt(&web, &["touch", "/tmp/well"]);
    project.wait_health(&web, "healthy");
    let before = project.started_at(&web);
    let events = project.events();
    let station = Station::before(&project, &target("web"), &ALL);
    let daemon = station.home.start(binary(), &[]);
    fire(&daemon, "More", "web");
    station.wait_end(&daemon, 1, "handed_over");
    assert!(journal(&daemon, 1).contains("it.healthy == 2 did not hold"), "{}", journal(&daemon, 1));
    let count = |what: &str| times(&events, what, &clone);
    assert_eq!((count("start"), count("die"), count("destroy")), (1, 1, 1), "{:?}", events.so_far());
    assert!(events.so_far().iter().all(|event| event.what != "die" || event.code == "42"), "{:?}", events.so_far());
    assert_eq!(project.started_at(&web), before);
    assert_whole(&project, "web");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_fails_in_one_look_only_is_left_alone() {
    let project = Project::up(&services([("web", format!("command: {NEVER_WELL}, healthcheck: {CHECK}"))]), &[], "", &[]);
    let web = container("web", 1);
    project.hurt(&web, &["touch", "/tmp/well"]);
    project.wait_health(&web, "healthy");
    let before = project.started_at(&web);
    make_ill(&project, &["web"]);
    let station = Station::before(&project, &target("web"), &ALL);
    let daemon = station.home.start(binary(), &[]);
    fire(&daemon, "Restart", "web");
    station.wait_said(&daemon, 1, "seen once, and looked at again");
    project.hurt(&web, &["touch", "/tmp/well"]);
    project.wait_health(&web, "healthy");
    assert!(!journal(&daemon, 1).contains("action_started"));
    station.wait_said(&daemon, 1, "it.failing > 0 does not hold");
    assert!(!journal(&daemon, 1).contains("action_started"));
    assert!(station.faults.changes().is_empty(), "{:?}", station.faults.changes());
    assert_eq!(project.started_at(&web), before);
}
