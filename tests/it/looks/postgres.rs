//! PostgreSQL: sessions, their absence and their invisibility, a full server, evidence, and connections that come back.

use std::time::Duration;

use connect::Side;
use runbook::condition::Value;
use runbook::finding::{Attribute, Subject};
use runbook::identity::{Identity, Selection};
use runbook::order::{Order, Purpose};
use runbook::probe::{PostgresProbe, Probe};
use runbook::target::{Place, TerminateBy};
use sqlx::Executor;
use xtask::servers::PostgresSettings;

use super::{assert_all_seen, assert_fields, listed, look};
use crate::databases::{Database, PATIENCE, sessions, terminate};

const FULL: Probe = Probe::Postgres(PostgresProbe::Answering);

#[tokio::test(flavor = "multi_thread")]
async fn postgres_sessions_are_seen_as_the_server_shows_them() {
    let database = Database::plain();
    let mut clients = database.clients(3, "app", "backend").await;
    clients[0].execute("BEGIN").await.unwrap();
    let strange = "odd\u{202e}\u{1b}[31m \"name\"";
    database.postgres.psql(&format!("CREATE ROLE \"{}\" LOGIN PASSWORD 'app'", strange.replace('"', "\"\""))).unwrap();
    let _strange = database.client("postgres", "$(reboot); DROP TABLE x").await;
    let found = database.sessions(4).await;
    assert_all_seen(&found, &[]);
    assert_eq!(found.number("idle"), Some(3.0));
    assert_eq!(found.number("idle_in_transaction"), Some(1.0));
    assert_eq!(found.number("max"), Some(30.0));
    assert_eq!(found.number("used_ratio"), found.number("total").map(|total| total / 30.0));
    assert_eq!(found.field("top_application"), Value::Text("backend".into()));
    assert_eq!(found.number("top_application_sessions"), Some(3.0));
    assert_eq!(found.field("superuser_sessions"), Value::Flag(true));
    let subjects = found.subjects();
    assert_eq!(subjects.len(), 4);
    let all = [
        Attribute::Application,
        Attribute::BackendType,
        Attribute::Client,
        Attribute::Database,
        Attribute::IdleSeconds,
        Attribute::Replication,
        Attribute::State,
        Attribute::Superuser,
        Attribute::User,
    ];
    for subject in subjects {
        assert_eq!(subject.attributes.iter().map(|(attribute, _)| attribute).collect::<Vec<_>>(), all);
        assert!(!subject.words.contains(char::is_control));
    }
    let idle = |subject: &Subject| subject.attributes.number(Attribute::IdleSeconds).unwrap();
    assert!(subjects.is_sorted_by(|a, b| idle(a) >= idle(b)), "oldest first");

    let alive = |ids: Vec<Identity>| Probe::Postgres(PostgresProbe::Alive(ids));
    let mut asked: Vec<Identity> = subjects.iter().map(|subject| subject.identity.clone()).collect();
    asked.push(Identity::Session { pid: 1, backend_start: 0 });
    let finding = database.look(&alive(asked)).await;
    assert_all_seen(&finding, &[]);
    assert_eq!(finding.number("alive"), Some(4.0));
    let finding = database.look(&alive(vec![Identity::Rehearsal("key".into())])).await;
    assert!(finding.unknown().is_some_and(|why| why.contains("no session")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_seen_while_it_runs() {
    let database = Database::plain();
    assert_eq!(database.look(&sessions()).await.field("backup_running"), Value::Flag(false));
    let dumping = database.client("app", "pg_dump").await;
    assert_eq!(database.look(&sessions()).await.field("backup_running"), Value::Flag(true));
    drop(dumping);
    database.wait_for_sessions("application_name = 'pg_dump'", 0);
    assert_eq!(database.look(&sessions()).await.field("backup_running"), Value::Flag(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_see_sessions_are_unknown_and_not_absent() {
    let database = Database::plain();
    let _clients = database.clients(2, "app", "backend").await;
    let seen = database.sessions(2).await;
    database.postgres.psql("REVOKE pg_monitor FROM runbookd_look").unwrap();
    let alive = Probe::Postgres(PostgresProbe::Alive(seen.subjects().iter().map(|s| s.identity.clone()).collect()));
    for probe in [sessions(), alive] {
        let finding = database.look(&probe).await;
        assert!(finding.unknown().is_some_and(|why| why.contains("grant pg_read_all_stats")), "{finding:?}");
        assert_eq!(finding.subjects(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_is_full_and_a_stopped_one_is_down() {
    let settings = PostgresSettings { max_connections: 8, reserved: 2, ..PostgresSettings::default() };
    let mut database = Database::start(&settings, TerminateBy::SignalBackend, false);
    let finding = database.look(&FULL).await;
    assert_all_seen(&finding, &[]);
    assert_eq!((finding.field("answering"), finding.field("reason")), (Value::Flag(true), Value::Text(String::new())));
    database.connections.hold_all(PATIENCE).await;
    let mut clients = Vec::new();
    while let Ok(client) = database.try_client("app", "backend").await {
        clients.push(client);
    }
    let finding = database.look(&FULL).await;
    assert_fields(&finding);
    assert_eq!((finding.field("answering"), finding.field("full")), (Value::Flag(false), Value::Flag(true)));
    assert_eq!(finding.field("reason"), Value::Text("full".into()));
    assert!(database.look(&sessions()).await.unknown().is_none(), "the held connection still sees");

    database.secrets().write("look", "wrong\n").unwrap();
    drop(clients);
    database.wait_for_sessions("usename = 'app'", 0);
    let finding = database.look(&FULL).await;
    assert_eq!(finding.field("reason"), Value::Text("login refused".into()), "the secret is read at each login");
    std::fs::remove_file(database.secrets().join("look")).unwrap();
    let finding = database.look(&FULL).await;
    assert!(finding.unknown().is_some_and(|why| why.contains("cannot read the secret")), "{finding:?}");

    database.secrets().write("look", "look's own").unwrap();
    database.postgres.shut_down();
    let finding = database.look(&FULL).await;
    assert_fields(&finding);
    assert_eq!((finding.field("answering"), finding.field("full")), (Value::Flag(false), Value::Flag(false)));
    assert_eq!(finding.field("reason"), Value::Text("refused".into()));
    assert!(database.look(&sessions()).await.unknown().is_some());
    assert!(database.connections.held().iter().any(|holding| holding.side == Side::Look && holding.trouble.is_some()));

    // It is opened again by whoever looks next, without a word from anybody.
    database.postgres.start_again().unwrap();
    assert!(database.look(&sessions()).await.unknown().is_none());
    assert!(database.connections.held().iter().any(|holding| holding.side == Side::Look && holding.trouble.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_opened_again_while_nobody_looks() {
    let database = Database::plain();
    database.connections.hold_all(PATIENCE).await;
    database.postgres.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'runbookd%'").unwrap();
    database.wait_for_sessions("usename LIKE 'runbookd%'", 0);
    let question = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'runbookd%'";
    xtask::clock::wait_for("both connections", Duration::from_secs(20), || {
        Ok((database.postgres.psql(question)? == "2").then_some(()))
    })
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_in_errors_or_debug_output() {
    let mut database = Database::plain();
    database.secrets().write("look", "hunter2secret").unwrap();
    let port = database.postgres.port();
    database.list("127.0.0.1", port, TerminateBy::SignalBackend);
    let held = database.connections.hold_all(PATIENCE).await;
    let finding = database.look(&sessions()).await;
    let told = format!("{held:?} {finding:?} {:?}", database.connections);
    assert!(!told.contains("hunter2"), "{told}");
    assert!(finding.unknown().is_some_and(|why| why.contains("password authentication failed")), "{finding:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_kept_with_its_locks_and_without_its_values() {
    let database = Database::plain();
    database.postgres.psql("CREATE TABLE orders (id int); GRANT ALL ON orders TO app").unwrap();
    let mut client = database.client("app", "backend").await;
    client.execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE; SELECT 'geheim', 4711").await.unwrap();
    let blocked = database.client("app", "waiter").await;
    let waiting = tokio::spawn(async move {
        let mut blocked = blocked;
        blocked.execute("SELECT * FROM orders").await.map(|_| ())
    });
    database.wait_for_sessions("wait_event_type = 'Lock'", 1);
    let found = database.sessions(1).await;
    let selection = Selection::of(found.subjects().iter().map(|subject| subject.identity.clone())).unwrap();
    let action = runbook::action::Action::Postgres(runbook::action::PostgresAction::TerminateIdle(terminate(20)));
    let order = Order { purpose: Purpose::Do, action, target: database.target().id.clone(), selection };
    let pieces = probe::capture(database.connections.looking(), &database.inventory, &order, PATIENCE).await;
    let names: Vec<&str> = pieces.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["sessions", "locks"]);
    let text = |at: usize| String::from_utf8(pieces[at].1.clone().unwrap()).unwrap();
    let (seen, locks) = (text(0), text(1));
    assert!(seen.contains("idle in transaction") && seen.contains("LOCK TABLE orders"), "{seen}");
    assert!(!seen.contains("geheim") && !seen.contains("4711"), "{seen}");
    assert!(locks.contains("AccessExclusiveLock") && locks.contains("orders"), "{locks}");
    assert!(locks.contains("waiter") && locks.contains("blocked_by"), "{locks}");
    client.execute("ROLLBACK").await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_tls_is_demanded_nothing_is_sent_without_it() {
    let database = Database::plain();
    let mut demanding = database.target().clone();
    let Place::Postgres { tls, .. } = &mut demanding.place else { panic!("no PostgreSQL") };
    *tls = true;
    let (inventory, connections) = listed([demanding]);
    let finding = look(&connections, &inventory, "postgres/main", FULL).await;
    assert_eq!((finding.field("answering"), finding.field("reason")), (Value::Flag(false), Value::Text("other".into())));
    let finding = look(&connections, &inventory, "postgres/main", sessions()).await;
    assert!(finding.unknown().is_some(), "{finding:?}");
    assert!(!database.postgres.log().contains("runbookd_look"), "no login was tried in the clear");
}
