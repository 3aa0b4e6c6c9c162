//! Bringing a journal up to this release, with a copy of what was there, and the refusal of a newer one. Why a copy: a release
//! that does not work out must be taken back at night without losing what is on record. Deliberately one copy for each version
//! that was there before, and none of a journal that is new: nothing was there.

use std::path::Path;

use anyhow::Context;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

use crate::copy::{self, Over};
use crate::open::OpenError;
use crate::schema::MIGRATIONS;

async fn version(connection: &mut SqliteConnection) -> anyhow::Result<i64> {
    Ok(sqlx::query("PRAGMA user_version").fetch_one(connection).await?.try_get(0)?)
}

/// Gives the version on disk, unless a newer release wrote it.
pub(crate) async fn refuse_newer(connection: &mut SqliteConnection, directory: &Path) -> Result<i64, OpenError> {
    let (found, known) = (version(connection).await?, MIGRATIONS.len() as i64);
    if found > known {
        return Err(OpenError::Newer { directory: directory.to_owned(), found, known });
    }
    Ok(found)
}

/// Brings the journal up to this release, after a copy of what was there.
pub(crate) async fn migrate(connection: &mut SqliteConnection, directory: &Path) -> Result<(), OpenError> {
    let found = refuse_newer(connection, directory).await?;
    let to_do = MIGRATIONS.get(usize::try_from(found).unwrap_or(0)..).unwrap_or_default();
    if to_do.is_empty() {
        return Ok(());
    }
    if found > 0 {
        put_aside(connection, directory, found).await?;
    }
    // All of them or none: a journal between two releases is one that neither knows.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.context("beginning a migration")?;
    for (sql, version) in to_do.iter().zip(found + 1..) {
        sqlx::raw_sql(*sql)
            .execute(&mut *transaction)
            .await
            .with_context(|| format!("migrating the journal to version {version}"))?;
        sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA user_version = {version}")))
            .execute(&mut *transaction)
            .await
            .context("marking the migration")?;
    }
    transaction.commit().await.context("committing a migration")?;
    Ok(())
}

/// Keeps a copy of the journal as this version left it. One that stands there is of an earlier upgrade, from which somebody went
/// back: what has been recorded since is in the new copy only.
async fn put_aside(connection: &mut SqliteConnection, directory: &Path, found: i64) -> anyhow::Result<()> {
    let to = directory.join(format!("journal.v{found}.db"));
    // The lock on the directory is ours: nobody else writes this, and what is there is what a killed process left.
    let unfinished = directory.join(".journal.copy");
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("removing {}, which a killed process left", unfinished.display()));
        }
        _ => {}
    }
    tracing::info!(copy = %to.display(), "the journal is of an older release; it is copied first, then brought up to this one");
    let copied = copy::whole(connection, unfinished, &to, Over::MayStand).await;
    copied.context("before bringing the journal up to this release")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A journal as the release of this version left it, with one alert on record for each word.
    async fn left_by(version: usize, directory: &Path, words: &[&str]) {
        let path = directory.join("journal.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut old = SqliteConnection::connect_with(&options).await.unwrap();
        for migration in &MIGRATIONS[..version] {
            sqlx::raw_sql(*migration).execute(&mut old).await.unwrap();
        }
        sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA user_version = {version}"))).execute(&mut old).await.unwrap();
        for word in words {
            configured(&mut old, word).await;
        }
        old.close().await.unwrap();
    }

    async fn configured(connection: &mut SqliteConnection, hash: &str) {
        let row = sqlx::query("INSERT INTO configurations (hash, stored, body) VALUES ($1, 0, '')").bind(hash.to_owned());
        row.execute(connection).await.unwrap();
    }

    /// Version and configurations of a file, which is not changed by that.
    async fn held(path: &Path) -> (i64, Vec<String>) {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let rows = sqlx::query("SELECT hash FROM configurations ORDER BY hash").fetch_all(&mut connection).await.unwrap();
        let held = (version(&mut connection).await.unwrap(), rows.iter().map(|row| row.get(0)).collect());
        connection.close().await.unwrap();
        held
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.filter(|name| name.contains("journal")).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_new_journal_has_no_copies() {
        let directory = tempfile::tempdir().unwrap();
        drop(crate::Journal::open(directory.path()).await.unwrap());
        assert!(names(directory.path()).iter().all(|name| name.starts_with("journal.db")), "{:?}", names(directory.path()));
    }

    #[tokio::test]
    async fn each_older_release_can_be_put_back_as_it_was() {
        for old in 1..MIGRATIONS.len() {
            let directory = tempfile::tempdir().unwrap();
            left_by(old, directory.path(), &["a"]).await;
            drop(crate::Journal::open(directory.path()).await.unwrap());
            let copy = format!("journal.v{old}.db");
            assert_eq!(held(&directory.path().join(&copy)).await, (old as i64, vec!["a".to_owned()]));
            assert_eq!(held(&directory.path().join("journal.db")).await, (MIGRATIONS.len() as i64, vec!["a".to_owned()]));
            let others: Vec<String> =
                names(directory.path()).into_iter().filter(|name| !name.starts_with("journal.db")).collect();
            assert_eq!(others, [copy], "one copy, of what was there");
            // Opened again, nothing is done again.
            drop(crate::Journal::open(directory.path()).await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_copy_cut_short_or_of_an_earlier_upgrade_is_not_taken_for_this_one() {
        let directory = tempfile::tempdir().unwrap();
        let old = MIGRATIONS.len() - 1;
        left_by(old, directory.path(), &["a", "b"]).await;
        std::fs::write(directory.path().join(format!("journal.v{old}.db")), "of a week ago").unwrap();
        std::fs::write(directory.path().join(".journal.copy"), "cut short").unwrap();
        drop(crate::Journal::open(directory.path()).await.unwrap());
        let copy = held(&directory.path().join(format!("journal.v{old}.db"))).await;
        assert_eq!(copy, (old as i64, vec!["a".to_owned(), "b".to_owned()]));
        assert!(!directory.path().join(".journal.copy").exists());
    }

    #[tokio::test]
    async fn without_a_copy_nothing_is_migrated() {
        let directory = tempfile::tempdir().unwrap();
        let old = MIGRATIONS.len() - 1;
        left_by(old, directory.path(), &["a"]).await;
        std::fs::create_dir(directory.path().join(format!("journal.v{old}.db"))).unwrap();
        let refused = crate::Journal::open(directory.path()).await.err().unwrap();
        assert!(format!("{:#}", anyhow::Error::from(refused)).contains(&format!("journal.v{old}.db")));
        assert_eq!(held(&directory.path().join("journal.db")).await.0, old as i64);
    }
}
