//! `docker.stats`: memory and CPU of the running replicas, each as a share of what that replica may have.
//!
//! Why a share: 400 MB mean nothing without the limit. The page cache that the kernel can take back at once is no use of memory, as
//! `docker stats` has it too. CPU is a difference: the Engine takes two samples, a second apart, so this look takes one to two.
//! Deliberately no share where there is no limit: a share of the host's memory would look small until the host is full.

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerCpuStats, ContainerMemoryStats, ContainerStatsResponse, HostConfig};
use bollard::query_parameters::StatsOptionsBuilder;
use connect::Looking;
use connect::container::MOST_REPLICAS;
use futures_util::TryStreamExt;
use runbook::condition::Value;
use runbook::finding::Seen;
use runbook::target::{Inventory, Target};
use runbook::text::inert;

use super::Service;
use crate::seen::Fields;

pub(crate) async fn look(looking: &Looking, inventory: &Inventory, target: &Target, within: Duration) -> Result<Seen, String> {
    let service = Service::of(looking, inventory, target, within)?;
    let replicas = service.running().await?;
    // All at once: each takes as long as all.
    let answers = service.about_each(&replicas, MOST_REPLICAS, |replica| read(&service.docker, &replica.container.id)).await?;
    let mut measured: Vec<(String, Measured)> = Vec::new();
    for (replica, answer) in &answers {
        // One that stopped meanwhile answers without figures.
        if let Some(answer) = answer.as_ref().filter(|answer| answer.read.is_some_and(|read| read.timestamp() > 0)) {
            let host = replica.inspected.host_config.clone().unwrap_or_default();
            measured.push((inert(&replica.container.name, 80), measure(answer, &host)));
        }
    }
    let mut fields = Fields::new();
    fields.number("sampled", measured.len() as f64);
    for (field, value) in [
        ("memory_bytes", highest(&measured, |measured| &measured.bytes)),
        ("memory_ratio", highest(&measured, |measured| &measured.ratio)),
        ("cpu_share", highest(&measured, |measured| &measured.cpu)),
    ] {
        fields.put(field, value);
    }
    Ok(fields.seen())
}

/// Two samples of one container, and the last of them.
pub(super) async fn read(docker: &Docker, id: &str) -> Result<Option<ContainerStatsResponse>, Error> {
    let options = StatsOptionsBuilder::default().stream(false).build();
    std::pin::pin!(docker.stats(id, Some(options))).try_next().await
}

/// What was made of the figures of one container; each, or why not.
struct Measured {
    bytes: Result<f64, &'static str>,
    ratio: Result<f64, &'static str>,
    cpu: Result<f64, &'static str>,
}

/// The highest of all; unknown where one is, because that one may be the highest.
fn highest<'a>(measured: &'a [(String, Measured)], of: impl Fn(&'a Measured) -> &'a Result<f64, &'static str>) -> Value {
    let mut most: Option<f64> = None;
    for (name, measured) in measured {
        match of(measured) {
            Ok(number) => most = Some(most.map_or(*number, |most| most.max(*number))),
            Err(why) => return Value::Unknown(format!("{name}: {why}")),
        }
    }
    most.map_or_else(|| Value::Unknown("none was measured: each had stopped".to_owned()), Value::number)
}

fn measure(stats: &ContainerStatsResponse, host: &HostConfig) -> Measured {
    const NO_MEMORY: &str = "the Engine did not say how much memory it uses";
    let used = stats.memory_stats.as_ref().and_then(used).ok_or(NO_MEMORY);
    let limit = stats.memory_stats.as_ref().and_then(|memory| memory.limit).filter(|limit| *limit > 0);
    // Without a limit the Engine writes the host's memory for it.
    let limit = limit.filter(|_| host.memory.is_some_and(|memory| memory > 0)).ok_or("it has no memory limit");
    let cpu = match (&stats.cpu_stats, &stats.precpu_stats) {
        (Some(last), Some(first)) => cpu_share(first, last, host),
        _ => Err("the Engine gave no two samples of its CPU"),
    };
    let ratio = used.and_then(|used| limit.map(|limit| used / limit as f64));
    Measured { bytes: used, ratio, cpu }
}

/// What is used without the page cache that was not used lately: `total_inactive_file` on cgroup v1, `inactive_file` on v2.
fn used(memory: &ContainerMemoryStats) -> Option<f64> {
    let usage = memory.usage?;
    let figures = memory.stats.as_ref()?;
    let cache = figures.get("total_inactive_file").or_else(|| figures.get("inactive_file"))?;
    Some(usage.saturating_sub(*cache) as f64)
}

fn cpu_share(first: &ContainerCpuStats, last: &ContainerCpuStats, host: &HostConfig) -> Result<f64, &'static str> {
    const NO_CPU: &str = "the Engine gave no two samples of its CPU";
    let total = |sample: &ContainerCpuStats| sample.cpu_usage.as_ref().and_then(|usage| usage.total_usage);
    let difference = |first: Option<u64>, last: Option<u64>| last?.checked_sub(first?).map(|passed| passed as f64);
    let own = difference(total(first), total(last)).ok_or(NO_CPU)?;
    let all = difference(first.system_cpu_usage, last.system_cpu_usage).filter(|all| *all > 0.0).ok_or(NO_CPU)?;
    let each = last.cpu_usage.as_ref().and_then(|usage| usage.percpu_usage.as_ref()).map(|each| each.len() as f64);
    let cores = last.online_cpus.filter(|cores| *cores > 0).map(f64::from).or(each).ok_or(NO_CPU)?;
    Ok(own / all * cores / allowed_cores(host, cores))
}

