//! The command line.

use std::process::ExitCode;

/// Placeholder until the commands land.
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
