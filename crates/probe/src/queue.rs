//! `queue.depth`: ready, unacknowledged and consumers by the management API, and ready by AMQP as a second opinion. What became of
//! messages over time is another look, in `queue/progress.rs`.
//!
//! Why both: AMQP counts ready messages only, and a quorum queue without a leader answers 0 and 0. Why not AMQP alone: a backlog
//! that a stuck consumer holds unacknowledged would read as an empty queue.

mod progress;

use std::time::Duration;

use connect::Looking;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use runbook::condition::Value;
use runbook::finding::Seen;
use runbook::target::{Inventory, Place, Target};
use runbook::text::inert;

use crate::nearly;
use crate::rabbitmq::{ask, json, number, said};
use crate::seen::Fields;

pub(crate) use progress::progress;

pub(crate) async fn depth(looking: &Looking, inventory: &Inventory, target: &Target, within: Duration) -> Result<Seen, String> {
    let Place::Queue { broker, queue } = &target.place else { return Err(format!("{} is no queue", target.id)) };
    let broker =
        inventory.get(broker).ok_or_else(|| format!("{broker}, on which {} lives, is not in the inventory", target.id))?;
    let Place::Rabbitmq { vhost, .. } = &broker.place else { return Err(format!("{} is no RabbitMQ broker", broker.id)) };
    let within = nearly(within);
    let path = ["api", "queues", vhost, queue];
    let (answer, ready) = tokio::join!(ask(looking, broker, &path, within), amqp_ready(looking, broker, queue, within));
    if matches!(&answer, Ok(answer) if answer.status == 404) {
        return Err(format!("there is no queue {} on {}", inert(queue, 80), broker.id));
    }
    if let (Err(why), Err(also)) = (&json(&answer), &ready) {
        return Err(format!("{why}; AMQP: {also}"));
    }
    let mut fields = Fields::new();
    for (field, name) in [
        ("ready", "messages_ready"),
        ("unacknowledged", "messages_unacknowledged"),
        ("messages", "messages"),
        ("consumers", "consumers"),
    ] {
        fields.put(field, number(&answer, &[name]));
    }
    let body = json(&answer);
    let word = |name: &str| body.as_ref().ok().and_then(|body| body[name].as_str());
    fields.put(
        "state",
        match word("state") {
            Some(state) => Value::Text(inert(state, 60)),
            None if body.is_ok() => Value::Unknown("the management API did not say the queue's state".to_owned()),
            None => Value::Unknown(said(&answer)),
        },
    );
    fields.put(
        "amqp_ready",
        match (ready, word("type")) {
            (Ok(0), Some("quorum" | "stream")) => Value::Unknown("a quorum queue without a leader answers 0 too".to_owned()),
            (Ok(ready), _) => Value::Number(f64::from(ready)),
            (Err(why), _) => Value::Unknown(why),
        },
    );
    Ok(fields.seen())
}

/// A passive declaration on a connection of its own: it creates nothing, and a missing queue closes only this channel.
async fn amqp_ready(looking: &Looking, broker: &Target, queue: &str, within: Duration) -> Result<u32, String> {
    let asking = async {
        let session = looking.amqp(broker, within).await?;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let channel = session.channel().await?;
        let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
        session.close().await;
        anyhow::Ok(declared?.message_count())
    };
    match tokio::time::timeout(within, asking).await {
        Ok(ready) => ready.map_err(|error| inert(&format!("{error:#}"), 300)),
        Err(_) => Err(format!("no answer within {}", runbook::text::humanize_duration(within))),
    }
}
