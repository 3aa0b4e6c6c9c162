//! What `cargo xtask bench policy` runs: routes and decides one alert after another under 200 runbooks, with a journal that
//! remembers as many acts as it is told, on one thread. Prints one line of JSON. Why an example of this crate: it needs a real
//! journal to make the counters from, and nothing that could look or act.
//!
//! Deliberately fills the tables by SQL: a hundred thousand synced commits would measure the disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use journal::Journal;
use policy::{Case, Decision, Ledger, Pause, decide, route};
use runbook::action::{Action, IdleState, PostgresAction, TerminateIdle};
use runbook::alert::{Alert, AlertStatus, Fingerprint, Labels};
use runbook::book::{Configuration, Limits, Look, Mode, ModeByTime, Rate, Recurrence, Remedy, Runbook, Runbooks, Step, Verify};
use runbook::condition::Value;
use runbook::finding::{Attribute, Attributes, Finding, Findings, Seen, Subject};
use runbook::identity::Identity;
use runbook::incident::{Aim, Captured, Event, Incident, IncidentId, Opening, Trigger};
use runbook::matcher::Matchers;
use runbook::probe::Probe;
use runbook::target::{Class, Inventory, Kind, Login, Place, SecretRef, Target, TargetId, TargetSelector, TerminateBy, Traits};
use runbook::time::{Span, Stamp};
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

const RUNBOOKS: usize = 200;
const DECISIONS: usize = 20_000;
const NOW: Stamp = Stamp::from_millis(1_800_000_000_000);
const MONTH: u64 = 30 * 86_400_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().context("the first argument is an empty folder")?;
    let acts: usize = arguments.next().context("the second argument is how many acts are past")?.parse()?;
    let configuration = estate()?;
    let journal = Journal::open(Path::new(&folder)).await?;
    let hash = journal.adopt(&configuration, NOW).await?;
    fill(Path::new(&folder), &hash, acts).await?;
    let began = now();
    journal.recount().await?;
    let rebuilt = began.elapsed();
    // The kernel would otherwise write down what was filled in while decisions are measured, on the same processors.
    rustix::fs::sync();
    let Measured { mut took, mut routed, mut own } = measure(&configuration, journal.ledger(), &hash)?;
    took.sort();
    routed.sort();
    own.sort();
    let at = |took: &[Duration], share: f64| {
        took.get((took.len() as f64 * share) as usize).or(took.last()).copied().unwrap_or_default().as_nanos() as f64 / 1_000.0
    };
    let nothing = nothing_as_long_as(at(&took, 0.50));
    println!(
        "{}",
        serde_json::json!({
            "acts": acts, "runbooks": RUNBOOKS, "decisions": took.len(), "rebuilt_milliseconds": rebuilt.as_millis() as u64,
            "p50_microseconds": at(&took, 0.50), "routing_p50_microseconds": at(&routed, 0.50),
            "p99_microseconds": at(&took, 0.99), "longest_microseconds": at(&took, 1.0),
            "own_p50_microseconds": at(&own, 0.50), "own_p99_microseconds": at(&own, 0.99),
            "nothing_p50_microseconds": at(&nothing, 0.50), "nothing_p99_microseconds": at(&nothing, 0.99),
        })
    );
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is an edge of its own, and measures")]
fn now() -> Instant {
    Instant::now()
}

