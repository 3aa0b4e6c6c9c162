//! How long it takes from a delivery to a session that is gone, beside the bare SQL that does the same on an open connection.
//!
//! The victim tells: a raw PostgreSQL session whose socket ends when the server ends it, so nothing polls. One incident after
//! another, each with a session and an alert episode of its own; hold, cooldown and rates are off, evidence is not. Deliberately
//! over the real daemon, journal synced to disk, release build.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::release;
use crate::http::Request;
use crate::servers::{Postgres, PostgresSettings, Process, Program, free_port};
use crate::{clock, packages, paths, progress};

/// Incidents, one after another.
const INCIDENTS: usize = 200;
/// Idle memory is read after this long.
const IDLE: Duration = Duration::from_secs(60);

const METHOD: &str = "\
method: 200 incidents one after another; for each a session of its own is opened and sits idle, its alert is posted as
Alertmanager posts it, and the time ends when the session's socket ends (FATAL 57P01 read to the end). Evidence is captured,
every commit is synced; verification without hold, no cooldown, no rate, wide rules of the house. The bare SQL is pg_terminate_backend on an open
connection, measured the same way, one before each incident. Release build; PostgreSQL 15 on the same machine, over TCP for
the daemon and its Unix socket for the victims.";

/// One session stays: the open connection of the bare SQL, which belongs to a superuser and is excluded.
const RUNBOOK: &str = r#"
runbook: idle
summary: ends the one session that sits idle
match: ['alertname="Idle"']
target: postgres/main
mode: auto
limits: {cooldown: 0s, rate: [100000/1h]}
look:
  sessions: {postgres.sessions: {idle_for: 1ms}}
require: sessions.idle > 1
remedies:
  - name: end it
    steps:
      - postgres.terminate_idle: {idle_for: 1ms, at_most: 1, never: ['user:SUPERUSER']}
    verify: {until: sessions.idle < 2, within: 10s, hold: 0s}
otherwise: escalate
"#;

/// Wide enough that 200 incidents on one server in a minute are no storm and exceed nothing.
const RULES: &str = "\
rules:
  overall: {rate: [100000/1h]}
  per_target: {rate: [100000/1h]}
  disruption: {budget: 100000}
  storm: {incidents: 100000}
";

