//! What `doctor` wants to know of Slack, changing nothing: does the token work, may it write, is the channel there and are we in it.
//! Deliberately no test message: nobody wants one a day.

use serde_json::Value;

use super::{Answer, Slack};
use crate::delivery::{Delivery, refusal};

/// How it stands with Slack.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CheckUp {
    /// What was found to be well, in words.
    pub well: Vec<String>,
    /// What would keep messages from arriving, each with its mend.
    pub faults: Vec<String>,
    /// What could not be seen, and why: neither well nor a fault.
    pub unknown: Vec<String>,
}

/// Asks Slack who we are (`auth.test`) and what the channel is (`conversations.info`, which wants `channels:read`, or `groups:read`
/// for a private one), and whether its history may be read, which [`crate::deliver`] does after a lost answer.
pub async fn check_up(slack: &Slack) -> CheckUp {
    let mut found = CheckUp::default();
    match slack.call("auth.test", Some(serde_json::json!({})), &[]).await {
        Answer::Said(said) => {
            let text = |name: &str| runbook::text::inert(said.get(name).and_then(Value::as_str).unwrap_or("?"), 80);
            found.well.push(format!("the token is {}'s, in the workspace {}", text("user"), text("team")));
        }
        Answer::Refused(error) => {
            found.faults.push(said_no(&error));
            return found;
        }
        Answer::Later(_, why) | Answer::Lost(why) => {
            found.unknown.push(why);
            return found;
        }
    }
    match slack.call("conversations.info", None, &[("channel", slack.channel().to_owned())]).await {
        Answer::Said(said) => channel(&said, slack.channel(), &mut found),
        Answer::Refused(error) if error == "missing_scope" => {
            found.unknown.push(
                "the channel cannot be looked at without the scope channels:read (groups:read for a private one)".to_owned(),
            );
        }
        Answer::Refused(error) => {
            found.faults.push(said_no(&error));
            return found;
        }
        Answer::Later(_, why) | Answer::Lost(why) => found.unknown.push(why),
    }
    let query = [("channel", slack.channel().to_owned()), ("limit", "1".to_owned())];
    if let Answer::Refused(error) = slack.call("conversations.history", None, &query).await {
        let why = if error == "missing_scope" {
            "the scope channels:history (groups:history for a private one) is missing".to_owned()
        } else {
            said_no(&error)
        };
        found
            .unknown
            .push(format!("after a lost answer it cannot be seen whether a message arrived, so it may be there twice: {why}"));
    }
    found
}

fn channel(said: &Value, configured: &str, found: &mut CheckUp) {
    let flag = |name: &str| said.pointer(&format!("/channel/{name}")).and_then(Value::as_bool);
    let name = said.pointer("/channel/name").and_then(Value::as_str).unwrap_or(configured);
    let name = runbook::text::inert(name, 80);
    if flag("is_archived") == Some(true) {
        found.faults.push(format!("the channel {name} is archived; choose another, or unarchive it"));
    } else if flag("is_member") == Some(false) {
        found.faults.push(format!("the app is not in the channel {name}; invite it there"));
    } else {
        found.well.push(format!("the channel {name} is there"));
    }
}

fn said_no(error: &str) -> String {
    match refusal(error) {
        Delivery::Never(refusal) => refusal.to_string(),
        _ => format!("Slack answers `{}`", runbook::text::inert(error, 80)),
    }
}
