//! What a clone needs is not there: its image, or room on the disk. The source goes on, nothing is left over, and the reason is told.

use xtask::engine::PrivateEngine;

use super::super::project::{OBEDIENT, Project};
use super::{ALL, Station, assert_whole, container, fire, fire_again, journal, services, target, times};
use crate::support::daemon::binary;

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_needs_its_image_and_not_the_name_of_it() {
    let project = Project::up(&services([("web", format!("command: {OBEDIENT}"))]), &[], "", &[]);
    let (web, clone) = (container("web", 1), container("web", 2));
    let image = project.field(&web, "{{.Image}}");
    let events = project.events();
    let station = Station::before(&project, &target("web"), &ALL);
    let daemon = station.home.start(binary(), &[]);

    // The name is gone, the image is still there.
    project.docker(&["rmi", "--force", "runbookd-tiny"]);
    fire(&daemon, "More", "web");
    station.wait_end(&daemon, 1, "cured");
    assert_eq!(times(&events, "start", &clone), 1);
    assert_whole(&project, "web");

    // The image itself: the Engine gives it up only while nothing runs from it, and starts what was made of it all the same.
    project.docker(&["stop", &web]);
    project.docker(&["rmi", "--force", &image]);
    project.docker(&["start", &web]);
    let before = project.started_at(&web);
    fire_again(&daemon, "More", "web", "2026-01-02T00:00:00Z");
    station.wait_end(&daemon, 2, "handed_over");
    let said = journal(&daemon, 2);
    assert!(said.contains("No such image") && said.contains("no clone was started"), "{said}");
    assert_whole(&project, "web");
    assert_eq!(project.started_at(&web), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_at_create_leaves_nothing_behind() {
    let engine = PrivateEngine::start_on_a_small_disk(64).unwrap();
    let project = Project::up_on(engine, &services([("web", format!("command: {OBEDIENT}"))]), &[], "", &[]);
    let web = container("web", 1);
    let before = project.started_at(&web);
    let station = Station::before(&project, &target("web"), &ALL);
    let daemon = station.home.start(binary(), &[]);
    project.hurt(&web, &["sh", "-c", "cat /dev/zero > /fill 2>/dev/null; true"]);
    fire(&daemon, "More", "web");
    station.wait_end(&daemon, 1, "handed_over");
    let said = journal(&daemon, 1);
    assert!(said.contains("no space left on device"), "{said}");
    assert_whole(&project, "web");
    assert_eq!(project.started_at(&web), before);

    // With room again nothing of the first try is in the way.
    project.hurt(&web, &["rm", "/fill"]);
    fire_again(&daemon, "More", "web", "2026-01-02T00:00:00Z");
    station.wait_end(&daemon, 2, "cured");
    assert_whole(&project, "web");
}
