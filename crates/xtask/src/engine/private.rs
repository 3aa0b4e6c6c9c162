//! An Engine of a test's own: own data, own socket, own bridge and addresses, nothing shared with the machine's.
//!
//! Why: whatever restarts, hangs or fills an Engine must not hit the one on which everything else runs. It keeps its
//! hands off the machine's packet filter (two daemons rewrite each other's chains); one rule lets its containers
//! reach each other and the host, and they reach nothing beyond. Published ports work on the loopback address.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::{Engine, ping};
use crate::servers::{Process, Program, Scratch, children};
use crate::{clock, command, packages, paths};

/// As many private Engines fit side by side; each has the addresses 10.213.(16 n).0/20.
const PLACES: u8 = 16;

/// A running private Engine; it, its containers, its data and its bridge are gone on drop.
#[derive(Debug)]
pub struct PrivateEngine {
    process: Process,
    program: Program,
    engine: Engine,
    bridge: Bridge,
    scratch: Scratch,
}

impl PrivateEngine {
    /// Starts one; needs root.
    ///
    /// # Errors
    /// When the package is missing and cannot be installed, we are not root, or it does not come up.
    pub fn start() -> Result<PrivateEngine> {
        Self::start_with(|_| Ok(()))
    }

    /// Starts one whose data lie on a file system of their own, in memory, of so many MiB: one that can be filled up.
    ///
    /// # Errors
    /// As for [`PrivateEngine::start`], and when that cannot be mounted.
    pub fn start_on_a_small_disk(mebibytes: u32) -> Result<PrivateEngine> {
        Self::start_with(|data| {
            std::fs::create_dir(data)?;
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"]).arg(data);
            command::output(&mut mount).map(drop)
        })
    }

    /// Starts one; `prepare` is told where its data will be.
    fn start_with(prepare: impl FnOnce(&Path) -> Result<()>) -> Result<PrivateEngine> {
        packages::ensure(packages::ENGINE)?;
        if !paths::is_root() {
            bail!("a private Docker Engine needs root: it makes a bridge and mounts file systems");
        }
        sweep();
        let bridge = Bridge::make()?;
        let scratch = Scratch::new(MARK)?;
        prepare(&scratch.join("data"))?;
        let socket = scratch.join("docker.sock");
        let at = |name: &str| scratch.join(name).display().to_string();
        let program = Program {
            name: "private dockerd".into(),
            path: command::find("dockerd").context("dockerd is not on the search path")?,
            arguments: vec![
                format!("--data-root={}", at("data")),
                format!("--exec-root={}", at("exec")),
                format!("--pidfile={}", at("pid")),
                format!("--host=unix://{}", socket.display()),
                format!("--bridge={}", bridge.name()),
                format!("--default-address-pool=base={},size=26", bridge.pool()),
                "--containerd=".into(),
                "--iptables=false".into(),
                "--ip-masq=false".into(),
                "--ip-forward=false".into(),
                "--config-file".into(),
                scratch.write("daemon.json", "{}")?.display().to_string(),
                // Without a filter of system calls: to make the usual one takes longer than most of these containers run.
                format!(
                    "--seccomp-profile={}",
                    scratch.write("seccomp.json", r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#)?.display()
                ),
                "--shutdown-timeout=2".into(),
            ],
            environment: vec![],
            user: None,
            directory: scratch.path().into(),
            log: scratch.join("log"),
        };
        let mut process = Process::start(&program)?;
        process.wait_ready(Duration::from_secs(60), || ping(&socket))?;
        Ok(PrivateEngine { engine: Engine::at(&socket)?, process, program, bridge, scratch })
    }

    /// The Engine, to be driven.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The process: stop it where it stands and the Engine hangs while its containers go on.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The daemon's log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Copies an image over from another Engine.
    ///
    /// # Errors
    /// When the other one lacks it or this one does not take it.
    pub fn take_image(&self, from: &Engine, name: &str) -> Result<()> {
        let mut save = from.docker().args(["save", name]).stdout(Stdio::piped()).spawn().context("cannot start docker save")?;
        let stream = save.stdout.take().context("docker save has no output")?;
        let done = self.engine.docker().arg("load").stdin(stream).output().context("cannot start docker load")?;
        if !save.wait()?.success() || !done.status.success() {
            bail!("cannot copy image {name}: {}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(())
    }

    /// Kills the daemon, with no time to say farewell, and starts it again on the same data. The containers of networks
    /// that are made only after this do not reach each other.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn kill_and_start_again(&mut self) -> Result<()> {
        let containerd = self.scratch.join("exec/containerd/containerd.pid");
        let containerd = std::fs::read_to_string(containerd).unwrap_or_default();
        self.process.kill();
        // Its containerd dies with it, a moment later; a new daemon that still sees it would rely on it.
        if let Ok(pid) = containerd.trim().parse() {
            kill(pid);
            let place = PathBuf::from(format!("/proc/{pid}"));
            clock::wait_for("the end of containerd", Duration::from_secs(10), || Ok((!place.exists()).then_some(())))?;
        }
        // A dockerd that finds its default network among its data and has address pools of its own removes the
        // machine's docker0, whatever its own bridge is called. Networks that it has keep their addresses.
        let pools = |argument: &String| argument.starts_with("--default-address-pool");
        let program = Program {
            arguments: self.program.arguments.iter().filter(|argument| !pools(argument)).cloned().collect(),
            ..self.program.clone()
        };
        self.process = Process::start(&program)?;
        let socket = self.scratch.join("docker.sock");
        self.process.wait_ready(Duration::from_secs(60), || ping(&socket))
    }

    /// The address of this machine as seen by its containers on the default bridge.
    #[must_use]
    pub fn gateway(&self) -> String {
        self.bridge.address()
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        let _ = self.process.cont();
        if let Ok(containers) = self.engine.run(&["ps", "--quiet"]) {
            let containers: Vec<&str> = containers.split_whitespace().collect();
            if !containers.is_empty() {
                // One after another, and each may take its seconds; what is left is killed below.
                let mut kill = Command::new("timeout");
                kill.arg("20").arg(self.engine.docker().get_program()).arg("kill").args(containers);
                let _ = command::finish(kill.env("DOCKER_HOST", self.engine.host()).env_remove("DOCKER_CONTEXT"));
            }
        }
        self.process.end(Signal::TERM, Duration::from_secs(15));
        clear(self.scratch.path());
    }
}

/// Part of the directory's name, by which left-over Engines are known.
const MARK: &str = "private-engine";

/// Ends and unmounts what killed tests left; [`Scratch`] removes the directories.
fn sweep() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir().join("runbookd-0")) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.split('-').next().and_then(|word| word.parse::<u32>().ok());
        let gone = owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists());
        if gone && name.ends_with(MARK) {
            clear(&entry.path());
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Kills every process that works for the Engine in that directory, containers too, and unmounts all of it.
fn clear(directory: &Path) {
    let told = directory.display().to_string();
    for pid in processes_naming(&told) {
        for child in children(pid) {
            kill(child);
        }
        kill(pid);
    }
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mut points: Vec<&str> =
        mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|point| point.starts_with(&told)).collect();
    // The innermost first.
    points.reverse();
    for point in points {
        let _ = command::finish(Command::new("umount").args(["--lazy", point]));
    }
}

