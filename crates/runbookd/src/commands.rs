//! What a person starts, rehearses or looks at, behind the API and the command line. Every answer is a sentence and data, every
//! refusal a sentence and its mend. Words that come from people are bounded and made inert on the way in, because they end up
//! in the journal, in Slack and on terminals. Deliberately no HTTP and no terminal here, and no way around a gate: what is
//! started by hand passes the same guards as what an alert started.

mod dry;
pub mod explained;
mod eyes;
mod pausefile;
mod start;

use runbook::incident::IncidentId;
use runbook::text::inert;
use serde::{Deserialize, Serialize};

pub use dry::{DryRun, Rung, dry_run};
pub use eyes::{Eyes, Sight};
pub use pausefile::{Written, remove_pause_file, write_pause_file};
pub use start::{Report, Run, report, run};

/// More characters of somebody's words than a message has room for.
const MOST_WORDS: usize = 2_000;
/// More characters than any name.
const MOST_NAME: usize = 100;

/// What is wrong, and how to mend it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{why}")]
pub struct Because {
    /// What is wrong.
    pub why: String,
    /// What to do about it.
    pub mend: String,
}

impl Because {
    fn new(why: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { why: why.into(), mend: mend.into() }
    }
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// What was asked makes no sense.
    #[error("{0}")]
    Wrong(Because),
    /// There is no such thing.
    #[error("{0}")]
    Absent(Because),
    /// There is, and it does not allow that now.
    #[error("{0}")]
    Refused(Because),
    /// Something on our side failed, the journal mostly; nothing was promised.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for CommandError {
    fn from(error: anyhow::Error) -> Self {
        CommandError::Failed(error)
    }
}

impl CommandError {
    fn wrong(why: impl Into<String>, mend: impl Into<String>) -> Self {
        CommandError::Wrong(Because::new(why, mend))
    }

    fn absent(why: impl Into<String>, mend: impl Into<String>) -> Self {
        CommandError::Absent(Because::new(why, mend))
    }

    fn refused(why: impl Into<String>, mend: impl Into<String>) -> Self {
        CommandError::Refused(Because::new(why, mend))
    }
}

/// What was done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Done {
    /// In a sentence, safe to print.
    pub says: String,
    /// To which incident, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<IncidentId>,
}

/// Who asks: never nobody, because every record names somebody.
fn person(by: &str) -> Result<String, CommandError> {
    match inert(by.trim(), MOST_NAME) {
        by if by.is_empty() => {
            Err(CommandError::wrong("nobody is named as the one who asks", "say who you are, with `by` or --by"))
        }
        by => Ok(by),
    }
}

/// Somebody's words: never empty, never endless, never steering a terminal.
fn words(words: &str, what: &str) -> Result<String, CommandError> {
    match inert(words.trim(), MOST_WORDS) {
        words if words.is_empty() => Err(CommandError::wrong(format!("{what} is empty"), format!("write {what} in a few words"))),
        words => Ok(words),
    }
}

/// A hint at the name that was probably meant.
fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match runbook::text::closest(name, known.clone()) {
        Some(near) => format!("`{near}` is there; if that was meant, write it so"),
        None => {
            let names: Vec<&str> = known.into_iter().take(20).collect();
            if names.is_empty() {
                "there are none in the configuration".to_owned()
            } else {
                format!("there are: {}", names.join(", "))
            }
        }
    }
}
