//! Sees to it that Debian packages are there, without any of their services being started.
//!
//! Why: the tests and the demo run real servers, each started by us with its own data; a server that a package
//! starts by itself would take the ports and the memory. Where we cannot install (not Debian, not root) the error
//! says which command would. Deliberately nothing is ever removed or upgraded.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{command, paths, progress};

/// What the Docker Engine and the base image of the estate need.
pub const ENGINE: &[&str] = &["docker.io", "docker-compose", "debootstrap", "iptables"];

/// What the tests run: servers, and tools that look at them from outside.
pub const SERVERS: &[&str] = &[
    "postgresql-15",
    "redis-server",
    "rabbitmq-server",
    "prometheus",
    "prometheus-alertmanager",
    // The filtering proxy before an Engine, and certificates for it.
    "nginx-light",
    "openssl",
    "strace",
    // systemd-analyze, which reads the unit; no systemd is started.
    "systemd",
];

/// What the benchmarks add.
pub const BENCH: &[&str] = &["wrk"];

/// Asked before a package starts its service; answering 101 forbids it.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing of `names`. Where nothing is missing this takes a few milliseconds.
///
/// # Errors
/// When something is missing and cannot be installed: the packages, and the command that would install them.
pub fn ensure(names: &[&str]) -> Result<()> {
    if missing(names).is_empty() {
        return Ok(());
    }
    // Several tests may find the same package missing at the same moment.
    let lock = File::create(paths::cache()?.join("packages.lock"))?;
    lock.lock().context("cannot lock packages.lock")?;
    let missing = missing(names);
    if missing.is_empty() {
        return Ok(());
    }
    let told = missing.join(" ");
    if command::find("apt-get").is_none() {
        bail!(
            "missing: {told} (Debian's names), and this is not Debian: install their likes, \
             or run this as root on Debian 12"
        );
    }
    if !paths::is_root() {
        bail!("missing: {told}: run `apt-get install {told}` as root, or this command as root");
    }
    progress::step(&format!("installing {told}"), || install(&missing))
}

fn missing(names: &[&str]) -> Vec<String> {
    names.iter().filter(|name| !installed(name)).map(|name| (*name).to_owned()).collect()
}

/// Whether dpkg has it installed; where there is no dpkg, whether its programs can be found.
fn installed(name: &str) -> bool {
    if let Ok(done) = command::finish(Command::new("dpkg-query").args(["--show", "--showformat=${db:Status-Status}", name])) {
        return done.stdout == b"installed";
    }
    let program = match name {
        "docker.io" => "dockerd",
        "postgresql-15" => "postgres",
        "prometheus-alertmanager" => "alertmanager",
        "nginx-light" => "nginx",
        "systemd" => "systemd-analyze",
        other => other,
    };
    command::find(program).is_some()
}

fn install(names: &[String]) -> Result<()> {
    let _no_services = NoServices::declare()?;
    // Recommended packages are left out: the servers work without them, and less is faster.
    let attempt = || command::output(apt().args(["install", "--yes", "--no-install-recommends"]).args(names));
    if attempt().is_ok() {
        return Ok(());
    }
    command::output(apt().arg("update")).context("cannot refresh the list of packages")?;
    attempt().with_context(|| format!("cannot install {}", names.join(" "))).map(|_| ())
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1").args([
        "-o",
        "DPkg::Lock::Timeout=600",
        "-o",
        "Acquire::Retries=3",
        "--quiet",
    ]);
    command
}

/// While this lives, packages may not start their services. A policy that is there already is left alone.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn declare() -> Result<NoServices> {
        if Path::new(POLICY).exists() {
            return Ok(NoServices { ours: false });
        }
        let mut file = File::create(POLICY).with_context(|| format!("cannot write {POLICY}"))?;
        file.write_all(b"#!/bin/sh\n# Made by cargo xtask while it installs packages: start no services.\nexit 101\n")?;
        file.set_permissions(std::fs::Permissions::from_mode(0o755))?;
        Ok(NoServices { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_is_not_missing() {
        assert!(missing(&["bash"]).is_empty());
        assert_eq!(missing(&["no-such-package-at-all"]), ["no-such-package-at-all"]);
        ensure(&["bash"]).unwrap();
    }
}
