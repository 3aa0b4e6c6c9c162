//! What the daemon counts and measures, for Prometheus. Names are `runbookd_<noun>_<unit|total>`; labels come only from closed
//! enums and from names in our own configuration, never from an alert, so that no sender can make series. What can be read
//! off an event is counted from the event ([`Metrics::happened`]), so a new path cannot forget it. What the journal knows is
//! read when it is asked for (`scrape`). Deliberately no HTTP.

mod labels;
mod people;
mod process;
mod scrape;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use journal::HeardOutcome;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use runbook::finding::Finding;
use runbook::incident::{Event, Gate, How, Incident, Reply};
use runbook::order::Verdict;
use runbook::time::Stamp;

pub use labels::Door;
use labels::{ByAction, ByAlertmanager, ByEnd, ByGate, ByHash, ByHow, ByMode, ByOutcome, ByProbe, ByResult, ByRunbook, ByStage};
pub use scrape::CONTENT_TYPE;

/// A gauge of seconds, bytes or anything else that is not a small count.
type FloatGauge = Gauge<f64, AtomicU64>;

/// That deliveries are turned away is told no more often than this: whoever can reach the port could fill the log otherwise.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Everything that is counted. One per process.
pub struct Metrics {
    registry: Registry,
    /// Held while the journal is read for a scrape.
    reading: tokio::sync::Mutex<()>,
    deliveries: [Counter; Door::ALL.len()],
    delivery_seconds: Histogram,
    last_delivery: FloatGauge,
    /// When the last one was turned away for its token, in milliseconds; 0 for never.
    wrong_token: AtomicI64,
    /// When that was last told in the log.
    wrong_token_told: AtomicI64,
    alerts: Family<ByOutcome, Counter>,
    open: Family<ByStage, Gauge>,
    ended: Family<ByEnd, Counter>,
    actions: Family<ByAction, Counter>,
    looks: Family<ByProbe, Histogram>,
    unknown: Family<ByProbe, Counter>,
    refusals: Family<ByGate, Counter>,
    harm: Family<ByRunbook, Counter>,
    inbox: Gauge,
    outbox: Gauge,
    outbox_age: FloatGauge,
    journal_bytes: Gauge,
    journal_writable: Gauge,
    paused_since: FloatGauge,
    modes: Family<ByMode, Gauge>,
    breakers: Family<ByRunbook, Gauge>,
    breaker_overall: Gauge,
    storm: Gauge,
    ready: Family<ByRunbook, Gauge>,
    doctor_problems: Gauge,
    configuration: Family<ByHash, Gauge>,
    alertmanagers: Family<ByAlertmanager, Gauge>,
    given_up: Family<ByHow, Gauge>,
    heartbeat: FloatGauge,
    pings: [Counter; 2],
    ping_at: FloatGauge,
    calls: Family<ByAlertmanager, Gauge>,
    reload_succeeded: Gauge,
    reload_at: FloatGauge,
    connections: Gauge,
    connections_refused: Counter,
    people: people::People,
    process: process::Process,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics at zero, every closed label value there from the start.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let process = process::Process::new(&mut registry);
        let to = registry.sub_registry_with_prefix("runbookd");
        to.register("build", "The release that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let deliveries_family = named(
            to,
            "deliveries",
            "Deliveries from Alertmanager by what came of them at the door",
            Family::<ByResult, Counter>::default(),
        );
        let deliveries = Door::ALL.map(|door| deliveries_family.get_or_create_owned(&ByResult { result: door.word() }));
        // From a tenth of a sync to Alertmanager's own patience with a cluster peer (15 s).
        let seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 15.0];
        let pings_family = named(
            to,
            "watchdog_pings",
            "Times that the outside address of the watchdog was asked, by whether it answered",
            Family::<ByResult, Counter>::default(),
        );
        let pings = ["answered", "failed"].map(|result| pings_family.get_or_create_owned(&ByResult { result }));
        let metrics = Self {
            pings,
            ping_at: named(
                to,
                "watchdog_ping_timestamp_seconds",
                "When the outside address of the watchdog answered last; 0 for never",
                FloatGauge::default(),
            ),
            heartbeat: named(
                to,
                "watchdog_heard_timestamp_seconds",
                "When the heartbeat was heard last; 0 for never",
                FloatGauge::default(),
            ),
            deliveries,
            delivery_seconds: named(
                to,
                "delivery_seconds",
                "From a delivery's head to its answer, in seconds",
                Histogram::new(seconds),
            ),
            last_delivery: named(
                to,
                "last_delivery_timestamp_seconds",
                "When the last delivery was stored; 0 for never",
                FloatGauge::default(),
            ),
            wrong_token: AtomicI64::new(0),
            wrong_token_told: AtomicI64::new(0),
            alerts: named(to, "alerts", "Alerts heard, by what came of them", Family::default()),
            open: named(to, "incidents_open", "Incidents that are not over, by stage", Family::default()),
            ended: named(to, "incidents_ended", "Incidents that ended, by how and by runbook", Family::default()),
            actions: named(to, "actions", "Actions that were started, by what a look said afterwards", Family::default()),
            looks: named(to, "probe_seconds", "How long looks took, in seconds", Family::new_with_constructor(look_seconds)),
            unknown: named(to, "probe_unknown", "Looks that could not see", Family::default()),
            refusals: named(to, "refusals", "Times that a gate kept an incident from acting", Family::default()),
            harm: named(to, "harm", "Remedies that were stopped because of what came about meanwhile", Family::default()),
            inbox: named(to, "inbox_rows", "Stored deliveries that are not routed yet", Gauge::default()),
            outbox: named(to, "outbox_messages", "Messages that are not delivered yet", Gauge::default()),
            outbox_age: named(
                to,
                "outbox_age_seconds",
                "How long the oldest undelivered message waits, however often it was put off, in seconds",
                FloatGauge::default(),
            ),
            journal_bytes: named(to, "journal_bytes", "Bytes of the journal that hold data", Gauge::default()),
            journal_writable: named(to, "journal_writable", "1 while the journal can be written", Gauge::default()),
            paused_since: named(
                to,
                "paused_since_timestamp_seconds",
                "Since when the oldest pause in force lasts, whatever it pauses; 0 for none",
                FloatGauge::default(),
            ),
            modes: named(
                to,
                "runbook_mode",
                "1 for what a runbook may do now, by its mode and what it has earned",
                Family::default(),
            ),
            breakers: named(to, "breaker_open", "1 while the breaker of a runbook is open", Family::default()),
            breaker_overall: named(to, "breaker_open_overall", "1 while the breaker over all runbooks is open", Gauge::default()),
            storm: named(to, "storm", "1 while so much happens at once that nothing more is done", Gauge::default()),
            ready: named(to, "runbook_ready", "1 where the last examination found that the runbook could act", Family::default()),
            doctor_problems: named(to, "doctor_problems", "What the last examination found wrong", Gauge::default()),
            configuration: named(to, "configuration_hash", "The hash of the configuration in force", Family::default()),
            alertmanagers: named(
                to,
                "alertmanager_reachable",
                "1 while an Alertmanager says what still fires",
                Family::default(),
            ),
            given_up: named(
                to,
                "given_up",
                "Incidents that people are called for, by how they ended; unsettled: open, and how an act ended cannot be seen",
                Family::default(),
            ),
            calls: named(
                to,
                "alertmanager_takes_calls",
                "1 while an Alertmanager takes the alerts about what was given up; 0 until it took one",
                Family::default(),
            ),
            reload_succeeded: named(
                to,
                "reload_succeeded",
                "1 when the last attempt to load the configuration worked",
                Gauge::default(),
            ),
            reload_at: named(to, "reload_timestamp_seconds", "When the configuration in force was loaded", FloatGauge::default()),
            connections: named(to, "http_connections", "Open HTTP connections", Gauge::default()),
            connections_refused: named(
                to,
                "http_connections_refused",
                "Connections turned away because too many were open",
                Counter::default(),
            ),
            people: people::People::new(to),
            process,
            registry,
            reading: tokio::sync::Mutex::new(()),
        };
        for stage in scrape::OPEN_STAGES {
            let _ = metrics.open.get_or_create(&ByStage { stage });
        }
        for outcome in ["opened", "joined", "resent", "unmatched", "resolved_unknown", "unknown_status"] {
            let _ = metrics.alerts.get_or_create(&ByOutcome { outcome });
        }
        metrics
    }

    /// A delivery was answered, `took` after its head was read.
    pub fn delivered(&self, door: Door, took: Duration) {
        if let Some(counter) = self.deliveries.get(door as usize) {
            counter.inc();
        }
        self.delivery_seconds.observe(took.as_secs_f64());
    }

    /// A delivery was stored at this moment.
    pub fn stored_at(&self, now: Stamp) {
        self.last_delivery.set(seconds(now));
    }

    /// When the last delivery was stored, as far as this process knows.
    pub fn last_delivery(&self) -> Option<Stamp> {
        let seconds = self.last_delivery.get();
        (seconds > 0.0).then(|| Stamp::from_millis((seconds * 1000.0) as i64))
    }

    /// A delivery was turned away for its token. Gives whether that is news: the first one for a while.
    pub fn wrong_token(&self, now: Stamp) -> bool {
        self.wrong_token.store(now.millis(), Ordering::Relaxed);
        let told = Stamp::from_millis(self.wrong_token_told.load(Ordering::Relaxed));
        let news = now.since(told) > TOLD_EVERY;
        if news {
            self.wrong_token_told.store(now.millis(), Ordering::Relaxed);
        }
        news
    }

    /// How many deliveries were turned away for their token, and when the last one was.
    pub fn wrong_tokens(&self) -> Option<(u64, Stamp)> {
        let last = self.wrong_token.load(Ordering::Relaxed);
        let index = Door::ALL.iter().position(|door| *door == Door::Unauthorized)?;
        (last > 0).then(|| (self.deliveries.get(index).map_or(0, |counter| counter.get()), Stamp::from_millis(last)))
    }

    /// Alerts were routed. `unknown_status` of them had a status that nobody knows.
    pub fn heard(&self, outcome: &HeardOutcome, unknown_status: u64) {
        let counts = [
            ("opened", outcome.opened.len() as u64),
            ("joined", outcome.joined),
            ("resent", outcome.resent),
            ("unmatched", outcome.unmatched),
            ("resolved_unknown", outcome.resolved_unknown),
            ("unknown_status", unknown_status),
        ];
        for (outcome, count) in counts {
            self.alerts.get_or_create(&ByOutcome { outcome }).inc_by(count);
        }
    }

    /// An event was appended, and left the incident like this. Counts ends, outcomes of actions and closed gates.
    pub fn happened(&self, after: &Incident, event: &Event) {
        match event {
            Event::Closed { how, .. } => self.end(*how, &after.runbook.name),
            Event::Settled { verdict, .. } => {
                let outcome = match verdict {
                    Verdict::Landed(_) => "landed",
                    Verdict::Partly(_) => "partly",
                    Verdict::NotLanded(_) => "not_landed",
                    Verdict::Unknowable(_) => "unknowable",
                };
                self.acted(after, outcome);
            }
            Event::Harmed { gates, .. } => {
                self.refused_by(gates);
                self.harm.get_or_create(&ByRunbook { runbook: after.runbook.name.clone() }).inc();
            }
            Event::Unsettled { .. } => self.acted(after, "unsettled"),
            Event::ActionStarted { .. } => self.acted(after, "started"),
            Event::ActionReplied { reply } => {
                let outcome = match reply {
                    Reply::Done(_) => "replied_done",
                    Reply::Refused(_) => "replied_refused",
                    Reply::Failed(_) => "replied_failed",
                    Reply::NoAnswer(_) => "no_answer",
                };
                self.acted(after, outcome);
            }
            Event::Waits { gates, .. } | Event::RungSkipped { gates, .. } | Event::Ending { gates, .. } => {
                self.refused_by(gates);
            }
            _ => self.asked(event),
        }
    }

    fn end(&self, how: How, runbook: &str) {
        self.ended.get_or_create(&ByEnd { how: how.word(), runbook: runbook.to_owned() }).inc();
    }

    fn refused_by(&self, gates: &[Gate]) {
        for gate in gates.iter().filter(|gate| !gate.open) {
            self.refusals.get_or_create(&ByGate { gate: gate.name.word() }).inc();
        }
    }

    fn acted(&self, after: &Incident, outcome: &'static str) {
        if let Some(attempt) = after.last_attempt() {
            self.actions.get_or_create(&ByAction { action: attempt.order.action.facts().name, outcome }).inc();
        }
    }

    /// A look was taken, and took this long.
    pub fn looked(&self, probe: &'static str, finding: &Finding, took: Duration) {
        self.looks.get_or_create(&ByProbe { probe }).observe(took.as_secs_f64());
        if finding.unknown().is_some() {
            self.unknown.get_or_create(&ByProbe { probe }).inc();
        }
    }

    /// What an examination found: per runbook whether it could act, and how many things are wrong in all.
    pub fn examined(&self, runbooks: impl IntoIterator<Item = (String, bool)>, problems: usize) {
        self.ready.clear();
        for (runbook, ready) in runbooks {
            self.ready.get_or_create(&ByRunbook { runbook }).set(i64::from(ready));
        }
        self.doctor_problems.set(small(problems as u64));
    }

    /// The configuration was loaded: its hash and its Alertmanagers, or nothing when it was wrong and the old one stays in force.
    pub fn reloaded(&self, loaded: Option<(&str, &[crate::config::AlertmanagerSettings])>, now: Stamp) {
        self.reload_succeeded.set(i64::from(loaded.is_some()));
        if let Some((hash, alertmanagers)) = loaded {
            self.reload_at.set(seconds(now));
            // An Alertmanager that has left the configuration leaves no series behind.
            self.alertmanagers.clear();
            self.calls.clear();
            // One that was not heard of yet is not known to answer; a series that is not there would call nobody.
            for settings in alertmanagers {
                self.alertmanager(&settings.url, false);
                if settings.calls_people {
                    self.called(&settings.url, false);
                }
            }
            self.configuration.clear();
            self.configuration.get_or_create(&ByHash { hash: hash.to_owned() }).set(1);
        }
    }

    /// An Alertmanager of the configuration was asked what still fires: whether it said.
    pub fn alertmanager(&self, url: &str, reachable: bool) {
        self.alertmanagers.get_or_create(&ByAlertmanager { alertmanager: url.to_owned() }).set(i64::from(reachable));
    }

    /// Whether an Alertmanager took the call for what was given up.
    pub fn called(&self, url: &str, taken: bool) {
        self.calls.get_or_create(&ByAlertmanager { alertmanager: url.to_owned() }).set(i64::from(taken));
    }

    /// The heartbeat was heard.
    pub fn beat(&self, now: Stamp) {
        self.heartbeat.set(seconds(now));
    }

    /// When the heartbeat was heard last, as far as this process knows, and when the outside address answered last.
    pub fn last_beat(&self) -> (Option<Stamp>, Option<Stamp>) {
        let stamp = |seconds: f64| (seconds > 0.0).then(|| Stamp::from_millis((seconds * 1000.0) as i64));
        (stamp(self.heartbeat.get()), stamp(self.ping_at.get()))
    }

    /// The outside address of the watchdog was asked; whether it answered.
    pub fn pinged(&self, answered: bool, now: Stamp) {
        let [well, failed] = &self.pings;
        if answered {
            well.inc();
            self.ping_at.set(seconds(now));
        } else {
            failed.inc();
        }
    }

    /// A connection was opened; it counts until the guard is dropped.
    pub fn connected(&self) -> Connected {
        self.connections.inc();
        Connected(self.connections.clone())
    }

    /// A connection was turned away.
    pub fn turned_away(&self) {
        self.connections_refused.inc();
    }
}

/// An open connection, while it is kept.
pub struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn look_seconds() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0])
}

fn seconds(stamp: Stamp) -> f64 {
    stamp.millis() as f64 / 1000.0
}

fn small(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn named<M: prometheus_client::registry::Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}
