//! What several tests share: servers in the place of neighbours that cannot be run here.

pub mod daemon;
pub mod slack_rules;
pub mod slack_standin;
