//! Against answers of an Engine 20.10, recorded by `docker inspect` and cut to what is read.

use std::collections::BTreeMap;

use super::*;

fn recorded() -> BTreeMap<String, ContainerInspectResponse> {
    serde_json::from_str(include_str!("recorded.json")).unwrap()
}

fn read(name: &str) -> Container {
    Container::read(&recorded()[name], None).unwrap()
}

const PLAIN: &str = "570e9debb288ca798466b711ca06c9d2f1290c6127527781220dd625576ea428";

#[test]
fn everything_is_read_as_the_engine_writes_it() {
    let plain = read("plain");
    assert_eq!((plain.id.as_str(), plain.name.as_str()), (PLAIN, "lf-plain"));
    assert_eq!((plain.started_at.as_str(), plain.state.as_str()), ("2026-11-25T16:19:34.641923225Z", "running"));
    assert_eq!((plain.health.as_str(), plain.policy.as_str(), plain.compose.as_str()), ("", "unless-stopped", "1.29.2"));
    assert_eq!((plain.number, plain.restarts, plain.exit_code), (Some(1), 0, 0));
    assert!(
        plain.runs() && !plain.failing() && !plain.clone && !plain.kept && plain.refused.is_none() && plain.no_clone.is_none()
    );
    assert_eq!((read("health").health.as_str(), read("health").failing()), ("unhealthy", true));
    assert!(read("oom").oom_killed);
    assert_eq!((read("gaveup").exit_code, read("gaveup").restarts), (1, 2));
    assert_eq!((read("clone").clone, read("clone").incident.as_deref()), (true, Some("INC-7")));
    assert_eq!((read("new").replaces.as_deref(), read("new").clone), (Some(PLAIN), false));
    assert!(read("old.runbookd-INC-7").kept);
    assert!(read("nostart").start_error.contains("not a directory"));
}

#[test]
fn what_stays_exited_although_it_would_be_started_was_stopped_by_somebody() {
    let mut crashed_then_stopped = recorded().remove("loop").unwrap();
    crashed_then_stopped.state.as_mut().unwrap().status = Some(Status::EXITED);
    assert_eq!(rest(&crashed_then_stopped), Some(Rest::Person), "only a person ends a crash loop under `always`");
    let table = [
        ("plain", None),
        ("stopped", Some(Rest::Person)),
        // Its end or somebody's stop: nothing to start unasked.
        ("done", Some(Rest::Done)),
        ("fail-stopped", Some(Rest::Person)),
        ("gaveup", None),
        ("loop", None),
        ("nostart", None),
        ("oom", Some(Rest::Ended)),
        ("created", Some(Rest::Unstarted)),
        ("false", None),
        ("priv", None),
    ];
    for (name, wanted) in table {
        assert_eq!(rest(&recorded()[name]), wanted, "{name}");
        assert_eq!(read(name).stopped_by_person, wanted == Some(Rest::Person), "{name}");
    }
    let failing = ["priv", "false", "gaveup", "nostart", "health"];
    for name in recorded().keys().filter(|name| *name != "old.runbookd-INC-7") {
        assert_eq!(read(name).failing(), failing.contains(&name.as_str()), "{name}");
    }
}

/// One that ended with this code under this policy; `restarts` is how often the Engine had started it again.
fn ended(policy: Policy, attempts: i64, code: i64, restarts: i64, oom: bool) -> ContainerInspectResponse {
    let mut inspected = recorded().remove("oom").unwrap();
    let state = inspected.state.as_mut().unwrap();
    (state.exit_code, state.oom_killed) = (Some(code), Some(oom));
    let host = inspected.host_config.as_mut().unwrap();
    let policy = bollard::models::RestartPolicy { name: Some(policy), maximum_retry_count: Some(attempts) };
    host.restart_policy = Some(policy);
    inspected.restart_count = Some(restarts);
    inspected
}

#[test]
fn an_end_that_may_be_somebodys_is_no_failure_and_a_crash_is_one() {
    let table = [
        // A child was killed for want of memory, long ago; the container lived on until somebody stopped it.
        (ended(Policy::ALWAYS, 0, 143, 0, true), Some(Rest::Person)),
        (ended(Policy::UNLESS_STOPPED, 0, 0, 0, true), Some(Rest::Person)),
        (ended(Policy::UNLESS_STOPPED, 0, 1, 4, false), Some(Rest::Person)),
        // A job that ended well is never to run again unasked.
        (ended(Policy::NO, 0, 0, 0, false), Some(Rest::Done)),
        (ended(Policy::NO, 0, 137, 0, false), Some(Rest::Ended)),
        (ended(Policy::NO, 0, 143, 0, false), Some(Rest::Ended)),
        (ended(Policy::NO, 0, 1, 0, true), None),
        (ended(Policy::NO, 0, 42, 0, false), None),
        (ended(Policy::ON_FAILURE, 3, 143, 3, false), Some(Rest::Ended)),
        (ended(Policy::ON_FAILURE, 3, 143, 1, true), Some(Rest::Person)),
        (ended(Policy::ON_FAILURE, 3, 1, 3, false), None),
        (ended(Policy::ON_FAILURE, 0, 0, 0, false), Some(Rest::Done)),
    ];
    for (inspected, wanted) in table {
        let container = Container::read(&inspected, None).unwrap();
        assert_eq!(rest(&inspected), wanted, "{container:?}");
        assert_eq!((container.failing(), container.at_rest.is_some()), (wanted.is_none(), wanted.is_some()), "{container:?}");
    }
    let words = |inspected| Container::read(&inspected, None).unwrap().at_rest.unwrap();
    assert!(
        words(ended(Policy::NO, 0, 137, 0, true)).contains("137") && words(ended(Policy::NO, 0, 137, 0, true)).contains("memory")
    );
    assert!(!words(ended(Policy::NO, 0, 143, 0, false)).contains("memory"));
}

