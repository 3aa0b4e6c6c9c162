//! The nouns of runbookd: alerts, matchers, targets, looks and findings, conditions, runbooks, orders, and the incident as
//! the fold of its events. Why one crate: everything may use it, so what stands here must be pure. Deliberately no clock,
//! no I/O, no runtime, and no decision: `policy` decides.

pub mod action;
pub mod alert;
pub mod approval;
pub mod book;
pub mod condition;
pub mod finding;
pub mod health;
pub mod identity;
pub mod incident;
pub mod interval;
pub mod matcher;
pub mod order;
pub mod probe;
pub mod rules;
pub mod silence;
pub mod target;
pub mod text;
pub mod time;

pub use time::{Span, Stamp};
