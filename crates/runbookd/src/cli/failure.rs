//! How a command fails: what is wrong, where, how to mend it, and the exit code that a script can go by. Everything printed here
//! is inert: an error may carry a label's text.

use std::io::IsTerminal;
use std::process::ExitCode;

use runbook::text::inert;

use super::{WRONG, show};
use crate::commands::CommandError;
use crate::config::Complaints;

/// The daemon cannot be reached (`EX_TEMPFAIL` of sysexits.h).
const UNREACHABLE: u8 = 75;
/// More characters of an error than anybody reads.
const LONGEST: usize = 4_000;

/// Why a command was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// What was typed makes no sense.
    Usage { why: String, mend: String },
    /// The configuration is wrong.
    Configuration(Complaints),
    /// It was said already; only the exit code is left.
    Told(u8),
    /// Nobody answers on the socket.
    Unreachable { why: String, mend: String },
    /// Somebody answers, and could not do it: the journal cannot be written, or no answer came in time.
    Unwell { why: String, mend: String },
    /// It was refused, or it failed.
    Failed { why: String, mend: String },
}

impl Failure {
    pub(super) fn usage(why: impl Into<String>, mend: impl Into<String>) -> Self {
        Failure::Usage { why: why.into(), mend: mend.into() }
    }

    pub(super) fn failed(why: impl Into<String>, mend: impl Into<String>) -> Self {
        Failure::Failed { why: why.into(), mend: mend.into() }
    }

    /// Says it, and gives the exit code.
    pub(super) fn tell(self) -> ExitCode {
        let (why, mend, code) = match self {
            Failure::Told(code) => return ExitCode::from(code),
            Failure::Configuration(complaints) => {
                show::complain(complaints.render(std::io::stderr().is_terminal()).trim_end());
                return ExitCode::from(WRONG);
            }
            Failure::Usage { why, mend } => (why, mend, WRONG),
            Failure::Unreachable { why, mend } => (why, mend, UNREACHABLE),
            Failure::Unwell { why, mend } | Failure::Failed { why, mend } => (why, mend, 1),
        };
        show::complain(&format!("runbookd: {}", inert(&why, LONGEST)));
        if !mend.is_empty() {
            show::complain(&format!("  {}", inert(&mend, LONGEST)));
        }
        ExitCode::from(code)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Complaints>() {
            Ok(complaints) => Failure::Configuration(complaints),
            Err(error) => Failure::failed(format!("{error:#}"), ""),
        }
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Wrong(because) => Failure::usage(because.why, because.mend),
            CommandError::Absent(because) | CommandError::Refused(because) => Failure::failed(because.why, because.mend),
            CommandError::Failed(error) => error.into(),
        }
    }
}
