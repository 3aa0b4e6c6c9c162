//! Ports for servers that are about to be started.
//!
//! Why not a port of the kernel's choice (port 0): that one is free only as long as it is held, so two calls may be given the same
//! one, and any connection that goes out may take it before the server does. These come from below the range that the kernel
//! chooses from, and a locked file keeps every process that asks here away from them until this one ends. Deliberately no promise
//! against programs that do not ask here: a server that finds its port taken is started anew on another.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::paths;

/// Linux gives ports from 32768 up to whoever does not ask for one (`net.ipv4.ip_local_port_range`).
const PORTS: Range<u16> = 12_000..32_000;

/// The locks of the ports that this process was given. They go when it ends.
static GIVEN: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port that nothing listens on at this moment, and that nobody else is given here while this process lives.
///
/// # Errors
/// When none is left, or the folder of the locks cannot be written.
pub fn free_port() -> Result<u16> {
    let folder = folder()?;
    let many = PORTS.end - PORTS.start;
    let from = RandomState::new().build_hasher().finish();
    for step in 0..many {
        let chosen = u16::try_from((from.wrapping_add(u64::from(step))) % u64::from(many)).context("no port is that high")?;
        let port = PORTS.start + chosen;
        let path = folder.join(port.to_string());
        let lock = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        if lock.try_lock().is_ok() && is_free(port) {
            GIVEN.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
            return Ok(port);
        }
    }
    bail!("no port from {} to {} is free", PORTS.start, PORTS.end)
}

/// Where the locks lie. Deliberately not under `TMPDIR`: whoever asks with another one has to hear of them, too.
fn folder() -> Result<PathBuf> {
    paths::make(Path::new("/tmp").join(format!("runbookd-{}", rustix::process::geteuid().as_raw())).join("ports"))
}

/// Whether nothing listens on it, on any address of this machine.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind(("0.0.0.0", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice_and_none_that_somebody_listens_on() {
        let given: Vec<u16> = (0..500).map(|_| free_port().unwrap()).collect();
        assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len());
        assert!(given.iter().all(|port| PORTS.contains(port)));
        let listener = TcpListener::bind(("127.0.0.1", given[0])).unwrap();
        assert!(!is_free(listener.local_addr().unwrap().port()));
        assert!(is_free(given[1]));
    }

    #[test]
    fn a_port_that_is_locked_elsewhere_is_passed_over() {
        let port = free_port().unwrap();
        let other = File::create(folder().unwrap().join(port.to_string())).unwrap();
        assert!(other.try_lock().is_err());
    }
}
