//! Where things lie: the workspace, its target directory, and what automation remembers between runs.
//!
//! Deliberately no configuration of its own: every place follows from the workspace and from cargo's variables.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The root of the workspace, as it was when this crate was built.
#[must_use]
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    match here.ancestors().nth(2) {
        Some(root) => root.to_path_buf(),
        None => here,
    }
}

/// Cargo's target directory: `CARGO_TARGET_DIR` or `target` under the root.
#[must_use]
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(path) => root().join(path),
        None => root().join("target"),
    }
}

/// What automation remembers (which estates and which engine it started), made on first use; git ignores it.
///
/// # Errors
/// When the directory cannot be made.
pub fn memory() -> Result<PathBuf> {
    make(root().join(".estate"))
}

/// A directory under the target directory for what is dear to make and can be thrown away, such as templates.
///
/// # Errors
/// When the directory cannot be made.
pub fn cache() -> Result<PathBuf> {
    make(target().join("xtask"))
}

/// Makes `path` and all directories above it.
///
/// # Errors
/// When that is not allowed or something else is in the way.
pub fn make(path: PathBuf) -> Result<PathBuf> {
    std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

/// Whether this process has all rights (its effective user is root).
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
