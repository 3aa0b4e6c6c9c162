//! Stands where the estate's Alertmanager expects runbookd, and keeps what it delivers. It wants the estate's token, as runbookd
//! does. Deliberately no more of HTTP than Alertmanager's webhook uses: one POST with a length, one answer, one connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use xtask::estate::Estate;

/// A running receiver; gone on drop.
pub struct Receiver {
    kept: Arc<Kept>,
    port: u16,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Kept {
    authorization: String,
    alerts: Mutex<Vec<Value>>,
    refused: AtomicUsize,
    stop: AtomicBool,
}

impl Receiver {
    /// Listens on the port of the estate's runbookd.
    pub fn start(estate: &Estate) -> Result<Self> {
        let port = estate.port("RUNBOOKD_PORT")?;
        // Not the loopback address: Alertmanager comes from the estate's network.
        let listener = TcpListener::bind(("0.0.0.0", port)).with_context(|| format!("port {port}"))?;
        let token = std::fs::read_to_string(estate.token_file())?;
        let kept = Arc::new(Kept {
            authorization: format!("authorization: bearer {}", token.trim()).to_ascii_lowercase(),
            alerts: Mutex::default(),
            refused: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let shared = kept.clone();
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if shared.stop.load(Ordering::Relaxed) {
                    break;
                }
                // Prometheus scrapes here too, and somebody may hang up: neither is an error of the test.
                let _ = shared.take(connection);
            }
        });
        Ok(Self { kept, port, thread: Some(thread) })
    }

    /// The alert of that name with that status, of an episode that began no earlier than `since` (a stamp of Prometheus, or "").
    pub fn delivered(&self, name: &str, status: &str, since: &str) -> Option<Value> {
        // Both write UTC; whole seconds are enough to tell an episode from the one before.
        let second = |stamp: &str| stamp.get(..19).unwrap_or_default().to_owned();
        let alerts = self.kept.alerts.lock().unwrap();
        let of_now = |alert: &&Value| second(alert["startsAt"].as_str().unwrap_or_default()) >= second(since);
        alerts.iter().filter(|alert| alert["labels"]["alertname"] == name && alert["status"] == status).find(of_now).cloned()
    }

    /// What has come so far, for a test that fails.
    pub fn names(&self) -> Vec<String> {
        let alerts = self.kept.alerts.lock().unwrap();
        alerts.iter().map(|alert| format!("{} {} {}", alert["labels"]["alertname"], alert["status"], alert["startsAt"])).collect()
    }

    /// How many deliveries came without the token.
    pub fn refused(&self) -> usize {
        self.kept.refused.load(Ordering::Relaxed)
    }
}

impl Kept {
    fn take(&self, mut connection: TcpStream) -> Result<()> {
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut reader = BufReader::new(connection.try_clone()?);
        let (mut length, mut shown, mut first) = (0, false, String::new());
        reader.read_line(&mut first)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            shown |= line == self.authorization;
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let answer = if !first.starts_with("POST /webhook/alertmanager ") {
            "404 Not Found"
        } else if !shown {
            self.refused.fetch_add(1, Ordering::Relaxed);
            "401 Unauthorized"
        } else {
            let payload: Value = serde_json::from_slice(&body)?;
            self.alerts.lock().unwrap().extend(payload["alerts"].as_array().cloned().unwrap_or_default());
            "200 OK"
        };
        write!(connection, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        Ok(())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.kept.stop.store(true, Ordering::Relaxed);
        // Wakes the thread, which then sees that it is to stop and frees the port.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
