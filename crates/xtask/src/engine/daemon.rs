//! The machine's own Engine: used where one answers, else installed and started.
//!
//! A daemon that was killed leaves a process-id file, a socket and sometimes its containerd behind, each of which
//! can keep the next one from starting; what is provably stale is cleaned up first. What was started is written
//! down in `.estate/engine`, and only that is ever stopped.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::{Engine, bridge, ping};
use crate::{clock, command, packages, paths, progress};

const SOCKET: &str = "/var/run/docker.sock";
const PID_FILE: &str = "/var/run/docker.pid";

/// The Engine of this machine (or the one that `DOCKER_HOST=unix://...` names), installed and started if need be.
///
/// # Errors
/// When none answers and none can be started: what is missing, and how to get it.
pub fn ensure() -> Result<Engine> {
    let socket = socket()?;
    if let Err(error) = ping(&socket) {
        if socket != Path::new(SOCKET) {
            return Err(error.context("DOCKER_HOST names an Engine that does not answer"));
        }
        start().context("no Docker Engine answers, and none could be started")?;
    }
    let engine = Engine::at(&socket).or_else(|error| {
        // An Engine without a client, or without Compose.
        let package = if command::find("docker").is_none() { "docker.io" } else { "docker-compose" };
        packages::ensure(&[package]).context(format!("{error:#}"))?;
        Engine::at(&socket)
    })?;
    if socket == Path::new(SOCKET) && running_daemon().is_some() {
        bridge::ensure(&engine)?;
    }
    Ok(engine)
}

/// The Engine of this machine, if it answers; nothing is installed or started.
///
/// # Errors
/// When it does not answer, or there is no client for it.
pub fn find() -> Result<Engine> {
    Engine::at(&socket()?)
}

fn socket() -> Result<PathBuf> {
    match std::env::var("DOCKER_HOST").ok().as_deref() {
        None | Some("") => Ok(PathBuf::from(SOCKET)),
        Some(host) => match host.strip_prefix("unix://") {
            Some(path) => Ok(PathBuf::from(path)),
            None => bail!(
                "DOCKER_HOST is {host}: the estate publishes its ports on this machine's loopback \
                 address, so a local Engine is needed (unix://...); unset it to have one started"
            ),
        },
    }
}

fn start() -> Result<()> {
    if command::find("dockerd").is_none() || command::find("iptables").is_none() {
        packages::ensure(packages::ENGINE)?;
    }
    if !paths::is_root() {
        bail!(
            "start it (`systemctl start docker`), let your user reach {SOCKET} (group docker), \
             or run this as root to have it started"
        );
    }
    if running_daemon().is_some() {
        // Somebody is starting it at this moment, or it hangs.
        return progress::step("waiting for the Docker Engine that is starting", || {
            clock::retry_for("an answer of dockerd", Duration::from_secs(60), || ping(Path::new(SOCKET)))
        });
    }
    progress::step("starting a Docker Engine", || {
        remove_leftovers();
        let log = paths::memory()?.join("dockerd.log");
        // A session of its own, so that it stays when this command and its terminal are gone.
        command::logged(
            Command::new("setsid").args(["--fork", "dockerd"]).arg(format!("--host=unix://{SOCKET}")).current_dir("/"),
            &log,
        )?;
        clock::retry_for("an answer of dockerd", Duration::from_secs(60), || ping(Path::new(SOCKET))).with_context(|| {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            format!("the end of {}:\n{}", log.display(), command::last_lines(&text, 20))
        })?;
        put_containers_first();
        let pid = running_daemon().context("dockerd answers, but wrote no process id")?;
        std::fs::write(paths::memory()?.join("engine"), format!("{pid}\n"))?;
        Ok(())
    })
}

/// Gives all containers together eight times the share of a session, where processors are short: otherwise a broker in the estate gets
/// as much as one of the tests beside it, answers nobody for seconds, and is rightly taken for ill. Where that cannot be set, it is only
/// slower, so nothing is said.
fn put_containers_first() {
    // Each version of control groups by a file that only its root has.
    let versions =
        [("/sys/fs/cgroup/cpu", "tasks", "cpu.shares", "8192"), ("/sys/fs/cgroup", "cgroup.controllers", "cpu.weight", "800")];
    for (root, witness, file, share) in versions {
        if !Path::new(root).join(witness).exists() {
            continue;
        }
        let containers = Path::new(root).join("docker");
        // Docker's own group for containers, as its driver for control groups names it; made by the first container otherwise.
        let _ = std::fs::create_dir(&containers);
        if containers.join(file).exists() {
            let _ = std::fs::write(containers.join(file), share);
        }
    }
}

/// Stops the Engine if this automation started it and nothing runs on it; says what it did.
///
/// # Errors
/// When it was started by us and does not end.
pub fn stop_if_ours() -> Result<()> {
    let file = paths::memory()?.join("engine");
    let Some(started) = read_pid(&file) else {
        return Ok(());
    };
    if running_daemon() != Some(started) {
        std::fs::remove_file(&file)?;
        return Ok(());
    }
    let engine = Engine::at(Path::new(SOCKET))?;
    if !engine.run(&["ps", "--quiet"])?.is_empty() {
        progress::say("the Docker Engine stays: other containers run on it");
        return Ok(());
    }
    progress::step("stopping the Docker Engine that was started here", || {
        let pid = i32::try_from(started).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(pid, Signal::TERM)?;
        clock::wait_for("the end of dockerd", Duration::from_secs(30), || Ok((!is_process(started, "dockerd")).then_some(())))?;
        std::fs::remove_file(&file)?;
        Ok(())
    })
}

/// The process id of the machine's dockerd, if it lives.
fn running_daemon() -> Option<u32> {
    read_pid(Path::new(PID_FILE)).filter(|pid| is_process(*pid, "dockerd"))
}

/// Removes what a killed daemon left: files that name processes which are gone, and sockets that nobody listens on.
fn remove_leftovers() {
    let managed = "/var/run/docker/containerd/containerd.pid";
    for (file, name) in [(PID_FILE, "dockerd"), (managed, "containerd")] {
        let path = Path::new(file);
        if path.exists() && !read_pid(path).is_some_and(|pid| is_process(pid, name)) {
            progress::say(format_args!("removing {file}, left by a killed daemon"));
            let _ = std::fs::remove_file(path);
        }
    }
    // dockerd takes the mere presence of this socket for a running system containerd, and then waits for it.
    for socket in [SOCKET, "/run/containerd/containerd.sock"] {
        let path = Path::new(socket);
        if path.exists() && UnixStream::connect(path).is_err() {
            progress::say(format_args!("removing {socket}, left by a killed daemon"));
            let _ = std::fs::remove_file(path);
        }
    }
}

fn read_pid(file: &Path) -> Option<u32> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Whether that process lives and is of that name; a recycled process id is not.
fn is_process(pid: u32, name: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recycled_process_id_is_not_the_daemon() {
        assert!(!is_process(std::process::id(), "dockerd"));
        assert!(!is_process(4_194_305, "dockerd"));
        let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
        assert!(is_process(std::process::id(), comm.trim()));
    }
}
