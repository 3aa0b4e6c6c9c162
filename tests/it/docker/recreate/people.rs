//! A person runs Compose in the middle of a recreate, tidies up, edits the file, or the Engine is started anew: whoever was there last
//! counts, and nothing is left between two chairs. What Compose 1.29 does with two containers of one service is not guessed but done
//! here: it takes the younger one for one too many and starts the older one, under whatever name that has.

use std::time::Duration;

use runbook::incident::How;

use super::shop::{Plan, Shop, Yard, settings, until};
use super::{ended, last};
use crate::support::engine_proxy::{Call, Fault};

fn is(word: &'static str) -> impl Fn(&Call) -> bool + Send + 'static {
    move |call| call.changes() && last(&call.path) == word
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compose_while_the_old_one_is_kept_takes_the_change_back() {
    let shop = Shop::up(&Yard::open(), 0, Plan::default());
    let (life, halt) = shop.live_until_kept().await;
    let told = shop.compose(&["up", "-d"]);
    assert!(told.contains("Removing shop0_worker_1") && told.contains("Starting shop0_worker_1.always.runbookd-INC-1"), "{told}");
    halt.go_on();
    life.await.unwrap();
    let (how, why) = ended(&shop.incident().await);
    assert_eq!(how, How::HandedOver, "{why}");
    shop.judge("two-hush", &told).await;
    let told = shop.compose(&["up", "-d"]);
    assert!(told.contains("up-to-date"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compose_between_the_proof_and_the_end_takes_the_change_back_and_nothing_is_stuck() {
    let shop = Shop::up(&Yard::open(), 0, Plan::default());
    // The act looks at the service once before it replaces, and once more before it gives the old one up.
    let mut end = shop.proxy.on(2, Fault::Hold, |call| call.path.starts_with("/containers/json"));
    let life = shop.live();
    end.wait().await;
    let told = shop.compose(&["up", "-d"]);
    assert!(told.contains("Removing shop0_worker_1") && told.contains("Starting shop0_worker_1.always.runbookd-INC-1"), "{told}");
    end.let_go();
    life.await.unwrap();
    let (how, why) = ended(&shop.incident().await);
    assert_eq!(how, How::HandedOver, "{why}\n{}", shop.journal().await.1);
    assert!(why.contains("the new settings are not in force"), "{why}");
    shop.judge("two-hush", &told).await;
    let told = shop.compose(&["up", "-d"]);
    assert!(told.contains("up-to-date"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compose_between_the_rename_and_the_create_wakes_the_old_one_and_it_is_put_back() {
    let shop = Shop::up(&Yard::open(), 0, Plan::default());
    let mut create = shop.proxy.on(1, Fault::Hold, is("create"));
    let life = shop.live();
    create.wait().await;
    let told = shop.compose(&["up", "-d"]);
    assert!(told.contains("Starting"), "{told}");
    create.let_go();
    life.await.unwrap();
    let (how, why) = ended(&shop.incident().await);
    assert_eq!(how, How::HandedOver, "{why}");
    assert!(shop.journal().await.1.contains("somebody started the old one again"));
    shop.judge("two-hush", &told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compose_between_the_create_and_the_start_takes_the_new_one_away_and_the_old_one_is_put_back() {
    let shop = Shop::up(&Yard::open(), 0, Plan::default());
    let mut start = shop.proxy.on(1, Fault::Hold, is("start"));
    let life = shop.live();
    start.wait().await;
    let told = shop.compose(&["up", "-d"]);
    start.let_go();
    life.await.unwrap();
    let (how, why) = ended(&shop.incident().await);
    assert_eq!(how, How::HandedOver, "{why}");
    shop.judge("two-hush", &told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compose_between_the_file_and_the_end_of_the_old_one_makes_it_from_the_file() {
    let shop = Shop::up(&Yard::open(), 0, Plan::default());
    let mut removal = shop.proxy.on(1, Fault::Hold, is("container"));
    let life = shop.live();
    removal.wait().await;
    let told = shop.compose(&["up", "-d"]);
    removal.let_go();
    life.await.unwrap();
    let (how, why) = ended(&shop.incident().await);
    assert_eq!(how, How::Cured, "{why}");
    shop.judge("four", &told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_a_person_has_made_meanwhile_is_theirs() {
    let shop = Shop::up(&Yard::open(), 0, Plan::default());
    let (life, halt) = shop.live_until_kept().await;
    shop.compose(&["up", "-d", "--force-recreate"]);
    let theirs = shop.only();
    halt.go_on();
    life.await.unwrap();
    let (how, why) = ended(&shop.incident().await);
    assert_eq!(how, How::Stuck, "a person has to know that the file was not changed: {why}");
    assert_eq!(shop.only()["Id"], theirs["Id"]);
    shop.judge("two-hush", &why).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tidy_person_who_removes_the_kept_one_does_not_keep_the_file_from_being_written() {
    let shop = Shop::up(&Yard::open(), 0, Plan::default());
    let (life, halt) = shop.live_until_kept().await;
    shop.docker(&["container", "prune", "--force"]);
    assert!(!shop.keeps(), "{}", shop.seen());
    halt.go_on();
    life.await.unwrap();
    let (how, why) = ended(&shop.incident().await);
    assert_eq!(how, How::Cured, "{why}");
    shop.judge("four", "a prune in the middle").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_written_any_more_is_no_cure_although_the_old_one_is_gone() {
    let shop = Shop::up(&Yard::open(), 0, Plan::default());
    let (life, halt) = shop.live_until_kept().await;
    shop.docker(&["container", "prune", "--force"]);
    // Two lines of one variable: which of them counts is not for us to say.
    let text = format!("{}\nWORKERS=nine-hush\n", settings("two-hush"));
    shop.write_file(&text);
    halt.go_on();
    life.await.unwrap();
    let (how, why) = ended(&shop.incident().await);
    assert_eq!(how, How::Stuck, "{why}");
    assert!(why.contains("the file does not have the new settings"), "{why}");
    assert_eq!(shop.file(), text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_edits_the_file_meanwhile_keeps_what_they_wrote() {
    let yard = Yard::open();
    let (other_line, same_line) = (Shop::up(&yard, 0, Plan::default()), Shop::up(&yard, 1, Plan::default()));
    for (shop, text) in [(&other_line, format!("{}\nMORE=1\n", settings("two-hush"))), (&same_line, settings("nine-hush"))] {
        let (life, halt) = shop.live_until_kept().await;
        shop.write_file(&text);
        halt.go_on();
        life.await.unwrap();
    }
    assert_eq!(ended(&other_line.incident().await).0, How::Cured);
    assert_eq!(other_line.file(), format!("{}\nMORE=1\n", settings("four")));
    let (how, why) = ended(&same_line.incident().await);
    assert_eq!(how, How::Stuck, "{why}");
    assert!(same_line.journal().await.1.contains("somebody changed WORKERS in"));
    assert_eq!(same_line.file(), settings("nine-hush"));
    assert!(same_line.is_healthy() && same_line.keeps(), "{}", same_line.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_started_anew_does_not_wake_the_kept_one() {
    let yard = Yard::open();
    let mut shops = Vec::new();
    for (number, restart) in ["always", "on-failure", "unless-stopped"].into_iter().enumerate() {
        // What ends with an error is what `on-failure` starts again.
        let plan = Plan { restart, written: restart, exits: 3, ..Plan::default() };
        let shop = Shop::up(&yard, number as u8, plan);
        let (life, halt) = shop.live_until_kept().await;
        shops.push((shop, life, halt));
    }
    let kept = |shop: &Shop| {
        let kept = shop.containers().into_iter().find(|container| container["Name"].as_str().unwrap().ends_with("INC-1"));
        kept.map(|kept| kept["State"]["StartedAt"].clone())
    };
    let before: Vec<_> = shops.iter().map(|(shop, ..)| kept(shop).expect("the old one is kept")).collect();
    tokio::task::block_in_place(|| yard.private.lock().unwrap().kill_and_start_again()).unwrap();
    // Engine 20.10 that was killed stops what it finds running at its next start, and then takes it for stopped by somebody.
    let stays_down = |shop: &Shop| shop.plan.restart == "unless-stopped";
    for ((shop, ..), before) in shops.iter().zip(before) {
        let settled =
            || shop.is_healthy() || (stays_down(shop) && shop.own().is_some_and(|own| own["State"]["Status"] == "exited"));
        until("the new one runs again", Duration::from_secs(30), settled, || shop.seen());
        assert_eq!(kept(shop), Some(before), "{}: the old one was started", shop.plan.restart);
    }
    for (shop, life, halt) in shops {
        halt.go_on();
        life.await.unwrap();
        let (how, why) = ended(&shop.incident().await);
        let (wanted, workers) = if stays_down(&shop) { (How::HandedOver, "two-hush") } else { (How::Cured, "four") };
        assert_eq!(how, wanted, "{}: {why}\n{}", shop.plan.restart, shop.journal().await.1);
        shop.judge(workers, shop.plan.restart).await;
    }
}
