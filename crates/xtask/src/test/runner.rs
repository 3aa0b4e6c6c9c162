//! The test runner: cargo-nextest, which tells each test's time, ends what hangs, and runs each test in a process of its own. Where it is
//! not installed it is built once, for this workspace alone. Deliberately no other runner in its place: tests rely on what it does.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{command, paths, progress};

/// What is built where none is there; an installed one of another version is taken as it is.
const VERSION: &str = "0.9.143";

/// Sees that the runner is there.
///
/// # Errors
/// When it is not and cannot be built.
pub(super) fn ensure() -> Result<()> {
    if command::succeeds(&mut command(&["--version"])?) {
        return Ok(());
    }
    progress::step("building cargo-nextest, which is not installed (some minutes, once)", || {
        let mut install = super::cargo(&["install", "cargo-nextest", "--locked", "--debug", "--quiet", "--version", VERSION]);
        install.args(["--no-default-features", "--features", "default-no-update", "--root"]).arg(home()?);
        // Not where ours is built: what the runner is made of is no part of that, and goes when it is done.
        install.env_remove("CARGO_TARGET_DIR");
        let (well, _) = command::shown(&mut install)?;
        if !well {
            bail!(
                "cargo-nextest {VERSION} could not be built; what cargo said is above. `cargo install --locked cargo-nextest` mends it"
            );
        }
        Ok(())
    })
}

/// The runner with these arguments.
pub(super) fn command(arguments: &[&str]) -> Result<Command> {
    let mut command = super::cargo(&[&["nextest"][..], arguments].concat());
    let ours = home()?.join("bin");
    if ours.is_dir() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(ours).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(all)?);
    }
    Ok(command)
}

fn home() -> Result<PathBuf> {
    Ok(paths::cache()?.join("runner"))
}
