//! The door: HTTP over TCP (with TLS where it is configured) and over a Unix socket in the state directory.
//!
//! Everything that a caller can do is bounded ([`Bounds`]): how many connections, how long for a header, a body and an answer,
//! how large they may be, how long a stop may take. The delivery endpoint is served right here, before axum, because it is
//! the one that storms arrive at; everything else is an axum router. Over TCP a token is wanted; the socket is its owner's
//! alone (mode 0600) and wants none. Deliberately no redirect anywhere: Alertmanager would follow it with a GET that has no
//! body, and take that GET's 200 for a delivery.

mod access;
mod answer;
mod api;
mod body;
mod connection;
mod health;
mod listen;
mod paced;
mod surface;
mod tls;
mod webhook;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio_util::task::TaskTracker;

use crate::daemon::Daemon;
use connection::Acceptor;
use surface::{Origin, Surface};
use tls::Tls;

/// The name of the socket in the state directory.
pub const SOCKET: &str = "runbookd.sock";
pub(crate) use access::PERSON;

/// How much a caller can ask of us. The defaults are for production; tests shorten the times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Connections over TCP at once; more are answered 503. Stays well below the usual 1,024 open files.
    pub connections: usize,
    /// Connections over the Unix socket at once. Apart, so that a person gets in while TCP is crowded.
    pub local_connections: usize,
    /// From the first byte expected to the last of the header; an idle connection is closed after it too. Also bounds the TLS
    /// handshake.
    pub header: Duration,
    /// From the header to the last byte of the body.
    pub body: Duration,
    /// How long a client may leave an answer unread.
    pub unread: Duration,
    /// How long an answer of the API may take.
    pub answer: Duration,
    /// How long an answer may take that reads or writes the whole journal.
    pub long_answer: Duration,
    /// How long requests in flight may still take once the daemon stops.
    pub stop: Duration,
    /// Bytes of a delivery; more are answered 413.
    pub delivery_bytes: usize,
    /// Bytes of any other body.
    pub request_bytes: usize,
    /// Bytes of all larger bodies that are being read or stored at once; beyond it deliveries are answered 503.
    pub bytes_at_once: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 512,
            local_connections: 64,
            header: Duration::from_secs(15),
            body: Duration::from_secs(60),
            unread: Duration::from_secs(30),
            answer: Duration::from_secs(30),
            long_answer: Duration::from_secs(900),
            stop: Duration::from_secs(10),
            delivery_bytes: 32 << 20,
            request_bytes: 1 << 20,
            bytes_at_once: 256 << 20,
        }
    }
}

/// An opened door; nobody is served before [`Server::run`].
pub struct Server {
    surface: Arc<Surface>,
    tcp: TcpListener,
    local: UnixListener,
    socket: PathBuf,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
}

impl Server {
    /// Makes the tokens where there are none, reads the certificate, binds the address and the socket. Must be called within
    /// the runtime.
    ///
    /// # Errors
    /// When one of these cannot be done; each says which, and the mend.
    pub fn open(daemon: Arc<Daemon>, bounds: Bounds) -> anyhow::Result<Self> {
        let current = daemon.current();
        let tls = current.settings.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
        let state = daemon.journal.directory().to_owned();
        let surface = Arc::new(Surface::open(daemon, bounds)?);
        let (tcp, address) = listen::tcp(current.settings.listen)?;
        let (local, socket) = listen::local(&state)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        tracing::info!(%address, socket = %socket.display(), "listens on {scheme}://{address} and on the socket");
        if current.settings.webhook_open {
            tracing::warn!(%address, "the delivery endpoint is open: whoever reaches {address} can start runbooks (webhook.open)");
        }
        Ok(Self { surface, tcp, local, socket, address, tls })
    }

    /// The address that is listened on, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The Unix socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Serves until the daemon stops, and then for as long as requests in flight may take.
    pub async fn run(self) {
        let tracker = TaskTracker::new();
        let bounds = self.surface.bounds;
        let tcp = Acceptor::new(self.surface.clone(), Origin::Network, bounds.connections, tracker.clone());
        let local = Acceptor::new(self.surface.clone(), Origin::Local, bounds.local_connections, tracker.clone());
        tokio::join!(tcp.serve_tcp(self.tcp, self.tls), local.serve_local(self.local), self.surface.keep_fresh());
        // A caller that looks for the socket now learns at once that nobody is there.
        if let Err(error) = std::fs::remove_file(&self.socket) {
            tracing::debug!(%error, "the socket could not be removed; the next start replaces it");
        }
        tracker.close();
        tracker.wait().await;
    }
}