/// The processor time of this thread so far: what others did meanwhile is not in it, as far as the kernel can tell.
fn own() -> Duration {
    rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// The machine's own part: as many loops as there were decisions, each of the same work in registers alone, chosen to last as long
/// as the middle decision did. Whatever makes one of them last longer than another would have done the same to a decision.
fn nothing_as_long_as(microseconds: f64) -> Vec<Duration> {
    let time = |turns: u64| {
        let began = now();
        std::hint::black_box((0..turns).fold(1_u64, |number, turn| std::hint::black_box(number ^ turn)));
        began.elapsed()
    };
    const TRIED: u64 = 100_000;
    let quickest = (0..50).map(|_| time(TRIED)).min().unwrap_or_default();
    let turns = (microseconds * 1_000.0 / quickest.as_nanos().max(1) as f64 * TRIED as f64) as u64;
    let mut took: Vec<Duration> = (0..DECISIONS).map(|_| time(turns)).collect();
    took.sort();
    took
}

/// One time for each decision.
struct Measured {
    /// From the alert to the decision.
    took: Vec<Duration>,
    /// Of that, until it had a runbook.
    routed: Vec<Duration>,
    /// Processor time, from the alert to the decision.
    own: Vec<Duration>,
}

/// Routes and decides; every tenth that would act is counted as an act, so that the counters move.
fn measure(configuration: &Configuration, mut ledger: Ledger, hash: &str) -> Result<Measured> {
    let crowded = findings();
    let well = well();
    let times = || Vec::with_capacity(DECISIONS);
    let (mut measured, mut acted) = (Measured { took: times(), routed: times(), own: times() }, 0_usize);
    for number in 0..DECISIONS {
        let alert = alert(number % RUNBOOKS);
        let (worked, began) = (own(), now());
        let routing = route(configuration, &alert.labels);
        let (routed, routing_work) = (began.elapsed(), own().saturating_sub(worked));
        let (book, target) = routing.chosen.context("an alert was not routed")?;
        let mut incident = incident(book, &target, alert, hash, number)?;
        let beside = incident.beside(&configuration.inventory).into_iter().map(|id| (id, well.clone())).collect();
        let findings = Findings { beside, ..crowded.clone() };
        incident.apply(NOW, &Event::Looked { findings: findings.clone() })?;
        let captured = Captured { evidence: Vec::new(), missing: Vec::new() };
        incident.apply(NOW, &Event::EvidenceCaptured { at: incident.at, captured })?;
        let (worked, began) = (own(), now());
        let history = ledger.history(&incident, book, configuration, NOW);
        let ruling = decide(&Case {
            incident: &incident,
            aim: Aim::Do,
            findings: &findings,
            now: NOW,
            current: configuration,
            pause: &Pause::default(),
            history: &history,
            clock_doubted_until: None,
            held_by: None,
            ask_id: "ask",
        });
        measured.took.push(routed + began.elapsed());
        measured.own.push(routing_work + own().saturating_sub(worked));
        measured.routed.push(routed);
        if let Decision::Act(permit) = ruling.decision {
            acted += 1;
            if acted.is_multiple_of(10) {
                let (incident, target) = (permit.incident(), permit.target().clone());
                let runbook = permit.runbook().to_owned();
                let acted_on = target.clone();
                ledger.started(&policy::Started { incident, runbook, target, acted_on, at: NOW, cost: permit.cost() });
            }
        }
    }
    ensure!(acted > DECISIONS / 4, "only {acted} of {DECISIONS} decisions were to act, so the last gates were hardly asked");
    Ok(measured)
}

fn target(number: usize) -> TargetId {
    TargetId { kind: Kind::Postgres, name: format!("db-{number}") }
}

/// 200 databases in chains of four, each with a runbook.
fn estate() -> Result<Configuration> {
    let login = || Login { user: "look".to_owned(), password: SecretRef::Env("NONE".to_owned()) };
    let place = || Place::Postgres {
        host: "localhost".to_owned(),
        port: 5432,
        database: "db".to_owned(),
        tls: false,
        look: login(),
        act: Some(login()),
        terminate_by: TerminateBy::SignalBackend,
    };
    let targets = (0..RUNBOOKS).map(|number| Target {
        id: target(number),
        traits: Traits {
            depends_on: if number % 4 == 0 { vec![] } else { vec![target(number - 1)] },
            stateful: true,
            may_be_cloned: false,
            class: Class::P2,
            owner: "nobody".to_owned(),
        },
        place: place(),
        known_as: vec![],
    });
    let runbooks: Result<Runbooks> = (0..RUNBOOKS).map(|number| Ok((format!("cure-{number}"), book(number)?))).collect();
    let mut configuration = Configuration { runbooks: runbooks?, inventory: Inventory::new(targets), ..Configuration::default() };
    // Wide enough that decisions pass every gate, which costs the most.
    configuration.rules.overall.rate = vec![Rate { count: 30_000, per: Span::secs(3_600) }];
    configuration.rules.per_target.rate = vec![Rate { count: 100, per: Span::secs(3_600) }];
    configuration.rules.disruption.budget = 100_000;
    Ok(configuration)
}

fn book(number: usize) -> Result<Runbook> {
    let terminate = TerminateIdle {
        idle_for: Span::secs(600),
        at_most: 20,
        keep: 5,
        states: vec![IdleState::Idle],
        never: vec!["user:payroll".to_owned()],
    };
    let action = Action::Postgres(PostgresAction::TerminateIdle(terminate));
    let step = Step { action, target: None, until: None, at_most_for: None, only_while: None, silence: vec![] };
    let condition = |text: &str| text.parse().map_err(|error| anyhow::anyhow!("{text}: {error:?}"));
    let verify = Verify { until: condition("sessions.used_ratio < 0.7")?, within: Span::secs(60), hold: Span::secs(15) };
    let matchers = [format!("alertname=~\"Full{number}|Crowded{number}\""), "severity!=\"none\"".to_owned()];
    Ok(Runbook {
        name: format!("cure-{number}"),
        summary: String::new(),
        matches: Some(Matchers::parse(matchers.iter().map(String::as_str)).map_err(|error| anyhow::anyhow!("{error:?}"))?),
        target: TargetSelector::Named(target(number)),
        priority: 0,
        mode: ModeByTime::always(Mode::Auto),
        limits: Limits {
            // Every alert comes at the same moment here, and none is to wait for the one before.
            cooldown: Span::secs(0),
            rate: vec![Rate { count: 30, per: Span::secs(3_600) }, Rate { count: 70, per: Span::secs(86_400) }],
            recurrence: Some(Recurrence { times: 60, within: Span::secs(86_400) }),
        },
        look: BTreeMap::from([("sessions".to_owned(), Look { probe: Probe::usual(Kind::Postgres), target: None })]),
        require: condition("sessions.used_ratio > 0.8 && sessions.idle > 0")?,
        remedies: vec![Remedy { name: "first".to_owned(), when: None, mode: None, steps: vec![step], verify, guard: None }],
    })
}

/// A crowded server with 50 idle sessions.
fn findings() -> Findings {
    let fields = [("used_ratio", 0.9), ("idle", 50.0), ("total", 90.0), ("max", 100.0), ("reserved", 3.0)];
    let fields = fields.map(|(name, value)| (name.to_owned(), Value::Number(value))).into();
    let text = |text: &str| Value::Text(text.to_owned());
    let subject = |pid: i32| Subject {
        identity: Identity::Session { pid, backend_start: 1 },
        words: format!("pid {pid}, idle for 20m, application backend, user app"),
        attributes: Attributes::from([
            (Attribute::State, text("idle")),
            (Attribute::IdleSeconds, Value::Number(1_200.0)),
            (Attribute::Application, text("backend")),
            (Attribute::User, text("app")),
            (Attribute::BackendType, text("client backend")),
            (Attribute::Replication, Value::Flag(false)),
        ]),
    };
    let finding = Finding {
        probe: "postgres.sessions".to_owned(),
        at: NOW,
        seen: Seen::Known { fields, subjects: (1..=50).map(subject).collect() },
    };
    Findings { looks: BTreeMap::from([("sessions".to_owned(), finding)]), ..Findings::default() }
}

/// What the databases beside it are like.
fn well() -> Finding {
    let fields = [("total", 10.0), ("max", 100.0), ("reserved", 3.0)];
    let fields = fields.map(|(name, value)| (name.to_owned(), Value::Number(value))).into();
    Finding { probe: "postgres.sessions".to_owned(), at: NOW, seen: Seen::Known { fields, subjects: vec![] } }
}

fn alert(number: usize) -> Alert {
    let labels = Labels::from([
        ("alertname".to_owned(), format!("Full{number}")),
        ("severity".to_owned(), "page".to_owned()),
        ("instance".to_owned(), format!("db-{number}:5432")),
    ]);
    Alert {
        fingerprint: Fingerprint::of(&labels),
        status: AlertStatus::Firing,
        labels,
        annotations: Labels::new(),
        starts_at: NOW,
        generator_url: String::new(),
    }
}

fn incident(book: &Runbook, target: &TargetId, alert: Alert, hash: &str, number: usize) -> Result<Incident> {
    let opening =
        Opening { runbook: book.name.clone(), target: target.clone(), trigger: Trigger::Alert(alert), config: hash.to_owned() };
    let id = IncidentId(u64::try_from(number)? + 10_000_000);
    Ok(Incident::open(id, Arc::new(book.clone()), NOW, &opening))
}

/// So many acts over the last month, each of an incident of its own that was cured, but for one in a hundred.
async fn fill(folder: &Path, hash: &str, acts: usize) -> Result<()> {
    let options = SqliteConnectOptions::new().filename(folder.join("journal.db"));
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let mut transaction = connection.begin().await?;
    for number in 0..acts {
        let at = NOW.minus(Duration::from_millis(600_000 + MONTH * (acts - number) as u64 / acts as u64)).millis();
        let (runbook, target) = (format!("cure-{}", number % RUNBOOKS), target(number % RUNBOOKS).to_string());
        let how = if number % 100 == 0 { "handed_over" } else { "cured" };
        sqlx::query(
            "INSERT INTO incidents (id, runbook, target, title, config, opened, updated, seq, stage, closed, how) \
             VALUES ($1, $2, $3, 'Full', $4, $5, $5, 9, $6, $5 + 60000, $6)",
        )
        .bind(number as i64 + 1)
        .bind(&runbook)
        .bind(&target)
        .bind(hash)
        .bind(at)
        .bind(how)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO attempts (incident, seq, runbook, target, at, purpose, acted_on, cost) VALUES ($1, 5, $2, $3, $4, 'do', $3, 1)",
        )
        .bind(number as i64 + 1)
        .bind(&runbook)
        .bind(&target)
        .bind(at)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(())
}
