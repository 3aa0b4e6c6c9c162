//! Every look against the real server it is for: exactly the fields of its table when it sees, *unknown* when it cannot see, and
//! never nothing wrong where the rights to see are missing.

use std::time::Duration;

use connect::{Connections, Side};
use runbook::condition::Value;
use runbook::finding::{Finding, Seen, fields};
use runbook::identity::{Identity, Selection};
use runbook::order::{Order, Purpose};
use runbook::probe::{DockerProbe, HttpProbe, PostgresProbe, Probe, PrometheusProbe, Query, QueueProbe, RabbitmqProbe, RedisProbe};
use runbook::target::{Inventory, Login, Place, SecretRef, Target, TerminateBy};
use sqlx::Executor;
use xtask::servers::{PostgresSettings, Prometheus, RabbitMq, Redis, Scratch, free_port};

use crate::databases::{Database, PATIENCE, now, sessions, target, terminate};

/// The finding has exactly the fields of its table, of their types or unknown.
fn assert_fields(finding: &Finding) {
    let Seen::Known { fields: seen, .. } = &finding.seen else { panic!("{finding:?}") };
    let table = fields(&finding.probe);
    let wanted: Vec<&str> = table.iter().map(|field| field.name).collect();
    let mut names: Vec<&str> = seen.keys().map(String::as_str).collect();
    names.sort_by_key(|name| wanted.iter().position(|wanted| wanted == name));
    assert_eq!(names, wanted, "{}", finding.probe);
}

/// The same, and nothing is unknown but what is named.
fn assert_all_seen(finding: &Finding, except: &[&str]) {
    assert_fields(finding);
    for field in fields(&finding.probe) {
        let value = finding.field(field.name);
        assert_eq!(value.unknown().is_some(), except.contains(&field.name), "{}.{}: {value:?}", finding.probe, field.name);
    }
}

async fn look(connections: &Connections, inventory: &Inventory, id: &str, probe: Probe) -> Finding {
    let target = inventory.get(&id.parse().unwrap()).unwrap();
    probe::look(connections.looking(), inventory, target, &probe, now, PATIENCE).await
}

fn listed(targets: impl IntoIterator<Item = Target>) -> (Inventory, Connections) {
    let inventory = Inventory::new(targets);
    let connections = Connections::new(&inventory);
    (inventory, connections)
}

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
    let names = ["application", "backend_type", "client", "database", "idle_seconds", "replication", "state", "superuser", "user"];
    for subject in subjects {
        assert_eq!(subject.attributes.keys().collect::<Vec<_>>(), names);
        assert!(!subject.words.contains(char::is_control));
    }
    let idle = |subject: &runbook::finding::Subject| match subject.attributes["idle_seconds"] {
        Value::Number(seconds) => seconds,
        _ => f64::NAN,
    };
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

