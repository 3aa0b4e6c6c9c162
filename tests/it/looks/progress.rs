//! The progress of a queue, by a real broker's own samples: one consumer that takes and never acknowledges, one that works.

use std::time::Duration;

use futures_util::StreamExt;
use runbook::condition::Value;
use runbook::finding::Finding;
use runbook::probe::{Probe, QueueProbe};
use runbook::target::{Inventory, Login, SecretRef};
use xtask::servers::{RabbitMq, Scratch};

use super::rabbitmq::{broker, queue};
use super::{assert_all_seen, listed, look};
use crate::databases::PATIENCE;

/// Longer than the broker needs for four samples, and than a minute of them on a busy machine.
const ENOUGH: usize = 100;

async fn look_until(at: &(Inventory, connect::Connections), seen: impl Fn(&Finding) -> bool) -> Finding {
    for _ in 0..ENOUGH {
        let finding = look(&at.1, &at.0, "queue/work", Probe::Queue(QueueProbe::Progress)).await;
        if seen(&finding) {
            return finding;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("it was not seen: {:?}", look(&at.1, &at.0, "queue/work", Probe::Queue(QueueProbe::Progress)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_stalled_while_its_consumer_takes_and_never_acknowledges() {
    let rabbit = RabbitMq::start().unwrap();
    let scratch = Scratch::new("secrets").unwrap();
    let password = SecretRef::File(scratch.write("rabbit", rabbit.password()).unwrap().display().to_string());
    let login = Login { user: rabbit.user().into(), password };
    let place = broker(rabbit.port(), rabbit.management_port(), rabbit.virtual_host(), login);
    let at = |name: &str| listed([place.clone(), queue(name)]);
    let (hung, working, idle) = (at("hung"), at("working"), at("idle"));

    let broker = hung.0.get(&"rabbitmq/broker".parse().unwrap()).unwrap();
    let session = hung.1.looking().amqp(broker, PATIENCE).await.unwrap();
    let channel = session.channel().await.unwrap();
    channel.basic_qos(2, Default::default()).await.unwrap();
    for name in ["hung", "working", "idle"] {
        channel.queue_declare(name.into(), Default::default(), Default::default()).await.unwrap();
    }
    for name in ["hung", "working"] {
        for _ in 0..500 {
            channel.basic_publish("".into(), name.into(), Default::default(), b"x", Default::default()).await.unwrap();
        }
    }
    // Nobody reads it: like a worker whose children hang.
    let _hangs = channel.basic_consume("hung".into(), "hangs".into(), Default::default(), Default::default()).await.unwrap();
    let mut works =
        channel.basic_consume("working".into(), "works".into(), Default::default(), Default::default()).await.unwrap();
    let worker = tokio::spawn(async move {
        while let Some(Ok(message)) = works.next().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
            message.ack(Default::default()).await.unwrap();
        }
    });

    // Too few samples are no stall: the very first is of a queue that has just begun.
    let early = look_until(&hung, |finding| finding.number("messages") == Some(500.0)).await;
    assert_ne!(early.field("stalled"), Value::Flag(true), "{early:?}");
    let stalled = look_until(&hung, |finding| finding.field("stalled") == Value::Flag(true)).await;
    assert_all_seen(&stalled, &[]);
    let numbers = ["messages", "waiting_all_along", "acknowledged", "consumers"].map(|name| stalled.number(name));
    assert_eq!(numbers, [500.0, 500.0, 0.0, 1.0].map(Some));
    assert!(stalled.number("samples").unwrap() >= 4.0 && stalled.number("seconds").unwrap() >= 15.0, "{stalled:?}");

    let flows = look_until(&working, |finding| finding.number("acknowledged").is_some_and(|count| count > 0.0)).await;
    assert_all_seen(&flows, &[]);
    assert_eq!((flows.field("stalled"), flows.number("consumers")), (Value::Flag(false), Some(1.0)));
    assert!(flows.number("messages").unwrap() < 500.0);

    // A queue in which nothing ever happened is not stalled; what happened in it is not known to be nothing.
    let idle = look_until(&idle, |finding| finding.number("messages") == Some(0.0)).await;
    assert_all_seen(&idle, &["acknowledged", "published"]);
    assert_eq!((idle.field("stalled"), idle.number("consumers")), (Value::Flag(false), Some(0.0)));

    let missing = at("no such queue");
    let finding = look(&missing.1, &missing.0, "queue/work", Probe::Queue(QueueProbe::Progress)).await;
    assert!(finding.unknown().is_some_and(|why| why.contains("there is no queue")), "{finding:?}");
    worker.abort();
    session.close().await;
    drop(rabbit);
    let finding = look(&hung.1, &hung.0, "queue/work", Probe::Queue(QueueProbe::Progress)).await;
    assert!(finding.unknown().is_some_and(|why| why.contains("management API")), "{finding:?}");
}
