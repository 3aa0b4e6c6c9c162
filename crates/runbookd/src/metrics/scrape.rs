//! Writes all metrics down in the OpenMetrics text format. What the journal knows is read first, within a deadline; when it
//! cannot be read the last values stay, and the rest is told all the same. Deliberately at most one reading at a time: scrapes
//! that come together share it.

use std::time::Duration;

use anyhow::Context;
use journal::Journal;
use policy::Ledger;
use runbook::book::{Configuration, Mode};
use runbook::incident::{How, Stage};
use runbook::time::Stamp;

use super::{ByHow, ByMode, ByRunbook, ByStage, Metrics, seconds, small};

/// What the text is, for the `Content-Type` header.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A journal that does not answer in this time is told of by its last values.
const PATIENCE: Duration = Duration::from_secs(2);

/// The stages in which an incident is not over, and the word for one that this release cannot read.
pub(super) const OPEN_STAGES: [&str; 11] = [
    "looking",
    "deciding",
    "asking",
    "held",
    "waiting",
    "in_doubt",
    Stage::UNSETTLED,
    "verifying",
    "sustaining",
    "closing",
    "unreadable",
];

impl Metrics {
    /// All metrics, with what the journal says now.
    ///
    /// # Errors
    /// When the text cannot be written.
    pub async fn scrape(&self, journal: &Journal, current: &Configuration, now: Stamp, tells: bool) -> anyhow::Result<String> {
        self.journal_writable.set(i64::from(journal.trouble().borrow().is_none()));
        if let Ok(_only) = self.reading.try_lock() {
            match tokio::time::timeout(PATIENCE, self.read(journal, current, now, tells)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!("the journal could not be read for the metrics, so their last values stay: {error:#}")
                }
                Err(_) => tracing::warn!(
                    "the journal gave no answer within {} s for the metrics, so their last values stay",
                    PATIENCE.as_secs()
                ),
            }
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).context("writing the metrics")?;
        Ok(text)
    }

    async fn read(&self, journal: &Journal, current: &Configuration, now: Stamp, tells: bool) -> anyhow::Result<()> {
        let by_stage = journal.count_by_stage().await?;
        for stage in OPEN_STAGES {
            let count = by_stage.iter().find(|(word, _)| word == stage).map_or(0, |(_, count)| *count);
            self.open.get_or_create(&ByStage { stage }).set(small(count));
        }
        let given_up = journal.given_up(now.minus(crate::giving_up::FOR_AT_MOST)).await?;
        let ended = How::ALL.into_iter().filter(|how| how.wants_a_person()).map(How::word);
        for how in ended.chain([Stage::UNSETTLED]) {
            let count = given_up.iter().filter(|one| one.how == how).count();
            self.given_up.get_or_create(&ByHow { how }).set(small(count as u64));
        }
        self.inbox.set(small(journal.deliveries_waiting().await?));
        // Where nobody is to be told, nothing waits to be told; `doctor` says that nobody is.
        let (waiting, oldest) = if tells { journal.outbox_lag().await? } else { (0, None) };
        self.outbox.set(small(waiting));
        self.outbox_age.set(oldest.map_or(0.0, |since| now.since(since).as_secs_f64()));
        self.journal_bytes.set(small(journal.used_bytes().await?));
        let oldest = journal.pauses(now).await?.into_iter().map(|pause| pause.since).min();
        self.paused_since.set(oldest.map_or(0.0, seconds));
        self.stands(&journal.ledger(), current, now);
        Ok(())
    }

    /// How each runbook stands now. One that has left the configuration leaves no series behind.
    fn stands(&self, ledger: &Ledger, current: &Configuration, now: Stamp) {
        self.modes.clear();
        self.breakers.clear();
        for (runbook, rules) in current.runbooks.iter() {
            let one = policy::overview(rules, current, ledger, now);
            for mode in [Mode::Observe, Mode::Ask, Mode::Auto] {
                let labels = ByMode { runbook: runbook.clone(), mode: mode.word() };
                self.modes.get_or_create(&labels).set(i64::from(mode == one.mode));
            }
            self.breakers.get_or_create(&ByRunbook { runbook: runbook.clone() }).set(i64::from(one.breaker.is_some()));
        }
        self.breaker_overall.set(i64::from(ledger.breaker(None, &current.rules.breaker).is_some()));
        self.storm.set(i64::from(policy::storms(&current.rules.storm, &ledger.burst_now(current, now)).is_some()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use crate::config::AlertmanagerSettings;
    use journal::Journal;
    use runbook::book::Configuration;

    fn alertmanager(url: &str, calls_people: bool) -> AlertmanagerSettings {
        let (url, receiver) = (url.to_owned(), "runbookd".to_owned());
        AlertmanagerSettings { url, receiver, token: None, basic: None, calls_people }
    }

    #[tokio::test]
    async fn every_series_of_a_closed_enum_is_there_from_the_start_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path()).await.unwrap();
        let metrics = Metrics::new();
        metrics.delivered(Door::Stored, Duration::from_millis(3));
        metrics.started(Stamp::from_millis(1_250));
        metrics.stored_at(Stamp::from_millis(1_500));
        metrics.reloaded(Some(("abc", &[alertmanager("http://gone", true)])), Stamp::from_millis(2_000));
        metrics.reloaded(
            Some(("def", &[alertmanager("http://a", true), alertmanager("http://b", false)])),
            Stamp::from_millis(3_000),
        );
        metrics.examined([("a".to_owned(), true), ("b".to_owned(), false)], 3);
        let one = metrics.connected();
        drop(metrics.connected());
        let text = metrics.scrape(&journal, &Configuration::default(), Stamp::from_millis(0), true).await.unwrap();
        for line in [
            "runbookd_deliveries_total{result=\"stored\"} 1",
            "runbookd_deliveries_total{result=\"unwritable\"} 0",
            "process_start_time_seconds 1.25",
            "runbookd_delivery_seconds_count 1",
            "runbookd_last_delivery_timestamp_seconds 1.5",
            "runbookd_incidents_open{stage=\"in_doubt\"} 0",
            "runbookd_alerts_total{outcome=\"opened\"} 0",
            "runbookd_configuration_hash{hash=\"def\"} 1",
            "runbookd_runbook_ready{runbook=\"b\"} 0",
            "runbookd_alertmanager_reachable{alertmanager=\"http://a\"} 0",
            "runbookd_alertmanager_reachable{alertmanager=\"http://b\"} 0",
            "runbookd_alertmanager_takes_calls{alertmanager=\"http://a\"} 0",
            "runbookd_doctor_problems 3",
            "runbookd_http_connections 1",
            "runbookd_journal_writable 1",
            "runbookd_inbox_rows 0",
            "runbookd_given_up{how=\"stuck\"} 0",
            "runbookd_given_up{how=\"unsettled\"} 0",
            "runbookd_incidents_open{stage=\"unsettled\"} 0",
            "runbookd_breaker_open_overall 0",
            "runbookd_storm 0",
            "runbookd_paused_since_timestamp_seconds 0.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
        assert!(text.contains("runbookd_build_info{version=") && text.ends_with("# EOF\n") && !text.contains("abc"));
        drop(one);
    }

    #[tokio::test]
    async fn the_oldest_pause_is_told_whatever_it_pauses_and_the_pause_file_too() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path()).await.unwrap();
        let metrics = Metrics::new();
        let at = |millis: i64| Stamp::from_millis(millis);
        let until = Some(at(90_000));
        for (scope, from, until) in [("all", 40_000, None), ("runbook:a", 20_000, until)] {
            journal.pause(&scope.parse().unwrap(), "why", "somebody", at(from), until).await.unwrap();
        }
        let now = async |millis: i64| metrics.scrape(&journal, &Configuration::default(), at(millis), true).await.unwrap();
        let line = |seconds: &str| format!("runbookd_paused_since_timestamp_seconds {seconds}\n");
        assert!(now(50_000).await.contains(&line("20.0")));
        assert!(now(100_000).await.contains(&line("40.0")), "the other one is over by itself");
        journal.resume(&"all".parse().unwrap(), "somebody", at(95_000)).await.unwrap();
        assert!(now(100_000).await.contains(&line("0.0")));
        let file = std::fs::File::create(directory.path().join("PAUSE")).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(60)).unwrap();
        assert!(now(100_000).await.contains(&line("60.0")));
    }
}
