//! Journals as earlier releases wrote them, from `tests/fixtures/journal`: nobody upgrades with an empty one. Every incident in them
//! folds by today's rules, what was open is gone on with, and what was told is told again.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use journal::{Filter, Journal};
use runbook::book::Configuration;
use runbook::incident::{How, Next, Stage};
use runbookd::engine::{Engine, Silent};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::sync::watch;

use crate::crash::world::{Behaviour, Outside, Rehearsal};

/// The journal that such a file makes.
async fn restored(name: &str) -> (tempfile::TempDir, Journal) {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(xtask::paths::root().join("tests/fixtures/journal").join(name)).unwrap();
    let url = format!("sqlite://{}", folder.path().join("journal.db").display());
    let mut made = SqliteConnectOptions::from_str(&url).unwrap().create_if_missing(true).connect().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut made).await.unwrap();
    made.close().await.unwrap();
    let journal = Journal::open(folder.path()).await.unwrap();
    (folder, journal)
}

#[tokio::test]
async fn what_0_1_0_wrote_is_read_and_gone_on_with() {
    let (_folder, journal) = restored("0.1.0.sql").await;
    let health = journal.check().await.unwrap();
    assert_eq!(health.complaints, Vec::<String>::new());
    let mut ends = Vec::new();
    let mut kinds = BTreeSet::new();
    let mut incidents = journal.incidents(Filter::default()).await.unwrap();
    incidents.sort_by_key(|incident| incident.id);
    for summary in &incidents {
        let incident = journal.load(summary.id).await.unwrap();
        let events = journal.events(summary.id).await.unwrap();
        assert_eq!(events.len() as u64, incident.seq, "{}", incident.id);
        kinds.extend(events.iter().map(|recorded| recorded.event.kind()));
        ends.push(match incident.stage {
            Stage::Closed { how, .. } => Some(how),
            _ => None,
        });
        assert!(journal.outbox_of(summary.id).await.unwrap().is_some(), "people are told of it");
    }
    assert_eq!(ends, [Some(How::Cured), Some(How::Denied), Some(How::HandedOver), None]);
    for kind in ["answered", "evidence_captured", "settled", "verified", "not_verified", "end_due", "rung_skipped", "judged"] {
        assert!(kinds.contains(kind), "the fixture has no {kind}: {kinds:?}");
    }
    // The open question stands until its end and is then a no, as it was asked.
    let open = journal.load(incidents[3].id).await.unwrap();
    let Next::Answer { expires, .. } = open.next() else { panic!("{:?}", open.stage) };
    let (_, ask) = &journal.questions().await.unwrap()[0];
    assert_eq!((ask.expires, ask.order.selection.count()), (expires, 1));
    let outside = Outside::new(Behaviour::default());
    assert!(outside.now() > expires, "the rehearsed time is later");
    let nothing = Arc::new(Configuration::default());
    journal.adopt(&nothing, outside.now()).await.unwrap();
    let (_keep, current) = watch::channel(nothing);
    let engine = Engine::new(journal.clone(), Arc::new(Rehearsal::new(&outside, usize::MAX)), current, Arc::new(Silent));
    engine.work_on_one().await.unwrap();
    let closed = journal.load(open.id).await.unwrap();
    assert!(matches!(closed.stage, Stage::Closed { how: How::HandedOver, .. }), "{:?}", closed.stage);
}
