//! `cargo xtask bench docker|intake|looks|policy|reaction`: measures runbookd's speed on this machine; the method is printed with
//! the result.
//!
//! Deliberately release builds only: a debug build's speed says nothing.

mod docker;
mod intake;
mod policy;
mod reaction;
mod release;

use anyhow::{Result, bail};

/// The benchmarks there are, by name.
pub const NAMES: &[&str] = &["docker", "intake", "looks", "policy", "reaction"];

/// Runs one benchmark by its name.
///
/// # Errors
/// When there is none of that name, or when it cannot be run to its end.
pub fn run(name: &str) -> Result<()> {
    if name == "docker" {
        return docker::run(docker::Part::Whole);
    }
    if name == "looks" {
        return docker::run(docker::Part::Looks);
    }
    if name == "intake" {
        return intake::run();
    }
    if name == "reaction" {
        return reaction::run();
    }
    if name == "policy" {
        return policy::run();
    }
    bail!("there is no benchmark {name:?}; there are: {}", NAMES.join(", "))
}