#[test]
fn a_child_that_was_killed_for_want_of_memory_is_not_the_containers_end() {
    let mut lives = recorded().remove("plain").unwrap();
    lives.state.as_mut().unwrap().oom_killed = Some(true);
    let down_for_memory = |inspected: &ContainerInspectResponse| Container::read(inspected, None).unwrap().down_for_memory();
    assert!(!down_for_memory(&lives), "it runs, and was not started again");
    lives.restart_count = Some(2);
    assert!(down_for_memory(&lives), "the Engine had to start it again");
    assert!(read("oom").down_for_memory() && !read("false").down_for_memory());
    // A clone that was made and never started is its incident's business.
    let mut clone = recorded().remove("clone").unwrap();
    clone.state.as_mut().unwrap().status = Some(Status::CREATED);
    clone.state.as_mut().unwrap().error = Some("no".to_owned());
    assert!(!Container::read(&clone, None).unwrap().failing());
}

#[test]
fn what_may_not_be_touched_or_cloned_says_why() {
    let table = [
        ("priv", "privileged", ""),
        ("host", "the host's network", ""),
        ("join", "another container's network", ""),
        ("rm", "as soon as it stops", ""),
        ("loop", "restarting it already", ""),
        ("paused", "somebody paused it", ""),
        ("port", "", "the host's port 18877"),
        ("range", "", ""),
        ("static", "", "10.88.77.9 in the network lf-net"),
        ("dev", "", "devices"),
        ("from", "", "volumes of another container"),
        ("vol", "", "the volume lfvol at /data"),
        ("bind", "", "the host's /srv/shared at /x"),
        ("anon", "", ""),
        ("plain", "", ""),
        ("stopped", "", ""),
    ];
    for (name, touch, clone) in table {
        let container = read(name);
        let says = |said: &Option<String>, wanted: &str| match said {
            None => wanted.is_empty(),
            Some(said) => !wanted.is_empty() && said.contains(wanted),
        };
        assert!(says(&container.refused, touch), "{name}: {:?}", container.refused);
        assert!(says(&container.no_clone, if touch.is_empty() { clone } else { touch }), "{name}: {:?}", container.no_clone);
    }
    let own = Container::read(&recorded()["plain"], Some(PLAIN)).unwrap();
    assert!(own.refused.is_some_and(|why| why.contains("own container")));
    let mut unsaid = recorded().remove("plain").unwrap();
    unsaid.host_config = None;
    assert!(Container::read(&unsaid, None).unwrap().refused.is_some_and(|why| why.contains("did not say")));
}

#[test]
fn only_what_a_recreate_named_counts_as_kept() {
    assert!(is_kept(&kept_name("backend", "INC-7")));
    for name in ["backend", "backend.runbookd-", "backend.runbookd-INC-", "backend.runbookd-INC-7a", ".runbookd-INC-7", ""] {
        assert!(!is_kept(name), "{name}");
    }
}

#[test]
fn the_own_container_is_known_by_what_the_engine_mounts_into_it() {
    let mount = |from: &str, to: &str| format!("1102 1093 254:1 {from} {to} rw,relatime - ext4 /dev/vda1 rw\n");
    let of = |id: &str| mount(&format!("/var/lib/docker/containers/{id}/hostname"), "/etc/hostname");
    let overlay = "1093 900 0:58 / / rw,relatime - overlay overlay rw,lowerdir=/a:/b\n";
    assert_eq!(id_in(&format!("{overlay}{}", of(PLAIN))).as_deref(), Some(PLAIN));
    assert_eq!(id_in(overlay), None);
    assert_eq!(id_in(&of("short")), None);
    // A folder of containers that somebody mounted for reading logs is not ours.
    assert_eq!(id_in(&mount(&format!("/var/lib/docker/containers/{PLAIN}"), "/logs")), None);
    assert_eq!(id_in(""), None);
}

#[test]
fn a_list_of_all_is_read_by_the_labels_that_the_engine_would_search() {
    let listed = |labels: &[(&str, &str)]| ContainerSummary {
        labels: Some(labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()),
        ..ContainerSummary::default()
    };
    let (project, service, once) = ((label::PROJECT, "shop"), (label::SERVICE, "worker"), (label::ONEOFF, "False"));
    for (labels, wanted) in [
        (vec![project, service, once, (label::NUMBER, "2")], true),
        (vec![project, service, (label::ONEOFF, "True")], false),
        (vec![project, service], false),
        (vec![project, (label::SERVICE, "workers"), once], false),
        (vec![(label::PROJECT, "shop2"), service, once], false),
    ] {
        assert_eq!(is_of(&listed(&labels), "shop", "worker"), wanted, "{labels:?}");
    }
    assert!(!is_of(&ContainerSummary::default(), "shop", "worker"));
}
