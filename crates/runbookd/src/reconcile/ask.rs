//! Asking Alertmanagers: how long they are up, what fires for our receiver, who made a silence, whether our receiver is there. How long
//! one is up is told by its own clock alone, and whether that agrees with ours is asked where it matters. API v2 as of releases 0.25 to 0.34. Reads only, each with a deadline and a bound. Deliberately no retry: the next round is
//! one.

use std::time::Duration;

use connect::http::{Answer, Client, Proof};
use futures_util::future::join_all;
use runbook::silence::Exact;
use runbook::text::{humanize_duration, inert};
use runbook::time::Stamp;
use serde_json::Value;

use super::plan::Said;
use crate::clock::Clock;
use crate::config::AlertmanagerSettings;
use crate::daemon::Current;
use crate::wire;

/// How long one answer may take.
const WITHIN: Duration = Duration::from_secs(10);
/// A list of alerts longer than this is not read: some ten thousand alerts fit in.
const MOST_BYTES: usize = 64 << 20;
/// Enough for any other answer, configurations included.
const MOST_STATUS: usize = 4 << 20;
/// A silence is made by our clock and holds by theirs, so it is made only where these are no further apart.
const MOST_APART: Duration = Duration::from_secs(15);
/// The path under which deliveries are taken.
const OUR_PATH: &str = "/webhook/alertmanager";

/// Asks all of them, side by side.
pub(super) async fn all(current: &Current) -> Vec<Said> {
    let http = current.connections.looking().http();
    join_all(current.settings.alertmanagers.iter().map(|settings| one(http, settings))).await
}

async fn one(http: &Client, settings: &AlertmanagerSettings) -> Said {
    let mut said = Said { url: settings.url.clone(), up: None, settled: true, listed: Ok(Vec::new()) };
    match status(http, settings, WITHIN).await {
        Ok((status, its_time)) => (said.up, said.settled) = standing(&status, its_time),
        Err(why) => {
            said.listed = Err(why);
            return said;
        }
    }
    // For a receiver that it does not have, Alertmanager answers with an empty list: that would read as "everything is over".
    match get(http, settings, &["receivers"], &[], MOST_STATUS).await.and_then(|body| json(&body)) {
        Ok(receivers) if receivers.as_array().into_iter().flatten().any(|one| one["name"] == settings.receiver.as_str()) => {}
        Ok(_) => {
            let name = inert(&settings.receiver, 80);
            said.listed =
                Err(format!("it has no receiver `{name}`; name the one that delivers to us under alertmanager in runbookd.yaml"));
            return said;
        }
        Err(why) => {
            said.listed = Err(why);
            return said;
        }
    }
    let receiver = wire::quoted_receiver(&settings.receiver);
    // Alertmanager anchors the expression itself. The silenced ones are wanted too: a silence is a person's word.
    let query = [
        ("receiver", receiver.as_str()),
        ("active", "true"),
        ("silenced", "true"),
        ("inhibited", "true"),
        ("unprocessed", "true"),
    ];
    let listed = get(http, settings, &["alerts"], &query, MOST_BYTES).await;
    said.listed = listed.and_then(|body| wire::read_listed(&body).map_err(|error| inert(&format!("{error:#}"), 300)));
    if let Ok(alerts) = &mut said.listed {
        alerts.retain(|one| one.receivers.contains(&settings.receiver));
    }
    said
}

/// What it says of itself, and its own time as it said so.
async fn status(http: &Client, settings: &AlertmanagerSettings, within: Duration) -> Result<(Value, Option<Stamp>), String> {
    let answer = answer_within(http, settings, &["status"], &[], MOST_STATUS, within).await?;
    let date = answer.date.and_then(|date| chrono::DateTime::parse_from_rfc2822(&date).ok());
    Ok((json(&answer.body)?, date.map(|date| Stamp::from_millis(date.timestamp_millis()))))
}

/// How an Alertmanager's clock stands to ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Apart {
    /// They agree well enough for a silence.
    Little,
    /// They do not: so far.
    Much(Duration),
    /// It did not say what time it has.
    Unknown,
}

/// How far a clock that said so at our time `ours` is apart from ours.
pub(crate) fn apart(its_time: Option<Stamp>, ours: Stamp) -> Apart {
    let Some(its_time) = its_time else { return Apart::Unknown };
    // Said in whole seconds, cut off.
    let latest = its_time.plus(Duration::from_secs(1));
    let apart = its_time.since(ours).max(ours.since(latest));
    if apart > MOST_APART { Apart::Much(apart) } else { Apart::Little }
}

/// How long it has been up by its own clock, as far as it says so, and whether its cluster has settled or it stands alone.
fn standing(status: &Value, its_time: Option<Stamp>) -> (Option<Duration>, bool) {
    // Misnamed there: `uptime` is the moment of its start.
    let started = status["uptime"].as_str().and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
    let up = its_time.zip(started).map(|(now, at)| now.since(Stamp::from_millis(at.timestamp_millis())));
    (up, status["cluster"]["status"].as_str() != Some("settling"))
}