/// Runs the benchmark.
///
/// # Errors
/// When something cannot be built or started, or an incident is not cured.
pub fn run() -> Result<()> {
    packages::ensure(packages::SERVERS)?;
    let binary = release::build(&["--bin", "runbookd"])?.join("runbookd");
    let postgres = Postgres::start_with(&PostgresSettings { max_connections: 60, ..PostgresSettings::default() })?;
    postgres.psql("CREATE ROLE app LOGIN")?;
    let sql = paths::root().join("deploy/sql");
    postgres.psql_file("postgres", &sql.join("look.sql"), &[("look_password", "bench")])?;
    postgres.psql_file("postgres", &sql.join("act-terminate.sql"), &[("act_password", "bench")])?;
    let home = paths::make(paths::target().join("bench-reaction"))?;
    let _ = std::fs::remove_dir_all(&home);
    paths::make(home.clone())?;
    let port = free_port()?;
    configure(&home.join("config"), port, postgres.port(), postgres.superuser())?;
    println!("{METHOD}\n");
    let started = clock::now();
    let mut daemon = serve(&binary, &home)?;
    let url = format!("http://127.0.0.1:{port}");
    let ready = loop {
        if Request::get(&format!("{url}/readyz")).send().is_ok_and(|answer| answer.status == 200) {
            break started.elapsed();
        }
        ensure!(started.elapsed() < Duration::from_secs(20), "the daemon does not become ready");
        std::thread::sleep(Duration::from_millis(1));
    };
    progress::say(format_args!("reading the idle memory in {} s", IDLE.as_secs()));
    std::thread::sleep(IDLE);
    let idle = resident_mb(daemon.pid())?;
    let tokens =
        ["webhook.token", "api.token"].map(|name| std::fs::read_to_string(home.join("state").join(name)).unwrap_or_default());
    let [webhook, api] = tokens;
    let mut bare = Vec::new();
    let mut cured = Vec::new();
    let mut executioner = Session::open(&postgres, postgres.superuser())?;
    // The first incident waits for the held connections, and is not counted.
    for number in 0..=INCIDENTS {
        let victim = Session::open(&postgres, "app")?;
        let took = victim.until_gone(|pid| executioner.run(&format!("SELECT pg_terminate_backend({pid})")))?;
        let victim = Session::open(&postgres, "app")?;
        std::thread::sleep(Duration::from_millis(10));
        let body = delivery(number);
        let reaction = victim.until_gone(|_| {
            Request::post(&format!("{url}/webhook/alertmanager")).bearer(&webhook).json(&body).send()?.ok().map(drop)
        })?;
        wait_cured(&url, &api)?;
        if number > 0 {
            bare.push(took);
            cured.push(reaction);
        }
        if number % 50 == 0 {
            progress::say(format_args!("incident {number}/{INCIDENTS}"));
        }
    }
    let worked = resident_mb(daemon.pid())?;
    daemon.kill();
    let _ = std::fs::remove_dir_all(&home);
    println!("\n{:<34} {:>9} {:>9} {:>9}", "", "p50 ms", "p90 ms", "p99 ms");
    for (name, times) in [("bare SQL, to session gone", &mut bare), ("delivery, to session gone", &mut cured)] {
        times.sort();
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).map_or(0.0, |t| t.as_secs_f64() * 1e3);
        println!("{name:<34} {:>9.2} {:>9.2} {:>9.2}", at(0.5), at(0.9), at(0.99));
    }
    let ready = ready.as_secs_f64() * 1e3;
    println!(
        "memory {idle:.1} MB after {} s idle, {worked:.1} MB after {INCIDENTS} incidents; ready {ready:.0} ms after start",
        IDLE.as_secs()
    );
    let median = cured.get(cured.len() / 2).map_or(0.0, |took| took.as_secs_f64() * 1e3);
    println!("reaction p50 {median:.2} ms");
    Ok(())
}

fn configure(folder: &Path, port: u16, postgres: u16, superuser: &str) -> Result<()> {
    paths::make(folder.join("runbooks"))?;
    let target = format!(
        "postgres/main: {{host: 127.0.0.1, port: {postgres}, database: postgres, class: P1, owner: bench,\n  \
         look: {{user: runbookd_look, password: {{file: password}}}}, act: {{user: runbookd_act, password: {{file: password}}}}}}\n"
    );
    let files = [
        ("runbookd.yaml", format!("listen: 127.0.0.1:{port}\n{RULES}")),
        ("password", "bench\n".to_owned()),
        ("targets.yaml", target),
        ("runbooks/idle.yaml", RUNBOOK.replace("SUPERUSER", superuser)),
    ];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).with_context(|| format!("writing {name}"))?;
    }
    Ok(())
}

fn serve(binary: &Path, home: &Path) -> Result<Process> {
    let folder = |name: &str| home.join(name).display().to_string();
    Process::start(&Program {
        name: "runbookd".to_owned(),
        path: binary.to_owned(),
        arguments: vec!["serve".to_owned(), "--config".to_owned(), folder("config"), "--state".to_owned(), folder("state")],
        environment: vec![],
        user: None,
        directory: home.to_owned(),
        log: home.join("log"),
    })
}

/// Every delivery is an episode of its own of the same alert.
fn delivery(number: usize) -> Value {
    let starts_at = format!("2026-01-01T{:02}:{:02}:{:02}Z", number / 3600, number / 60 % 60, number % 60);
    json!({
        "version": "4", "receiver": "runbookd", "status": "firing", "groupKey": "{}", "truncatedAlerts": 0,
        "alerts": [{"status": "firing", "labels": {"alertname": "Idle"}, "annotations": {}, "startsAt": starts_at,
                    "endsAt": "0001-01-01T00:00:00Z", "generatorURL": ""}],
    })
}

