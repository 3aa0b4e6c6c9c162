//! `queue.progress`: whether messages are being worked off, by the samples that the management API keeps of the last minute, or of as
//! long as the runbook says.
//!
//! Why samples of the broker: a worker whose children hang answers every ping, and a queue that grows may be worked off all the
//! same; only acknowledgements tell, and only over time. A message that is handed out without wanting one counts as acknowledged.
//!
//! The broker fills the time before it knew the queue with zeros (tried with RabbitMQ 3.10). Where neither a message nor any count
//! was there yet, such a sample says nothing and is left out: after a restart of the broker, an empty past is no past.
//! Deliberately no judgement of one moment: too few samples are unknown.

use std::time::Duration;

use connect::Looking;
use connect::http::{Proof, below, management};
use runbook::condition::Value;
use runbook::finding::Seen;
use runbook::probe::Progress;
use runbook::target::{Inventory, Place, Target};
use runbook::text::inert;
use serde_json::Value as Json;

use crate::nearly;
use crate::rabbitmq::{MOST_BYTES, json, number};
use crate::seen::Fields;

/// A sample every five seconds: as fine as a broker samples by itself.
const EVERY: &str = "5";

/// Fewer samples, or a shorter time, do not show that nothing is worked off.
const FEWEST_SAMPLES: usize = 4;
const SHORTEST_SECONDS: f64 = 15.0;

/// What counts as worked off: acknowledged, or handed out for good.
const WORKED_OFF: [&str; 3] = ["ack", "deliver_no_ack", "get_no_ack"];

/// Every count that shows that the broker knew the queue.
const COUNTS: [&str; 7] = ["publish", "ack", "deliver", "deliver_no_ack", "get", "get_no_ack", "redeliver"];

pub(crate) async fn progress(
    looking: &Looking,
    inventory: &Inventory,
    target: &Target,
    progress: Progress,
    within: Duration,
) -> Result<Seen, String> {
    let Place::Queue { broker, queue } = &target.place else { return Err(format!("{} is no queue", target.id)) };
    let broker =
        inventory.get(broker).ok_or_else(|| format!("{broker}, on which {} lives, is not in the inventory", target.id))?;
    let Place::Rabbitmq { vhost, .. } = &broker.place else { return Err(format!("{} is no RabbitMQ broker", broker.id)) };
    let asking = async {
        let (base, login) = management(broker)?;
        let mut url = below(&base, &["api", "queues", vhost, queue])?;
        let age = progress.over.duration().as_secs().to_string();
        let samples =
            [("msg_rates_age", age.as_str()), ("msg_rates_incr", EVERY), ("lengths_age", &age), ("lengths_incr", EVERY)];
        url.query_pairs_mut().extend_pairs(samples);
        looking.http().get_url(url, Proof::Basic(login), MOST_BYTES, nearly(within)).await
    };
    let answer = asking.await.map_err(|error| format!("the management API: {error:#}"));
    if matches!(&answer, Ok(answer) if answer.status == 404) {
        return Err(format!("there is no queue {} on {}", inert(queue, 80), broker.id));
    }
    let mut fields = read(&json(&answer)?)?;
    fields.put("consumers", number(&answer, &["consumers"]));
    Ok(fields.seen())
}

/// One sample: milliseconds since the epoch, and the figure.
type Sample = (i64, f64);

