//! The durable, append-only record of what happened, and the only place where a permit is committed.
//!
//! Why a crate: what *remembers* must not be able to act, look or tell. One SQLite file in the state directory, one writer
//! (`BEGIN IMMEDIATE`, WAL, synchronous FULL, because a lost commit would be a repeated action), read-only connections beside
//! it. An incident is the fold of its events; a summary row is kept in the same transaction so that lists stay cheap.
//! Deliberately knows no clock (stamps are arguments and never go back), no policy but the permit, and nothing of people.

mod append;
mod asks;
mod claim;
mod codec;
mod copy;
mod counted;
mod earned;
mod evidence;
mod given_up;
mod heard;
mod hygiene;
mod intake;
mod lists;
mod migrate;
mod notices;
mod open;
mod outbox;
mod pause;
mod schema;
mod start;

pub use append::AppendError;
pub use asks::{Became, NotAnswered};
pub use claim::{Claim, Claimed};
pub use counted::Past;
pub use given_up::GivenUp;
pub use heard::{Chosen, Heard, HeardOutcome};
pub use hygiene::{Health, LIMITS_REMEMBER, Pruned, Retention};
pub use intake::{Delivery, Intake, NotTaken};
pub use lists::{Filter, Recorded, Summary};
pub use notices::Notice;
pub use open::{Journal, OpenError};
pub use outbox::ToTell;
pub use pause::{Lifted, PAUSE_FILE, PauseFile, PauseRow, Scope, pause_file, written_pause_file};
pub use start::StartRefused;