fn redis_target(port: u16, look: Option<Login>) -> Target {
    target("redis/cache", Place::Redis { host: "127.0.0.1".into(), port, tls: false, look, act: None })
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_seen_refused_and_down() {
    let (answering, memory) = (Probe::Redis(RedisProbe::Answering), Probe::Redis(RedisProbe::Memory));
    let mut redis = Redis::start_with(&[("maxmemory", "100mb"), ("maxmemory-policy", "allkeys-lru"), ("requirepass", "sesame")]).unwrap();
    let scratch = Scratch::new("secrets").unwrap();
    let password = |name: &str, text: &str| {
        let file = scratch.write(name, text).unwrap();
        Some(Login { user: "default".into(), password: SecretRef::File(file.display().to_string()) })
    };
    let (inventory, connections) = listed([redis_target(redis.port(), password("right", "sesame\n"))]);
    let finding = look(&connections, &inventory, "redis/cache", answering.clone()).await;
    assert_all_seen(&finding, &[]);
    assert_eq!((finding.field("answering"), finding.field("role")), (Value::Flag(true), Value::Text("master".into())));
    let finding = look(&connections, &inventory, "redis/cache", memory.clone()).await;
    assert_all_seen(&finding, &[]);
    assert_eq!((finding.number("max_bytes"), finding.field("policy")), (Some(104_857_600.0), Value::Text("allkeys-lru".into())));

    let (inventory, wrong) = listed([redis_target(redis.port(), password("wrong", "wrong"))]);
    for probe in [&answering, &memory] {
        let finding = look(&wrong, &inventory, "redis/cache", probe.clone()).await;
        assert!(finding.unknown().is_some_and(|why| !why.contains("sesame")), "{finding:?}");
    }

    redis.stop().unwrap();
    let target = inventory.iter().next().unwrap();
    let hung = probe::look(connections.looking(), &inventory, target, &memory, now, Duration::from_millis(500)).await;
    assert!(hung.unknown().is_some_and(|why| why.contains("no answer")), "{hung:?}");
    redis.cont().unwrap();

    redis.shut_down();
    let finding = look(&connections, &inventory, "redis/cache", answering).await;
    assert_fields(&finding);
    assert_eq!(finding.field("answering"), Value::Flag(false));
    assert!(look(&connections, &inventory, "redis/cache", memory).await.unknown().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_without_a_limit_has_no_used_ratio() {
    let redis = Redis::start().unwrap();
    let (inventory, connections) = listed([redis_target(redis.port(), None)]);
    let finding = look(&connections, &inventory, "redis/cache", Probe::Redis(RedisProbe::Memory)).await;
    assert_all_seen(&finding, &["used_ratio"]);
}

fn broker(port: u16, management: u16, vhost: &str, login: Login) -> Target {
    target("rabbitmq/broker", Place::Rabbitmq {
        host: "127.0.0.1".into(),
        port,
        management: format!("http://127.0.0.1:{management}"),
        vhost: vhost.into(),
        look: login,
        act: None,
    })
}

fn queue(name: &str) -> Target {
    target("queue/work", Place::Queue { broker: "rabbitmq/broker".parse().unwrap(), queue: name.into() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_and_its_queue_are_seen_by_both_ways_in() {
    let (answering, depth) = (Probe::Rabbitmq(RabbitmqProbe::Answering), Probe::Queue(QueueProbe::Depth));
    let rabbit = RabbitMq::start().unwrap();
    let scratch = Scratch::new("secrets").unwrap();
    let password = |text: &str| SecretRef::File(scratch.write("rabbit", text).unwrap().display().to_string());
    let login = Login { user: rabbit.user().into(), password: password(rabbit.password()) };
    // A virtual host and a queue whose names have to be escaped.
    rabbit.api("PUT", "/api/vhosts/%2F", None).unwrap();
    let rights = serde_json::json!({"configure": ".*", "write": ".*", "read": ".*"});
    rabbit.api("PUT", &format!("/api/permissions/%2F/{}", rabbit.user()), Some(&rights)).unwrap();
    let name = "work/eu %2F";
    let path = "/api/queues/%2F/work%2Feu%20%252F";
    rabbit.api("PUT", path, Some(&serde_json::json!({"durable": true}))).unwrap();
    for _ in 0..3 {
        let message = serde_json::json!({"properties": {}, "routing_key": name, "payload": "x", "payload_encoding": "string"});
        rabbit.api("POST", "/api/exchanges/%2F/amq.default/publish", Some(&message)).unwrap();
    }
    let at = |login: &Login| [broker(rabbit.port(), rabbit.management_port(), "/", login.clone()), queue(name)];
    let (inventory, connections) = listed(at(&login));
    let mut finding = look(&connections, &inventory, "queue/work", depth.clone()).await;
    for _ in 0..100 {
        if finding.number("ready") == Some(3.0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        finding = look(&connections, &inventory, "queue/work", depth.clone()).await;
    }
    assert_all_seen(&finding, &[]);
    let numbers = ["ready", "unacknowledged", "messages", "consumers", "amqp_ready"].map(|name| finding.number(name));
    assert_eq!(numbers, [Some(3.0), Some(0.0), Some(3.0), Some(0.0), Some(3.0)]);
    assert_eq!(finding.field("state"), Value::Text("running".into()));
    let finding = look(&connections, &inventory, "rabbitmq/broker", answering.clone()).await;
    assert_all_seen(&finding, &[]);
    assert_eq!((finding.field("amqp"), finding.field("management"), finding.field("alarm")), (Value::Flag(true), Value::Flag(true), Value::Flag(false)));
    assert_eq!(finding.number("messages"), Some(3.0));

    rabbit.ctl(&["set_vm_memory_high_watermark", "0.000001"]).unwrap();
    let mut finding = look(&connections, &inventory, "rabbitmq/broker", answering.clone()).await;
    for _ in 0..100 {
        if finding.field("alarm") == Value::Flag(true) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        finding = look(&connections, &inventory, "rabbitmq/broker", answering.clone()).await;
    }
    assert_eq!(finding.field("alarm"), Value::Flag(true));

    let missing = Inventory::new([at(&login)[0].clone(), queue("no such queue")]);
    let finding = look(&connections, &missing, "queue/work", depth.clone()).await;
    assert!(finding.unknown().is_some_and(|why| why.contains("there is no queue")), "{finding:?}");

    let wrong = Login { user: login.user.clone(), password: SecretRef::Env("PATH".into()) };
    let (inventory, refused) = listed(at(&wrong));
    let finding = look(&refused, &inventory, "rabbitmq/broker", answering.clone()).await;
    assert_eq!((finding.field("amqp"), finding.field("management")), (Value::Flag(false), Value::Flag(false)));
    assert!(look(&refused, &inventory, "queue/work", depth.clone()).await.unknown().is_some());

    let (inventory, connections) = listed(at(&login));
    drop(rabbit);
    let finding = look(&connections, &inventory, "rabbitmq/broker", answering).await;
    assert_fields(&finding);
    assert_eq!((finding.field("amqp"), finding.field("management")), (Value::Flag(false), Value::Flag(false)));
    assert!(look(&connections, &inventory, "queue/work", depth).await.unknown().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_and_http_are_seen_and_down() {
    let prometheus = Prometheus::start("global: {scrape_interval: 1s}\n", &[]).unwrap();
    let places = |url: String| {
        let page = Place::Http { url: format!("{url}/-/healthy"), expect: 200 };
        let moved = Place::Http { url: format!("{url}/"), expect: 200 };
        [target("prometheus/main", Place::Prometheus { url, token: None }), target("http/page", page), target("http/moved", moved)]
    };
    let (inventory, connections) = listed(places(prometheus.url()));
    let query = |expr: &str| Probe::Prometheus(PrometheusProbe::Query(Query { expr: expr.into() }));
    let ready = look(&connections, &inventory, "prometheus/main", Probe::Prometheus(PrometheusProbe::Ready)).await;
    assert_all_seen(&ready, &[]);
    assert_eq!(ready.field("ready"), Value::Flag(true));
    let table = [
        ("1 + 1", Ok(2.0)),
        ("vector(3)", Ok(3.0)),
        ("no_such_metric", Err("no data")),
        ("vector(1) or label_replace(vector(2), \"a\", \"b\", \"\", \"\")", Err("2 series")),
        ("vector(0) / 0", Err("NaN")),
        ("vector(1)[5m:1m]", Err("a matrix")),
    ];
    for (expr, wanted) in table {
        let finding = look(&connections, &inventory, "prometheus/main", query(expr)).await;
        assert_fields(&finding);
        match (finding.field("value"), wanted) {
            (Value::Number(number), Ok(wanted)) => assert_eq!(number, wanted, "{expr}"),
            (Value::Unknown(why), Err(wanted)) => assert!(why.contains(wanted), "{expr}: {why}"),
            other => panic!("{expr}: {other:?}"),
        }
    }
    let wrong = look(&connections, &inventory, "prometheus/main", query("sum(")).await;
    assert!(wrong.unknown().is_some_and(|why| why.contains("parse error")), "{wrong:?}");
    let get = Probe::Http(HttpProbe::Get);
    let page = look(&connections, &inventory, "http/page", get.clone()).await;
    assert_all_seen(&page, &[]);
    assert_eq!((page.field("expected"), page.number("status")), (Value::Flag(true), Some(200.0)));
    let moved = look(&connections, &inventory, "http/moved", get.clone()).await;
    assert_eq!((moved.field("expected"), moved.number("status")), (Value::Flag(false), Some(302.0)), "no redirect is followed");

    // Nobody listens there.
    let (inventory, connections) = listed(places(format!("http://127.0.0.1:{}", free_port().unwrap())));
    let page = look(&connections, &inventory, "http/page", get).await;
    assert_fields(&page);
    assert_eq!((page.field("answering"), page.field("expected")), (Value::Flag(false), Value::Flag(false)));
    assert!(look(&connections, &inventory, "prometheus/main", query("1")).await.unknown().is_some());
}

/// A container's name and labels are taken away with it, also when the test fails.
struct Containers<'a>(&'a xtask::engine::Engine, Vec<String>);

impl Drop for Containers<'_> {
    fn drop(&mut self) {
        for id in &self.1 {
            let _ = self.0.run(&["rm", "--force", id]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_and_its_services_are_seen_by_their_labels() {
    let engine = xtask::engine::ensure().unwrap();
    xtask::engine::ensure_tiny(&engine).unwrap();
    let project = format!("looks{}", std::process::id());
    let (of, service) = (format!("com.docker.compose.project={project}"), "com.docker.compose.service=worker");
    let run = |more: &[&str]| {
        let mut arguments = vec!["run", "--detach", "--network", "none", "--label", &of, "--label", service];
        arguments.extend(["--label", "com.docker.compose.oneoff=False"]);
        arguments.extend(more);
        engine.run(&arguments).unwrap()
    };
    let mut containers = Containers(&engine, vec![]);
    containers.1.push(run(&[xtask::engine::TINY]));
    containers.1.push(run(&["--health-cmd", "exit 1", "--health-interval", "1s", "--health-retries", "1", xtask::engine::TINY]));
    containers.1.push(run(&[xtask::engine::TINY, "false"]));
    let place = |look: String| Place::Engine { look, act: None };
    let worker = Place::Service { engine: "engine/main".parse().unwrap(), project, service: "worker".into() };
    let (inventory, connections) = listed([target("engine/main", place(engine.host())), target("service/worker", worker.clone())]);
    let finding = look(&connections, &inventory, "engine/main", Probe::Docker(DockerProbe::Engine)).await;
    assert_all_seen(&finding, &[]);
    assert_eq!(finding.field("answering"), Value::Flag(true));
    let look_at_service = || look(&connections, &inventory, "service/worker", Probe::Docker(DockerProbe::Service));
    let mut finding = look_at_service().await;
    for _ in 0..100 {
        if finding.number("unhealthy") == Some(1.0) && finding.number("exited") == Some(1.0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        finding = look_at_service().await;
    }
    assert_all_seen(&finding, &[]);
    let numbers = ["replicas", "running", "healthy", "unhealthy", "restarting", "exited", "restarts"].map(|name| finding.number(name));
    assert_eq!(numbers, [3.0, 2.0, 1.0, 1.0, 0.0, 1.0, 0.0].map(Some));
    assert!(finding.subjects().iter().all(|subject| matches!(&subject.identity, Identity::Container { id, started_at } if id.len() == 64 && !started_at.is_empty())));

    let (inventory, connections) = listed([target("engine/main", place("unix:///nowhere/docker.sock".into())), target("service/worker", worker)]);
    let finding = look(&connections, &inventory, "engine/main", Probe::Docker(DockerProbe::Engine)).await;
    assert_fields(&finding);
    assert_eq!(finding.field("answering"), Value::Flag(false));
    assert!(look(&connections, &inventory, "service/worker", Probe::Docker(DockerProbe::Service)).await.unknown().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_is_only_for_its_own_kind_of_target() {
    let (inventory, connections) = listed([redis_target(1, None)]);
    let finding = look(&connections, &inventory, "redis/cache", sessions()).await;
    assert!(finding.unknown().is_some_and(|why| why.contains("postgres")), "{finding:?}");
}
