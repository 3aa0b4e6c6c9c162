//! The journal in bad weather: a full disk, a read-only one, a journal that somebody else has locked, more waiting than there is room for. Never
//! a 200 for what is not on disk, `/readyz` tells, and it ends by itself when the weather does. And in good weather: what
//! arrives together is committed together.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use journal::Scope;
use runbookd::http::Bounds;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Executor};

use crate::door::{Door, PATIENCE, payload};

/// A small file system of its own, unmounted on drop.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf, size: &str) -> SmallDisk {
        std::fs::create_dir_all(&at).unwrap();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs"])
            .arg(&at)
            .status()
            .unwrap();
        assert!(done.success(), "a small tmpfs could not be mounted; this test wants root");
        SmallDisk(at)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the journal may still be open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_503_and_over_without_a_restart_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(folder.path().join("state"), "3m");
    let door = Door::at(folder, &disk.0, Bounds::default(), "").await;
    door.until("/readyz", 200).await;
    let filler = disk.0.join("filler");
    let fill = || {
        let mut size = 3 << 20;
        while size > 0 {
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&filler).unwrap();
            if std::io::Write::write_all(&mut file, &vec![0; size]).is_err() {
                size /= 2;
            }
        }
    };
    let long = format!("{}{}", payload("Long"), " ".repeat(200 << 10));
    // The write-ahead log may have room left inside itself; that is used up first.
    fill();
    let mut stored = 0;
    let refused = loop {
        let reply = door.deliver(long.as_bytes()).await;
        match reply.status {
            200 => stored += 1,
            _ => break reply,
        }
        assert!(stored < 100, "the disk never became full");
        fill();
    };
    let refused = refused.expect(503);
    assert!(refused.head.to_lowercase().contains("retry-after"), "{refused:?}");
    let ready = door.until("/readyz", 503).await;
    assert!(ready.body.contains("cannot be written"), "{ready:?}");
    door.get("/healthz").await.expect(200);
    assert!(door.local("GET", "/metrics", "").await.body.contains("runbookd_journal_writable 0"));
    assert_eq!(door.stored().await.len(), stored, "what was refused is not there, what was promised is");
    // A transaction of several statements, which SQLite takes back by itself where the disk is full.
    let (journal, now) = (&door.daemon.journal, door.daemon.clock.now());
    for _ in 0..3 {
        journal.pause(&Scope::All, &"a long reason ".repeat(20_000), "ann", now, None).await.unwrap_err();
    }
    std::fs::remove_file(&filler).unwrap();
    // Without any traffic: the door itself tries.
    door.until("/readyz", 200).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        door.get("/readyz").await.expect(200);
    }
    journal.pause(&Scope::All, "a short reason", "ann", now, None).await.unwrap();
    assert!(journal.resume(&Scope::All, "ann", now).await.unwrap());
    door.deliver(payload("After").as_bytes()).await.expect(200);
    assert_eq!(door.stored().await.len(), stored + 1);
    door.close().await;
}

/// Takes the right to write away from everybody, open files included, which no remount does while somebody has one open. The
/// index of the log stays: it is shared memory, and the kernel kills whoever writes to such memory without the right to.
fn freeze(door: &Door, sign: &str) {
    let files = ["journal.db", "journal.db-wal"].map(|name| door.state.join(name));
    let done = Command::new("chattr").arg(format!("{sign}i")).args(files).output().unwrap();
    assert!(
        done.status.success(),
        "chattr wants root, and a disk of a kind that knows it (ext4, xfs): {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[tokio::test]
async fn a_read_only_journal_is_503_and_over_once_it_can_be_written() {
    // On a disk: a file system in memory, where tests have theirs otherwise, does not know what is asked for here.
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let state = folder.path().join("state");
    let door = Door::at(folder, &state, Bounds::default(), "").await;
    door.deliver(payload("A").as_bytes()).await.expect(200);
    freeze(&door, "+");
    let refused = door.deliver(payload("B").as_bytes()).await;
    let ready = door.get("/readyz").await;
    freeze(&door, "-");
    refused.expect(503);
    ready.expect(503);
    door.until("/readyz", 200).await;
    door.deliver(payload("C").as_bytes()).await.expect(200);
    assert_eq!(door.stored().await, [payload("A").into_bytes(), payload("C").into_bytes()]);
    door.close().await;
}

/// Somebody else's write transaction on the journal.
async fn lock(door: &Door) -> SqliteConnection {
    let mut other = SqliteConnectOptions::new().filename(door.state.join("journal.db")).connect().await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    other
}

#[tokio::test]
async fn a_locked_journal_is_503_and_over_once_it_is_free() {
    let door = Door::open().await;
    let mut other = lock(&door).await;
    door.deliver(payload("A").as_bytes()).await.expect(503);
    door.until("/readyz", 503).await;
    other.execute("ROLLBACK").await.unwrap();
    door.until("/readyz", 200).await;
    door.deliver(payload("B").as_bytes()).await.expect(200);
    assert_eq!(door.stored().await, [payload("B").into_bytes()]);
    door.close().await;
}

#[tokio::test]
async fn more_than_there_is_room_for_is_503_and_every_200_is_stored() {
    let door = Arc::new(Door::with(Bounds { bytes_at_once: 8 << 20, ..Bounds::default() }).await);
    let mut other = lock(&door).await;
    let body = format!("{}{}", payload("Large"), " ".repeat(3 << 20));
    let deliveries = (0..12).map(|_| door.deliver(body.as_bytes()));
    let freeing = async {
        // The journal is waited for, for 2 s; meanwhile the later ones find no room.
        door.wait_for_refusals().await;
        other.execute("ROLLBACK").await.unwrap();
    };
    let (replies, ()) = tokio::join!(join_all(deliveries), freeing);
    let stored = replies.iter().filter(|reply| reply.status == 200).count();
    assert!(replies.iter().all(|reply| matches!(reply.status, 200 | 503)), "{replies:?}");
    assert!(stored < 12, "nothing was refused");
    assert_eq!(door.stored().await.len(), stored);
    Arc::into_inner(door).unwrap().close().await;
}

#[tokio::test]
async fn what_arrives_together_is_committed_together() {
    let door = Arc::new(Door::open().await);
    let mut other = lock(&door).await;
    let bodies: Vec<String> = (0..200).map(|n| payload(&format!("A{n}"))).collect();
    let deliveries = bodies.iter().map(|body| door.deliver(body.as_bytes()));
    let freeing = async {
        // The journal is waited for, for 2 s; by then all should be on their way, and what is not makes a commit more.
        let arriving = async {
            while !door.local("GET", "/metrics", "").await.body.contains("runbookd_http_connections 201") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(1_500), arriving).await;
        other.execute("ROLLBACK").await.unwrap();
    };
    let (replies, ()) = tokio::join!(join_all(deliveries), freeing);
    assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
    let rows = door.daemon.journal.deliveries(1_000).await.unwrap();
    let stored: usize = rows.iter().map(|row| row.bodies.len()).sum();
    assert_eq!(stored, bodies.len());
    assert!(rows.len() < 60, "{} commits for {stored} deliveries", rows.len());
    Arc::into_inner(door).unwrap().close().await;
}

impl Door {
    /// Waits until somebody was told that there is no room.
    async fn wait_for_refusals(&self) {
        let waiting = async {
            while self.local("GET", "/metrics", "").await.body.contains("runbookd_deliveries_total{result=\"full\"} 0") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("somebody is refused while the journal is locked");
    }
}
