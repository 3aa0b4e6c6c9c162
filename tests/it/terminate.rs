//! Ending idle sessions on a real PostgreSQL: exactly the ones meant, in both setups, and none where anything stands in the way.
//! A proxy of our own stands in front of the server where a call has to get stuck half way.

use std::collections::BTreeSet;
use std::time::Duration;

use runbook::Span;
use runbook::action::{Action, IdleState, PostgresAction, TerminateIdle};
use runbook::condition::Value;
use runbook::finding::{Attribute, Finding, Seen};
use runbook::identity::Identity;
use runbook::incident::Reply;
use runbook::order::{Order, Verdict};
use runbook::target::TerminateBy;
use sqlx::{Connection, Executor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use xtask::servers::PostgresSettings;

use crate::databases::{Database, PATIENCE, sessions, terminate};

fn words(reply: &Reply) -> &str {
    match reply {
        Reply::Done(words) | Reply::Refused(words) | Reply::Failed(words) | Reply::NoAnswer(words) => words,
    }
}

fn pids(identities: impl IntoIterator<Item = Identity>) -> BTreeSet<i32> {
    let pid = |identity| match identity {
        Identity::Session { pid, .. } => Some(pid),
        _ => None,
    };
    identities.into_iter().filter_map(pid).collect()
}

async fn alive(database: &Database, order: &Order) -> Verdict {
    order.verdict(&database.look(&order.settling_look()).await)
}

/// Waits for the look that settles an order to say that all of it landed.
async fn wait_until_landed(database: &Database, order: &Order) {
    for _ in 0..100 {
        if let Verdict::Landed(_) = alive(database, order).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not landed: {:?}", alive(database, order).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_idle_sessions_are_ended_and_no_other() {
    let database = Database::plain();
    let mut clients = database.clients(4, "app", "backend").await;
    for _ in 0..2 {
        let mut client = database.client("app", "backend").await;
        client.execute("BEGIN; SELECT 1").await.unwrap();
        clients.push(client);
    }
    let mut aborted = database.client("app", "backend").await;
    aborted.execute("BEGIN").await.unwrap();
    aborted.execute("SELECT wrong").await.unwrap_err();
    database.postgres.psql("CREATE ROLE nightly_backup LOGIN; CREATE ROLE follower LOGIN REPLICATION PASSWORD 'x'").unwrap();
    let sacred = [
        database.client("app", "pg_dump").await,
        database.client("app", "keeper").await,
        database.client("postgres", "pgbackrest [backup]").await,
    ];
    let found = database.sessions(10).await;
    assert_eq!(found.number("idle_in_transaction"), Some(3.0));
    let rules = TerminateIdle { keep: 2, never: vec!["application:keeper".into(), "backup".into()], ..terminate(4) };
    let order = database.order(&found, rules).unwrap();
    let wanted = order.order().clone();
    let ended = pids(wanted.selection.iter().cloned());
    assert_eq!(ended.len(), 4);

    let reply = database.act(order).await;
    assert_eq!(reply, Reply::Done("4 of 4 sessions were signalled".into()));
    wait_until_landed(&database, &wanted).await;
    let list = ended.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    database.wait_for_sessions(&format!("pid IN ({list})"), 0);
    database.wait_for_sessions("usename = 'app' AND application_name = 'backend'", 3);
    let log = database.postgres.log();
    for pid in &ended {
        let line = log.lines().find(|line| line.contains(&format!("[{pid}]")) && line.contains("terminating connection"));
        assert!(line.is_some_and(|line| line.contains("app@postgres backend")), "pid {pid}");
    }
    assert_eq!(log.matches("terminating connection due to administrator command").count(), 4);
    for mut client in sacred {
        client.ping().await.unwrap();
    }
    // Our own session carries the incident's number for whoever looks at the server.
    database.wait_for_sessions("application_name = 'runbookd act INC-42'", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superusers_sessions_are_ended_by_the_function() {
    let database = Database::start(&PostgresSettings::default(), TerminateBy::Function, true);
    let action = Action::Postgres(PostgresAction::TerminateIdle(terminate(20)));
    assert_eq!(
        probe::rights(database.connections.looking(), &database.inventory, database.target(), &action, PATIENCE).await,
        Ok(())
    );
    let _clients = database.clients(3, "postgres", "backend").await;
    let _ordinary = database.clients(2, "app", "backend").await;
    let mut dump = database.client("postgres", "pg_dump").await;
    let found = database.sessions(6).await;
    let order = database.order(&found, terminate(20)).unwrap();
    let wanted = order.order().clone();
    assert_eq!(wanted.selection.count(), 5);
    assert_eq!(database.act(order).await, Reply::Done("5 of 5 sessions were signalled".into()));
    wait_until_landed(&database, &wanted).await;
    dump.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superusers_sessions_stay_without_the_function_and_it_is_said() {
    let mut database = Database::plain();
    let mut clients = database.clients(2, "postgres", "backend").await;
    let found = database.sessions(2).await;
    assert_eq!(found.field("superuser_sessions"), Value::Flag(true));
    let reply = database.act(database.order(&found, terminate(20)).unwrap()).await;
    assert!(matches!(&reply, Reply::Refused(words) if words.contains("terminate-as-superuser-function.sql")), "{reply:?}");

    // Of a mixed order the ordinary ones go, and the rest is said.
    let _ordinary = database.clients(1, "app", "backend").await;
    let found = database.sessions(3).await;
    let reply = database.act(database.order(&found, terminate(20)).unwrap()).await;
    assert!(
        matches!(&reply, Reply::Done(words) if words.starts_with("1 of 3") && words.contains("2 a superuser's")),
        "{reply:?}"
    );

    // The function is asked for and not there.
    let port = database.postgres.port();
    database.list("127.0.0.1", port, TerminateBy::Function);
    let found = database.sessions(2).await;
    let reply = database.act(database.order(&found, terminate(20)).unwrap()).await;
    assert!(matches!(&reply, Reply::Refused(words) if words.contains("not in this database")), "{reply:?}");
    let action = Action::Postgres(PostgresAction::TerminateIdle(terminate(20)));
    let rights = probe::rights(database.connections.looking(), &database.inventory, database.target(), &action, PATIENCE).await;
    assert!(rights.unwrap_err().contains("terminate-as-superuser-function.sql"));
    for client in &mut clients {
        client.ping().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_signal_nothing_is_done() {
    let database = Database::plain();
    let mut clients = database.clients(2, "app", "backend").await;
    let found = database.sessions(2).await;
    let action = Action::Postgres(PostgresAction::TerminateIdle(terminate(20)));
    let rights =
        async || probe::rights(database.connections.looking(), &database.inventory, database.target(), &action, PATIENCE).await;
    assert_eq!(rights().await, Ok(()));
    for (role, wanted) in [("pg_signal_backend", "grant pg_signal_backend"), ("pg_monitor", "grant pg_read_all_stats")] {
        database.postgres.psql(&format!("REVOKE {role} FROM runbookd_act")).unwrap();
        assert!(rights().await.unwrap_err().contains(wanted));
        let reply = database.act(database.order(&found, terminate(20)).unwrap()).await;
        assert!(matches!(&reply, Reply::Refused(words) if words.contains(wanted)), "{reply:?}");
    }
    database.postgres.psql("DROP OWNED BY runbookd_act; DROP ROLE runbookd_act").unwrap();
    assert!(rights().await.unwrap_err().contains("does not exist"));
    for client in &mut clients {
        client.ping().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_between_the_look_and_the_act_is_left_alone() {
    let database = Database::plain();
    let mut clients = database.clients(4, "app", "backend").await;
    let only_idle = || TerminateIdle { states: vec![IdleState::Idle], ..terminate(20) };
    let found = database.sessions(4).await;
    let (order, later) = (database.order(&found, only_idle()).unwrap(), database.order(&found, only_idle()).unwrap());

    // One is ended by somebody else, one works again, one opens a transaction, one turns out to be a backup.
    clients.remove(0).close().await.unwrap();
    let mut busy = clients.remove(0);
    let working = tokio::spawn(async move {
        busy.execute("SELECT pg_sleep(60)").await.unwrap_err();
        busy
    });
    clients[0].execute("BEGIN").await.unwrap();
    clients[1].execute("SET application_name = 'pg_dump'").await.unwrap();
    database.wait_for_sessions("application_name = 'backend'", 2);
    database.wait_for_sessions("state = 'active' AND query ~ '^SELECT pg_sleep'", 1);
    let reply = database.act(order).await;
    assert_eq!(reply, Reply::Failed("0 of 4 sessions were signalled, 1 gone already, 2 no longer idle, 1 excluded".into()));
    database.postgres.psql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'").unwrap();
    working.await.unwrap().ping().await.unwrap();
    for client in &mut clients {
        client.execute("SELECT 1").await.unwrap();
    }

    // Once all of them are gone there is nothing left to do, and that is no failure.
    drop(clients);
    database.wait_for_sessions("usename = 'app'", 0);
    assert_eq!(database.act(later).await, Reply::Done("0 of 4 sessions were signalled, 4 gone already".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_used_since_the_look_is_left_alone() {
    let database = Database::plain();
    let mut clients = database.clients(2, "app", "backend").await;
    let mut found = database.sessions(2).await;
    // As if the look had found them idle for long; by the server's own account they were used a moment ago.
    let Finding { seen: Seen::Known { subjects, .. }, .. } = &mut found else { panic!("{found:?}") };
    for subject in subjects {
        subject.attributes.set(Attribute::IdleSeconds, Value::Number(7200.0));
    }
    let by_the_hour = TerminateIdle { idle_for: Span::secs(3600), ..terminate(20) };
    let reply = database.act(database.order(&found, by_the_hour).unwrap()).await;
    assert_eq!(reply, Reply::Failed("0 of 2 sessions were signalled, 2 no longer idle".into()));
    for client in &mut clients {
        client.ping().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_pid_is_not_the_session_that_was_meant() {
    let database = Database::plain();
    let mut clients = database.clients(2, "app", "backend").await;
    let mut found = database.sessions(2).await;
    let Finding { seen: Seen::Known { subjects, .. }, .. } = &mut found else { panic!("{found:?}") };
    for subject in subjects {
        let Identity::Session { backend_start, .. } = &mut subject.identity else { panic!("no session") };
        *backend_start -= 1;
    }
    let order = database.order(&found, terminate(20)).unwrap();
    let wanted = order.order().clone();
    assert_eq!(database.act(order).await, Reply::Done("0 of 2 sessions were signalled, 2 gone already".into()));
    assert!(matches!(alive(&database, &wanted).await, Verdict::Landed(_)));
    for client in &mut clients {
        client.ping().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_when_every_slot_is_taken() {
    let settings = PostgresSettings { max_connections: 12, reserved: 2, ..PostgresSettings::default() };
    let database = Database::start(&settings, TerminateBy::SignalBackend, false);
    let held = database.connections.hold_all(PATIENCE).await;
    assert_eq!(held.len(), 2);
    assert!(held.iter().all(|holding| holding.trouble.is_none()), "{held:?}");
    let mut clients = Vec::new();
    let full = loop {
        match database.try_client("app", "backend").await {
            Ok(client) => clients.push(client),
            Err(error) => break error,
        }
    };
    assert!(full.to_string().contains("reserved"), "{full}");
    let found = database.sessions(8).await;
    assert_eq!((found.number("max"), found.number("reserved"), found.number("total")), (Some(12.0), Some(2.0), Some(10.0)));
    let reply = database.act(database.order(&found, terminate(5)).unwrap()).await;
    assert_eq!(reply, Reply::Done("5 of 5 sessions were signalled".into()));
    database.wait_for_sessions("usename = 'app'", 3);
    database.client("app", "backend").await.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_is_unknown_in_time_and_nothing_lands_later() {
    let database = Database::plain();
    let mut clients = database.clients(2, "app", "backend").await;
    database.connections.hold_all(PATIENCE).await;
    let found = database.sessions(2).await;
    let order = database.order(&found, terminate(20)).unwrap();
    database.postgres.stop().unwrap();
    let begun = xtask::clock::now();
    let blind = database.look_within(&sessions(), Duration::from_secs(1)).await;
    assert!(blind.unknown().is_some_and(|why| why.contains("no answer")), "{blind:?}");
    let acting = database.act(order).await;
    // The connection is asked first whether it is still there, so nothing was ordered, and the reply says so.
    assert!(words(&acting).contains("no answer within") && words(&acting).contains("nothing was"), "{acting:?}");
    assert!(begun.elapsed() < Duration::from_secs(13), "{:?}", begun.elapsed());
    database.postgres.cont().unwrap();
    // The held connections come back without a new login, and what was asked for too late was not done.
    let found = database.sessions(2).await;
    assert_eq!(found.number("idle"), Some(2.0));
    for client in &mut clients {
        client.ping().await.unwrap();
    }
    // That was activity; once they are idle again, the same connection acts.
    let found = database.sessions(2).await;
    let reply = database.act(database.order(&found, terminate(20)).unwrap()).await;
    assert_eq!(reply, Reply::Done("2 of 2 sessions were signalled".into()));
}

/// What only the statement that signals has among its values.
const SIGNALLING: &[u8] = b"idle in transaction (aborted)";

/// A proxy in front of the server. While `hold` is true, a statement that signals gets stuck in it.
async fn proxy(behind: u16, hold: watch::Receiver<bool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", behind)).await.unwrap();
            tokio::spawn(pass(client, server, hold.clone()));
        }
    });
    port
}

async fn pass(mut client: TcpStream, mut server: TcpStream, mut hold: watch::Receiver<bool>) -> std::io::Result<()> {
    let (mut asked, mut answered) = (vec![0; 65536], vec![0; 65536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let bytes = &asked[..read?];
                if bytes.is_empty() { return Ok(()) }
                if bytes.windows(SIGNALLING.len()).any(|window| window == SIGNALLING) {
                    let _ = hold.wait_for(|hold| !hold).await;
                }
                server.write_all(bytes).await?;
            }
            read = server.read(&mut answered) => {
                let bytes = &answered[..read?];
                if bytes.is_empty() { return Ok(()) }
                client.write_all(bytes).await?;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_got_stuck_on_the_way_does_nothing_after_its_deadline() {
    let mut database = Database::plain();
    let (hold, held) = watch::channel(false);
    let port = proxy(database.postgres.port(), held).await;
    database.list("127.0.0.1", port, TerminateBy::SignalBackend);
    let mut clients = database.clients(2, "app", "backend").await;
    let found = database.sessions(2).await;
    let order = database.order(&found, terminate(20)).unwrap();
    let wanted = order.order().clone();
    hold.send(true).unwrap();
    let reply = database.act(order).await;
    assert!(matches!(reply, Reply::NoAnswer(_)), "{reply:?}");
    hold.send(false).unwrap();
    // It arrives and runs now, and finds that it is too late.
    database.wait_for_sessions("usename = 'runbookd_act' AND state = 'idle' AND query ~ '^WITH found'", 1);
    assert!(matches!(alive(&database, &wanted).await, Verdict::NotLanded(_)));
    // The same connection then serves the next order, and the late answer is not taken for its own.
    let reply = database.act(database.order(&database.sessions(2).await, terminate(20)).unwrap()).await;
    assert_eq!(reply, Reply::Done("2 of 2 sessions were signalled".into()));
    for client in &mut clients {
        client.ping().await.unwrap_err();
    }
    // One login to act, all along.
    assert_eq!(database.postgres.log().matches("connection authorized: user=runbookd_act").count(), 1);
}
