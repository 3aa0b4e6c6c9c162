//! The daemon's own state: the journal, the clock, the metrics, and the configuration in force with its connections. Reload does
//! every fallible step first and only then swaps; a wrong configuration leaves the old one in force. Deliberately starts
//! nothing: `serve` does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use connect::Connections;
use connect::http::Telling;
use journal::{Filter, Journal};
use runbook::book::Configuration;
use runbook::incident::IncidentId;
use runbook::time::Stamp;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{self, Complaints, DaemonSettings, TlsSettings};
use crate::metrics::Metrics;

/// How long opening one held connection may take before it goes on in the background.
const HOLD_WITHIN: Duration = Duration::from_secs(5);

/// So many open incidents at most are looked at for who reloads.
const MOST_TOLD: u32 = 200;

/// The configuration in force, and what belongs to it.
pub struct Current {
    /// Runbooks, inventory, intervals.
    pub configuration: Arc<Configuration>,
    /// Its hash in the journal.
    pub hash: String,
    /// Addresses, tokens, retention.
    pub settings: DaemonSettings,
    /// Connections to its inventory.
    pub connections: Arc<Connections>,
}

/// The daemon's own state. Shared by everything that runs in the process.
pub struct Daemon {
    /// The record.
    pub journal: Journal,
    /// The edge's clock.
    pub clock: Arc<Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Tells neighbours a few words over HTTP.
    pub telling: Telling,
    /// When the heartbeat came last, in this process.
    pub pulse: watch::Sender<Option<Stamp>>,
    /// Cancelled when the process is to stop.
    pub stop: CancellationToken,
    /// Told when Alertmanager should be asked soon what still fires.
    pub reconcile_soon: Notify,
    directory: PathBuf,
    at_the_start: AtTheStart,
    current: watch::Sender<Arc<Current>>,
    configuration: watch::Sender<Arc<Configuration>>,
}

/// What is taken at the start only.
#[derive(PartialEq, Eq)]
struct AtTheStart(SocketAddr, Option<PathBuf>, Option<TlsSettings>);

impl AtTheStart {
    fn of(settings: &DaemonSettings) -> Self {
        Self(settings.listen, settings.state.clone(), settings.tls.clone())
    }
}

/// What a reload came to.
#[derive(Debug)]
pub struct Reloaded {
    /// The hash of what is in force.
    pub hash: String,
    /// Open incidents that have done nothing yet and whose runbook does something else now, or is gone: they go to a person.
    pub outdated: Vec<IncidentId>,
    /// Whether something is written otherwise that is taken at the start only.
    pub wants_restart: bool,
}

/// Said where something is written otherwise that a reload does not take.
pub const AT_THE_START: &str = "`listen`, `state` and `tls` are taken at the start only: restart runbookd for what changed there";

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The new configuration is wrong; everything that is wrong with it.
    #[error("the configuration is wrong, and the old one stays in force")]
    Wrong(Complaints),
    /// The journal could not store it.
    #[error("the configuration could not be stored, and the old one stays in force: {0:#}")]
    Store(anyhow::Error),
}

impl Daemon {
    /// Puts a checked configuration in force over an opened journal.
    ///
    /// # Errors
    /// When the journal cannot store the configuration.
    pub async fn new(directory: &Path, loaded: config::Loaded, journal: Journal, clock: Arc<Clock>) -> anyhow::Result<Arc<Self>> {
        clock.never_before(journal.last_stamp().await);
        let metrics = Arc::new(Metrics::new());
        let now = clock.now();
        let hash = journal.adopt(&loaded.configuration, now).await?;
        metrics.started(now);
        metrics.reloaded(Some((&hash, &loaded.daemon.alertmanagers)), now);
        let configuration = Arc::new(loaded.configuration);
        let connections = Arc::new(Connections::new(&configuration.inventory));
        let at_the_start = AtTheStart::of(&loaded.daemon);
        let current = Current { configuration: configuration.clone(), hash, settings: loaded.daemon, connections };
        Ok(Arc::new(Self {
            journal,
            clock,
            metrics,
            telling: Telling::new(),
            pulse: watch::Sender::new(None),
            stop: CancellationToken::new(),
            reconcile_soon: Notify::new(),
            directory: directory.to_owned(),
            at_the_start,
            current: watch::Sender::new(Arc::new(current)),
            configuration: watch::Sender::new(configuration),
        }))
    }

