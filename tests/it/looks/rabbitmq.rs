//! RabbitMQ: a broker and a queue by AMQP and by the management API, with names that have to be escaped.

use std::time::Duration;

use runbook::condition::Value;
use runbook::probe::{Probe, QueueProbe, RabbitmqProbe};
use runbook::target::{Inventory, Login, Place, SecretRef, Target};
use xtask::servers::{RabbitMq, Scratch};

use super::{assert_all_seen, assert_fields, listed, look};
use crate::databases::{PATIENCE, now, target};

pub fn broker(port: u16, management: u16, vhost: &str, login: Login) -> Target {
    target(
        "rabbitmq/broker",
        Place::Rabbitmq {
            host: "127.0.0.1".into(),
            port,
            management: format!("http://127.0.0.1:{management}"),
            vhost: vhost.into(),
            look: login,
            act: None,
        },
    )
}

/// The threads in which the AMQP library reads its connections.
fn reading_threads() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
    let named = |thread: &std::fs::DirEntry| {
        std::fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name.starts_with("lapin"))
    };
    threads.filter(named).count()
}

pub fn queue(name: &str) -> Target {
    target("queue/work", Place::Queue { broker: "rabbitmq/broker".parse().unwrap(), queue: name.into() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_and_its_queue_are_seen_by_both_ways_in() {
    let (answering, depth) = (Probe::Rabbitmq(RabbitmqProbe::Answering), Probe::Queue(QueueProbe::Depth));
    let rabbit = RabbitMq::start().unwrap();
    let scratch = Scratch::new("secrets").unwrap();
    let password = |text: &str| SecretRef::File(scratch.write("rabbit", text).unwrap().display().to_string());
    // The least that a login for looking needs: the tag, and a permission that permits nothing.
    rabbit.api("PUT", "/api/users/looks", Some(&serde_json::json!({"password": "looks", "tags": "monitoring"}))).unwrap();
    let login = Login { user: "looks".into(), password: password("looks") };
    // A virtual host and a queue whose names have to be escaped.
    rabbit.api("PUT", "/api/vhosts/%2F", None).unwrap();
    let nothing = serde_json::json!({"configure": "^$", "write": "^$", "read": "^$"});
    rabbit.api("PUT", "/api/permissions/%2F/looks", Some(&nothing)).unwrap();
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
    assert_eq!(
        (finding.field("amqp"), finding.field("management"), finding.field("alarm")),
        (Value::Flag(true), Value::Flag(true), Value::Flag(false))
    );
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

    // A broker that hangs costs no thread per look.
    let (inventory, connections) = listed(at(&login));
    rabbit.stop().unwrap();
    let target = inventory.get(&"rabbitmq/broker".parse().unwrap()).unwrap();
    for _ in 0..3 {
        let within = Duration::from_millis(300);
        let finding = probe::look(connections.looking(), &inventory, target, &answering, now, within).await;
        assert_ne!(finding.field("amqp"), Value::Flag(true));
    }
    xtask::clock::wait_for("the reading threads to end", PATIENCE, || Ok((reading_threads() == 0).then_some(()))).unwrap();
    rabbit.cont().unwrap();

    drop(rabbit);
    let finding = look(&connections, &inventory, "rabbitmq/broker", answering).await;
    assert_fields(&finding);
    assert_eq!((finding.field("amqp"), finding.field("management")), (Value::Flag(false), Value::Flag(false)));
    assert!(look(&connections, &inventory, "queue/work", depth).await.unknown().is_some());
}
