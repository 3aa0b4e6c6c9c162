//! The pause file: a person's stop for when neither the daemon nor the journal answers. It stops everything, which may be more
//! than was wanted and is never less. Like a pause in the journal it only ever becomes longer by another one: who wants it
//! shorter resumes first. Deliberately only a file: anybody can make it by hand.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use journal::{PAUSE_FILE, PauseFile, written_pause_file};
use runbook::text::inert;
use runbook::time::Stamp;

/// A second pause that is written at the same time is waited for so long at most: a stop must not hang on another's.
const WITH_ANOTHER: Duration = Duration::from_secs(2);

/// The stop that stands after it was written.
pub struct Written {
    /// Where.
    pub path: PathBuf,
    /// The end that counts: the later one of this pause and the one that stood there.
    pub until: Option<Stamp>,
    /// The one that stood there, unless it was over.
    pub before: Option<PauseFile>,
}

/// Writes the pause file: the same stop for when nothing else works, with an end where one is given. The words of one that stands
/// there already are kept, and the later end counts; no end is the latest, and so is one that cannot be read.
///
/// # Errors
/// When it cannot be written; then only stopping the process stops everything.
pub fn write_pause_file(directory: &Path, reason: &str, by: &str, now: Stamp, until: Option<Stamp>) -> anyhow::Result<Written> {
    let path = directory.join(PAUSE_FILE);
    let alone = alone(directory);
    let stands = written_pause_file(directory);
    // Its end counts even where it is over by this clock: by another's it may not be, and a later end takes nothing away.
    let until = match &stands {
        Some(stands) => stands.until.zip(until).map(|(one, other)| one.max(other)),
        None => until,
    };
    let before = stands.filter(|stands| stands.until.is_none_or(|until| until > now));
    if path.symlink_metadata().is_ok_and(|stands| stands.is_dir()) {
        // A folder of that name stops everything without an end, and no file can take its place.
        return Ok(Written { path, until: None, before });
    }
    // Where another may be writing too, each has its own, so that neither takes the other's away.
    let beside = directory.join(match alone {
        Some(_) => ".PAUSE.new".to_owned(),
        None => format!(".PAUSE.{}.new", std::process::id()),
    });
    let write = || -> std::io::Result<()> {
        // What a killed process left goes, and nothing is written through a link.
        let _ = std::fs::remove_file(&beside);
        let mut file = File::create_new(&beside)?;
        // A reason may not read like an end.
        let quote = if reason.trim_start().starts_with("until:") { "\"" } else { "" };
        let more = if before.is_some() { ";" } else { "" };
        writeln!(file, "{quote}{}{quote} (by {}){more}", inert(reason.trim(), 200), inert(by, 80))?;
        // Before older words, so that they cannot push it out of what is read.
        if let Some(until) = until {
            writeln!(file, "until: {until}")?;
        }
        match &before {
            Some(before) if before.words.is_empty() => writeln!(file, "before that, a stop without readable words")?,
            Some(before) => writeln!(file, "before that: {}", before.words)?,
            None => {}
        }
        // How long everything has been paused goes on counting, where the file system lets it; the stop does not depend on that.
        let since = before.as_ref().and_then(|_| path.symlink_metadata().ok()?.modified().ok());
        let _ = since.map(|since| file.set_modified(since));
        file.sync_all()?;
        std::fs::rename(&beside, &path)?;
        File::open(directory)?.sync_all()
    };
    let written = write();
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written.with_context(|| format!("writing {}; make it by hand (`touch`), or stop the daemon", path.display()))?;
    Ok(Written { path, until, before })
}

/// Keeps others from reading the old file while the new one is written. Where that cannot be had, the stop is written all the same.
fn alone(directory: &Path) -> Option<File> {
    const STEP: Duration = Duration::from_millis(20);
    let held = File::open(directory).ok()?;
    for _ in 0..WITH_ANOTHER.as_millis() / STEP.as_millis() {
        match held.try_lock() {
            Ok(()) => return Some(held),
            Err(TryLockError::WouldBlock) => std::thread::sleep(STEP),
            Err(TryLockError::Error(_)) => return None,
        }
    }
    None
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
        // What somebody keeps in a folder is not ours to remove.
        Err(_) if path.symlink_metadata().is_ok_and(|stands| stands.is_dir()) => anyhow::bail!(
            "{path} is a folder, which stops everything as a file of that name does; look what is in it, then `rmdir {path}` to go on",
            path = path.display()
        ),
        Err(error) => {
            Err(error).with_context(|| format!("removing {}; everything stays paused while it is there", path.display()))
        }
    }
}
