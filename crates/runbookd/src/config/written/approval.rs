//! `approval:` of `runbookd.yaml` as it is written: how a person is waited for, and who may agree to what. A token stands here
//! only as a reference or as its hash.

use std::collections::BTreeMap;

use runbook::Span;
use runbook::target::{Class, SecretRef, TargetId};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::yaml::{Entries, Placed, Raw};

/// How a person is waited for, and who may agree to what.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenApproval {
    /// No answer within this time is a no: 30m where nothing is said.
    pub expires: Option<Placed<Span>>,
    /// A question that nobody answered is told again this often, and once more shortly before its end: a third of `expires`
    /// where nothing is said.
    pub remind: Option<Placed<Span>>,
    /// Who may agree, each with a token of their own. Where nobody is named, whoever holds the API's token may agree, and is
    /// recorded under the name they give.
    #[schemars(with = "Option<BTreeMap<String, WrittenPerson>>")]
    pub people: Option<Placed<Entries<Placed<WrittenPerson>>>>,
    /// Who may agree to what. Every rule that fits a question must name the person; where none fits, all of `people` may.
    pub who: Option<Placed<Vec<Placed<WrittenWho>>>>,
    /// Whether somebody may agree to what they started by hand themselves: false where nothing is said. Counts only where
    /// `people` are named.
    pub self_approval: Option<Placed<bool>>,
}

/// What proves that somebody is who they say. One of the three.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenPerson {
    /// Where their token is kept: 16 or more visible ASCII characters.
    #[schemars(with = "Option<SecretRef>")]
    pub token: Option<Placed<Raw>>,
    /// The SHA-256 of their token, in 64 hexadecimal digits; then the token itself is nowhere here.
    pub sha256: Option<Placed<String>>,
    /// Whoever holds the API's token, or may open the socket, and shows no token of their own. Of one person at most.
    pub api_token: Option<Placed<bool>>,
}

/// For questions that all parts fit, these people. A part that is left out fits everything.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenWho {
    /// The class of the incident's target, or of what would be acted on.
    pub classes: Option<Placed<Vec<Placed<Class>>>>,
    /// The incident's target, or what would be acted on.
    #[schemars(with = "Option<Vec<TargetId>>")]
    pub targets: Option<Placed<Vec<Placed<TargetId>>>>,
    /// The runbook's name.
    pub runbooks: Option<Placed<Vec<Placed<String>>>>,
    /// The action's name.
    pub actions: Option<Placed<Vec<Placed<String>>>>,
    /// Who, by the names in `people`.
    pub people: Placed<Vec<Placed<String>>>,
}
