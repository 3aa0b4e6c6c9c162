//! The pause file: a person's stop for when neither the daemon nor the journal answers. It stops everything, which may be more
//! than was wanted and is never less. Deliberately only a file: anybody can make it by hand.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use journal::PAUSE_FILE;
use runbook::time::Stamp;

/// Writes the pause file: the same stop for when nothing else works, with an end where one is given. An older one is replaced.
///
/// # Errors
/// When it cannot be written; then only stopping the process stops everything.
pub fn write_pause_file(directory: &Path, reason: &str, by: &str, until: Option<Stamp>) -> anyhow::Result<PathBuf> {
    let path = directory.join(PAUSE_FILE);
    let beside = directory.join(".PAUSE.new");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&beside)?;
        writeln!(file, "{reason} (by {by})")?;
        if let Some(until) = until {
            writeln!(file, "until: {until}")?;
        }
        file.sync_all()?;
        std::fs::rename(&beside, &path)?;
        File::open(directory)?.sync_all()
    };
    write().with_context(|| format!("writing {}; make it by hand (`touch`), or stop the daemon", path.display()))?;
    Ok(path)
}

/// Removes the pause file; false when there was none.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove_pause_file(directory: &Path) -> anyhow::Result<bool> {
    let path = directory.join(PAUSE_FILE);
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => {
            Err(error).with_context(|| format!("removing {}; everything stays paused while it is there", path.display()))
        }
    }
}
