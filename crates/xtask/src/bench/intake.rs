//! How many deliveries per second are on disk and answered, beside what the machine can do with less: the same HTTP library
//! that only answers (a), and one that appends each body to a file with one sync for all that arrived together (b).
//!
//! Why rounds that alternate and medians: this machine's disk and neighbours change from minute to minute, and change all three
//! alike. Deliberately includes what the daemon does afterwards (routing reads the inbox and empties it) in its rate and its
//! processor time: a door that is fast because the house behind it sleeps would be no measurement.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::release;
use crate::http::Request;
use crate::servers::{Process, Program, free_port};
use crate::{clock, command, packages, paths, progress};

/// Rounds; each measures a, b and c once.
const ROUNDS: usize = 7;
/// Seconds of load per server and round.
const SECONDS: u32 = 5;
/// Connections that send at once.
const CONNECTIONS: u32 = 64;
/// How long the daemon may take to route what it stored.
const DRAIN: Duration = Duration::from_secs(120);
/// Clock ticks per second in `/proc/PID/stat`; fixed for user space.
const TICKS: f64 = 100.0;

const METHOD: &str = "\
method: wrk, 64 connections, 2 threads, 5 s per measurement; each request is a delivery of 1.2 kB with one alert whose
fingerprint was never seen; 7 rounds of a, b, c in turn, each server started anew for each; the figures are medians.
release build; all on this machine, so wrk takes its share of the processors; files under the target directory.
  a  hyper reads the body and answers 200
  b  the same, and appends the body to a file, one fdatasync for all that arrived together
  c  runbookd serve: token, check of the payload, SQLite, 200 once it is on disk; and routing behind it
CPU is the server's own, for c until its inbox is empty again.";

/// One server under load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Subject {
    Read,
    Append,
    Runbookd,
}

const SUBJECTS: [(Subject, &str); 3] = [
    (Subject::Read, "a  reads the body"),
    (Subject::Append, "b  appends it, one sync a batch"),
    (Subject::Runbookd, "c  runbookd"),
];

/// What one measurement gave.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
    peak_mb: f64,
}

/// Runs the benchmark; its last line is `ratio N.NN`, c/b.
///
/// # Errors
/// When something cannot be built or started, or when any delivery failed.
pub fn run() -> Result<()> {
    packages::ensure(packages::BENCH)?;
    let binaries = build()?;
    let place = paths::make(paths::target().join("bench-intake"))?;
    let script = place.join("intake.lua");
    std::fs::write(&script, include_str!("intake.lua"))?;
    println!("{METHOD}\n");
    let mut all: [Vec<Measured>; 3] = Default::default();
    for round in 1..=ROUNDS {
        for ((subject, name), measured) in SUBJECTS.iter().zip(&mut all) {
            let one = measure(*subject, round, &binaries, &place, &script).with_context(|| format!("measuring {name}"))?;
            progress::say(format_args!(
                "round {round}/{ROUNDS}  {name:<32} {:>7.0} req/s  p99 {:>6.2} ms",
                one.per_second, one.p99_ms
            ));
            measured.push(one);
        }
    }
    let _ = std::fs::remove_dir_all(&place);
    tell(&all);
    Ok(())
}

fn tell(all: &[Vec<Measured>; 3]) {
    println!("\n{:<32} {:>8} {:>8} {:>8} {:>16} {:>8}", "", "req/s", "p50 ms", "p99 ms", "CPU us/delivery", "peak MB");
    for ((_, name), measured) in SUBJECTS.iter().zip(all) {
        let of = |field: fn(&Measured) -> f64| median(measured.iter().map(field));
        println!(
            "{name:<32} {:>8.0} {:>8.2} {:>8.2} {:>16.0} {:>8.1}",
            of(|one| one.per_second),
            of(|one| one.p50_ms),
            of(|one| one.p99_ms),
            of(|one| one.cpu_us),
            of(|one| one.peak_mb)
        );
    }
    let [a, b, c] = [0, 1, 2].map(|at| all.get(at).map_or(0.0, |measured| median(measured.iter().map(|one| one.per_second))));
    println!("c/a {:.2}", c / a);
    println!("ratio {:.2}", c / b);
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

struct Binaries {
    baseline: PathBuf,
    runbookd: PathBuf,
}

fn build() -> Result<Binaries> {
    let release = release::build(&["--bin", "runbookd", "--example", "intake_baseline"])?;
    Ok(Binaries { baseline: release.join("examples/intake_baseline"), runbookd: release.join("runbookd") })
}

/// Starts one server, loads it, and ends it.
fn measure(subject: Subject, round: usize, binaries: &Binaries, place: &Path, script: &Path) -> Result<Measured> {
    let home = place.join(format!("round-{round}-{subject:?}"));
    let _ = std::fs::remove_dir_all(&home);
    paths::make(home.clone())?;
    let port = free_port()?;
    let (path, arguments) = match subject {
        Subject::Read => (&binaries.baseline, vec!["read".to_owned(), port.to_string()]),
        Subject::Append => {
            (&binaries.baseline, vec!["append".to_owned(), port.to_string(), home.join("bodies").display().to_string()])
        }
        Subject::Runbookd => {
            configure(&home.join("config"), port)?;
            let folder = |name: &str| home.join(name).display().to_string();
            (
                &binaries.runbookd,
                vec!["serve".to_owned(), "--config".to_owned(), folder("config"), "--state".to_owned(), folder("state")],
            )
        }
    };
    let mut server = Process::start(&Program {
        name: format!("{subject:?}"),
        path: path.clone(),
        arguments,
        environment: vec![],
        user: None,
        directory: home.clone(),
        log: home.join("log"),
    })?;
    let url = format!("http://127.0.0.1:{port}");
    // The baselines answer anything, so this asks all three whether they are there.
    server.wait_ready(Duration::from_secs(20), || Request::get(&format!("{url}/readyz")).send()?.ok().map(|_| ()))?;
    let token = match subject {
        Subject::Runbookd => {
            std::fs::read_to_string(home.join("state/webhook.token")).context("reading the token that it made")?
        }
        _ => "none".to_owned(),
    };
    let before = cpu_seconds(server.pid())?;
    let load = load(&url, token.trim(), round, script)?;
    if subject == Subject::Runbookd {
        settle(&url, load.requests)?;
    }
    let cpu = cpu_seconds(server.pid())? - before;
    let measured = Measured {
        per_second: load.requests as f64 / load.seconds,
        p50_ms: load.p50_ms,
        p99_ms: load.p99_ms,
        cpu_us: cpu * 1e6 / load.requests as f64,
        peak_mb: peak_mb(server.pid())?,
    };
    server.kill();
    let _ = std::fs::remove_dir_all(&home);
    Ok(measured)
}

/// A configuration like any other, whose one runbook is for another alert.
fn configure(folder: &Path, port: u16) -> Result<()> {
    paths::make(folder.join("runbooks"))?;
    let files = [
        ("runbookd.yaml", format!("listen: 127.0.0.1:{port}\n")),
        ("password", "none\n".to_owned()),
        (
            "targets.yaml",
            "postgres/main: {host: 127.0.0.1, port: 1, database: x, class: P1, owner: bench,\n  \
             look: {user: look, password: {file: password}}, act: {user: act, password: {file: password}}}\n"
                .to_owned(),
        ),
        ("runbooks/idle.yaml", RUNBOOK.to_owned()),
    ];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).with_context(|| format!("writing {name}"))?;
    }
    Ok(())
}

