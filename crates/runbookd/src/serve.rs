//! The daemon's life: check the configuration whole, open the journal, open the door, start everything, wait for a signal, stop
//! within a bound. Why the door comes before the connections: a daemon that waits for what it repairs is not there when it is
//! needed, and `/readyz` speaks of the journal alone. Deliberately no retry of a start: a supervisor does that better.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use journal::Journal;
use runbook::finding::Finding;
use runbook::incident::{Event, Incident};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config::{self, DaemonSettings};
use crate::daemon::Daemon;
use crate::engine::{Engine, Listener, Patience};
use crate::http::{Bounds, Server};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::{doctor, giving_up, housekeeping, reconcile, routing, teller, watchdog};

/// The configuration folder where none is named.
pub const CONFIG: &str = "/etc/runbookd";
/// The state directory where none is named.
pub const STATE: &str = "/var/lib/runbookd";

/// How long orders that run may still take once the daemon stops. One that takes longer (a restart that waits for its container) is left
/// in doubt, and settled by looking at the next start.
const GRACE: Duration = Duration::from_secs(15);
/// How long everything together may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// How to serve.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The configuration folder.
    pub config: PathBuf,
    /// The state directory; where none is named, the configuration's, else [`STATE`].
    pub state: Option<PathBuf>,
    /// Listen here instead of where the configuration says.
    pub listen: Option<SocketAddr>,
}

/// The state directory that counts.
pub fn state_directory(named: Option<&Path>, settings: Option<&DaemonSettings>) -> PathBuf {
    let configured = settings.and_then(|settings| settings.state.as_deref());
    named.or(configured).unwrap_or(Path::new(STATE)).to_owned()
}

/// Serves until SIGTERM or SIGINT; SIGHUP reloads.
///
/// # Errors
/// A [`config::Complaints`] when the configuration is wrong, a [`journal::OpenError`] when the journal cannot be opened; in both
/// cases nothing was started. Anything else when the door cannot be opened or a part of the daemon ended by itself.
pub async fn serve(options: Options) -> anyhow::Result<()> {
    // The first caller wins; a test process may have done it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut loaded = config::load(&options.config)?;
    for note in loaded.notes.iter() {
        tracing::warn!("{note}");
    }
    if let Some(listen) = options.listen {
        loaded.daemon.listen = listen;
    }
    let state = state_directory(options.state.as_deref(), Some(&loaded.daemon));
    let journal = Journal::open(&state).await?;
    let clock = Arc::new(Clock::new());
    let daemon = Daemon::new(&options.config, loaded, journal, clock).await?;
    let mut signals = Signals::listen()?;
    let server = Server::open(daemon.clone(), Bounds::default())?;
    tracing::info!(
        release = env!("CARGO_PKG_VERSION"),
        address = %server.address(),
        state = %state.display(),
        config = %options.config.display(),
        runbooks = daemon.current().configuration.runbooks.len(),
        "runbookd serves"
    );

    let mut parts = start(&daemon, server);
    let ended_early = watch(&daemon, &mut signals, &mut parts).await;
    daemon.stop.cancel();
    tokio::select! {
        () = async { while parts.join_next().await.is_some() {} } => tracing::info!("stopped"),
        () = tokio::time::sleep(STOP_WITHIN) => {
            tracing::warn!(within_seconds = STOP_WITHIN.as_secs(), "not everything stopped in time; what was in doubt is settled by looking at the next start");
        }
        () = async { while signals.next().await == Told::Reload {} } => {
            tracing::warn!("told to stop a second time: stops at once; what was in doubt is settled by looking at the next start");
        }
    }
    parts.abort_all();
    ended_early
}

/// Starts every part; each gives its name when it ends.
fn start(daemon: &Arc<Daemon>, server: Server) -> JoinSet<&'static str> {
    let mut parts = JoinSet::new();
    macro_rules! part {
        ($name:literal, $future:expr) => {{
            let future = $future;
            parts.spawn(async move {
                future.await;
                $name
            })
        }};
    }
    let live = Arc::new(Live::new(daemon.clock.clone(), daemon.follow(), daemon.telling.clone()));
    let engine = Engine::new(daemon.journal.clone(), live, daemon.follow_configuration(), daemon.metrics.clone())
        .with_patience(Patience::of_this_build());
    let stop = daemon.stop.clone();
    part!("http", server.run());
    part!("engine", async move { engine.run(stop, GRACE).await });
    part!("routing", routing::run(daemon.clone()));
    part!("teller", teller::run(daemon.clone()));
    part!("giving up", giving_up::run(daemon.clone()));
    part!("watchdog", watchdog::run(daemon.clone()));
    part!("reconcile", reconcile::run(daemon.clone()));
    part!("housekeeping", housekeeping::run(daemon.clone()));
    // Nobody waits for these: the ones that do not open now are tried again for as long as the daemon lives.
    let holding = daemon.clone();
    let held = tokio::spawn(async move { holding.hold_connections().await });
    part!("doctor", doctor::run(daemon.clone(), held));
    parts
}

/// Waits for a signal to stop, reloads on SIGHUP, and notices when a part ends by itself: half a daemon must not look whole.
async fn watch(daemon: &Arc<Daemon>, signals: &mut Signals, parts: &mut JoinSet<&'static str>) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            told = signals.next() => match told {
                Told::Reload => reload(daemon).await,
                Told::Stop => {
                    tracing::info!("told to stop: claims nothing more, and lets what runs finish");
                    return Ok(());
                }
            },
            ended = parts.join_next() => match ended {
                Some(Ok(name)) => anyhow::bail!("a part of the daemon ended by itself: {name}; the supervisor should start it again"),
                Some(Err(error)) => anyhow::bail!("a part of the daemon failed: {error}; the supervisor should start it again"),
                None => return Ok(()),
            },
        }
    }
}

async fn reload(daemon: &Arc<Daemon>) {
    // What came of it is in the log already.
    let _ = daemon.reload().await;
}

/// What a signal says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Stop,
    Reload,
}

/// The signals that a daemon goes by.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listening for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hang_up.recv() => Told::Reload,
        }
    }
}

impl Listener for Metrics {
    fn looked(&self, probe: &'static str, finding: &Finding, took: Duration) {
        Metrics::looked(self, probe, finding, took);
    }

    fn happened(&self, after: &Incident, event: &Event) {
        Metrics::happened(self, after, event);
    }
}
