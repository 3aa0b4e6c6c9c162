//! Whether more replicas fit on the host, as its Engine sees it: memory and CPU, before anything is created.
//!
//! Why: a clone that drives the host out of memory takes a neighbour down that nobody asked about. What a clone may use counts in
//! full, what runs counts as it is, and a part of the host is left alone. Two samples, because one has no rate. What cannot be
//! measured is no room. Deliberately the containers only: what else the host runs is seen by nobody who asks an Engine.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerStatsResponse};
use bollard::query_parameters::{ListContainersOptionsBuilder, StatsOptionsBuilder};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::hand::Hand;
use super::reply::Kind;

/// The part of the host's memory, and of its CPU, that may be used after the clones are there.
const MAY_BE_USED: f64 = 0.9;

/// What a clone without a limit is counted as, of what its source uses now.
const WITHOUT_LIMIT: f64 = 1.5;

/// Between the first two samples. A rate over so short a time is a glance: it may tell only what is far from the bound.
const GLANCE: Duration = Duration::from_millis(200);

/// From the first sample to the last one, where a glance does not tell.
const APART: Duration = Duration::from_secs(1);

/// Up to this part of what may be used a glance tells that there is CPU: a host of which nine tenths are used over a second has a tenth
/// of one idle at most, which is half of any fifth of it.
const CLEARLY: f64 = 0.5;

/// How many containers are measured at the same time.
const AT_ONCE: usize = 16;

/// More containers than this are not measured, and then it is not known whether there is room.
const MOST_CONTAINERS: usize = 500;

/// One look at one container.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Sample {
    /// Memory without the page cache, in bytes.
    memory: f64,
    /// CPU time since its start, in seconds.
    cpu: f64,
    /// When, in seconds of the Engine's clock.
    at: f64,
}

/// What a host has and what its containers use.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Host {
    memory: f64,
    cpus: f64,
    memory_used: f64,
    cpus_used: f64,
}

/// Sees whether so many clones of a container fit, and says what is there.
///
/// # Errors
/// Why they do not, or why it is not known.
pub(super) async fn fits(hand: &Hand<'_>, source: &ContainerInspectResponse, clones: u32) -> Result<String, String> {
    let unknown = |what: &str, why: &str| format!("whether the host has room is not known: {what}: {why}");
    let info = hand.look(hand.docker.info()).await.map_err(|trouble| unknown("its size", &trouble.words))?;
    let positive = |number: Option<i64>| number.filter(|number| *number > 0).map(|number| number as f64);
    let (Some(memory), Some(cpus)) = (positive(info.mem_total), positive(info.ncpu)) else {
        return Err(unknown("its size", "the Engine did not say it"));
    };
    let first = samples(hand).await.map_err(|why| unknown("what runs on it", &why))?;
    tokio::time::sleep(GLANCE).await;
    let mut last = samples(hand).await.map_err(|why| unknown("what runs on it", &why))?;
    let mut used = cpus_used(&first, &last);
    if !tells(used, cpus) {
        tokio::time::sleep(APART.saturating_sub(GLANCE)).await;
        last = samples(hand).await.map_err(|why| unknown("what runs on it", &why))?;
        used = cpus_used(&first, &last);
    }
    let cpus_used = used.ok_or_else(|| unknown("its CPU", "nothing was measured twice"))?;
    let host = Host { memory, cpus, memory_used: last.values().map(|sample| sample.memory).sum(), cpus_used };
    let limit = positive(source.host_config.as_ref().and_then(|host| host.memory));
    let used = source.id.as_ref().and_then(|id| last.get(id)).map(|sample| sample.memory * WITHOUT_LIMIT);
    let each = limit.or(used).ok_or_else(|| unknown("what a clone uses", "it has no limit, and its source was not measured"))?;
    judge(host, each, clones)
}

/// Whether a glance is enough, by the CPUs that it saw in use.
fn tells(used: Option<f64>, cpus: f64) -> bool {
    used.is_some_and(|used| used <= cpus * MAY_BE_USED * CLEARLY)
}

fn judge(host: Host, each: f64, clones: u32) -> Result<String, String> {
    let mib = |bytes: f64| format!("{:.0} MiB", bytes / 1_048_576.0);
    let wanted = each * f64::from(clones);
    let words = format!(
        "containers use {} of the host's {} and {:.2} of its {} CPUs, and {clones} more may use {}",
        mib(host.memory_used),
        mib(host.memory),
        host.cpus_used,
        host.cpus,
        mib(wanted),
    );
    if host.memory_used + wanted > host.memory * MAY_BE_USED {
        return Err(format!("the host has too little memory: {words}, which would not leave a tenth of it"));
    }
    if host.cpus_used >= host.cpus * MAY_BE_USED {
        return Err(format!("the host has too little CPU: {words}"));
    }
    Ok(words)
}

/// One sample of every running container, by id. One that stopped meanwhile is left out; one that runs and cannot be measured makes
/// all of it unknown.
async fn samples(hand: &Hand<'_>) -> Result<BTreeMap<String, Sample>, String> {
    let listed = hand.look(hand.docker.list_containers(Some(ListContainersOptionsBuilder::default().build()))).await;
    let listed = listed.map_err(|trouble| trouble.words)?;
    let ids: Vec<String> = listed.into_iter().filter_map(|container| container.id).collect();
    if ids.len() > MOST_CONTAINERS {
        return Err(format!("more than {MOST_CONTAINERS} containers run"));
    }
    let measured = stream::iter(ids).map(|id| async move { Ok::<_, String>((measure(hand, &id).await?, id)) });
    let measured =
        measured.buffer_unordered(AT_ONCE).try_filter_map(|(sample, id)| async move { Ok(sample.map(|sample| (id, sample))) });
    measured.try_collect().await
}

