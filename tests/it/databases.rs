//! A private PostgreSQL with the roles of `deploy/sql`, clients that sit idle in it, and the whole way from a look over a decision
//! to a committed order. Why here: looks and terminations are tried against the same server in the same two setups.
//! Deliberately nothing is asserted here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use connect::Connections;
use policy::{Case, Committed, Decision, History, Pause};
use runbook::action::{Action, IdleState, PostgresAction, TerminateIdle};
use runbook::book::{Configuration, Limits, Look, Mode, ModeByTime, Remedy, Runbook, Step, Verify};
use runbook::condition::Condition;
use runbook::finding::{Finding, Findings};
use runbook::incident::{Aim, Captured, Event, Incident, IncidentId, Opening, StepRef, Trigger};
use runbook::probe::{DockerProbe, PostgresProbe, Probe, Sessions};
use runbook::target::{Class, Inventory, Login, Place, SecretRef, Target, TargetSelector, TerminateBy, Traits};
use runbook::{Span, Stamp};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use xtask::servers::{Postgres, PostgresSettings, Scratch};

/// Long enough for a busy machine, short enough for a test.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Sessions idle for this long count.
pub const IDLE_FOR: Span = Span::millis(300);

pub fn now() -> Stamp {
    Stamp::from_millis(xtask::clock::wall_millis())
}

pub fn traits() -> Traits {
    Traits { depends_on: vec![], stateful: true, may_be_cloned: false, class: Class::P1, owner: "team".into() }
}

pub fn target(id: &str, place: Place) -> Target {
    Target { id: id.parse().unwrap(), traits: traits(), place, known_as: vec![] }
}

fn sql(name: &str) -> PathBuf {
    xtask::paths::root().join("deploy/sql").join(name)
}

/// A server, what the inventory says of it, and connections to it.
pub struct Database {
    pub postgres: Postgres,
    pub inventory: Inventory,
    pub connections: Connections,
    scratch: Scratch,
}

impl Database {
    /// A server whose roles are those of `deploy/sql`, the function included where it is asked for.
    pub fn start(settings: &PostgresSettings, by: TerminateBy, function: bool) -> Self {
        let postgres = Postgres::start_with(settings).unwrap();
        postgres.psql("CREATE ROLE app LOGIN PASSWORD 'app'").unwrap();
        postgres.psql_file("postgres", &sql("look.sql"), &[("look_password", "look's own")]).unwrap();
        postgres.psql_file("postgres", &sql("act-terminate.sql"), &[("act_password", "act's own")]).unwrap();
        if function {
            postgres.psql_file("postgres", &sql("terminate-as-superuser-function.sql"), &[]).unwrap();
        }
        let scratch = Scratch::new("secrets").unwrap();
        scratch.write("look", "look's own\n").unwrap();
        scratch.write("act", "act's own").unwrap();
        let mut database =
            Self { inventory: Inventory::default(), connections: Connections::new(&Inventory::default()), postgres, scratch };
        let port = database.postgres.port();
        database.list("127.0.0.1", port, by);
        database
    }

    pub fn plain() -> Self {
        Self::start(&PostgresSettings::default(), TerminateBy::SignalBackend, false)
    }

    /// Lists the server at this address in the inventory, and makes connections anew.
    pub fn list(&mut self, host: &str, port: u16, by: TerminateBy) {
        let login = |user: &str, file: &str| Login {
            user: user.to_owned(),
            password: SecretRef::File(self.scratch.join(file).display().to_string()),
        };
        let place = Place::Postgres {
            host: host.to_owned(),
            port,
            database: "postgres".into(),
            tls: false,
            look: login("runbookd_look", "look"),
            act: Some(login("runbookd_act", "act")),
            terminate_by: by,
        };
        self.inventory = Inventory::new([target("postgres/main", place)]);
        self.connections = Connections::new(&self.inventory);
    }

    pub fn secrets(&self) -> &Scratch {
        &self.scratch
    }

    pub fn target(&self) -> &Target {
        self.inventory.iter().next().unwrap()
    }

    /// Opens a client of this user, with a name, over TCP.
    pub async fn client(&self, user: &str, application: &str) -> PgConnection {
        self.try_client(user, application).await.unwrap()
    }

