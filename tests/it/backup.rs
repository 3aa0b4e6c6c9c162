//! Backups of a journal that is in use: one to each place, whole or not there, whoever waits for its end.

use std::time::Duration;

use journal::Journal;

use crate::store::{one_runbook, opened};

#[tokio::test]
async fn of_backups_to_one_place_one_is_made_and_none_is_left_unfinished() {
    let (folder, journal) = opened(&one_runbook()).await;
    let copies = tempfile::tempdir().unwrap();
    let to = copies.path().join("copy.db");
    let outcomes = futures_util::future::join_all((0..4).map(|_| journal.backup(&to))).await;
    let refused: Vec<String> =
        outcomes.iter().filter_map(|outcome| outcome.as_ref().err().map(|error| format!("{error:#}"))).collect();
    assert_eq!(refused.len(), 3, "{refused:?}");
    assert!(refused.iter().all(|why| why.contains("never overwrites")), "{refused:?}");
    // Nobody waits for its end, as when a client leaves.
    let left = copies.path().join("left.db");
    let _ = tokio::time::timeout(Duration::ZERO, journal.backup(&left)).await;
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(copies.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
    };
    let whole = async {
        while names() != ["copy.db", "left.db"] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), whole).await.unwrap_or_else(|_| panic!("{:?}", names()));
    drop(journal);
    let restored = tempfile::tempdir().unwrap();
    std::fs::copy(&to, restored.path().join("journal.db")).unwrap();
    assert!(Journal::open(restored.path()).await.unwrap().check().await.unwrap().complaints.is_empty());
    drop(folder);
}
