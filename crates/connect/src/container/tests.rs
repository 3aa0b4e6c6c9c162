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
    assert!(stopped_by_person(&crashed_then_stopped), "only a person ends a crash loop under `always`");
    let table = [
        ("plain", false),
        ("stopped", true),
        // Its end or somebody's stop: nothing to start unasked.
        ("done", true),
        ("fail-stopped", true),
        ("gaveup", false),
        ("loop", false),
        ("nostart", false),
        ("oom", false),
        ("created", false),
        ("false", false),
    ];
    for (name, stopped) in table {
        assert_eq!(read(name).stopped_by_person, stopped, "{name}");
    }
    let failing = ["created", "priv", "false", "gaveup", "nostart", "oom", "health"];
    for name in recorded().keys().filter(|name| *name != "old.runbookd-INC-7") {
        assert_eq!(read(name).failing(), failing.contains(&name.as_str()), "{name}");
    }
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
