//! Decides, and mints permits. Why a crate of its own: what decides must not be able to touch anything, so that every
//! decision can be tried with a table and replayed with the configuration of that night. No clock, no I/O, no async.

pub mod answer;
pub mod decide;
pub mod earned;
pub mod guards;
mod harm;
pub mod history;
mod house;
pub mod ledger;
pub mod modes;
pub mod overview;
pub mod permit;
pub mod route;
mod spent;

#[cfg(test)]
mod tests;

pub use answer::{MayNot, Sort, may_agree};
pub use decide::{Case, Decision, Ruling, decide};
pub use earned::{Record, Standing, Weight};
pub use guards::outdated;
pub use history::{Attempted, Burst, Counted, History, Pause, Streak};
pub use house::{kept_until, storms};
pub use ledger::{Ledger, OpenBreaker, Started};
pub use modes::Bound;
pub use overview::{Overview, overview};
pub use permit::{Committed, Late, Permit, Reservation, Scope};
pub use route::{Routing, route};