    /// What is in force now.
    pub fn current(&self) -> Arc<Current> {
        self.current.borrow().clone()
    }

    /// Follows what is in force.
    pub fn follow(&self) -> watch::Receiver<Arc<Current>> {
        self.current.subscribe()
    }

    /// Follows the configuration alone, as the engine wants it.
    pub fn follow_configuration(&self) -> watch::Receiver<Arc<Configuration>> {
        self.configuration.subscribe()
    }

    /// The directory that is reloaded from.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Opens and keeps the held connections; goes on in the background with those that do not open in time.
    pub async fn hold_connections(&self) {
        for holding in self.current().connections.hold_all(HOLD_WITHIN).await {
            match &holding.trouble {
                None => tracing::info!(target_name = %holding.target, side = ?holding.side, "holds a connection"),
                Some(trouble) => {
                    tracing::warn!(target_name = %holding.target, side = ?holding.side, %trouble, "a connection that should be held is not open; it is tried again");
                }
            }
        }
    }

    /// Reads the configuration anew. Everything that can fail comes first; the swap cannot.
    ///
    /// # Errors
    /// [`ReloadError`]; the old configuration stays in force.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let now = self.clock.now();
        let loaded = match config::load(&self.directory) {
            Ok(loaded) => loaded,
            Err(complaints) => {
                self.metrics.reloaded(None, now);
                for complaint in complaints.iter() {
                    tracing::error!("{complaint}");
                }
                tracing::error!(
                    complaints = complaints.len(),
                    "the new configuration is wrong, and the old one stays in force; mend it and reload again"
                );
                return Err(ReloadError::Wrong(complaints));
            }
        };
        let hash = match self.journal.adopt(&loaded.configuration, now).await {
            Ok(hash) => hash,
            Err(error) => {
                self.metrics.reloaded(None, now);
                let error = ReloadError::Store(error);
                tracing::error!("{error}");
                return Err(error);
            }
        };
        let wants_restart = self.at_the_start != AtTheStart::of(&loaded.daemon);
        if wants_restart {
            tracing::warn!("{AT_THE_START}");
        }
        let configuration = Arc::new(loaded.configuration);
        let connections = Arc::new(self.current().connections.renewed(&configuration.inventory));
        // First, because what is told of an Alertmanager from now on is told under the new configuration.
        self.metrics.reloaded(Some((&hash, &loaded.daemon.alertmanagers)), now);
        let current = Current { configuration: configuration.clone(), hash: hash.clone(), settings: loaded.daemon, connections };
        self.current.send_replace(Arc::new(current));
        self.configuration.send_replace(configuration.clone());
        if let Err(error) = self.journal.wake_all().await {
            tracing::warn!(
                error = format!("{error:#}"),
                "what waits could not be woken, and sees the new configuration when its time comes"
            );
        }
        let outdated = self.outdated(&configuration).await.unwrap_or_else(|error| {
            tracing::warn!(error = format!("{error:#}"), "whether open incidents go by a runbook of before is not known");
            Vec::new()
        });
        self.hold_connections().await;
        tracing::info!(hash, outdated = outdated.len(), "the configuration was reloaded");
        Ok(Reloaded { hash, outdated, wants_restart })
    }

    /// Open incidents that have done nothing yet, and do nothing any more because their runbook says something else now or is gone.
    async fn outdated(&self, configuration: &Configuration) -> anyhow::Result<Vec<IncidentId>> {
        let mut outdated = Vec::new();
        for summary in self.journal.incidents(Filter { open_only: true, most: MOST_TOLD }).await? {
            if summary.unreadable.is_some() {
                continue;
            }
            let (incident, rules) = (self.journal.load(summary.id).await?, configuration.runbooks.get(&summary.runbook));
            if incident.attempts.is_empty() && policy::outdated(&incident, rules).is_some() {
                outdated.push(summary.id);
            }
        }
        Ok(outdated)
    }
}
