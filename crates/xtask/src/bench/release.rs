//! The release build that every benchmark measures. Why apart: all of them build the same way, and say so while it takes its
//! minutes. Deliberately never used by tests.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{command, paths, progress};

/// Builds parts of the package `runbookd` for release; gives the folder that they are in.
///
/// # Errors
/// When it does not build; the log is named.
pub(super) fn build(parts: &[&str]) -> Result<PathBuf> {
    let log = paths::cache()?.join("bench-build.log");
    progress::step_with_log("building the release (some minutes the first time)", &log, || {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(paths::root()).args(["build", "--release", "--locked", "--package", "runbookd"]);
        command::logged(cargo.args(parts), &log)
    })?;
    Ok(paths::target().join("release"))
}