fn read(queue: &Json) -> Result<Fields, String> {
    let lengths = samples(&queue["messages_details"])
        .ok_or("the management API has no samples of the queue's length: statistics are switched off, or none was taken yet")?;
    let counts = &queue["message_stats"];
    // Before the first figure that is not 0 the broker may not have known the queue.
    let counted = COUNTS.iter().filter_map(|name| series(counts, name)).flatten();
    let known_from = counted.chain(lengths.iter().copied()).filter(|(_, figure)| *figure != 0.0).map(|(at, _)| at).min();
    let known: Vec<Sample> = lengths.iter().copied().filter(|(at, _)| known_from.is_some_and(|from| *at >= from)).collect();
    let (first, last) = match (known.first(), lengths.last()) {
        (Some(first), Some(last)) => (first.0, last.0),
        (None, Some(last)) => (last.0, last.0),
        (_, None) => return Err("the management API has no samples of the queue's length".to_owned()),
    };
    let messages = lengths.last().map_or(f64::NAN, |(_, messages)| *messages);
    let fewest = known.iter().map(|(_, messages)| *messages).reduce(f64::min).unwrap_or(messages);
    let seconds = last.saturating_sub(first) as f64 / 1000.0;
    // Without any count the broker has seen nothing happen to the queue; that is worth something only while messages lie in it.
    let happened = counts.is_object() || messages > 0.0;
    let sum = |names: &[&str]| {
        if !happened {
            return Err("the broker has counted nothing for this queue yet".to_owned());
        }
        names.iter().map(|name| risen(counts, name, first)).sum::<Result<f64, String>>()
    };
    let (acknowledged, published) = (sum(&WORKED_OFF), sum(&["publish"]));
    let mut fields = Fields::new();
    fields.number("messages", messages).number("waiting_all_along", fewest);
    fields.number("samples", known.len() as f64).number("seconds", seconds);
    fields.put("stalled", stalled(fewest, &acknowledged, known.len(), seconds));
    for (name, figure) in [("acknowledged", acknowledged), ("published", published)] {
        fields.put(name, figure.map_or_else(Value::Unknown, Value::number));
    }
    Ok(fields)
}

fn stalled(fewest: f64, acknowledged: &Result<f64, String>, samples: usize, seconds: f64) -> Value {
    if fewest == 0.0 {
        return Value::Flag(false);
    }
    match acknowledged {
        Err(why) => Value::Unknown(why.clone()),
        Ok(acknowledged) if *acknowledged > 0.0 => Value::Flag(false),
        Ok(_) if samples < FEWEST_SAMPLES || seconds < SHORTEST_SECONDS => {
            Value::Unknown(format!("the broker has only {samples} samples over {seconds} seconds of it"))
        }
        Ok(_) => Value::Flag(true),
    }
}

/// By how much a count has risen since a time. A count that the broker does not have has not risen; one that fell was begun anew.
fn risen(counts: &Json, name: &str, since: i64) -> Result<f64, String> {
    let Some(samples) = series(counts, name) else {
        return match counts.get(name) {
            None => Ok(0.0),
            Some(_) => Err(format!("the management API has no samples of {name}: statistics are switched off")),
        };
    };
    let before = samples.iter().rev().find(|(at, _)| *at <= since).or_else(|| samples.first());
    let risen = samples.last().zip(before).map_or(0.0, |((_, last), (_, before))| last - before);
    if risen < 0.0 { Err(format!("the broker began its count of {name} anew")) } else { Ok(risen) }
}

fn series(counts: &Json, name: &str) -> Option<Vec<Sample>> {
    samples(counts.get(format!("{name}_details"))?)
}

