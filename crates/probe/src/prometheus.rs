//! Asks a Prometheus: whether it is ready, and the single value of an expression that the runbook fixes. Why a single one: a
//! condition on one of several series would depend on their order. No data is unknown, never zero.

use std::time::Duration;

use connect::Looking;
use connect::http::{Answer, Proof, below};
use runbook::condition::Value;
use runbook::finding::Seen;
use runbook::probe::Query;
use runbook::target::{Place, Target};
use runbook::text::inert;

use crate::nearly;
use crate::seen::Fields;

/// A single value is tiny; what is larger was not meant.
const MOST_BYTES: usize = 256 * 1024;

pub(crate) async fn ready(looking: &Looking, target: &Target, within: Duration) -> Result<Seen, String> {
    let answer = ask(looking, target, &["-", "ready"], None, within).await?;
    let mut fields = Fields::new();
    match answer.status {
        200 => fields.flag("ready", true),
        503 => fields.flag("ready", false),
        other => return Err(format!("it answered {other}: {}", answer.words())),
    };
    Ok(fields.seen())
}

pub(crate) async fn query(looking: &Looking, target: &Target, query: &Query, within: Duration) -> Result<Seen, String> {
    let answer = ask(looking, target, &["api", "v1", "query"], Some(&query.expr), within).await?;
    let body = answer.json().map_err(|error| format!("it answered {}: {error:#}", answer.status))?;
    if body["status"] != "success" {
        let error = body["error"].as_str().unwrap_or("without a reason");
        return Err(format!("it refused the query ({}): {}", answer.status, inert(error, 300)));
    }
    let data = &body["data"];
    let sample = match data["resultType"].as_str() {
        Some("scalar") => Ok(&data["result"]),
        Some("vector") => match data["result"].as_array().map(Vec::as_slice) {
            Some([one]) => Ok(&one["value"]),
            Some([]) => Err("no data".to_owned()),
            Some(several) => Err(format!("{} series, and one value was wanted", several.len())),
            None => Err("an answer without a result".to_owned()),
        },
        other => Err(format!("a {}, and one value was wanted", inert(other.unwrap_or("nothing"), 40))),
    };
    // Prometheus writes numbers as text: "NaN" and "+Inf" are among them.
    let value = match sample.map(|sample| sample[1].as_str().and_then(|text| text.parse::<f64>().ok())) {
        Ok(Some(number)) => Value::number(number),
        Ok(None) => Value::Unknown("the sample is no number".to_owned()),
        Err(why) => Value::Unknown(why),
    };
    let mut fields = Fields::new();
    fields.put("value", value);
    Ok(fields.seen())
}

async fn ask(looking: &Looking, target: &Target, path: &[&str], query: Option<&str>, within: Duration) -> Result<Answer, String> {
    let Place::Prometheus { url, token } = &target.place else { return Err(format!("{} is no Prometheus", target.id)) };
    let base = url.parse().map_err(|error| format!("the address of {} is no URL: {error}", target.id))?;
    let proof = token.as_ref().map_or(Proof::None, Proof::Bearer);
    let mut url = below(&base, path).map_err(|error| format!("{error:#}"))?;
    if let Some(expr) = query {
        url.query_pairs_mut().append_pair("query", expr).append_pair("timeout", &format!("{}ms", nearly(within).as_millis()));
    }
    looking.http().get_url(url, proof, MOST_BYTES, nearly(within)).await.map_err(|error| format!("{error:#}"))
}