    pub async fn try_client(&self, user: &str, application: &str) -> Result<PgConnection, sqlx::Error> {
        let password = if user == "app" { "app" } else { self.postgres.password() };
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.postgres.port())
            .username(user)
            .password(password)
            .database("postgres")
            .application_name(application)
            .connect()
            .await
    }

    /// So many idle clients of this user.
    pub async fn clients(&self, count: usize, user: &str, application: &str) -> Vec<PgConnection> {
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(self.client(user, application).await);
        }
        clients
    }

    pub async fn look(&self, probe: &Probe) -> Finding {
        self.look_within(probe, PATIENCE).await
    }

    pub async fn look_within(&self, probe: &Probe, deadline: Duration) -> Finding {
        probe::look(self.connections.looking(), &self.inventory, self.target(), probe, now, deadline).await
    }

    /// The sessions, once at least so many are idle for long enough.
    pub async fn sessions(&self, idle: usize) -> Finding {
        let probe = sessions();
        for _ in 0..250 {
            let finding = self.look(&probe).await;
            let counted = finding.number("idle").unwrap_or(0.0) + finding.number("idle_in_transaction").unwrap_or(0.0);
            if counted >= idle as f64 {
                return finding;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{idle} sessions were to be idle: {:?}", self.look(&probe).await);
    }

    /// Waits until the server shows exactly so many sessions for this condition.
    pub fn wait_for_sessions(&self, condition: &str, count: usize) {
        let question = format!("SELECT count(*) FROM pg_stat_activity WHERE {condition}");
        xtask::clock::wait_for(&question, PATIENCE, || {
            let counted = self.postgres.psql(&question)?;
            Ok((counted == count.to_string()).then_some(()))
        })
        .unwrap();
    }

    /// Decides on what was seen, and commits what is decided. `Err` holds the decision where it is not to act.
    pub fn order(&self, sessions: &Finding, terminate: TerminateIdle) -> Result<Committed, String> {
        commit(&self.inventory, self.target(), sessions, Action::Postgres(PostgresAction::TerminateIdle(terminate)))
    }

    pub async fn act(&self, order: Committed) -> runbook::incident::Reply {
        action::act(self.connections.acting(), &self.inventory, order).await
    }
}

pub fn sessions() -> Probe {
    Probe::Postgres(PostgresProbe::Sessions(Sessions { idle_for: IDLE_FOR }))
}

pub fn terminate(at_most: u32) -> TerminateIdle {
    TerminateIdle {
        idle_for: IDLE_FOR,
        at_most,
        keep: 0,
        states: vec![IdleState::Idle, IdleState::IdleInTransaction],
        never: vec![],
    }
}

/// Decides a case in which every guard but the selection is open, and commits the permit as the journal would.
pub fn commit(inventory: &Inventory, target: &Target, sessions: &Finding, action: Action) -> Result<Committed, String> {
    let (probe, always) = match &action {
        Action::Docker(_) => (Probe::Docker(DockerProbe::Service), "sessions.replicas >= 0"),
        _ => (self::sessions(), "sessions.total >= 0"),
    };
    let always = || Condition::parse(always).unwrap();
    let step = Step { action, target: None, until: None, at_most_for: None, only_while: None, silence: vec![] };
    let verify = Verify { until: always(), within: Span::secs(60), hold: Span::secs(0) };
    let book = Runbook {
        name: "book".into(),
        summary: "tried by a test".into(),
        matches: None,
        target: TargetSelector::Named(target.id.clone()),
        priority: 0,
        mode: ModeByTime::always(Mode::Auto),
        limits: Limits { cooldown: Span::secs(0), rate: vec![], recurrence: None },
        look: [("sessions".to_owned(), Look { probe, target: None })].into(),
        require: always(),
        remedies: vec![Remedy { name: "rung".into(), when: None, mode: None, steps: vec![step], verify, guard: None }],
    };
    let current = Configuration {
        runbooks: [("book".to_owned(), book.clone())].into_iter().collect(),
        inventory: inventory.clone(),
        ..Configuration::default()
    };
    let trigger = Trigger::Person { by: "test".into(), words: "try it".into() };
    let opening = Opening { runbook: "book".into(), target: target.id.clone(), trigger, config: String::new() };
    let mut incident = Incident::open(IncidentId(42), Arc::new(book), now(), &opening);
    let findings = Findings { looks: [("sessions".to_owned(), sessions.clone())].into(), ..Findings::default() };
    incident.apply(now(), &Event::Looked { findings: findings.clone() }).unwrap();
    let captured = Captured { evidence: vec!["hash".into()], missing: vec![] };
    incident.apply(now(), &Event::EvidenceCaptured { at: StepRef { rung: 0, step: 0 }, captured }).unwrap();
    let case = Case {
        incident: &incident,
        aim: Aim::Do,
        findings: &findings,
        now: now(),
        current: &current,
        pause: &Pause::default(),
        history: &History::default(),
        clock_doubted_until: None,
        held_by: None,
        ask_id: "ask",
    };
    match policy::decide(&case).decision {
        #[expect(clippy::disallowed_methods, reason = "there is no journal in this test; the order is tried by itself")]
        Decision::Act(permit) => Ok(permit.commit(now().plus(Duration::from_secs(60)))),
        other => Err(format!("{other:?}")),
    }
}