/// Whether one knows that nothing fires with these labels, neither heard nor suppressed, so that nobody can have been told. What is
/// covered by one of these silences of our own does not count. Its clock has to agree with ours, because a silence holds by its clock.
///
/// # Errors
/// Why it cannot be said, or that something fires.
pub(crate) async fn lacks(
    http: &Client,
    settings: &AlertmanagerSettings,
    exact: &Exact,
    own: &[String],
    (clock, knows_after): (&Clock, Duration),
    within: Duration,
) -> Result<(), String> {
    let filters: Vec<String> = exact.matchers().collect();
    let shown = ["active", "silenced", "inhibited", "unprocessed"].map(|state| (state, "true"));
    let query: Vec<(&str, &str)> = filters.iter().map(|filter| ("filter", filter.as_str())).chain(shown).collect();
    let (status, listed) = tokio::join!(
        async { status(http, settings, within).await.map(|(status, its_time)| (status, its_time, clock.now())) },
        answer_within(http, settings, &["alerts"], &query, MOST_BYTES, within),
    );
    let listed = wire::read_listed(&listed?.body).map_err(|error| inert(&format!("{error:#}"), 300))?;
    if listed.iter().any(|one| !one.silenced_by.iter().any(|silence| own.contains(silence))) {
        return Err("it fires already, so a person may have been told of it".to_owned());
    }
    let (status, its_time, ours) = status?;
    match apart(its_time, ours) {
        Apart::Little => {}
        Apart::Much(apart) => {
            return Err(format!(
                "its clock and ours are {} apart, so a silence there would not hold when the step runs; see whether both machines \
                 have their time from the network",
                humanize_duration(apart)
            ));
        }
        Apart::Unknown => return Err("it does not say what time it has, so when a silence there holds cannot be told".to_owned()),
    }
    match standing(&status, its_time) {
        (Some(up), true) if up >= knows_after => Ok(()),
        (Some(up), _) => Err(format!("it has been up for {} only, and may not have heard yet what fires", humanize_duration(up))),
        (None, _) => Err("it does not say how long it has been up, so what it lacks may fire all the same".to_owned()),
    }
}

/// Whether a silence holds there now.
///
/// # Errors
/// That it does not, or why it cannot be said.
pub(crate) async fn is_in_force(
    http: &Client,
    settings: &AlertmanagerSettings,
    id: &str,
    within: Duration,
) -> Result<(), String> {
    let silence = json(&answer_within(http, settings, &["silence", id], &[], MOST_STATUS, within).await?.body)?;
    match silence["status"]["state"].as_str() {
        Some("active") => Ok(()),
        state => Err(format!("it calls the silence `{}` and not `active`", inert(state.unwrap_or("?"), 40))),
    }
}

/// Who made a silence.
pub(super) enum Maker {
    /// We did, for what a step raises by itself.
    Ourselves,
    /// A person, or whoever cannot be told apart from one, in words to put behind a sentence.
    Person(String),
}

/// Who made a silence and why. Where that cannot be found out, a person did.
pub(super) async fn silence(current: &Current, url: &str, id: &str) -> Maker {
    let Some(settings) = current.settings.alertmanagers.iter().find(|settings| settings.url == url) else {
        return Maker::Person(format!(" ({})", inert(id, 60)));
    };
    match get(current.connections.looking().http(), settings, &["silence", id], &[], MOST_STATUS)
        .await
        .and_then(|body| json(&body))
    {
        Ok(silence) if silence["createdBy"] == crate::silencing::BY => Maker::Ourselves,
        Ok(silence) => {
            let text = |name: &str| inert(silence[name].as_str().unwrap_or("?"), 300);
            Maker::Person(format!(" by {}: {} ({})", text("createdBy"), text("comment"), inert(id, 60)))
        }
        Err(_) => Maker::Person(format!(" ({})", inert(id, 60))),
    }
}

/// What an Alertmanager says of its way to us, for `doctor`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Neighbour {
    /// Its release.
    pub version: String,
    /// The names of its receivers.
    pub receivers: Vec<String>,
    /// A route leads to our receiver.
    pub routed: bool,
    /// A webhook there ends in our path; none where it keeps addresses secret.
    pub delivers: Option<bool>,
    /// Its own time as it was asked, as far as it says so.
    pub its_time: Option<Stamp>,
}

