//! `cargo xtask bench docker|intake|reaction`: measures runbookd's speed on this machine; the method is printed with the result.
//!
//! Deliberately release builds only: a debug build's speed says nothing.

mod docker;
mod intake;
mod reaction;
mod release;

use anyhow::{Result, bail};

/// The benchmarks there are, by name.
pub const NAMES: &[&str] = &["docker", "intake", "reaction"];

/// Runs one benchmark by its name.
///
/// # Errors
/// When there is none of that name, or when it cannot be run to its end.
pub fn run(name: &str) -> Result<()> {
    if name == "docker" {
        return docker::run();
    }
    if name == "intake" {
        return intake::run();
    }
    if name == "reaction" {
        return reaction::run();
    }
    bail!("there is no benchmark {name:?}; there are: {}", NAMES.join(", "))
}
