//! Redis: seen, refused, hung and down.

use std::time::Duration;

use runbook::condition::Value;
use runbook::probe::{Probe, RedisProbe};
use runbook::target::{Login, Place, SecretRef, Target};
use xtask::servers::{Redis, Scratch};

use super::{assert_all_seen, assert_fields, listed, look};
use crate::databases::{now, target};

pub fn target_at(port: u16, look: Option<Login>) -> Target {
    target("redis/cache", Place::Redis { host: "127.0.0.1".into(), port, tls: false, look, act: None })
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_seen_refused_and_down() {
    let (answering, memory) = (Probe::Redis(RedisProbe::Answering), Probe::Redis(RedisProbe::Memory));
    let mut redis =
        Redis::start_with(&[("maxmemory", "100mb"), ("maxmemory-policy", "allkeys-lru"), ("requirepass", "sesame")]).unwrap();
    let scratch = Scratch::new("secrets").unwrap();
    let password = |name: &str, text: &str| {
        let file = scratch.write(name, text).unwrap();
        Some(Login { user: "default".into(), password: SecretRef::File(file.display().to_string()) })
    };
    let (inventory, connections) = listed([target_at(redis.port(), password("right", "sesame\n"))]);
    let finding = look(&connections, &inventory, "redis/cache", answering.clone()).await;
    assert_all_seen(&finding, &[]);
    assert_eq!((finding.field("answering"), finding.field("role")), (Value::Flag(true), Value::Text("master".into())));
    let finding = look(&connections, &inventory, "redis/cache", memory.clone()).await;
    assert_all_seen(&finding, &[]);
    assert_eq!((finding.number("max_bytes"), finding.field("policy")), (Some(104_857_600.0), Value::Text("allkeys-lru".into())));

    let (inventory, wrong) = listed([target_at(redis.port(), password("wrong", "wrong"))]);
    for probe in [&answering, &memory] {
        let finding = look(&wrong, &inventory, "redis/cache", probe.clone()).await;
        assert!(finding.unknown().is_some_and(|why| !why.contains("sesame")), "{finding:?}");
    }

    redis.stop().unwrap();
    let target = inventory.iter().next().unwrap();
    let hung = probe::look(connections.looking(), &inventory, target, &memory, now, Duration::from_millis(500)).await;
    assert!(hung.unknown().is_some_and(|why| why.contains("no answer")), "{hung:?}");
    redis.cont().unwrap();

    redis.shut_down();
    let finding = look(&connections, &inventory, "redis/cache", answering).await;
    assert_fields(&finding);
    assert_eq!(finding.field("answering"), Value::Flag(false));
    assert!(look(&connections, &inventory, "redis/cache", memory).await.unknown().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_without_a_limit_has_no_used_ratio() {
    let redis = Redis::start().unwrap();
    let (inventory, connections) = listed([target_at(redis.port(), None)]);
    let finding = look(&connections, &inventory, "redis/cache", Probe::Redis(RedisProbe::Memory)).await;
    assert_all_seen(&finding, &["used_ratio"]);
}