/// How many cores it may use: the least of its limits, or all there are.
fn allowed_cores(host: &HostConfig, online: f64) -> f64 {
    let nano = host.nano_cpus.filter(|nano| *nano > 0).map(|nano| nano as f64 / 1e9);
    let quota = host.cpu_quota.filter(|quota| *quota > 0).map(|quota| {
        // 100 ms is the kernel's own period where none is set.
        quota as f64 / host.cpu_period.filter(|period| *period > 0).unwrap_or(100_000) as f64
    });
    let pinned = host.cpuset_cpus.as_deref().and_then(cores_of);
    [nano, quota, pinned].into_iter().flatten().fold(online, f64::min)
}

/// How many cores a list such as `0-2,5` names.
fn cores_of(list: &str) -> Option<f64> {
    let mut cores = 0;
    for part in list.split(',').filter(|part| !part.trim().is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        cores += last.checked_sub(first)?.saturating_add(1);
    }
    (cores > 0).then(|| f64::from(cores))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(text: &str) -> ContainerStatsResponse {
        serde_json::from_str(text).unwrap()
    }

    const V1: &str = r#"{"read":"2026-11-25T16:30:14.369709606Z","preread":"2026-11-25T16:30:13.365177532Z",
        "cpu_stats":{"cpu_usage":{"total_usage":1500000000,"percpu_usage":[1,2]},"system_cpu_usage":4980000000000,"online_cpus":2},
        "precpu_stats":{"cpu_usage":{"total_usage":1000000000,"percpu_usage":[1,2]},"system_cpu_usage":4978000000000,"online_cpus":2},
        "memory_stats":{"usage":749568,"stats":{"inactive_file":1,"total_inactive_file":49568},"limit":1400000}}"#;

    #[test]
    fn shares_are_of_what_the_container_may_have() {
        let limited = HostConfig { memory: Some(1_400_000), ..HostConfig::default() };
        let measured = measure(&stats(V1), &limited);
        assert_eq!((measured.bytes, measured.ratio), (Ok(700_000.0), Ok(0.5)));
        // Half a second of CPU in two of all cores, which is one second of time: a quarter of two cores.
        assert_eq!(measured.cpu, Ok(0.25));
        let half_a_core = HostConfig { nano_cpus: Some(500_000_000), ..HostConfig::default() };
        assert_eq!(measure(&stats(V1), &half_a_core).cpu, Ok(1.0));
        let quota = HostConfig { cpu_quota: Some(100_000), cpu_period: Some(100_000), ..HostConfig::default() };
        assert_eq!(measure(&stats(V1), &quota).cpu, Ok(0.5));
        let pinned = HostConfig { cpuset_cpus: Some("1".into()), ..HostConfig::default() };
        assert_eq!(measure(&stats(V1), &pinned).cpu, Ok(0.5));
    }

    #[test]
    fn what_is_not_said_is_unknown_and_so_is_a_share_without_a_limit() {
        let measured = measure(&stats(V1), &HostConfig::default());
        assert!(measured.bytes.is_ok() && measured.ratio.is_err());
        let v2 =
            stats(r#"{"memory_stats":{"usage":100,"limit":200,"stats":{"inactive_file":40}},"cpu_stats":{},"precpu_stats":{}}"#);
        let measured = measure(&v2, &HostConfig { memory: Some(200), ..HostConfig::default() });
        assert_eq!((measured.bytes, measured.ratio), (Ok(60.0), Ok(0.3)));
        assert!(measured.cpu.is_err());
        let nothing = measure(&stats(r#"{"memory_stats":{}}"#), &HostConfig { memory: Some(200), ..HostConfig::default() });
        assert!(nothing.bytes.is_err() && nothing.ratio.is_err() && nothing.cpu.is_err());
    }

    #[test]
    fn one_that_is_unknown_makes_the_highest_unknown() {
        let measured = |bytes| Measured { bytes, ratio: Ok(0.0), cpu: Ok(0.0) };
        let two = |second| [("a".to_owned(), measured(Ok(5.0))), ("b".to_owned(), measured(second))];
        assert_eq!(highest(&two(Ok(7.0)), |m| &m.bytes), Value::Number(7.0));
        assert_eq!(highest(&two(Err("why")), |m| &m.bytes), Value::Unknown("b: why".into()));
        assert!(highest(&[], |m| &m.bytes).unknown().is_some());
    }

    #[test]
    fn lists_of_cores_are_counted() {
        let table = [
            ("0-2,5", Some(4.0)),
            ("0", Some(1.0)),
            ("", None),
            ("3-1", None),
            ("x", None),
            ("0-4294967295", Some(4294967295.0)),
        ];
        for (list, cores) in table {
            assert_eq!(cores_of(list), cores, "{list}");
        }
    }
}
