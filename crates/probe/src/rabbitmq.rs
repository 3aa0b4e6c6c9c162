//! `rabbitmq.answering`: AMQP and the management API, side by side, because either can be down alone. Deliberately not
//! `aliveness-test`: it publishes a message, and newer brokers answer it without doing anything.

use std::time::Duration;

use connect::Looking;
use connect::http::{Answer, Proof, below, management};
use runbook::condition::Value;
use runbook::finding::Seen;
use runbook::target::{Place, Target};
use serde_json::Value as Json;

use crate::nearly;
use crate::seen::Fields;

/// An overview of a broker with thousands of queues stays far below this.
pub(crate) const MOST_BYTES: usize = 1024 * 1024;

pub(crate) async fn answering(looking: &Looking, target: &Target, within: Duration) -> Result<Seen, String> {
    let Place::Rabbitmq { vhost, .. } = &target.place else { return Err(format!("{} is no RabbitMQ broker", target.id)) };
    let within = nearly(within);
    let amqp = async {
        let session = looking.amqp(target, within).await?;
        session.close().await;
        anyhow::Ok(())
    };
    let (amqp, overview, hosts, alarms) = tokio::join!(
        amqp,
        ask(looking, target, &["api", "overview"], within),
        // The list, because one virtual host by its name is shown to administrators only (RabbitMQ 3.10).
        ask(looking, target, &["api", "vhosts"], within),
        ask(looking, target, &["api", "health", "checks", "alarms"], within),
    );
    let mut fields = Fields::new();
    fields.flag("amqp", amqp.is_ok());
    fields.flag("management", matches!(&overview, Ok(answer) if answer.status == 200));
    fields.put(
        "alarm",
        match &alarms {
            Ok(answer) if answer.status == 200 => Value::Flag(false),
            // 503 is how the check says that an alarm is in force; the body tells it from a proxy's 503.
            Ok(answer) if answer.status == 503 && answer.json().is_ok_and(|body| body.get("status").is_some()) => {
                Value::Flag(true)
            }
            other => Value::Unknown(said(other)),
        },
    );
    fields.put("messages", messages(&hosts, vhost));
    fields.put("connections", number(&overview, &["object_totals", "connections"]));
    fields.put(
        "version",
        match json(&overview).as_ref().map(|body| body["rabbitmq_version"].as_str()) {
            Ok(Some(version)) => Value::Text(runbook::text::inert(version, 60)),
            Ok(None) => Value::Unknown("the overview has no version".to_owned()),
            Err(why) => Value::Unknown(why.clone()),
        },
    );
    Ok(fields.seen())
}

/// The messages of one virtual host in the list of all that the login may see.
fn messages(hosts: &Result<Answer, String>, vhost: &str) -> Value {
    let hosts = match json(hosts) {
        Ok(hosts) => hosts,
        Err(why) => return Value::Unknown(why),
    };
    let listed = hosts.as_array().and_then(|hosts| hosts.iter().find(|host| host["name"] == vhost));
    match listed.map(|host| host["messages"].as_f64()) {
        Some(Some(messages)) => Value::number(messages),
        Some(None) => Value::Unknown("the management API did not say messages (statistics come every few seconds)".to_owned()),
        None => Value::Unknown("the management API does not show the virtual host: give the login a permission in it".to_owned()),
    }
}

/// One GET at the management API.
pub(crate) async fn ask(looking: &Looking, broker: &Target, path: &[&str], within: Duration) -> Result<Answer, String> {
    let asking = async {
        let (base, login) = management(broker)?;
        looking.http().get_url(below(&base, path)?, Proof::Basic(login), MOST_BYTES, within).await
    };
    asking.await.map_err(|error: anyhow::Error| format!("the management API: {error:#}"))
}

/// The body of a good answer.
pub(crate) fn json(answer: &Result<Answer, String>) -> Result<Json, String> {
    match answer {
        Ok(good) if good.status == 200 => good.json().map_err(|error| format!("the management API: {error:#}")),
        other => Err(said(other)),
    }
}

/// A number of a good answer; a missing one is unknown, not zero.
pub(crate) fn number(answer: &Result<Answer, String>, path: &[&str]) -> Value {
    match json(answer) {
        Ok(body) => match path.iter().try_fold(&body, |value, part| value.get(*part)).and_then(Json::as_f64) {
            Some(number) => Value::number(number),
            None => {
                Value::Unknown(format!("the management API did not say {} (statistics come every few seconds)", path.join(".")))
            }
        },
        Err(why) => Value::Unknown(why),
    }
}

/// What an answer that is not good says.
pub(crate) fn said(answer: &Result<Answer, String>) -> String {
    match answer {
        Ok(answer) if answer.status == 401 => {
            "the management API refuses the login: it wants the tag monitoring and a password that is right".to_owned()
        }
        Ok(answer) => format!("the management API answered {}: {}", answer.status, answer.words()),
        Err(why) => why.clone(),
    }
}
