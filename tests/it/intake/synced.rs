//! The promise behind a 200, seen from outside: in a system-call trace of the real process, the body is written to the journal's
//! log, then a sync of that log begins and returns, and only then the 200 is written. With Debian's strace. Deliberately
//! sequential: which sync covers which of several deliveries could not be told from a trace.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use runbookd::http::SOCKET;

use crate::door::write_configuration;
use crate::support::daemon::{Home, binary, delivery, until};

/// The traced daemon. It is the daemon that is told to end, and strace ends with it: strace itself, told to end, would only let go of it.
struct Traced(Child);

impl Drop for Traced {
    fn drop(&mut self) {
        let strace = self.0.id();
        let started = std::fs::read_to_string(format!("/proc/{strace}/task/{strace}/children")).unwrap_or_default();
        let _ = Command::new("kill").arg("-TERM").args(started.split_whitespace()).status();
        let _ = self.0.wait();
    }
}

#[test]
fn the_sync_of_a_delivery_returns_before_its_200_is_written() {
    xtask::packages::ensure(&["strace"]).unwrap();
    let home = Home::new(&[]);
    write_configuration(&home.config(), "");
    home.write("runbookd.yaml", "listen: 127.0.0.1:PORT\n");
    let trace = home.folder().join("trace");
    let calls = "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,fsync,fdatasync";
    let arguments = ["-f", "-y", "-s", "9000", "-e", calls, "-o", trace.to_str().unwrap(), binary().to_str().unwrap(), "serve"];
    let log = std::fs::File::create(home.folder().join("log")).unwrap();
    let mut strace = home.command(Path::new("strace"), &arguments);
    let traced = Traced(strace.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    let url = format!("http://127.0.0.1:{}", home.port());
    let ready = || xtask::http::Request::get(&format!("{url}/readyz")).send().ok().filter(|answer| answer.status == 200);
    until("the traced daemon is ready", Duration::from_secs(30), ready, || home.log());
    assert!(home.state().join(SOCKET).exists());
    let token = std::fs::read_to_string(home.state().join("webhook.token")).unwrap();
    let marks: Vec<String> = (0..5).map(|n| format!("Mark{n}Mark")).collect();
    for mark in &marks {
        let body = delivery(&[("alertname", mark)], "firing", "2026-11-24T03:00:00Z");
        let answer =
            xtask::http::Request::post(&format!("{url}/webhook/alertmanager")).bearer(token.trim()).json(&body).send().unwrap();
        assert_eq!(answer.status, 200, "{}", home.log());
    }
    drop(traced);
    let trace = std::fs::read_to_string(&trace).unwrap();
    for mark in &marks {
        check(&trace, mark).unwrap_or_else(|why| panic!("{mark}: {why}"));
    }
}

/// Goes through the trace line by line: a call may stand on one line, or begin (`unfinished`) and end (`resumed`) on two.
fn check(trace: &str, mark: &str) -> Result<(), String> {
    let log = "journal.db-wal";
    let (mut received, mut written, mut synced) = (false, false, false);
    let mut syncing: Vec<&str> = Vec::new();
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap_or((line, ""));
        let call = call.trim_start();
        if !received {
            received = call.contains(mark) && !call.starts_with("pwrite64");
            continue;
        }
        if call.starts_with("pwrite64") && call.contains(log) && call.contains(mark) {
            written = true;
        }
        let sync = call.starts_with("fdatasync(") || call.starts_with("fsync(");
        if sync && written && call.contains(log) {
            match call.contains("unfinished") {
                true => syncing.push(thread),
                false => synced |= call.trim_end().ends_with("= 0"),
            }
        }
        if call.contains("sync resumed") && syncing.contains(&thread) {
            synced |= call.trim_end().ends_with("= 0");
        }
        if call.contains("HTTP/1.1 200") {
            return match (written, synced) {
                (true, true) => Ok(()),
                (false, _) => Err("the 200 was written before the body was in the journal".to_owned()),
                (true, false) => Err("the 200 was written before the sync returned".to_owned()),
            };
        }
    }
    Err("the trace has no 200 for it".to_owned())
}

#[test]
fn a_trace_in_the_wrong_order_is_found_out() {
    let right = [
        "1 recvfrom(9, \"POST M\", 9) = 9",
        "2 pwrite64(7</s/journal.db-wal>, \"M\", 4) = 4",
        "2 fdatasync(7</s/journal.db-wal> <unfinished ...>",
        "2 <... fdatasync resumed>) = 0",
        "1 sendto(9, \"HTTP/1.1 200 OK\", 9) = 9",
    ];
    let lines = |order: &[usize]| order.iter().map(|at| right[*at]).collect::<Vec<_>>().join("\n");
    assert_eq!(check(&lines(&[0, 1, 2, 3, 4]), "M"), Ok(()));
    for wrong in [&[0, 1, 2, 4, 3][..], &[0, 4, 1, 2, 3], &[0, 2, 3, 1, 4], &[2, 3, 0, 1, 4], &[0, 1, 2, 3]] {
        assert!(check(&lines(wrong), "M").is_err(), "{wrong:?}");
    }
}
