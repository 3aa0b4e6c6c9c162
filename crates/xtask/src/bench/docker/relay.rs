//! A relay before a Unix socket that notes when a call is under way: from the first byte of a request to the last byte of its
//! answer. Deliberately knows nothing of HTTP: on a connection without pipelining, bytes towards the server after bytes from it
//! begin the next call.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::clock;

/// One call: its begin, and the last byte of its answer so far.
type Calls = Arc<Mutex<Vec<(Instant, Option<Instant>)>>>;

/// The relay; its threads end with their connections.
pub(super) struct Relay {
    socket: PathBuf,
    calls: Calls,
}

impl Relay {
    /// A relay at `socket` before the one at `server`.
    pub(super) fn before(server: &Path, socket: &Path) -> Result<Relay> {
        let listener = UnixListener::bind(socket).with_context(|| format!("listening at {}", socket.display()))?;
        let calls = Calls::default();
        let (seen, server) = (calls.clone(), server.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = UnixStream::connect(&server) {
                    let _ = relay(client, server, seen.clone());
                }
            }
        });
        Ok(Relay { socket: socket.to_owned(), calls })
    }

    /// Where it listens.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Begins a new record.
    pub(super) fn forget(&self) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How many calls were made, and for how long at least one was under way.
    pub(super) fn measured(&self) -> (usize, Duration) {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ended: Vec<_> = calls.iter().filter_map(|(begun, ended)| Some((*begun, (*ended)?))).collect();
        ended.sort();
        let mut busy = Duration::ZERO;
        let mut until: Option<Instant> = None;
        for (begun, end) in &ended {
            let from = until.map_or(*begun, |until| until.max(*begun));
            busy += end.saturating_duration_since(from);
            until = Some(until.map_or(*end, |until| until.max(*end)));
        }
        (ended.len(), busy)
    }
}

/// Two threads, one for each direction.
fn relay(client: UnixStream, server: UnixStream, calls: Calls) -> std::io::Result<()> {
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let (mut from_server, mut to_client) = (server, client);
    // The place of this connection's call in the record, once it has one that is not answered to its end.
    let current: Arc<Mutex<Option<usize>>> = Arc::default();
    let (asking, answering) = (current.clone(), current);
    let seen = calls.clone();
    std::thread::spawn(move || {
        let _ = copy(&mut from_client, &mut to_server, || {
            let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
            let mut current = asking.lock().unwrap_or_else(PoisonError::into_inner);
            let open = current.and_then(|index| calls.get(index)).is_some_and(|(_, answered)| answered.is_none());
            if !open {
                calls.push((clock::now(), None));
                *current = Some(calls.len() - 1);
            }
        });
        let _ = to_server.shutdown(Shutdown::Write);
    });
    std::thread::spawn(move || {
        let _ = copy(&mut from_server, &mut to_client, || {
            let mut calls = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let current = *answering.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, answered)) = current.and_then(|index| calls.get_mut(index)) {
                *answered = Some(clock::now());
            }
        });
        let _ = to_client.shutdown(Shutdown::Both);
    });
    Ok(())
}

fn copy(from: &mut UnixStream, to: &mut UnixStream, mut seen: impl FnMut()) -> std::io::Result<()> {
    let mut buffer = [0_u8; 16 * 1024];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        seen();
        to.write_all(buffer.get(..count).unwrap_or_default())?;
    }
}
