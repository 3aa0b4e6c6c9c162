//! The sample estate keeps its word: each of its 15 alerts fires on its fault, is delivered by its Alertmanager with the token,
//! and resolves on its mend, while nothing touches the bystanders. Faults that have nothing to do with each other stand
//! side by side, as they would at night. Deliberately no runbookd here: what it does about an alert is tried elsewhere.

mod receiver;

use std::time::{Duration, Instant};

use serde_json::Value;
use xtask::clock::{now, wait_for};
use xtask::estate::{Estate, Fault, Fire};
use xtask::http::Request;

use crate::support::watch::Watch;
use receiver::Receiver;

/// Switching a fault either way; stopping and starting a server takes longest.
const SWITCHED_WITHIN: Duration = Duration::from_secs(15);
/// From the fault to the alert in Prometheus: a range of 10 s, `for` 2 s, and the load of a test run.
const FIRES_WITHIN: Duration = Duration::from_secs(40);
/// From there to the delivery: `group_wait` is 1 s, and a delivery that failed before we listened is tried again.
const DELIVERED_WITHIN: Duration = Duration::from_secs(20);
/// From the mend to the end of the alert.
const RESOLVES_WITHIN: Duration = Duration::from_secs(60);

/// Nothing may ever touch these two.
const BYSTANDERS: [&str; 2] = ["nginx", "frontend"];

macro_rules! alerts {
    ($($test:ident: [$($alert:literal),+],)*) => {
        /// Those below, so that none can be forgotten.
        const ALERTS: &[&str] = &[$($($alert),+),*];

        $(#[test]
        fn $test() {
            fire_are_delivered_and_resolve(&[$($alert),+]);
        })*
    };
}

alerts! {
    what_fills_up: ["HighMemoryUsage", "DatabaseDiskFull", "RedisMemoryFull", "HighQueueDepth"],
    what_is_slow_and_tasks_that_fail: ["HighResponseLatency", "SlowQueries", "TaskFailureRate"],
    what_fails_and_a_hung_worker: ["LowSuccessRate", "ServiceUnhealthy", "WorkerDown"],
    high_cpu_usage: ["HighCPUUsage"],
    postgres_down: ["PostgresDown"],
    high_database_connections: ["HighDatabaseConnections"],
    redis_down: ["RedisDown"],
    backend_errors: ["BackendErrors"],
}

/// Mends on drop, so that a test that fails leaves an estate that the next one can use.
struct Broken<'a> {
    estate: &'a Estate,
    fault: &'a Fault,
    mended: bool,
}

impl<'a> Broken<'a> {
    fn new(estate: &'a Estate, fault: &'a Fault) -> Self {
        let broken = Broken { estate, fault, mended: false };
        switched(estate, fault, Fire::Break);
        broken
    }

    fn mend(mut self) {
        self.mended = true;
        switched(self.estate, self.fault, Fire::Mend);
    }
}

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        if !self.mended {
            let _ = self.fault.switch(self.estate, Fire::Mend);
        }
    }
}

fn switched(estate: &Estate, fault: &Fault, fire: Fire) {
    let start: Instant = now();
    fault.switch(estate, fire).unwrap();
    let took = start.elapsed();
    assert!(took < SWITCHED_WITHIN, "{fire:?} of {} took {took:.1?}", fault.name);
}

/// The alert of that name as Prometheus has it, pending or firing.
fn active(estate: &Estate, alert: &str) -> Option<Value> {
    estate.alerts().unwrap().into_iter().find(|found| found["labels"]["alertname"] == alert)
}

fn quiet(estate: &Estate, alert: &str) {
    wait_for(&format!("the end of {alert}"), RESOLVES_WITHIN, || Ok(active(estate, alert).is_none().then_some(()))).unwrap();
}

fn whole(estate: &Estate) {
    let whole = || Ok(estate.containers()?.iter().all(xtask::estate::Container::is_whole).then_some(()));
    wait_for("every service to be healthy", RESOLVES_WITHIN, whole).unwrap();
    // A worker is healthy when its broker hears it, which may be before it listens for faults; nginx says 502 for it until then.
    let listens = |port: &str| Ok(Request::get(&estate.url(port)?).send().is_ok_and(|answer| answer.status != 502).then_some(()));
    for port in ["PORT_BACKEND_FAULTS", "PORT_WORKER_FAULTS"] {
        wait_for(&format!("an answer at {port}"), RESOLVES_WITHIN, || listens(port)).unwrap();
    }
}

