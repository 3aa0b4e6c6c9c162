//! A whole copy of the journal in one file: what `journal backup` makes, and what is put aside before a migration. Under its
//! name it stands only once it is complete and on the disk, because a half copy found later would be taken for a whole one.
//! Deliberately knows nothing of when one is wanted.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sqlx::sqlite::SqliteConnection;

/// What may stand in the place of a copy before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Over {
    /// Nothing: what stands there is never overwritten.
    Nothing,
    /// A copy of before, which the new one replaces.
    MayStand,
}

/// A copy that is not finished; gone when it is dropped.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Copies the journal consistently, while it is in use, to `unfinished`, which must not exist, and then moves it to `to`, in the
/// same folder. What cannot be finished is removed.
pub(crate) async fn whole(connection: &mut SqliteConnection, unfinished: PathBuf, to: &Path, over: Over) -> anyhow::Result<()> {
    let copied = async {
        // Absolute, so that no name is read as one of SQLite's addresses (`file:...`).
        let unfinished = std::path::absolute(unfinished)?;
        let name = unfinished.to_str().context("its name is not UTF-8, which SQLite wants")?.to_owned();
        let unfinished = Unfinished(unfinished);
        sqlx::query("VACUUM INTO $1").bind(name).execute(connection).await?;
        File::open(&unfinished.0)?.sync_all()?;
        match over {
            Over::MayStand => std::fs::rename(&unfinished.0, to)?,
            Over::Nothing => put(&unfinished.0, to)?,
        }
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(File::open(folder)?.sync_all()?)
    };
    let copied: anyhow::Result<()> = copied.await;
    copied.with_context(|| format!("copying the journal to {}", to.display()))
}

/// Gives a file its name where nothing has it, also when two do so at once.
fn put(unfinished: &Path, to: &Path) -> anyhow::Result<()> {
    match std::fs::hard_link(unfinished, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => anyhow::bail!("it exists; a backup never overwrites"),
        // Not every file system knows links.
        Err(_) => {
            anyhow::ensure!(to.symlink_metadata().is_err(), "it exists; a backup never overwrites");
            Ok(std::fs::rename(unfinished, to)?)
        }
    }
}
