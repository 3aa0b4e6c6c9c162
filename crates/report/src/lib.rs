//! Tells people: renders an incident from its journal, and delivers messages to Slack.
//!
//! Why a crate of its own: what tells can never reach what acts, decides or remembers; the compiler sees to it. Everything up
//! to the wire is pure: the same events give the same words, so a message can be rendered again after a crash, and late is
//! never stale. Deliberately no journal, no queue and no timer here: the daemon keeps [`Sent`] beside the events, asks
//! [`outgoing`] what is still to be said, and calls [`deliver`] at the pace that [`Pace`] allows. No incident waits for any of it.

mod account;
mod delivery;
mod figures;
mod headline;
mod in_force;
mod message;
mod notice;
mod outgoing;
mod pace;
mod prose;
mod report;
mod sections;
mod sentence;
pub mod slack;
mod story;
pub mod terminal;
mod walk;
mod words;

#[cfg(test)]
mod tests;

pub use delivery::{Delivery, Fault, Refusal, deliver};
pub use headline::headline;
pub use in_force::in_force;
pub use message::{Block, Message, TextObject};
pub use notice::notice;
pub use outgoing::{Kind, Outgoing, Sent, outgoing};
pub use pace::Pace;
pub use prose::Prose;
pub use report::{Act, Compared, Evidence, JoinedAlert, Note, Proof, Question, Refused, Report, Times, Touched, final_report};
pub use story::{ThreadEntry, story};
pub use words::{Manner, quieted};
