//! What several tests share: the daemon, and what stands in the place or in front of its neighbours.

pub mod daemon;
pub mod engine_proxy;
pub mod people;
pub mod slack_rules;
pub mod slack_standin;
pub mod watch;
