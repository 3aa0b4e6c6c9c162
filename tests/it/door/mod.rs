//! The daemon's door in this process: a real journal in a directory of its own, the real listeners, and a client that can be as
//! slow, wrong or large as a test wants. Why not a polite HTTP client: most of what is tried here is impolite. Deliberately
//! no engine and no routing: what is stored stays where the test can look at it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use journal::{Journal, OpenError};
use runbookd::clock::Clock;
use runbookd::daemon::Daemon;
use runbookd::http::{Bounds, Server};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The path of deliveries.
pub const WEBHOOK: &str = "/webhook/alertmanager";

/// A daemon behind its door.
pub struct Door {
    pub daemon: Arc<Daemon>,
    pub address: std::net::SocketAddr,
    pub socket: PathBuf,
    pub state: PathBuf,
    pub configuration: PathBuf,
    served: JoinHandle<()>,
    _folder: TempDir,
}

impl Door {
    /// With the bounds of production.
    pub async fn open() -> Door {
        Door::with(Bounds::default()).await
    }

    pub async fn with(bounds: Bounds) -> Door {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        Door::at(folder, &state, bounds, "").await
    }

    /// With a state directory that is there already, and more lines for `runbookd.yaml`.
    pub async fn at(folder: TempDir, state: &Path, bounds: Bounds, more: &str) -> Door {
        rustls::crypto::ring::default_provider().install_default().ok();
        let configuration = folder.path().join("config");
        write_configuration(&configuration, more);
        let loaded = runbookd::config::load(&configuration).unwrap();
        let journal = open_journal(state).await;
        let daemon = Daemon::new(&configuration, loaded, journal, Arc::new(Clock::new())).await.unwrap();
        let server = Server::open(daemon.clone(), bounds).unwrap();
        let (address, socket) = (server.address(), server.socket().to_owned());
        let served = tokio::spawn(server.run());
        Door { daemon, address, socket, state: state.to_owned(), configuration, served, _folder: folder }
    }

    /// A token of the state directory.
    pub fn token(&self, name: &str) -> String {
        std::fs::read_to_string(self.state.join(name)).unwrap().trim().to_owned()
    }

    /// The head of a delivery, up to and without the empty line.
    pub fn head(&self, length: usize) -> String {
        format!(
            "POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n",
            self.token("webhook.token")
        )
    }

    pub async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// One delivery over a connection of its own.
    pub async fn deliver(&self, body: &[u8]) -> Reply {
        let mut request = format!("{}Connection: close\r\n\r\n", self.head(body.len())).into_bytes();
        request.extend_from_slice(body);
        self.raw(&request).await
    }

    /// These bytes over TCP, and the answer.
    pub async fn raw(&self, request: &[u8]) -> Reply {
        exchange(self.tcp().await, request).await
    }

    /// A request over the socket, as the owner of the state directory.
    pub async fn local(&self, method: &str, path: &str, body: &str) -> Reply {
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        exchange(UnixStream::connect(&self.socket).await.unwrap(), request.as_bytes()).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await
    }

    /// Waits until a path answers with this status.
    pub async fn until(&self, path: &str, status: u16) -> Reply {
        let waiting = async {
            loop {
                let reply = self.get(path).await;
                if reply.status == status {
                    return reply;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{path} never answered {status}"))
    }

    /// What is in the inbox, body by body, read from the file and not from memory.
    pub async fn stored(&self) -> Vec<Vec<u8>> {
        let journal = Journal::open_to_read(&self.state).await.unwrap();
        journal.deliveries(100_000).await.unwrap().into_iter().flat_map(|delivery| delivery.bodies).collect()
    }

    /// Stops the daemon, and waits until nobody is served any more.
    pub async fn close(self) {
        self.daemon.stop.cancel();
        tokio::time::timeout(PATIENCE, self.served).await.expect("the door closes in time").unwrap();
    }
}

/// Opens the journal, once a door that was closed just now has let go of it.
async fn open_journal(state: &Path) -> Journal {
    let opening = async {
        loop {
            match Journal::open(state).await {
                Err(OpenError::InUse(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
                opened => return opened.unwrap(),
            }
        }
    };
    tokio::time::timeout(PATIENCE, opening).await.expect("the journal is free in time")
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// 0 when the connection was closed without an answer.
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Itself, if it has this status.
    pub fn expect(self, status: u16) -> Reply {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// Sends, and reads to the end of the connection. A connection that breaks ends the answer.
pub async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> Reply {
    let both = async {
        // A server may answer, and close, before it has everything.
        let _ = stream.write_all(request).await;
        read_to_end(&mut stream).await
    };
    tokio::time::timeout(PATIENCE, both).await.expect("an answer in time")
}

pub async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> Reply {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    reply(&bytes)
}

/// Reads one answer and leaves the connection open.
pub async fn read_one(stream: &mut (impl AsyncRead + Unpin)) -> Reply {
    let mut bytes = Vec::new();
    let reading = async {
        loop {
            let parsed = reply(&bytes);
            let length = parsed
                .head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
            if length.is_some_and(|length| parsed.body.len() >= length) || stream.read_buf(&mut bytes).await.unwrap() == 0 {
                return parsed;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("an answer in time")
}

fn reply(bytes: &[u8]) -> Reply {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    Reply { status, head: head.to_owned(), body: body.to_owned() }
}

/// A payload with one alert of this name.
pub fn payload(name: &str) -> String {
    payload_of(&[serde_json::json!({"alertname": name})])
}

/// A payload with an alert for each of these label sets.
pub fn payload_of(labels: &[serde_json::Value]) -> String {
    let alerts: Vec<_> = labels
        .iter()
        .map(|labels| serde_json::json!({"status": "firing", "labels": labels, "annotations": {}, "startsAt": "2026-11-24T03:00:00Z", "endsAt": "0001-01-01T00:00:00Z"}))
        .collect();
    serde_json::json!({"version": "4", "receiver": "runbookd", "status": "firing", "groupKey": "{}:{}", "truncatedAlerts": 0, "alerts": alerts}).to_string()
}

/// A folder with one runbook for one PostgreSQL that is not there, listening on any port.
pub fn write_configuration(folder: &Path, more: &str) {
    std::fs::create_dir_all(folder.join("runbooks")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("runbookd.yaml", &format!("listen: 127.0.0.1:0\n{more}"));
    write("password", "none\n");
    write(
        "targets.yaml",
        "postgres/main: {host: 127.0.0.1, port: 1, database: x, class: P1, owner: team,\n  \
         look: {user: look, password: {file: password}}, act: {user: act, password: {file: password}}}\n",
    );
    write("runbooks/idle.yaml", RUNBOOK);
}

const RUNBOOK: &str = "\
runbook: idle
summary: Close sessions that sit idle
match: ['alertname=\"TooMany\"']
target: postgres/main
mode: {default: ask}
limits: {cooldown: 10m, rate: [3/1h]}
look:
  sessions: {postgres.sessions: {idle_for: 10m}}
require: sessions.used_ratio > 0.8
remedies:
  - name: close idle sessions
    steps:
      - postgres.terminate_idle: {idle_for: 10m, at_most: 20, keep: 5, never: [backup, replication]}
    verify: {until: sessions.used_ratio < 0.7, within: 1m, hold: 15s}
otherwise: escalate
";