/// The samples of a figure, the oldest first; nothing where there are none, or where one cannot be read.
fn samples(details: &Json) -> Option<Vec<Sample>> {
    let listed = details.get("samples")?.as_array()?;
    let read = |sample: &Json| Some((sample.get("timestamp")?.as_i64()?, sample.get("sample")?.as_f64()?));
    let mut samples: Vec<Sample> = listed.iter().map(read).collect::<Option<_>>()?;
    samples.sort_by_key(|(at, _)| *at);
    (!samples.is_empty()).then_some(samples)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As the broker has it: the newest first, five seconds apart; the last sample of a count is as old as the last but one of a
    /// length.
    fn details(figures: &[i64], behind: i64) -> Json {
        let samples: Vec<Json> = figures
            .iter()
            .rev()
            .enumerate()
            .map(|(back, figure)| json!({"sample": figure, "timestamp": 1_000_000 - behind * 5000 - back as i64 * 5000}))
            .collect();
        json!({"rate": 0.0, "samples": samples})
    }

    fn queue(lengths: &[i64], counts: &[(&str, &[i64])]) -> Json {
        let mut queue = json!({"messages_details": details(lengths, 0)});
        for (name, figures) in counts {
            queue["message_stats"][format!("{name}_details")] = details(figures, 1);
            queue["message_stats"][*name] = json!(figures.last());
        }
        queue
    }

    fn seen(queue: &Json) -> impl Fn(&str) -> Value + use<> {
        let Seen::Known { fields, .. } = read(queue).unwrap().seen() else { panic!("unknown") };
        move |name: &str| fields[name].clone()
    }

    const N: fn(f64) -> Value = Value::Number;

    #[test]
    fn a_queue_is_stalled_when_messages_wait_and_none_is_acknowledged() {
        let hung = seen(&queue(&[30, 30, 31, 32, 32], &[("publish", &[7, 7, 8, 9, 9]), ("ack", &[5, 5, 5, 5, 5])]));
        let wanted =
            [("messages", 32.0), ("waiting_all_along", 30.0), ("acknowledged", 0.0), ("samples", 5.0), ("seconds", 20.0)];
        wanted.iter().for_each(|(name, figure)| assert_eq!(hung(name), N(*figure), "{name}"));
        assert_eq!((hung("stalled"), hung("published")), (Value::Flag(true), N(2.0)));

        let flows = seen(&queue(&[30, 29, 28, 27, 26], &[("publish", &[7; 5]), ("ack", &[1, 2, 3, 4, 5])]));
        assert_eq!((flows("stalled"), flows("acknowledged")), (Value::Flag(false), N(3.0)));
        // Handed out for good is worked off, too.
        let no_ack = seen(&queue(&[3; 5], &[("publish", &[7; 5]), ("ack", &[0; 5]), ("deliver_no_ack", &[1, 1, 1, 1, 9])]));
        assert_eq!((no_ack("stalled"), no_ack("acknowledged")), (Value::Flag(false), N(8.0)));
        // Empty in between: what waits now has not waited all along.
        let burst = seen(&queue(&[9, 9, 0, 9, 9], &[("publish", &[7; 5]), ("ack", &[4; 5])]));
        assert_eq!((burst("stalled"), burst("waiting_all_along")), (Value::Flag(false), N(0.0)));
    }

    #[test]
    fn zeros_from_before_the_broker_knew_the_queue_say_nothing() {
        let padded = seen(&queue(&[0, 0, 0, 0, 30, 30, 30, 30], &[("publish", &[0, 0, 0, 0, 0, 30, 30, 30]), ("ack", &[0; 8])]));
        assert_eq!((padded("stalled"), padded("samples"), padded("seconds")), (Value::Flag(true), N(4.0), N(15.0)));
        let too_few = seen(&queue(&[0, 0, 0, 0, 0, 30, 30, 30], &[("publish", &[0, 0, 0, 0, 0, 0, 30, 30])]));
        assert!(too_few("stalled").unknown().is_some_and(|why| why.contains("only 3 samples")));
        assert_eq!(too_few("acknowledged"), N(0.0));
        // Counted before: then it was empty.
        let was_empty = seen(&queue(&[0, 0, 0, 0, 30, 30, 30, 30], &[("publish", &[5; 8]), ("ack", &[5; 8])]));
        assert_eq!((was_empty("stalled"), was_empty("samples")), (Value::Flag(false), N(8.0)));
    }

    #[test]
    fn nothing_counted_is_nothing_only_while_messages_are_there() {
        let idle = seen(&queue(&[0; 5], &[]));
        assert!(idle("acknowledged").unknown().is_some() && idle("published").unknown().is_some());
        assert_eq!((idle("stalled"), idle("messages"), idle("samples")), (Value::Flag(false), N(0.0), N(0.0)));
        // Messages that a restarted broker read from its disk.
        let restored = seen(&queue(&[7; 5], &[]));
        assert_eq!((restored("stalled"), restored("acknowledged")), (Value::Flag(true), N(0.0)));
        let only_published = seen(&queue(&[7; 5], &[("publish", &[7; 5])]));
        assert_eq!((only_published("stalled"), only_published("acknowledged")), (Value::Flag(true), N(0.0)));
    }

    #[test]
    fn what_the_broker_does_not_sample_is_unknown() {
        assert!(read(&json!({"messages": 7})).is_err());
        assert!(read(&json!({"messages": 7, "messages_details": {"rate": 0.0}})).is_err());
        assert!(read(&json!({"messages_details": {"samples": [{"sample": "x", "timestamp": 1}]}})).is_err());
        let mut without = queue(&[7; 5], &[("publish", &[7; 5])]);
        without["message_stats"]["ack"] = json!(3);
        assert!(seen(&without)("stalled").unknown().is_some());
        let anew = seen(&queue(&[7; 5], &[("publish", &[7; 5]), ("ack", &[9, 9, 9, 0, 0])]));
        assert!(anew("acknowledged").unknown().is_some() && anew("stalled").unknown().is_some());
    }
}
