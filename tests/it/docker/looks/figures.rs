//! `docker.stats`, `docker.top` and `docker.logs`: what containers use, what their processes do, and what they say.

use std::time::Duration;

use runbook::condition::Value;
use runbook::finding::Finding;
use runbook::probe::{DockerProbe, Logs, Probe};
use runbook::time::Span;
use xtask::engine::TINY;

use super::{Stage, WAITS, WITHIN, look};
use crate::databases::now;
use crate::looks::{assert_all_seen, assert_fields};

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_a_share_of_the_limit_without_the_page_cache() {
    let mut stage = Stage::new("memory");
    let limit = ["--memory", "64m", "--memory-swap", "64m"];
    // 30 MB of files that the kernel may drop at once, and hardly any memory.
    let reads = "dd if=/dev/zero of=/tmp/large bs=1M count=30; sync; touch /tmp/done; sleep 86400";
    let id = stage.run(&[&limit[..], &[TINY, "sh", "-c", reads]].concat());
    xtask::clock::wait_for("the file", WITHIN, || Ok(stage.engine.run(&["exec", &id, "test", "-e", "/tmp/done"]).ok())).unwrap();
    let sampled = |count| move |finding: &Finding| finding.number("sampled") == Some(count);
    let finding = stage.look_until(DockerProbe::Stats, sampled(1.0)).await;
    assert_all_seen(&finding, &[]);
    assert!(finding.number("memory_ratio").unwrap() < 0.3, "{finding:?}");

    // As much in a file system that lives in memory.
    stage.run(
        &[&limit[..], &["--tmpfs", "/ram", TINY, "sh", "-c", "dd if=/dev/zero of=/ram/large bs=1M count=40; sleep 86400"]]
            .concat(),
    );
    let full = |finding: &Finding| finding.number("memory_bytes").is_some_and(|bytes| bytes > 40e6);
    let finding = stage.look_until(DockerProbe::Stats, full).await;
    let ratio = finding.number("memory_ratio").unwrap();
    assert!((0.6..0.9).contains(&ratio), "{ratio}");
    assert_eq!(finding.number("sampled"), Some(2.0));

    // One without a limit may use any share of it.
    stage.run(WAITS);
    let finding = stage.look_until(DockerProbe::Stats, sampled(3.0)).await;
    assert_all_seen(&finding, &["memory_ratio"]);
    assert!(finding.number("memory_bytes").unwrap() > 40e6);
}

#[tokio::test(flavor = "multi_thread")]
async fn cpu_is_a_share_of_what_a_container_may_use() {
    let mut stage = Stage::new("cpu");
    let id = stage.run(WAITS);
    stage.look_until(DockerProbe::Stats, |finding| finding.number("cpu_share").is_some_and(|share| share < 0.2)).await;
    stage.engine.run(&["rm", "--force", &id]).unwrap();
    // So little that even a busy machine gives it.
    stage.run(&["--cpus", "0.05", TINY, "sh", "-c", "while :; do :; done"]);
    stage.look_until(DockerProbe::Stats, |finding| finding.number("cpu_share").is_some_and(|share| share > 0.6)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_somebody_stopped_are_counted() {
    let mut stage = Stage::new("top");
    let id = stage.run(WAITS);
    stage.run(&[TINY, "false"]);
    let finding = stage.look_until(DockerProbe::Top, |finding| finding.unknown().is_none()).await;
    // One that has ended is not shown, so that there is none cannot be said.
    assert_all_seen(&finding, &["zombies"]);
    assert_eq!((finding.number("processes"), finding.number("stopped")), (Some(1.0), Some(0.0)));
    assert!(finding.number("largest_bytes").unwrap() >= 4096.0);
    stage.engine.run(&["exec", "--detach", &id, "sh", "-c", "kill -STOP $$"]).unwrap();
    let stopped = stage.look_until(DockerProbe::Top, |finding| finding.number("stopped") == Some(1.0)).await;
    assert_eq!(stopped.number("processes"), Some(2.0));
}

fn logs(tail: u32, pattern: Option<&str>) -> DockerProbe {
    DockerProbe::Logs(Logs { tail, since: Span::secs(600), pattern: pattern.map(str::to_owned) })
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_counted_by_pattern_and_by_what_names_an_error() {
    let mut stage = Stage::new("logs");
    let says = "for i in 1 2 3; do echo \"task $i done\"; echo \"task $i: ValueError: boom\" >&2; done; sleep 86400";
    stage.run(&[TINY, "sh", "-c", says]);
    // What has ended has said something, too; with a terminal it says it on one stream.
    stage.run(&["--tty", TINY, "sh", "-c", "echo task 4 done; echo ERROR last words"]);
    let all = |finding: &Finding| finding.number("lines") == Some(8.0);
    let finding = stage.look_until(logs(500, Some(r"task \d done$")), all).await;
    assert_all_seen(&finding, &[]);
    assert_eq!((finding.number("matching"), finding.number("errors")), (Some(4.0), Some(4.0)));
    assert_eq!(finding.field("cut"), Value::Flag(false));

    let finding = stage.look(logs(2, None)).await;
    assert_all_seen(&finding, &["matching"]);
    assert_eq!((finding.number("lines"), finding.field("cut")), (Some(4.0), Value::Flag(true)));

    let (inventory, connections) = stage.listed();
    let service = inventory.get(&"service/worker".parse().unwrap()).unwrap();
    let later = || now().plus(Duration::from_secs(3600));
    let finding = probe::look(connections.looking(), &inventory, service, &Probe::Docker(logs(500, None)), later, WITHIN).await;
    assert_eq!((finding.number("lines"), finding.field("cut")), (Some(0.0), Value::Flag(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_bounded_and_a_log_that_cannot_be_read_is_unknown() {
    let mut stage = Stage::new("flood");
    let floods = "i=0; while [ $i -lt 3000 ]; do printf '%01000d\\n' $i; i=$((i + 1)); done; echo last; sleep 86400";
    let id = stage.run(&[TINY, "sh", "-c", floods]);
    xtask::clock::wait_for("the flood", Duration::from_secs(30), || {
        Ok(stage.engine.run(&["logs", "--tail", "1", &id])?.ends_with("last").then_some(()))
    })
    .unwrap();
    let finding = stage.look(logs(5000, Some("^last$"))).await;
    assert_eq!((finding.field("cut"), finding.number("matching")), (Value::Flag(true), Some(1.0)));
    assert!((900.0..1100.0).contains(&finding.number("lines").unwrap()), "{finding:?}");

    stage.run(&["--log-driver", "none", TINY, "sleep", "86400"]);
    let (inventory, connections) = stage.listed();
    let finding = look(&connections, &inventory, logs(10, None)).await;
    assert!(finding.unknown().is_some_and(|why| why.contains("logging driver")), "{finding:?}");
    assert_fields(&stage.look(DockerProbe::Service).await);
}
