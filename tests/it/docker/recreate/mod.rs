//! Recreating the container of a service with a changed environment: the whole story, its undo, what is refused, and what a person's
//! own Compose makes of it. Killed lives are in `killed`, persons in between in `people`. All on private Engines.

mod killed;
mod living;
mod people;
mod shop;

use runbook::incident::{How, Reply, Stage};
use shop::{Plan, SETTINGS, Shop, Yard, settings};

use crate::support::engine_proxy::Fault;

fn ended(incident: &runbook::incident::Incident) -> (How, String) {
    match &incident.stage {
        Stage::Closed { how, why } => (*how, why.clone()),
        other => panic!("it is {}", other.word()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_replaced_proved_and_the_old_one_given_up_and_compose_agrees() {
    let shop = Shop::up(&Yard::open(), 0, Plan::default());
    let old = shop.only();
    let incident = shop.tell().await;
    assert_eq!(ended(&incident).0, How::Cured, "{:?}", shop.journal().await);
    shop.judge("four", "undisturbed").await;
    let (kinds, _) = shop.journal().await;
    let story = [
        "opened",
        "looked",
        "evidence_captured",
        "action_started",
        "action_replied",
        "settled",
        "verified",
        "end_due",
        "looked",
        "evidence_captured",
        "action_started",
        "action_replied",
        "settled",
        "closed",
    ];
    assert_eq!(kinds, story);
    let calls: Vec<String> = shop.proxy.changes().iter().map(|call| format!("{} {}", call.method, last(&call.path))).collect();
    assert_eq!(
        calls,
        ["POST stop", "POST rename", "POST create", "POST connect", "POST update", "POST start", "DELETE container"],
        "each call once"
    );
    let new = shop.only();
    for same in ["com.docker.compose.config-hash", "com.docker.compose.container-number", "com.docker.compose.service"] {
        assert_eq!(new["Config"]["Labels"][same], old["Config"]["Labels"][same]);
    }
    assert_eq!(new["Config"]["Labels"]["runbookd.replaces"], old["Id"]);

    // A person's Compose makes it from the changed file, and nothing of ours is left.
    let told = shop.compose(&["up", "-d"]);
    assert!(told.contains("Recreating"), "{told}");
    shop.judge_whole("four", &told);
    assert!(shop.only()["Config"]["Labels"]["runbookd.replaces"].is_null());
    let told = shop.compose(&["up", "-d"]);
    assert!(told.contains("up-to-date"), "{told}");
    shop.compose(&["down", "-v"]);
    assert_eq!(shop.containers().len(), 0);
}

/// What a call does, by the end of its path.
fn last(path: &str) -> &str {
    let path = path.split('?').next().unwrap_or_default();
    match path.rsplit('/').next().unwrap_or_default() {
        id if id.len() == 64 => "container",
        word => word,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_become_well_is_taken_back() {
    let shop = Shop::up(&Yard::open(), 0, Plan { workers: "broken", ..Plan::default() });
    let old = shop.only();
    let incident = shop.tell().await;
    assert_eq!(ended(&incident).0, How::HandedOver, "{:?}", shop.journal().await);
    shop.judge("two-hush", "never healthy").await;
    assert_eq!(shop.only()["Id"], old["Id"], "the very same container");
    let (kinds, text) = shop.journal().await;
    assert_eq!(kinds.iter().filter(|kind| **kind == "action_started").count(), 2, "done once, undone once");
    assert!(text.contains("landed only partly") || text.contains("is unhealthy"), "{text}");
    let told = shop.compose(&["up", "-d"]);
    assert!(told.contains("up-to-date"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_help_is_taken_back_with_the_restart_policy_that_it_had() {
    let yard = Yard::open();
    // `always` is the policy of every other story here.
    for (number, (restart, written, calls)) in [("no", "'no'", 0), ("on-failure", "on-failure:3", 2)].into_iter().enumerate() {
        let plan = Plan { restart, written, until: "worker.clones > 5", ..Plan::default() };
        let shop = Shop::up(&yard, number as u8, plan);
        let old = shop.only();
        let incident = shop.tell().await;
        assert_eq!(ended(&incident).0, How::HandedOver, "{:?}", shop.journal().await);
        shop.judge("two-hush", restart).await;
        assert_eq!(shop.only()["Id"], old["Id"], "the very same container");
        let updates = shop.proxy.changes().iter().filter(|call| last(&call.path) == "update").count();
        assert_eq!(updates, calls, "{restart}");
        assert_eq!(shop.only()["HostConfig"]["RestartPolicy"], old["HostConfig"]["RestartPolicy"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_file_does_not_set_is_refused_before_anything_is_touched() {
    let yard = Yard::open();
    let shop = Shop::up(&yard, 0, Plan::default());
    shop.write_file(&settings("three-hush"));
    let by_environment = Shop::up(&yard, 1, Plan { more: "environment: {WORKERS: two-hush}", ..Plan::default() });
    for (shop, why) in
        [(&shop, "WORKERS has another value in the container than in"), (&by_environment, "`environment:` of the service in")]
    {
        let before = shop.only();
        let incident = shop.tell().await;
        let (how, words) = ended(&incident);
        assert_eq!(how, How::HandedOver, "{words}");
        assert!(words.contains("nothing was sent") && words.contains(why), "{words}");
        let (_, text) = shop.journal().await;
        assert!(text.contains("Refused") && text.contains(why), "{text}");
        assert!(!text.contains("hush"), "a value was told: {text}");
        assert_eq!(shop.proxy.changes(), [], "nothing was sent");
        assert_eq!(shop.only()["State"]["StartedAt"], before["State"]["StartedAt"]);
    }
    assert_eq!(shop.file(), settings("three-hush"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_refuses_in_the_middle_is_put_back_in_the_same_act() {
    let shop = Shop::up(&Yard::open(), 0, Plan::default());
    let old = shop.only();
    // Somebody takes the name between the rename and the create, and gives it up again before it is wanted back.
    let mut create = shop.proxy.on(1, Fault::Hold, |call| call.path.starts_with("/containers/create"));
    let mut back = shop.proxy.on(2, Fault::Hold, |call| last(&call.path) == "rename");
    let life = shop.live();
    create.wait().await;
    shop.docker(&["create", "--name", &shop.name(), "runbookd-tiny"]);
    create.let_go();
    back.wait().await;
    shop.docker(&["rm", &shop.name()]);
    back.let_go();
    life.await.unwrap();
    let incident = shop.incident().await;
    assert_eq!(ended(&incident).0, How::HandedOver);
    let reply = format!("{:?}", incident.attempts[0].reply);
    assert!(reply.contains("creating the new one") && reply.contains("is back in its place"), "{reply}");
    assert_eq!(incident.attempts.len(), 1, "nothing was left to undo: {:?}", incident.attempts);
    shop.judge("two-hush", "a refused create").await;
    assert_eq!((shop.only()["Id"].clone(), shop.file()), (old["Id"].clone(), SETTINGS.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_answer_is_lost_is_taken_back_by_a_look() {
    let shop = Shop::up(&Yard::open(), 0, Plan::default());
    let old = shop.only();
    let _lost = shop.proxy.on(1, Fault::CutAfter, |call| last(&call.path) == "create");
    let incident = shop.tell().await;
    assert_eq!(ended(&incident).0, How::HandedOver);
    assert!(matches!(incident.attempts[0].reply, Some(Reply::NoAnswer(_))), "{:?}", incident.attempts[0].reply);
    shop.judge("two-hush", "a lost answer").await;
    assert_eq!(shop.only()["Id"], old["Id"]);
}
