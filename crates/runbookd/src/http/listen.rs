//! Binds the address and the socket. Deliberately no waiting for a port to come free: who has it is a person's matter.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::net::{TcpListener, UnixListener};

use super::SOCKET;

/// Listens on a TCP address, and says which (port 0 asks for any).
pub(super) fn tcp(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(address).with_context(|| {
        format!("listening on {address}; another process may have the port: choose another with `listen:`, or stop that process")
    })?;
    listener.set_nonblocking(true).context("preparing the TCP listener")?;
    let address = listener.local_addr().context("asking for the port that was bound")?;
    Ok((TcpListener::from_std(listener).context("handing the TCP listener to the runtime")?, address))
}

/// Listens on the socket in the state directory. A socket that is there already is stale (the journal's lock proves that its
/// process is gone) and replaced. It is bound beside its place, given its mode, and moved there, so that nobody else can
/// connect in between.
pub(super) fn local(directory: &Path) -> anyhow::Result<(UnixListener, PathBuf)> {
    let path = directory.join(SOCKET);
    let beside = directory.join(".new.sock");
    let bound = || -> anyhow::Result<UnixListener> {
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let listener = UnixListener::bind(&beside)?;
        std::fs::set_permissions(&beside, Permissions::from_mode(0o600))?;
        std::fs::rename(&beside, &path)?;
        Ok(listener)
    };
    let listener = bound().with_context(|| {
        format!("making the socket {}; its path may have 107 bytes at most, and its folder must be ours to write", path.display())
    })?;
    Ok((listener, path))
}
