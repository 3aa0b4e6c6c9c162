//! The configuration as it is written: three forms, each with its JSON Schema. Why apart from what is meant: what was typed
//! has places, gaps and mistakes. Doc comments here are what an editor shows. Deliberately no checks beyond types; `lower`
//! has those.

pub mod approval;
pub mod daemon;
pub mod rules;
pub mod runbook;
pub mod steps;
pub mod targets;

use ::runbook::target::SecretRef;
use schemars::JsonSchema;
use serde::Deserialize;

use super::yaml::{Placed, Raw};

/// A login: a name in the clear and a reference to its password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenLogin {
    /// The user's name.
    pub user: Placed<String>,
    /// Where the password is kept: `{file: PATH}`, `{env: NAME}` or `{credential: NAME}`. Never the password itself.
    #[schemars(with = "SecretRef")]
    pub password: Placed<Raw>,
}