async fn measure(hand: &Hand<'_>, id: &str) -> Result<Option<Sample>, String> {
    let short = id.get(..12).unwrap_or(id);
    let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
    let asked = async { hand.docker.stats(id, Some(options)).next().await.transpose() };
    match hand.look(asked).await {
        Ok(Some(stats)) if sample(&stats).is_some() => Ok(sample(&stats)),
        Ok(_) if runs(hand, id).await? => Err(format!("container {short} runs, and the Engine did not measure it")),
        Ok(_) => Ok(None),
        Err(trouble) if matches!(trouble.kind, Kind::Gone | Kind::Conflict) => Ok(None),
        Err(trouble) => Err(format!("container {short}: {}", trouble.words)),
    }
}

async fn runs(hand: &Hand<'_>, id: &str) -> Result<bool, String> {
    match hand.look(hand.docker.inspect_container(id, None)).await {
        Ok(inspected) => Ok(inspected.state.and_then(|state| state.running) == Some(true)),
        Err(trouble) if trouble.kind == Kind::Gone => Ok(false),
        Err(trouble) => Err(trouble.words),
    }
}

fn sample(stats: &ContainerStatsResponse) -> Option<Sample> {
    let memory = stats.memory_stats.as_ref()?;
    let usage = memory.usage? as f64;
    // Pages of files that nobody has used for a while are given back at need. The name differs between the versions of cgroups.
    let figures = memory.stats.as_ref();
    let idle = figures.and_then(|figures| figures.get("total_inactive_file").or_else(|| figures.get("inactive_file")));
    let cpu = stats.cpu_stats.as_ref()?.cpu_usage.as_ref()?.total_usage? as f64 / 1e9;
    let at = stats.read.as_ref()?.timestamp_micros() as f64 / 1e6;
    let idle = idle.map_or(0.0, |idle| *idle as f64);
    Some(Sample { memory: (usage - idle).max(0.0), cpu, at })
}

/// The CPUs in use between two samples, of the containers that are in both. None where none is.
fn cpus_used(first: &BTreeMap<String, Sample>, second: &BTreeMap<String, Sample>) -> Option<f64> {
    let rates: Vec<f64> = second
        .iter()
        .filter_map(|(id, after)| first.get(id).map(|before| (before, after)))
        .filter(|(before, after)| after.at > before.at)
        .map(|(before, after)| ((after.cpu - before.cpu) / (after.at - before.at)).max(0.0))
        .collect();
    if rates.is_empty() { None } else { Some(rates.iter().sum()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1_048_576.0;

    fn host(memory_used: f64, cpus_used: f64) -> Host {
        Host { memory: 1000.0 * MIB, cpus: 2.0, memory_used: memory_used * MIB, cpus_used }
    }

    #[test]
    fn a_tenth_of_the_host_is_left_alone() {
        assert!(judge(host(500.0, 0.5), 200.0 * MIB, 2).unwrap().contains("2 more may use 400 MiB"));
        let refused = judge(host(501.0, 0.5), 200.0 * MIB, 2).unwrap_err();
        assert!(refused.contains("too little memory") && refused.contains("501 MiB of the host's 1000 MiB"), "{refused}");
        assert!(judge(host(10.0, 1.79), MIB, 1).is_ok());
        assert!(judge(host(10.0, 1.8), MIB, 1).unwrap_err().contains("too little CPU"));
    }

    #[test]
    fn a_glance_is_not_enough_wherever_a_whole_second_could_say_no() {
        // The idlest fifth of a second that is as busy as may be: all that is idle in it lies there.
        let (glance, second) = (GLANCE.as_secs_f64(), APART.as_secs_f64());
        let idlest = |cpus: f64| Some(cpus * (1.0 - (1.0 - MAY_BE_USED) * second / glance));
        for cpus in [1.0, 2.0, 64.0] {
            assert!(!tells(idlest(cpus), cpus), "{cpus}");
            assert!(tells(Some(cpus * 0.4), cpus) && !tells(None, cpus));
        }
    }

    #[test]
    fn a_rate_wants_two_samples_of_the_same_container() {
        let sample = |cpu, at| Sample { memory: 0.0, cpu, at };
        let first = BTreeMap::from([("a".to_owned(), sample(10.0, 100.0)), ("gone".to_owned(), sample(5.0, 100.0))]);
        let second = BTreeMap::from([("a".to_owned(), sample(11.0, 102.0)), ("new".to_owned(), sample(90.0, 102.0))]);
        assert_eq!(cpus_used(&first, &second), Some(0.5));
        assert_eq!(cpus_used(&first, &first), None);
        assert_eq!(cpus_used(&BTreeMap::new(), &second), None);
    }

    #[test]
    fn a_sample_is_read_under_both_versions_of_cgroups_and_not_at_all_of_what_stands_still() {
        let stats = |memory: &str| -> ContainerStatsResponse {
            serde_json::from_str(&format!(
                r#"{{"read": "2026-11-25T16:00:00.5Z", "cpu_stats": {{"cpu_usage": {{"total_usage": 2500000000}}}}, "memory_stats": {memory}}}"#
            ))
            .unwrap()
        };
        let old = sample(&stats(r#"{"usage": 3000, "stats": {"total_inactive_file": 1000, "inactive_file": 7}}"#)).unwrap();
        let new = sample(&stats(r#"{"usage": 3000, "stats": {"inactive_file": 1000}}"#)).unwrap();
        assert_eq!((old.memory, old.cpu), (2000.0, 2.5));
        assert_eq!(old, new);
        assert_eq!(sample(&stats("{}")), None);
    }
}