/// One open incident per runbook and target: the next waits until this one is over, and it must be cured.
fn wait_cured(url: &str, token: &str) -> Result<()> {
    clock::wait_for("the incident to be over", Duration::from_secs(30), || {
        let list = Request::get(&format!("{url}/api/v1/incidents?limit=1")).bearer(token).send()?.ok()?.json()?;
        let list = list.get("incidents").unwrap_or(&list);
        match list.get(0).and_then(|incident| incident["how"].as_str()) {
            Some("cured") => Ok(Some(())),
            Some(how) => bail!("the incident ended as {how}: {list}"),
            None => Ok(None),
        }
    })
}

fn resident_mb(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("reading the daemon's status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kb: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kb / 1024.0)
}

/// A session in PostgreSQL's own protocol, with just enough of it: start, one simple query, read to the end.
struct Session {
    socket: UnixStream,
    pid: u32,
}

impl Session {
    fn open(postgres: &Postgres, user: &str) -> Result<Session> {
        let path = postgres.socket_directory().join(format!(".s.PGSQL.{}", postgres.port()));
        let mut socket = UnixStream::connect(&path).with_context(|| format!("connecting to {}", path.display()))?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        for text in ["user", user, "database", "postgres", "application_name", "bench", ""] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        let length = u32::try_from(body.len() + 4)?;
        socket.write_all(&[&length.to_be_bytes()[..], &body].concat())?;
        let mut session = Session { socket, pid: 0 };
        loop {
            match session.message()? {
                // BackendKeyData carries the pid; ReadyForQuery means that it now sits idle.
                Some((b'K', body)) => {
                    session.pid = body.get(..4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes).context("no pid")?;
                }
                Some((b'Z', _)) => return Ok(session),
                Some((b'E', body)) => bail!("PostgreSQL refuses: {}", String::from_utf8_lossy(&body)),
                Some(_) => {}
                None => bail!("PostgreSQL hung up"),
            }
        }
    }

    fn run(&mut self, sql: &str) -> Result<()> {
        let length = u32::try_from(sql.len() + 5)?;
        self.socket.write_all(&[b"Q", &length.to_be_bytes()[..], sql.as_bytes(), b"\0"].concat())?;
        while let Some((kind, body)) = self.message()? {
            match kind {
                b'Z' => return Ok(()),
                b'E' => bail!("PostgreSQL refuses: {}", String::from_utf8_lossy(&body)),
                _ => {}
            }
        }
        bail!("PostgreSQL hung up")
    }

    /// The time from the start of `end` until the server has ended this session.
    fn until_gone(mut self, end: impl FnOnce(u32) -> Result<()>) -> Result<Duration> {
        let pid = self.pid;
        let mut gone = self.socket.try_clone()?;
        let watcher = std::thread::spawn(move || {
            let mut rest = Vec::new();
            gone.read_to_end(&mut rest).map(|_| (clock::now(), rest))
        });
        let began = clock::now();
        end(pid)?;
        let Ok(watched) = watcher.join() else { bail!("the thread that watches the session died") };
        let (ended, said): (Instant, Vec<u8>) = watched.context("the session was not ended")?;
        ensure!(String::from_utf8_lossy(&said).contains("57P01"), "the session ended, and not by an administrator");
        self.pid = 0;
        Ok(ended.saturating_duration_since(began))
    }

    fn message(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        let mut head = [0_u8; 5];
        if self.socket.read(&mut head[..1])? == 0 {
            return Ok(None);
        }
        self.socket.read_exact(&mut head[1..])?;
        let [kind, a, b, c, d] = head;
        let length = u32::from_be_bytes([a, b, c, d]).saturating_sub(4) as usize;
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body)?;
        Ok(Some((kind, body)))
    }
}
