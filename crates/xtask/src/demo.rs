//! Placeholder, filled within the hour.
use std::process::ExitCode;
/// Runs.
///
/// # Errors
/// None.
pub fn run(_name: &str, _once: bool) -> anyhow::Result<ExitCode> {
    anyhow::bail!("the demo is not built yet")
}