fn processes_naming(word: &str) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
                let line = String::from_utf8_lossy(&line).into_owned();
                // The daemons and shims only, never an editor that has one of its files open.
                let program = line.split('\0').next().unwrap_or_default();
                let program = Path::new(program).file_name().unwrap_or_default();
                let program = program.to_string_lossy();
                (program.starts_with("dockerd") || program.starts_with("containerd") || program == "docker-proxy")
                    && line.contains(word)
            })
        })
        .collect()
}

fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// A bridge with addresses of its own and the one rule that lets its containers talk; gone on drop.
#[derive(Debug)]
struct Bridge {
    place: u8,
}

impl Bridge {
    fn make() -> Result<Bridge> {
        for place in 0..PLACES {
            let bridge = Bridge { place };
            if !ip(&["link", "add", &bridge.name(), "type", "bridge"]) {
                if !bridge.is_left_over() {
                    // Another test has it: its Drop must not run here.
                    std::mem::forget(bridge);
                    continue;
                }
                bridge.remove();
                if !ip(&["link", "add", &bridge.name(), "type", "bridge"]) {
                    std::mem::forget(bridge);
                    continue;
                }
            }
            bridge.remove_networks();
            let owner = format!("runbookd {}", std::process::id());
            let address = format!("{}/24", bridge.address());
            if !ip(&["link", "set", &bridge.name(), "alias", &owner])
                || !ip(&["address", "add", &address, "dev", &bridge.name()])
                || !ip(&["link", "set", &bridge.name(), "up"])
                || !bridge.rule("--insert")
            {
                bail!("cannot set up the bridge {} (ip and iptables as root)", bridge.name());
            }
            return Ok(bridge);
        }
        bail!("{PLACES} private Engines are running already")
    }

    fn name(&self) -> String {
        format!("rbd{}", self.place)
    }

    fn network(&self) -> String {
        format!("10.213.{}", u16::from(self.place) * 16)
    }

    fn address(&self) -> String {
        format!("{}.1", self.network())
    }

    /// Where networks made by Compose get their addresses: the upper half of the place.
    fn pool(&self) -> String {
        format!("10.213.{}.0/21", u16::from(self.place) * 16 + 8)
    }

    fn rule(&self, what: &str) -> bool {
        let all = format!("{}.0/20", self.network());
        command::succeeds(
            Command::new("iptables")
                .args(["--wait", what, "FORWARD", "--source", &all, "--destination", &all])
                .args(["--jump", "ACCEPT"]),
        )
    }

