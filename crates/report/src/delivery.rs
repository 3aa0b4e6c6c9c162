//! What becomes of one message, and the one way of delivering it. Why an enum: the caller does four different things (keep, wait, call
//! a person, look before repeating). Deliberately no retry loop here: the outbox is the loop, and it survives a restart.

use std::time::Duration;

use runbook::text::inert;

use crate::outgoing::{Kind, Outgoing};
use crate::slack::{Answer, Slack};

/// What became of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// It is there.
    Delivered {
        /// Slack's id of the channel.
        channel: String,
        /// Slack's id of the message.
        ts: String,
    },
    /// It is not there, and may be tried again after this time.
    Later(Duration, String),
    /// It is not there, and trying again changes nothing: a person must act. To be logged as an ERROR.
    Never(Refusal),
    /// It may be there: it was sent and the answer was lost. Look before repeating.
    Unknown(String),
}

/// Whose fault a refusal is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// The token, its scopes, the channel, the workspace: everything will be refused until a person mends it.
    Setup,
    /// What the message says.
    Message,
    /// The message that was to be changed or replied to is gone or frozen.
    Gone,
}

/// Why Slack will not take a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Slack's own word, for example `channel_not_found`.
    pub error: String,
    /// Whose fault.
    pub fault: Fault,
    /// What a person should do.
    pub mend: &'static str,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slack refuses with `{}`; {}", self.error, self.mend)
    }
}

/// Delivers one message. Where an earlier attempt may have arrived it looks first: in the channel for the incident's message, in the
/// thread for a reply, by the metadata that every message of ours carries. That needs `channels:history` (`groups:history` for a
/// private channel) and a channel given by id; without them the message may be there twice, which is the worst that happens.
pub async fn deliver(slack: &Slack, outgoing: &Outgoing) -> Delivery {
    if outgoing.doubtful && outgoing.kind != Kind::Update {
        match slack.find(outgoing).await {
            Answer::Said(Some((channel, ts))) => return Delivery::Delivered { channel, ts },
            // Not there, or not allowed to look: a second post is the lesser harm.
            Answer::Said(None) | Answer::Refused(_) => {}
            Answer::Later(wait, why) => {
                return Delivery::Unknown(format!("whether it arrived cannot be seen for {}: {why}", seconds(wait)));
            }
            Answer::Lost(why) => return Delivery::Unknown(format!("whether it arrived cannot be seen: {why}")),
        }
    }
    match classify(slack.send(outgoing, &outgoing.message).await) {
        // The news matters more than its looks: once more, in words alone.
        Delivery::Never(refusal) if refusal.fault == Fault::Message && !outgoing.message.blocks.is_empty() => {
            match classify(slack.send(outgoing, &outgoing.message.bare()).await) {
                Delivery::Never(_) => Delivery::Never(refusal),
                other => other,
            }
        }
        other => other,
    }
}

fn seconds(wait: Duration) -> String {
    runbook::text::humanize_duration(wait)
}

fn classify(answer: Answer<(String, String)>) -> Delivery {
    match answer {
        Answer::Said((channel, ts)) => Delivery::Delivered { channel, ts },
        Answer::Refused(error) => refusal(&error),
        Answer::Later(wait, why) => Delivery::Later(wait, why),
        Answer::Lost(why) => Delivery::Unknown(why),
    }
}

/// What Slack's word for an error means for a message. Words that nobody has listed count as the setup's fault: a person reads them.
pub(crate) fn refusal(error: &str) -> Delivery {
    let later = |seconds: u64| Delivery::Later(Duration::from_secs(seconds), format!("Slack answers `{}`", inert(error, 80)));
    let (fault, mend) = match error {
        "ratelimited" | "rate_limited" | "message_limit_exceeded" => return later(30),
        "service_unavailable" | "request_timeout" | "team_added_to_org" | "update_failed" => return later(60),
        // "It's possible some aspect of the operation succeeded before the error was raised", says Slack of these two.
        "internal_error" | "fatal_error" => {
            return Delivery::Unknown(format!("Slack answers `{error}`: it may have taken the message"));
        }
        "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive" => {
            (Fault::Setup, "put a valid bot token (xoxb-…) where the configuration points")
        }
        "missing_scope" | "not_allowed_token_type" | "no_permission" | "ekm_access_denied" | "access_denied" => {
            (Fault::Setup, "give the app the scope chat:write and install it again")
        }
        "channel_not_found" | "is_archived" | "invalid_channel" => {
            (Fault::Setup, "configure the id (C…) of a channel that exists and is not archived")
        }
        "not_in_channel" => (Fault::Setup, "invite the app to the channel"),
        "restricted_action" | "restricted_action_thread_only_channel" | "restricted_action_read_only_channel" => {
            (Fault::Setup, "allow the app to post in this channel, or choose another")
        }
        "msg_too_long"
        | "msg_blocks_too_long"
        | "invalid_blocks"
        | "invalid_blocks_format"
        | "no_text"
        | "invalid_metadata_format"
        | "metadata_too_large"
        | "too_many_attachments" => (Fault::Message, "this is a fault of runbookd's: please report it with the incident's text"),
        "message_not_found" | "thread_not_found" | "cant_update_message" | "edit_window_closed" | "cannot_reply_to_message" => {
            (Fault::Gone, "the incident's message was deleted or frozen; it is posted anew")
        }
        _ => (Fault::Setup, "look this word up among the errors of chat.postMessage"),
    };
    Delivery::Never(Refusal { error: inert(error, 80), fault, mend })
}
