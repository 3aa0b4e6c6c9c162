//! What the journal forgets, and when: evidence before incidents, and never what is open or what limits count.

use std::time::Duration;

use journal::Retention;
use runbook::incident::How;

use crate::crash::stories::by_a_person;
use crate::store::{NOW, acted, chosen, claim, close, one_runbook, opened};

#[tokio::test]
async fn retention_takes_evidence_first_and_never_what_is_open_or_what_limits_need() {
    let (_folder, journal) = opened(&one_runbook()).await;
    let long_ago = NOW.minus(Duration::from_secs(500 * 86_400));
    let old = journal.open_incident(&chosen("cure"), by_a_person(), long_ago).await.unwrap();
    let mut claimed = claim(&journal, NOW).await;
    journal.keep_evidence(old, "sessions", b"old", long_ago).await.unwrap();
    close(&journal, &mut claimed, How::Cured, NOW).await;
    let open = journal.open_incident(&chosen("cure"), by_a_person(), NOW).await.unwrap();
    let body: Vec<u8> = (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let hash = journal.keep_evidence(open, "sessions", &body, NOW).await.unwrap();
    assert_eq!(journal.evidence(&hash).await.unwrap().unwrap(), body);
    // By age: the old evidence goes; both incidents are young (the first one closed now) or open.
    let pruned = journal.prune(Retention { age: Duration::from_secs(400 * 86_400), bytes: u64::MAX }, NOW).await.unwrap();
    assert_eq!((pruned.evidence, pruned.incidents), (1, 0));
    // By size: all evidence goes before any incident, and a young closed one is still needed by limits.
    let pruned = journal.prune(Retention { age: Duration::from_secs(400 * 86_400), bytes: 1 }, NOW).await.unwrap();
    assert_eq!((pruned.evidence, pruned.incidents), (1, 0));
    assert_eq!(journal.evidence(&hash).await.unwrap(), None);
    // Much later the closed one goes, with everything of it; the open one stays whatever its age.
    let later = NOW.plus(Duration::from_secs(401 * 86_400));
    let pruned = journal.prune(Retention { age: Duration::from_secs(400 * 86_400), bytes: u64::MAX }, later).await.unwrap();
    assert_eq!(pruned.incidents, 1);
    assert!(journal.summary(old).await.unwrap().is_none());
    assert!(journal.load(open).await.is_ok());
    assert_eq!(journal.check().await.unwrap().complaints, Vec::<String>::new());
}

#[tokio::test]
async fn an_age_shorter_than_limits_look_back_forgets_no_act() {
    let (folder, journal) = opened(&one_runbook()).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(journal.open_incident(&chosen("cure"), by_a_person(), NOW).await.unwrap());
        let mut claimed = claim(&journal, NOW).await;
        close(&journal, &mut claimed, How::Cured, NOW).await;
    }
    acted(folder.path(), ids[0], NOW).await;
    let (day, retention) =
        (Duration::from_secs(86_400), |days| Retention { age: days * Duration::from_secs(86_400), bytes: u64::MAX });
    assert_eq!(journal.prune(retention(1), NOW.plus(2 * day)).await.unwrap().incidents, 1);
    assert!(journal.load(ids[0]).await.is_ok(), "a limit of a month still counts it");
    assert!(journal.load(ids[1]).await.is_err(), "what did nothing is as old as it may be");
    assert_eq!(journal.prune(retention(1), NOW.plus(32 * day)).await.unwrap().incidents, 1, "no limit looks back so far");
}
