//! A whole copy of the journal in one file: what `journal backup` makes, and what is put aside before a migration. Under its
//! name it stands only once it is complete and on the disk, because a half copy found later would be taken for a whole one.
//! Deliberately knows nothing of when one is wanted.

use std::fs::File;
use std::path::Path;

use anyhow::Context;
use sqlx::sqlite::SqliteConnection;

/// Copies the journal consistently, while it is in use, to `unfinished`, which must not exist, and then moves it to `to`, in the
/// same folder. What cannot be finished is removed.
pub(crate) async fn whole(connection: &mut SqliteConnection, unfinished: &Path, to: &Path) -> anyhow::Result<()> {
    let copied = sqlx::query("VACUUM INTO $1").bind(unfinished.display().to_string()).execute(connection).await;
    let moved = copied.map_err(anyhow::Error::from).and_then(|_| {
        File::open(unfinished)?.sync_all()?;
        std::fs::rename(unfinished, to)?;
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(File::open(folder)?.sync_all()?)
    });
    if moved.is_err() {
        // Half a copy is none, and would stand in the way of the next one.
        let _ = std::fs::remove_file(unfinished);
    }
    moved.with_context(|| format!("copying the journal to {}", to.display()))
}
