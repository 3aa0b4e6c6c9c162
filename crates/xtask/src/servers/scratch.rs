//! Directories that belong to one server of one test.
//!
//! Why not a plain temporary directory: a killed test cannot clean up, so the name of its directory carries its
//! process id, and whoever comes next removes what belongs to processes that are no more. Deliberately outside the
//! target directory: a server that runs as another user must be able to reach it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::{command, paths};

/// A directory that is removed on drop, or by the next test if this one is killed.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new directory with `name` in its own.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(name: &str) -> Result<Scratch> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static SWEEP: Once = Once::new();
        let above = above()?;
        SWEEP.call_once(|| sweep(&above));
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = above.join(format!("{}-{count}-{name}", std::process::id()));
        if path.exists() {
            // Left by an earlier process that had the same id.
            std::fs::remove_dir_all(&path)?;
        }
        paths::make(path.clone())?;
        for directory in [&above, &path] {
            std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(Scratch { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path inside it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file inside it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Gives all of it to a user of this machine; does nothing where we are not root.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn give_to(&self, user: &str) -> Result<()> {
        if paths::is_root() {
            command::output(Command::new("chown").arg("--recursive").arg(format!("{user}:")).arg(&self.path))?;
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// What all of them lie in: a folder for each user of this machine.
fn above() -> Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    paths::make(std::env::temp_dir().join(format!("runbookd-{user}")))
}

/// Removes what belongs to processes that are no more.
fn sweep(above: &Path) {
    let Ok(entries) = std::fs::read_dir(above) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.split('-').next().and_then(|word| word.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_gone_on_drop_and_what_a_dead_process_left_is_swept() {
        let scratch = Scratch::new("here").unwrap();
        let path = scratch.path().to_path_buf();
        let above = path.parent().unwrap().to_path_buf();
        assert!(path.is_dir());
        // No process can have an id above the kernel's largest limit of 4194304.
        let left = paths::make(above.join("4194305-0-left")).unwrap();
        sweep(&above);
        assert!(!left.exists());
        assert!(path.is_dir());
        drop(scratch);
        assert!(!path.exists());
    }
}