fn fire_are_delivered_and_resolve(alerts: &[&str]) {
    let (estate, _turn) = Estate::for_test().unwrap();
    alerts.iter().for_each(|alert| quiet(&estate, alert));
    let receiver = Receiver::start(&estate).unwrap();
    let watch = Watch::start(&estate);
    std::thread::scope(|scope| {
        for alert in alerts {
            scope.spawn(|| fires_is_delivered_and_resolves(&estate, &receiver, alert));
        }
    });
    assert_eq!(watch.touches_of(&BYSTANDERS), [], "something touched a bystander");
    assert_eq!(receiver.refused(), 0, "a delivery came without the token");
}

fn fires_is_delivered_and_resolves(estate: &Estate, receiver: &Receiver, alert: &str) {
    let fault = Fault::named(alert).unwrap();
    let broken = Broken::new(estate, &fault);
    let firing = wait_for(&format!("{alert} to fire"), FIRES_WITHIN, || {
        Ok(active(estate, alert).filter(|found| found["state"] == "firing"))
    })
    .unwrap();
    let active_at = firing["activeAt"].as_str().unwrap();
    let delivered =
        wait_for(&format!("the delivery of {alert}"), DELIVERED_WITHIN, || Ok(receiver.delivered(alert, "firing", active_at)))
            .unwrap_or_else(|error| panic!("{error}; received: {:?}", receiver.names()));
    for label in ["alertname", "severity", "service"] {
        assert_eq!(delivered["labels"][label], firing["labels"][label], "{label}");
    }
    assert!(delivered["annotations"]["summary"].as_str().is_some_and(|summary| !summary.is_empty()));

    broken.mend();
    quiet(estate, alert);
}

#[test]
fn a_resolved_alert_is_delivered_too() {
    let (estate, _turn) = Estate::for_test().unwrap();
    let fault = Fault::named("HighDatabaseConnections").unwrap();
    quiet(&estate, &fault.alert);
    let receiver = Receiver::start(&estate).unwrap();
    let broken = Broken::new(&estate, &fault);
    let delivered =
        |status| wait_for(status, FIRES_WITHIN + DELIVERED_WITHIN, || Ok(receiver.delivered(&fault.alert, status, ""))).unwrap();
    let firing = delivered("firing");
    broken.mend();
    let resolved = delivered("resolved");
    assert_eq!(resolved["fingerprint"], firing["fingerprint"]);
    assert_eq!(resolved["startsAt"], firing["startsAt"], "one episode");
}

#[test]
fn every_other_fault_can_be_switched_on_and_off() {
    let (estate, _turn) = Estate::for_test().unwrap();
    let watch = Watch::start(&estate);
    let faults = Fault::all().unwrap();
    let others: Vec<&Fault> = faults.iter().filter(|fault| Fault::named(&fault.alert).unwrap().name != fault.name).collect();
    assert!(others.len() >= 9, "{others:?}");
    for fault in others {
        Broken::new(&estate, fault).mend();
        // The next switch may be in the container that this one stopped.
        whole(&estate);
    }
    wait_for("a quiet estate", RESOLVES_WITHIN, || Ok(estate.alerts()?.is_empty().then_some(()))).unwrap();
    assert_eq!(watch.touches_of(&BYSTANDERS), [], "something touched a bystander");
}

#[test]
fn each_alert_has_a_rule_a_fault_and_a_test() {
    let rules = std::fs::read_to_string(xtask::paths::root().join("deploy/prometheus/rules.yml")).unwrap();
    let mut ruled: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let mut tried = ALERTS.to_vec();
    ruled.sort_unstable();
    tried.sort_unstable();
    assert_eq!(ruled, tried);
    assert_eq!(tried.len(), 15);
    for alert in tried {
        assert_eq!(Fault::named(alert).unwrap().alert, alert);
    }
}