const RUNBOOK: &str = "\
runbook: idle
summary: Close sessions that sit idle
match: ['alertname=\"TooManyConnections\"']
target: postgres/main
mode: {default: ask}
limits: {cooldown: 10m, rate: [3/1h]}
look:
  sessions: {postgres.sessions: {idle_for: 10m}}
require: sessions.used_ratio > 0.8
remedies:
  - name: close idle sessions
    steps:
      - postgres.terminate_idle: {idle_for: 10m, at_most: 20, keep: 5, never: [backup, replication]}
    verify: {until: sessions.used_ratio < 0.7, within: 1m, hold: 15s}
otherwise: escalate
";

/// What wrk saw.
struct Load {
    requests: u64,
    seconds: f64,
    p50_ms: f64,
    p99_ms: f64,
}

fn load(url: &str, token: &str, round: usize, script: &Path) -> Result<Load> {
    let mut wrk = Command::new("wrk");
    wrk.args(["--threads", "2", "--connections", &CONNECTIONS.to_string(), "--duration", &format!("{SECONDS}s")]);
    wrk.arg("--script").arg(script).arg(url).env("BENCH_TOKEN", token).env("BENCH_RUN", round.to_string());
    let said = command::output(&mut wrk)?;
    let line =
        said.lines().find_map(|line| line.strip_prefix("RESULT ")).with_context(|| format!("wrk said no result: {said}"))?;
    let numbers: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [requests, micros, p50, p99, errors] = numbers[..] else { bail!("wrk said something else: {line}") };
    ensure!(errors == 0.0, "{errors} of {requests} deliveries failed: {said}");
    Ok(Load { requests: requests as u64, seconds: micros / 1e6, p50_ms: p50 / 1e3, p99_ms: p99 / 1e3 })
}

/// Waits until everything that was stored is routed, and compares the daemon's count with wrk's: a 200 without a row, or a row
/// that nobody was told of in time, would show. At the end of a load up to one request per connection is cut off half-way.
fn settle(url: &str, answered: u64) -> Result<()> {
    let metrics = clock::wait_for("the inbox is routed", DRAIN, || {
        let text = Request::get(&format!("{url}/metrics")).send()?.ok()?.text();
        Ok(text.lines().any(|line| line == "runbookd_inbox_rows 0").then_some(text))
    })?;
    let count = |name: &str| -> Result<u64> {
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .with_context(|| format!("{name} is not among the metrics"))?;
        Ok(line.trim().parse::<f64>()? as u64)
    };
    for (what, counted) in [
        ("stored", count("runbookd_deliveries_total{result=\"stored\"} ")?),
        ("routed", count("runbookd_alerts_total{outcome=\"unmatched\"} ")?),
    ] {
        ensure!(
            (answered..=answered + u64::from(CONNECTIONS)).contains(&counted),
            "wrk was answered {answered} times and the daemon {what} {counted}"
        );
    }
    Ok(())
}

/// Processor seconds of a process so far.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the server has ended")?;
    // The name in brackets may hold anything; the fields are counted behind it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(11) + ticks(12)) / TICKS)
}

/// The most memory that a process has had, in MB.
fn peak_mb(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the server has ended")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel says no VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().context("reading VmHWM")?;
    Ok(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_our_own_process_are_read() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([].into_iter()), 0.0);
        let pid = std::process::id();
        assert!(cpu_seconds(pid).unwrap() >= 0.0 && peak_mb(pid).unwrap() > 1.0);
    }
}
