//! What a clone needs is not there: its image, or room on the disk. The source goes on, nothing is left over, and the reason is told.

use xtask::engine::{PrivateEngine, TINY, ensure_tiny};

use super::super::project::{OBEDIENT, Project};
use super::{ALL, Station, assert_whole, container, fire, fire_again, journal, services, start, target, times};

const LATER: &str = "2026-01-02T00:00:00Z";
const LATEST: &str = "2026-01-03T00:00:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_without_its_image_or_without_room_is_not_made_and_nothing_is_left() {
    let engine = PrivateEngine::start_on_a_small_disk(64).unwrap();
    // Another image, which can go without taking everybody's with it.
    ensure_tiny(engine.engine()).unwrap();
    for arguments in [&["create", "--name", "one", TINY][..], &["commit", "one", "another"], &["rm", "one"]] {
        engine.engine().run(arguments).unwrap();
    }
    let plain = ["web", "full"].map(|name| (name, format!("command: {OBEDIENT}")));
    let services = services(plain).replacen(TINY, "another", 1);
    let project = Project::up_on(engine, &services, &[], "", &[]);
    let (web, full) = (container("web", 1), container("full", 1));
    let image = project.field(&web, "{{.Image}}");
    let events = project.events();
    let stations = ["web", "full"].map(|service| Station::before(&project, &target(service), &ALL));
    let daemons = start(&stations);

    // The name of the image is gone, and the image is still there.
    project.docker(&["rmi", "--force", "another"]);
    fire(&daemons[0], "More", "web");
    stations[0].wait_end(&daemons[0], 1, "cured");
    assert_eq!(times(&events, "start", &container("web", 2)), 1);
    assert_whole(&project, "web");

    // The image itself: the Engine gives it up only while nothing runs from it, and starts what was made of it all the same.
    project.docker(&["stop", &web]);
    project.docker(&["rmi", "--force", &image]);
    project.docker(&["start", &web]);
    let before = [&web, &full].map(|name| project.started_at(name));
    project.hurt(&full, &["sh", "-c", "cat /dev/zero > /fill 2>/dev/null; true"]);
    fire_again(&daemons[0], "More", "web", LATER);
    fire(&daemons[1], "More", "full");
    for (((station, daemon), number), reason) in
        stations.iter().zip(&daemons).zip([2, 1]).zip(["No such image", "no space left on device"])
    {
        station.wait_end(daemon, number, "handed_over");
        let said = journal(daemon, number);
        assert!(said.contains(reason) && said.contains("no clone was started"), "{reason}: {said}");
    }
    for (service, before) in ["web", "full"].into_iter().zip(before) {
        assert_whole(&project, service);
        assert_eq!(project.started_at(&container(service, 1)), before, "{service}: the source is left alone");
    }

    // With room again nothing of the first try is in the way.
    project.hurt(&full, &["rm", "/fill"]);
    fire_again(&daemons[1], "More", "full", LATEST);
    stations[1].wait_end(&daemons[1], 2, "cured");
    assert_whole(&project, "full");
}
