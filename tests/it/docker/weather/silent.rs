//! The Engine stops answering in the middle of a call: before the call has reached it, and after it has done what it was told. Each call
//! that changes anything has its turn. Whatever becomes of the call, it is a look that says so: what was done is not done again, what
//! was not done is done once, and half a clone is taken away.

use super::super::project::{CHECK, OBEDIENT, Project, journal};
use super::{
    ALL, Fault, SLOW, Station, assert_whole, container, fire, kinds, make_ill, services, start, target, times, wait_event,
};
use crate::support::daemon::until;

/// One call with one fault, on a service of its own.
struct Story {
    service: &'static str,
    alert: &'static str,
    call: &'static str,
    fault: Fault,
    /// How the incident ends.
    ends: &'static str,
    /// How many orders it takes, an undo and an end included.
    orders: usize,
}

const fn story(
    service: &'static str,
    alert: &'static str,
    call: &'static str,
    fault: Fault,
    ends: &'static str,
    orders: usize,
) -> Story {
    Story { service, alert, call, fault, ends, orders }
}

/// Tells all of them side by side: each call is waited for, its client gives up, and the Engine answers again.
async fn tell(project: &Project, stories: &[Story]) {
    let stations: Vec<_> = stories.iter().map(|story| Station::before(project, &target(story.service), &ALL)).collect();
    let daemons = start(&stations);
    let all = || stories.iter().zip(&stations).zip(&daemons);
    let caught: Vec<_> = all().map(|((story, station), _)| station.on(story.call, story.fault)).collect();
    all().for_each(|((story, _), daemon)| fire(daemon, story.alert, story.service));
    for mut caught in caught {
        caught.wait().await;
    }
    for ((_, station), daemon) in all() {
        station.wait_said(daemon, 1, "no_answer");
        station.faults.let_go();
    }
    for ((story, station), daemon) in all() {
        station.wait_end(daemon, 1, story.ends);
        let orders = kinds(daemon, 1).iter().filter(|kind| *kind == "action_started").count();
        assert_eq!(orders, story.orders, "{}: {}", story.service, station.told(daemon));
        assert_whole(project, story.service);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_a_start_and_a_command_without_an_answer_are_done_once() {
    let ill = ["restart-unsent", "restart-done", "restart-late", "heal-unprepared", "heal-unsent", "heal-done"];
    let gone = ["start-unsent", "start-done"];
    let checked = ill.map(|name| (name, format!("command: {OBEDIENT}, healthcheck: {CHECK}")));
    let plain = gone.map(|name| (name, format!("command: {OBEDIENT}")));
    let project = Project::up(&services(checked.into_iter().chain(plain)), &[], "", &[]);
    ill.iter().for_each(|service| project.wait_health(&container(service, 1), "healthy"));
    // It ends by itself with 42, and nothing starts it again.
    for service in gone {
        project.docker(&["exec", "--detach", &container(service, 1), "kill", "1"]);
        project.wait_for(&container(service, 1), "/State/ExitCode", 42);
    }
    make_ill(&project, &ill);
    let events = project.events();

    tell(
        &project,
        &[
            story("restart-unsent", "Restart", "restart", Fault::Hold, "cured", 2),
            story("restart-done", "Restart", "restart", Fault::Swallow, "cured", 1),
            // It reaches the Engine when nobody waits for it any more, and yet while it counts.
            story("restart-late", "Restart", "restart", Fault::Delay, "cured", 1),
            story("start-unsent", "Start", "start", Fault::Hold, "cured", 2),
            story("start-done", "Start", "start", Fault::Swallow, "cured", 1),
            // Whether a command ran cannot be seen, so it is never run again; the proof is that it helped.
            story("heal-unprepared", "Heal", "prepare exec", Fault::Hold, "handed_over", 1),
            story("heal-unsent", "Heal", "exec", Fault::Hold, "handed_over", 1),
            story("heal-done", "Heal", "exec", Fault::Swallow, "cured", 1),
        ],
    )
    .await;

    for service in ["restart-unsent", "restart-done", "restart-late"] {
        let name = container(service, 1);
        assert_eq!((times(&events, "die", &name), times(&events, "start", &name)), (1, 1), "{service}");
    }
    for service in gone {
        assert_eq!(times(&events, "start", &container(service, 1)), 1, "{service}");
    }
    for (service, healed) in [("heal-unprepared", ""), ("heal-unsent", ""), ("heal-done", "healed")] {
        let read = ["exec", &container(service, 1), "sh", "-c", "cat /tmp/healed 2>/dev/null; true"];
        assert_eq!(project.docker(&read), healed, "{service}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scale_out_or_in_without_an_answer_makes_one_clone_and_takes_it_away_once() {
    let out = [
        story("create-unsent", "More", "create", Fault::Hold, "cured", 3),
        // A clone that never ran is half a clone: it is taken away, and a person decides.
        story("create-done", "More", "create", Fault::Swallow, "handed_over", 2),
        story("connect-unsent", "More", "connect", Fault::Hold, "handed_over", 2),
        story("connect-done", "More", "connect", Fault::Swallow, "handed_over", 2),
        story("start-unsent", "More", "start", Fault::Hold, "handed_over", 2),
        story("start-done", "More", "start", Fault::Swallow, "cured", 2),
    ];
    let back = [
        story("stop-unsent", "More", "stop", Fault::Hold, "cured", 3),
        story("stop-done", "More", "stop", Fault::Swallow, "cured", 3),
        story("remove-unsent", "More", "remove", Fault::Hold, "cured", 3),
        story("remove-done", "More", "remove", Fault::Swallow, "cured", 2),
    ];
    let stories: Vec<Story> = out.into_iter().chain(back).collect();
    let all = stories.iter().map(|story| (story.service, format!("command: {OBEDIENT}")));
    let project = Project::up(&services(all), &[], "", &[]);
    let before: Vec<String> = stories.iter().map(|story| project.started_at(&container(story.service, 1))).collect();
    let events = project.events();
    tell(&project, &stories).await;
    for (story, before) in stories.iter().zip(before) {
        let (service, clone) = (story.service, container(story.service, 2));
        let count = |what: &str| times(&events, what, &clone);
        assert_eq!((count("create"), count("destroy")), (1, 1), "{service}");
        let ran = usize::from(story.ends == "cured");
        assert_eq!(count("start"), ran, "{service}");
        let of_clone: Vec<_> = events.so_far().into_iter().filter(|event| event.to == clone).collect();
        let told: Vec<_> = of_clone.iter().filter(|event| event.what == "kill").map(|event| event.signal.as_str()).collect();
        let ended: Vec<_> = of_clone.iter().filter(|event| event.what == "die").map(|event| event.code.as_str()).collect();
        assert_eq!((told, ended), (vec!["15"; ran], vec!["42"; ran]), "{service}: asked once, and never killed");
        assert_eq!(project.started_at(&container(service, 1)), before, "{service}: the source is left alone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_stands_still_in_the_middle_of_a_restart_is_waited_for() {
    let project = Project::up(&services([("web", format!("command: {SLOW}, healthcheck: {CHECK}"))]), &[], "", &[]);
    let web = container("web", 1);
    project.wait_health(&web, "healthy");
    make_ill(&project, &["web"]);
    let events = project.events();
    let station = Station::before(&project, &target("web"), &ALL);
    let daemon = station.home.start(crate::support::daemon::binary(), &[]);
    fire(&daemon, "Restart", "web");
    wait_event(&events, "kill", &web);
    project.engine.process().stop().unwrap();
    // The call has had its time, and no look sees anything: nothing is concluded from that.
    station.wait_said(&daemon, 1, "no_answer");
    assert_eq!(super::find(&daemon, 1).unwrap()["stage"], "in_doubt", "{}", journal(&daemon, 1));
    project.engine.process().cont().unwrap();
    station.wait_end(&daemon, 1, "cured");
    until(
        "both events",
        super::WITHIN,
        || (times(&events, "start", &web) > 0).then_some(()),
        || format!("{:?}", events.so_far()),
    );
    assert_eq!((times(&events, "die", &web), times(&events, "start", &web)), (1, 1), "{:?}", events.so_far());
    assert_whole(&project, "web");
}