    fn is_left_over(&self) -> bool {
        let alias: PathBuf = ["/sys/class/net", &self.name(), "ifalias"].iter().collect();
        let alias = std::fs::read_to_string(alias).unwrap_or_default();
        alias.trim().strip_prefix("runbookd ").is_some_and(|pid| !Path::new("/proc").join(pid).exists())
    }

    fn remove(&self) {
        while self.rule("--delete") {}
        ip(&["link", "delete", &self.name()]);
        self.remove_networks();
    }

    /// Removes the bridges of networks that were made in this place: an Engine leaves them behind when it ends, and the next one here
    /// would find no address that is free.
    fn remove_networks(&self) {
        let shown = command::output(Command::new("ip").args(["-oneline", "-4", "address", "show"])).unwrap_or_default();
        for network in networks(&shown, self.place) {
            ip(&["link", "delete", network]);
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Of what `ip -oneline -4 address show` prints, the bridges of an Engine's networks with an address of this place.
fn networks(shown: &str, place: u8) -> Vec<&str> {
    let of_this_place = |address: &str| {
        let third =
            address.strip_prefix("10.213.").and_then(|rest| rest.split('.').next()).and_then(|third| third.parse::<u8>().ok());
        third.is_some_and(|third| third / 16 == place)
    };
    let words = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = words.filter_map(|words| match words.as_slice() {
        [_, name, "inet", address, ..] if name.starts_with("br-") && of_this_place(address) => Some(*name),
        _ => None,
    });
    found.collect()
}

fn ip(arguments: &[&str]) -> bool {
    command::succeeds(Command::new("ip").args(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{TINY, ensure_tiny};

    #[test]
    fn bridges_of_networks_are_known_by_the_addresses_of_their_place() {
        let shown = "\
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever
7: rbd1    inet 10.213.16.1/24 scope global rbd1\\       valid_lft forever
8: br-0a    inet 10.213.24.1/26 brd 10.213.24.63 scope global br-0a\\       valid_lft forever
9: br-0b    inet 10.213.31.17/28 scope global br-0b\\       valid_lft forever
10: br-0c    inet 10.213.40.1/26 scope global br-0c\\       valid_lft forever
11: br-0d    inet 172.18.0.1/16 scope global br-0d\\       valid_lft forever
";
        assert_eq!(networks(shown, 1), ["br-0a", "br-0b"]);
        assert_eq!(networks(shown, 2), ["br-0c"]);
        assert_eq!(networks(shown, 0), Vec::<&str>::new());
    }

    #[test]
    fn it_runs_containers_hangs_on_demand_and_survives_its_own_death() {
        let mut private = PrivateEngine::start().unwrap();
        ensure_tiny(private.engine()).unwrap();
        let run = ["run", "--detach", "--name", "web", "--publish", "127.0.0.1::80", TINY];
        let serve = ["/bin/httpd", "-f", "-p", "80", "-h", "/etc"];
        private.engine().run(&[&run[..], &serve[..]].concat()).unwrap();
        let port = private.engine().run(&["port", "web", "80"]).unwrap();
        let page = crate::http::Request::get(&format!("http://{port}/none"));
        clock::retry_for("the server", Duration::from_secs(10), || page.send()).unwrap();

        // Containers reach each other by address, through the one rule.
        let address = private.engine().run(&["inspect", "--format", "{{.NetworkSettings.IPAddress}}", "web"]).unwrap();
        let look = format!("http://{address}/none");
        let seen = private.engine().docker().args(["run", "--rm", TINY, "/bin/wget", "-O-", &look]).output().unwrap();
        assert!(String::from_utf8_lossy(&seen.stderr).contains("404"), "{seen:?}");

        private.process().stop().unwrap();
        let ask = crate::http::Request::get("http://localhost/_ping").deadline(Duration::from_millis(300));
        assert!(ask.send_unix(private.engine().socket()).is_err());
        private.process().cont().unwrap();
        ping(private.engine().socket()).unwrap();

        private.engine().run(&["network", "create", "inside"]).unwrap();
        // The machine's own Engine keeps its bridge.
        let bridges = || Path::new("/sys/class/net/docker0").exists();
        let before = bridges();
        private.kill_and_start_again().unwrap();
        assert_eq!(bridges(), before, "the private Engine removed docker0");
        assert!(private.engine().run(&["ps", "--all", "--quiet"]).unwrap().len() > 5);

        let place = private.bridge.place;
        let bridges = || command::output(Command::new("ip").args(["-oneline", "-4", "address", "show"])).unwrap();
        assert_eq!(networks(&bridges(), place).len(), 1);
        let directory = private.scratch.path().to_path_buf();
        let bridge = private.bridge.name();
        drop(private);
        assert_eq!(networks(&bridges(), place).len(), 0, "the bridge of a network is left");
        assert!(!directory.exists());
        assert!(!Path::new("/sys/class/net").join(bridge).exists());
    }
}
