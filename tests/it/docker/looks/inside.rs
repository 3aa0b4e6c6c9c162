//! `docker.exec_look`: commands inside containers. The broker is asked with the machine's own Python, lent to a tiny container; and
//! by the same script outside of any, where there is a real broker to reach.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use runbook::condition::Value;
use runbook::finding::Finding;
use runbook::probe::{DockerProbe, Inside};
use xtask::engine::TINY;
use xtask::servers::RabbitMq;

use super::{Stage, WAITS, look};
use crate::looks::{assert_all_seen, assert_fields};

fn disk(path: &str) -> DockerProbe {
    DockerProbe::Inside(Inside::DiskFree(path.into()))
}

fn reaches(variable: &str) -> DockerProbe {
    DockerProbe::Inside(Inside::BrokerReachable(variable.into()))
}

fn says(finding: &Finding, words: &str) -> bool {
    finding.unknown().is_some_and(|why| why.contains(words))
}

#[tokio::test(flavor = "multi_thread")]
async fn how_full_a_file_system_is_as_the_container_sees_it() {
    let mut stage = Stage::new("df");
    stage.run(&[&["--tmpfs", "/ram:size=10m"], WAITS].concat());
    let finding = stage.look(disk("/ram")).await;
    assert_all_seen(&finding, &[]);
    assert_eq!((finding.field("ok"), finding.number("exit_code")), (Value::Flag(true), Some(0.0)));
    assert_eq!((finding.number("used_ratio"), finding.number("free_bytes")), (Some(0.0), Some(10.0 * 1024.0 * 1024.0)));
    let finding = stage.look(disk("/no such folder")).await;
    assert_fields(&finding);
    assert_eq!((finding.field("ok"), finding.number("exit_code")), (Value::Flag(false), Some(1.0)));
    assert!(finding.field("used_ratio").unknown().is_some_and(|why| why.contains("/no such folder")));
    assert!(says(&stage.look(disk("--help")).await, "no absolute path"));

    // Nothing that a look could use is lost by the proxy: the same without it.
    let (inventory, connections) = stage.listed_at(stage.engine.host(), Some(stage.engine.host()), None);
    assert_eq!(look(&connections, &inventory, disk("/ram")).await.field("ok"), Value::Flag(true));
    let (inventory, connections) = stage.listed_at(stage.proxy.look(), None, None);
    assert!(says(&look(&connections, &inventory, disk("/ram")).await, "add `inside`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_inside_is_not_piled_up() {
    let mut stage = Stage::new("piled");
    // A `df` that hangs, as the real one does on a dead network drive.
    let hangs = "cat > /tmp/df <<'X'\n#!/bin/sh\nsleep 86400\nX\nchmod +x /tmp/df; sleep 86400";
    let path = ["--env", "PATH=/tmp:/bin"];
    let id = stage.run(&[&path[..], &[TINY, "sh", "-c", hangs]].concat());
    xtask::clock::wait_for("the program", super::WITHIN, || Ok(stage.engine.run(&["exec", &id, "test", "-x", "/tmp/df"]).ok()))
        .unwrap();
    assert!(says(&stage.look(disk("/")).await, "no answer within"));
    assert!(says(&stage.look(disk("/")).await, "an earlier look of this kind has not ended"));
    let running = stage.engine.run(&["exec", &id, "ps"]).unwrap();
    assert_eq!(running.lines().filter(|line| line.contains("/tmp/df")).count(), 1, "{running}");
    // Another look inside is not kept from it.
    assert!(!says(&stage.look(disk("/tmp")).await, "earlier"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_may_not_be_touched_or_cannot_run_it_leaves_it_unknown() {
    let mut stage = Stage::new("cannot");
    let first = stage.run(&[&["--env", "BROKER_URL=amqp://user:geheim@127.0.0.1:9/"], WAITS].concat());
    assert!(says(&stage.look(reaches("BROKER_URL")).await, "no python3 that can be run"));
    stage.engine.run(&["pause", &first]).unwrap();
    assert!(says(&stage.look(disk("/")).await, "no container of service/worker runs"));
    stage.engine.run(&["rm", "--force", &first]).unwrap();
    stage.run(&[&["--rm"], WAITS].concat());
    assert!(says(&stage.look(disk("/")).await, "may be touched: the Engine removes it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_a_worker_does_not_reach_is_seen_from_inside() {
    let mut stage = Stage::new("reach");
    let python = ["--volume", "/usr:/usr:ro", "--volume", "/lib:/lib:ro", "--volume", "/lib64:/lib64:ro"];
    let variables = ["--env", "BROKER_URL=amqp://user:geheim@127.0.0.1:9/", "--env", "ODD=redis://:geheim@cache"];
    stage.run(&[&python[..], &variables, WAITS].concat());
    let finding = stage.look_until(reaches("BROKER_URL"), |finding| finding.unknown().is_none()).await;
    assert_all_seen(&finding, &["used_ratio", "free_bytes"]);
    assert_eq!((finding.field("ok"), finding.number("exit_code")), (Value::Flag(false), Some(1.0)));
    assert!(finding.subjects()[0].words.ends_with("does not reach its broker: the connection is refused"), "{finding:?}");
    assert!(!format!("{finding:?}").contains("geheim"));
    stage.look_until(reaches("NO_SUCH"), |finding| says(finding, "has no variable NO_SUCH")).await;
    let odd = stage.look_until(reaches("ODD"), |finding| says(finding, "no address of an AMQP broker")).await;
    assert!(!format!("{odd:?}").contains("geheim"));
}

/// What the script that runs inside says of an address, and how it ends.
fn asked(address: &str) -> (String, i32) {
    let script = xtask::paths::root().join("crates/probe/src/docker/broker.py");
    let ran = Command::new("/usr/bin/python3").arg("-I").arg(script).arg("BROKER").env("BROKER", address).output().unwrap();
    (String::from_utf8(ran.stdout).unwrap().trim().to_owned(), ran.status.code().unwrap_or(-1))
}

#[test]
fn a_broker_is_reached_when_it_speaks_its_protocol() {
    let rabbit = RabbitMq::start().unwrap();
    let word = |address: &str| {
        let (word, code) = asked(address);
        assert!(!word.contains("geheim"));
        (word, code)
    };
    let at = |port: u16| format!("amqp://user:geheim@127.0.0.1:{port}/v");
    let said = |word: &str, code| (word.to_owned(), code);
    assert_eq!(word(&at(rabbit.port())), said("reachable", 0));
    // The second of two that a worker would try.
    assert_eq!(word(&format!("{};{}", at(9), at(rabbit.port()))), said("reachable", 0));
    // Which waits for the end of a line that never comes.
    assert_eq!(word(&at(rabbit.management_port())), said("silent", 1));
    assert_eq!(word(&format!("amqps://user:geheim@127.0.0.1:{}/v", rabbit.port())), said("tls", 1));
    assert_eq!(word(&at(9)), said("refused", 1));
    assert_eq!(word("amqp://user:geheim@no.such.name.invalid/"), said("name", 1));
    assert_eq!(word("redis://:geheim@127.0.0.1"), said("unreadable", 3));
    assert_eq!(word("amqp://user:geheim@127.0.0.1:port/"), said("unreadable", 3));
    assert_eq!(word(""), said("unset", 3));
    rabbit.stop().unwrap();
    assert_eq!(word(&at(rabbit.port())), said("silent", 1));
    rabbit.cont().unwrap();

    // What is no broker says something else, or nothing.
    for (says, wanted) in [("HTTP/1.1 400 Bad Request\r\n\r\n", "other"), ("", "closed")] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            stream.read_exact(&mut [0; 8]).unwrap();
            stream.write_all(says.as_bytes()).unwrap();
        });
        assert_eq!(word(&at(port)), said(wanted, 1));
        answers.join().unwrap();
    }
}
