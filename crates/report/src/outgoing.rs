//! What is still to be said about an incident, given what was said. Pure.
//!
//! The choice: nothing is rendered in advance. What is kept durably per incident is [`Sent`] (which message it has in which channel,
//! how far its thread is told), and an [`Outgoing`] is rendered from the journal when it is due. So the headline coalesces by itself:
//! however long Slack was away, one update brings it to the newest state. The thread and the final report are never skipped: they are
//! events of the journal, and `Sent` names the last one told. An outbox row is therefore "this incident has something to say",
//! written in the transaction that appends the event; [`outgoing`] being empty is when it may go.
//!
//! The order of a delivery: `sent.attempts(&next)`, keep it; [`crate::deliver`]; `sent.learns(&next, &delivery)`, keep it. After a crash
//! in between, or after an answer was lost, `Sent` knows that the message may be there, and the delivery looks before it posts again.

use runbook::incident::{Event, Incident, IncidentId};
use runbook::time::Stamp;
use serde::{Deserialize, Serialize};

use crate::account;
use crate::delivery::{Delivery, Fault};
use crate::headline::headline;
use crate::message::Message;
use crate::story::story;
use crate::words::Manner;

/// After so many unknown ends in a row it is posted without a look, once: where looking never works, news would never arrive.
const DOUBTS: u32 = 5;
/// At most so many replies are rendered at a time.
const AT_ONCE: usize = 20;
/// How often a headline that was deleted is posted anew.
const REPOSTS: u32 = 3;

/// What sort of message it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The incident's message, for the first time.
    Headline,
    /// The incident's message, brought up to date.
    Update,
    /// A reply in its thread.
    Thread,
    /// The final report, in its thread.
    Final,
}

/// One message that is due.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Outgoing {
    /// Of which incident.
    pub incident: IncidentId,
    /// When that incident was opened; with its number it is unique among all installations that share a channel.
    pub opened: Stamp,
    /// What sort.
    pub kind: Kind,
    /// Its name within the incident: `headline`, or the event's sequence number.
    pub key: String,
    /// The event's sequence number, for replies.
    pub seq: u64,
    /// What is sent.
    pub message: Message,
    /// The channel of the incident's message; the configured one while there is none.
    pub channel: Option<String>,
    /// The incident's message, to be updated or replied to.
    pub ts: Option<String>,
    /// A reply that is shown in the channel, too.
    pub loud: bool,
    /// An earlier attempt may have arrived: look before posting.
    pub doubtful: bool,
}

/// What was said about an incident. Kept beside its events.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sent {
    /// Where its message is: Slack's id of the channel.
    pub channel: Option<String>,
    /// Which message it is: Slack's `ts`, a string and never a number.
    pub headline: Option<String>,
    /// What it says.
    pub digest: Option<String>,
    /// The last event that its thread tells.
    pub through: Option<u64>,
    /// A message that was attempted, and of which no answer is known.
    pub attempting: Option<String>,
    /// How often in a row the end of an attempt was unknown.
    pub doubts: u32,
    /// What the headline said when Slack refused it for what it says; not tried again until it says something else.
    pub refused: Option<String>,
    /// How often its message was gone and was posted anew.
    pub reposts: u32,
}

impl Sent {
    /// To be kept before the message goes out.
    pub fn attempts(&mut self, outgoing: &Outgoing) {
        self.attempting = Some(outgoing.key.clone());
    }

    /// To be kept afterwards.
    pub fn learns(&mut self, outgoing: &Outgoing, delivery: &Delivery) {
        self.doubts = if matches!(delivery, Delivery::Unknown(_)) { self.doubts.saturating_add(1) } else { 0 };
        match delivery {
            Delivery::Delivered { channel, ts } => {
                self.attempting = None;
                match outgoing.kind {
                    Kind::Headline | Kind::Update => {
                        self.channel = Some(channel.clone());
                        self.headline = Some(ts.clone());
                        self.digest = Some(outgoing.message.digest());
                        self.refused = None;
                    }
                    Kind::Thread | Kind::Final => self.through = self.through.max(Some(outgoing.seq)),
                }
            }
            Delivery::Later(..) => self.attempting = None,
            Delivery::Unknown(_) => self.attempting = Some(outgoing.key.clone()),
            Delivery::Never(refusal) => {
                self.attempting = None;
                match (refusal.fault, outgoing.kind) {
                    // A person mends the setup, and then it goes out.
                    (Fault::Setup, _) => {}
                    (Fault::Message, Kind::Headline | Kind::Update) => self.refused = Some(outgoing.message.digest()),
                    (Fault::Message, Kind::Thread | Kind::Final) => self.through = self.through.max(Some(outgoing.seq)),
                    // The incident's message was deleted, or may no longer be changed: it gets a new one, a few times.
                    (Fault::Gone, _) if self.reposts < REPOSTS => {
                        self.reposts += 1;
                        self.headline = None;
                        self.digest = None;
                    }
                    (Fault::Gone, Kind::Headline | Kind::Update) => self.refused = Some(outgoing.message.digest()),
                    (Fault::Gone, Kind::Thread | Kind::Final) => self.through = self.through.max(Some(outgoing.seq)),
                }
            }
        }
    }
}

/// What is to be sent next about an incident, in order; empty when everything is said. Replies need the incident's message, so as
/// long as that is not there it is the only one; and of many replies only the next few are rendered.
pub fn outgoing(incident: &Incident, events: &[(Stamp, Event)], already: &Sent, manner: &Manner) -> Vec<Outgoing> {
    let make = |kind: Kind, key: String, seq: u64, message: Message, loud: bool| Outgoing {
        incident: incident.id,
        opened: incident.opened,
        kind,
        doubtful: already.attempting.as_ref() == Some(&key) && already.doubts % (DOUBTS + 1) != DOUBTS,
        key,
        seq,
        message,
        channel: already.channel.clone(),
        ts: already.headline.clone(),
        loud,
    };
    let mut due = Vec::new();
    let message = headline(incident, events, manner);
    let digest = Some(message.digest());
    if already.digest != digest && already.refused != digest {
        let kind = if already.headline.is_some() { Kind::Update } else { Kind::Headline };
        due.push(make(kind, "headline".to_owned(), 0, message, false));
    }
    if already.headline.is_none() {
        return due;
    }
    let is_new = |seq: u64| already.through.is_none_or(|through| seq > through);
    let mut new = story(incident, events, manner);
    new.retain(|entry| is_new(entry.key));
    for entry in new.iter().take(AT_ONCE) {
        let message = entry.message(incident, manner);
        due.push(make(Kind::Thread, entry.key.to_string(), entry.key, message, entry.loud));
    }
    if new.len() > AT_ONCE {
        return due;
    }
    let closing = (0_u64..).zip(events).find(|(_, (_, event))| matches!(event, Event::Closed { .. }));
    if let Some((seq, (_, Event::Closed { how, .. }))) = closing
        && is_new(seq)
    {
        let message = account::read(incident, events, manner).message(manner);
        due.push(make(Kind::Final, seq.to_string(), seq, message, how.wants_a_person()));
        due.sort_by_key(|outgoing| (outgoing.kind != Kind::Update, outgoing.seq));
    }
    due
}