/// Asks one Alertmanager about its way to us.
///
/// # Errors
/// Why it could not be asked, in words for people.
pub async fn neighbour(current: &Current, settings: &AlertmanagerSettings) -> Result<Neighbour, String> {
    let http = current.connections.looking().http();
    let (status, its_time) = status(http, settings, WITHIN).await?;
    let receivers = get(http, settings, &["receivers"], &[], MOST_STATUS).await.and_then(|body| json(&body))?;
    let names = receivers.as_array().into_iter().flatten().filter_map(|receiver| receiver["name"].as_str());
    let written = status["config"]["original"].as_str().unwrap_or_default();
    Ok(Neighbour {
        version: inert(status["versionInfo"]["version"].as_str().unwrap_or("?"), 40),
        receivers: names.map(str::to_owned).collect(),
        routed: is_routed(written, &settings.receiver),
        delivers: delivers(written),
        its_time,
    })
}

/// Whether a route names the receiver. Alertmanager writes its configuration anew, one key per line, so lines will do.
fn is_routed(written: &str, receiver: &str) -> bool {
    written.lines().any(|line| {
        let line = line.trim_start().trim_start_matches("- ");
        line.strip_prefix("receiver:").is_some_and(|name| name.trim().trim_matches(['"', '\'']) == receiver)
    })
}

/// Whether a webhook ends in our path; unknown where releases from 0.26 on write `<secret>` instead of addresses.
fn delivers(written: &str) -> Option<bool> {
    let urls: Vec<&str> = written
        .lines()
        .filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix("url:"))
        .map(str::trim)
        .collect();
    if urls.iter().any(|url| url.trim_matches(['"', '\'']).ends_with(OUR_PATH)) {
        return Some(true);
    }
    let hidden = urls.iter().any(|url| url.contains("<secret>")) || written.contains("url_file:");
    if hidden { None } else { Some(false) }
}

fn json(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| inert(&format!("the answer is no JSON: {error}"), 300))
}

/// How an Alertmanager is shown who asks.
pub(crate) fn proof(settings: &AlertmanagerSettings) -> Proof<'_> {
    match (&settings.token, &settings.basic) {
        (Some(token), _) => Proof::Bearer(token),
        (None, Some(login)) => Proof::Basic(login),
        (None, None) => Proof::None,
    }
}

async fn get(
    http: &Client,
    settings: &AlertmanagerSettings,
    path: &[&str],
    query: &[(&str, &str)],
    most: usize,
) -> Result<Vec<u8>, String> {
    answer_within(http, settings, path, query, most, WITHIN).await.map(|answer| answer.body)
}

async fn answer_within(
    http: &Client,
    settings: &AlertmanagerSettings,
    path: &[&str],
    query: &[(&str, &str)],
    most: usize,
    within: Duration,
) -> Result<Answer, String> {
    let base: reqwest::Url = settings.url.parse().map_err(|error| format!("its address is no URL: {error}"))?;
    let parts: Vec<&str> = ["api", "v2"].into_iter().chain(path.iter().copied()).collect();
    let mut url = connect::http::below(&base, &parts).map_err(|error| format!("{error:#}"))?;
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    let answer = http.get_url(url, proof(settings), most, within).await.map_err(|error| inert(&format!("{error:#}"), 300))?;
    match answer.status {
        200 if answer.cut => Err(format!("its answer is longer than {most} bytes")),
        200 => Ok(answer),
        status => Err(format!("it answers {status}: {}", answer.words())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared_by_whole_seconds_and_one_that_is_not_told_is_unknown() {
        let at = |millis: i64| Stamp::from_millis(1_800_000_000_000 + millis);
        for (its, wanted) in [
            (0, Apart::Little),
            (-900, Apart::Little),
            (15_000, Apart::Little),
            (-16_000, Apart::Little),
            (16_000, Apart::Much(Duration::from_secs(16))),
            (-17_000, Apart::Much(Duration::from_secs(16))),
        ] {
            assert_eq!(apart(Some(at(its)), at(0)), wanted, "{its}");
        }
        assert_eq!(apart(None, at(0)), Apart::Unknown);
    }

    #[test]
    fn how_long_it_is_up_is_told_by_its_own_clock() {
        let status = serde_json::json!({"uptime": "2027-01-15T08:00:00.5Z", "cluster": {"status": "ready"}});
        let its_time = Stamp::from_millis(1_800_000_000_000 + 450_000);
        assert_eq!(standing(&status, Some(its_time)), (Some(Duration::from_millis(449_500)), true));
        assert_eq!(standing(&status, None), (None, true));
    }

    #[test]
    fn a_way_to_us_is_read_from_its_own_configuration() {
        let written = "route:\n  receiver: humans\n  routes:\n  - receiver: runbookd\n    continue: true\nreceivers:\n- name: runbookd\n  webhook_configs:\n  - send_resolved: true\n    url: http://x:9095/webhook/alertmanager\n";
        assert!(
            is_routed(written, "runbookd") && !is_routed(written, "runbook") && is_routed("route:\n  receiver: \"a b\"\n", "a b")
        );
        assert_eq!(delivers(written), Some(true));
        assert_eq!(delivers("  - url: http://x/other\n"), Some(false));
        assert_eq!(delivers("    url: <secret>\n"), None);
    }
}
