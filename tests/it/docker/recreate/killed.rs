//! The process dies at every call of a recreate that changes something: once before the Engine hears of it, once after it has been
//! carried out. Whatever came of it, the service is whole afterwards, nothing is left over, and the journal says what happened.
//! The calls are counted, so a new one is a point of its own. At last the real daemon dies by SIGKILL.

use std::sync::Arc;
use std::time::Duration;

use runbook::incident::How;
use runbook::order::Purpose;

use super::shop::{Plan, Shop, Yard};
use super::{ended, last};
use crate::support::daemon::{Home, binary, delivery};
use crate::support::engine_proxy::{Call, Fault};

/// The calls of a story that changes the restart policy, in order, and of those the first of taking back or giving up.
const CURED: [&str; 7] = ["stop", "rename", "create", "connect", "update", "start", "container"];
const UNDONE: [&str; 11] =
    ["stop", "rename", "create", "connect", "update", "start", "stop", "container", "update", "rename", "start"];

/// One telling, killed at the `nth` call.
async fn telling(yard: Arc<Yard>, number: u8, plan: Plan, calls: &[&str], nth: usize, fault: Fault) -> String {
    let cures = calls == CURED;
    let shop = Shop::up(&yard, number, plan);
    let (call, incident) = shop.die_at(nth, fault).await;
    let told = format!("killed at call {nth}, {} {}, {fault:?}", call.method, call.path);
    assert_eq!(last(&call.path), calls[nth - 1], "{told}");
    let (how, why) = ended(&incident);
    // Before the stop nothing has happened, and it is decided on once more; after the start it has landed.
    let lands = (nth, fault) == (1, Fault::Hold) || nth > 6 || (nth, fault) == (6, Fault::Swallow);
    let wanted = if lands && cures { How::Cured } else { How::HandedOver };
    assert_eq!(how, wanted, "{told}: {why}\n{}", shop.journal().await.1);
    shop.judge(if how == How::Cured { "four" } else { "two-hush" }, &told).await;
    let undone = incident.attempts.iter().filter(|attempt| attempt.order.purpose == Purpose::Undo).count();
    assert_eq!(undone > 0, how != How::Cured, "{told}");
    told
}

/// Every point of a story from the `from`-th call to the `to`-th, several at a time.
async fn rehearse(plan: Plan, calls: &'static [&'static str], from: usize, to: usize) {
    let yard = Yard::open();
    let points: Vec<_> = (from..=to).flat_map(|nth| [(nth, Fault::Hold), (nth, Fault::Swallow)]).collect();
    for (round, points) in points.chunks(4).enumerate() {
        let tellings: Vec<_> = points
            .iter()
            .enumerate()
            .map(|(place, (nth, fault))| {
                let number = u8::try_from(round * 4 + place).unwrap();
                tokio::spawn(telling(yard.clone(), number, plan.clone(), calls, *nth, *fault))
            })
            .collect();
        for telling in tellings {
            telling.await.unwrap();
        }
    }
}

fn not_helping() -> Plan {
    Plan { until: "worker.clones > 5", ..Plan::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_old_one_is_put_aside() {
    rehearse(Plan::default(), &CURED, 1, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_new_one_is_made() {
    rehearse(Plan::default(), &CURED, 3, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_new_one_is_started() {
    rehearse(Plan::default(), &CURED, 5, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_old_one_is_given_up() {
    rehearse(Plan::default(), &CURED, 7, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_new_one_is_taken_away() {
    rehearse(not_helping(), &UNDONE, 7, 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_old_one_is_put_back() {
    rehearse(not_helping(), &UNDONE, 10, 11).await;
}

/// The real daemon, killed right before the `nth` call reaches the Engine, and started again.
async fn killed_for_real(nth: usize, how: &str, workers: &str) {
    let shop = Shop::up(&Yard::open(), 0, Plan { healthy_within: "3s", ..Plan::default() });
    let mut caught = shop.proxy.on(nth, Fault::Hold, Call::changes);
    let listen = ("runbookd.yaml", "listen: 127.0.0.1:PORT\n".to_owned());
    let home = Home::new(&[vec![listen], shop.configured()].concat());
    let alert = delivery(&[("alertname", "Slow")], "firing", "2026-01-01T00:00:00Z");
    let mut daemon = tokio::task::block_in_place(|| {
        let daemon = home.start(binary(), &[]);
        daemon.deliver(&alert).unwrap().ok().unwrap();
        daemon
    });
    let call = caught.wait().await;
    assert_eq!(last(&call.path), CURED[nth - 1]);
    daemon.child.kill().unwrap();
    drop(daemon);
    let closed = tokio::task::block_in_place(|| home.start(binary(), &[]).wait_closed(Duration::from_secs(90)));
    assert_eq!(closed["how"], how, "{}", home.log());
    shop.judge_whole(workers, &home.log());
    let check = home.command(binary(), &["journal", "check", "--json"]).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    assert!(!home.log().contains("hush"), "{}", home.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_daemon_is_killed_between_the_rename_and_the_create_and_its_next_life_puts_the_old_one_back() {
    killed_for_real(3, "handed_over", "two-hush").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_daemon_is_killed_between_the_file_and_the_removal_and_its_next_life_ends_it() {
    killed_for_real(7, "cured", "four").await;
}
