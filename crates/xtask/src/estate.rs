//! The sample estate (`docker-compose.yml`, `deploy/estate/`), brought up, looked at, broken, mended and taken down.
//!
//! Several stand side by side, each with a name (its Compose project and the prefix of its containers) and ports of
//! its own, which are remembered in `.estate/NAME`. One that is up and whole is used again within seconds; what a
//! killed run left is completed or cleaned away. Deliberately no knowledge of single faults here: they are data, in
//! `deploy/estate/faults.json`.

mod build;
mod fault;
mod ports;
mod token;

pub use build::ensure_images;
pub use fault::{Fault, Fire};
pub use ports::{Ports, variables as port_variables};

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::engine::{self, Engine};
use crate::http::Request;
use crate::{clock, command, paths, progress};

/// The name of the estate where none is given; it has the ports that the stack has in production.
pub const DEFAULT: &str = "voiceai";

/// The name of the estate that the tests share; `cargo xtask test` takes it down at its end.
pub const TEST: &str = "runbookd-test";

/// How long the whole of it may take to become healthy once its containers run.
const HEALTHY_WITHIN: Duration = Duration::from_secs(240);

/// One estate that is up.
#[derive(Debug, Clone)]
pub struct Estate {
    name: String,
    engine: Engine,
    ports: Ports,
    directory: PathBuf,
}

/// One service of an estate, as its Engine sees it.
#[derive(Debug, Clone)]
pub struct Container {
    /// The container's name.
    pub name: String,
    /// The Compose service.
    pub service: String,
    /// "running", "exited", "restarting" and so on.
    pub state: String,
    /// The Engine's own words, health included.
    pub status: String,
}

impl Container {
    /// Whether it runs and, where it has a health check, the check passes.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.state == "running" && !self.status.contains("unhealthy") && !self.status.contains("health: starting")
    }
}

impl Estate {
    /// Brings an estate up (building its images if need be) and waits until all of it is healthy.
    ///
    /// # Errors
    /// When there is no Engine, an image cannot be built, or a service does not become healthy in time.
    pub fn up(name: &str) -> Result<Estate> {
        let engine = engine::ensure()?;
        let mut estate = Estate::prepare(name, engine)?;
        if estate.is_up()? {
            progress::say(format_args!("estate {name} is up already"));
            return Ok(estate);
        }
        ensure_images(&estate.engine)?;
        estate.clear_away_strangers()?;
        if estate.containers()?.is_empty() {
            estate.ports = Ports::that_are_free(name, &estate.directory)?;
        }
        token::ensure(&estate.token_file())?;
        progress::step(&format!("starting estate {name}"), || {
            command::logged(
                estate.compose().args(["up", "--detach", "--no-build", "--remove-orphans"]),
                &estate.directory.join("compose.log"),
            )
        })?;
        estate.wait_whole()?;
        std::fs::write(estate.directory.join("up"), build::fingerprint()?)?;
        Ok(estate)
    }

    /// The estate that the tests share, up, and theirs alone until the second value is dropped: a fault that one test
    /// switches on is every test's fault.
    ///
    /// # Errors
    /// As [`Estate::up`].
    pub fn for_test() -> Result<(Estate, std::fs::File)> {
        let turn = std::fs::File::create(paths::memory()?.join("test.turn"))?;
        turn.lock().context("cannot wait for the turn on the estate")?;
        Ok((Estate::up(TEST)?, turn))
    }

    /// The estate of that name without changing anything; whether it runs is asked by [`Estate::containers`].
    ///
    /// # Errors
    /// When no Engine answers (none is started).
    pub fn find(name: &str) -> Result<Estate> {
        let engine = Engine::at(Path::new("/var/run/docker.sock"))
            .context("no Docker Engine answers, so no estate runs; `cargo xtask estate up` starts both")?;
        Estate::prepare(name, engine)
    }

    /// An estate on an Engine of the caller's choice, such as a private one that has the images.
    ///
    /// # Errors
    /// When the name cannot name a Compose project, or its directory cannot be made.
    pub fn prepare(name: &str, engine: Engine) -> Result<Estate> {
        let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(valid) || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
            bail!("an estate's name is lower-case letters, digits, '-' and '_', beginning with a letter: not {name:?}");
        }
        let directory = paths::make(paths::memory()?.join(name))?;
        Ok(Estate { name: name.to_owned(), ports: Ports::remembered(name, &directory)?, engine, directory })
    }

    /// Its name: the Compose project, and the prefix of its containers' names.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Engine that it runs on.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Its published ports, all on 127.0.0.1.
    #[must_use]
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// The port that goes by that variable in `docker-compose.yml`, such as `PORT_POSTGRES`.
    ///
    /// # Errors
    /// When the file knows no such variable.
    pub fn port(&self, variable: &str) -> Result<u16> {
        self.ports.get(variable)
    }

    /// `http://127.0.0.1:PORT` for one of its ports.
    ///
    /// # Errors
    /// As [`Estate::port`].
    pub fn url(&self, variable: &str) -> Result<String> {
        Ok(format!("http://127.0.0.1:{}", self.port(variable)?))
    }

    /// Where what belongs to it is remembered: `.estate/NAME`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The state directory for the runbookd of this estate; it holds the token that Alertmanager delivers with.
    #[must_use]
    pub fn state_directory(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// The file with that token, as mounted into the estate.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.state_directory().join("webhook.token")
    }

    /// The name of a service's container.
    #[must_use]
    pub fn container(&self, service: &str) -> String {
        format!("{}-{service}", self.name)
    }

    /// What there is of it, running or not.
    ///
    /// # Errors
    /// When the Engine does not answer.
    pub fn containers(&self) -> Result<Vec<Container>> {
        let word = |value: &Value| value.as_str().unwrap_or_default().trim_start_matches('/').to_owned();
        let read = |one: &Value| Container {
            name: word(&one["Names"][0]),
            service: word(&one["Labels"]["com.docker.compose.service"]),
            state: word(&one["State"]),
            status: word(&one["Status"]),
        };
        Ok(self.engine.project(&self.name)?.iter().map(read).collect())
    }

    /// Runs a program in a service's container and answers what it printed.
    ///
    /// # Errors
    /// With what it printed when it fails.
    pub fn exec(&self, service: &str, argv: &[&str]) -> Result<String> {
        let container = self.container(service);
        self.engine.run(&[&["exec", container.as_str()], argv].concat())
    }

    /// All that a service has logged since its container was made.
    ///
    /// # Errors
    /// When there is no such container.
    pub fn log(&self, service: &str) -> Result<String> {
        let container = self.container(service);
        let done = command::finish(self.engine.docker().args(["logs", &container]))?;
        if !done.status.success() {
            bail!("no log of {container}: {}", String::from_utf8_lossy(&done.stderr));
        }
        let text = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        Ok(text.into_owned())
    }

    /// The alerts about the estate that Prometheus has now, pending and firing. Those about runbookd itself, the heartbeat among
    /// them, are left out: whether a runbookd is there is not the estate's trouble.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn alerts(&self) -> Result<Vec<Value>> {
        let url = format!("{}/api/v1/alerts", self.url("PORT_PROMETHEUS")?);
        let answer = Request::get(&url).send()?.ok()?.json()?;
        let all = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        Ok(all.into_iter().filter(|alert| alert["labels"].get("runbookd").is_none()).collect())
    }

    /// A page of metrics or the like behind one of its ports.
    ///
    /// # Errors
    /// When it does not answer with 2xx.
    pub fn page(&self, variable: &str, path: &str) -> Result<String> {
        Ok(Request::get(&format!("{}{path}", self.url(variable)?)).send()?.ok()?.text())
    }

    /// Takes it down: its containers, networks and data. Its directory stays, without the note that it is up.
    ///
    /// # Errors
    /// When the Engine refuses.
    pub fn down(&self) -> Result<()> {
        let _ = std::fs::remove_file(self.directory.join("up"));
        progress::step(&format!("taking estate {} down", self.name), || {
            let orderly = command::logged(
                self.compose().args(["down", "--volumes", "--remove-orphans", "--timeout", "3"]),
                &self.directory.join("compose.log"),
            );
            if orderly.is_err() || !self.containers()?.is_empty() {
                self.remove_by_label()?;
            }
            Ok(())
        })
    }

    /// A Compose command for this estate, with all its variables set.
    #[must_use]
    pub fn compose(&self) -> Command {
        let mut command = self.engine.compose();
        command
            .current_dir(paths::root())
            .args(["--project-name", &self.name, "--file"])
            .arg(paths::root().join("docker-compose.yml"))
            .env("ESTATE", &self.name)
            .env("DRILL", "1")
            .env("RUNBOOKD_TOKEN_FILE", self.token_file())
            .env("ENGINE_SOCKET", self.engine.socket())
            .env("MOUNTED", build::mounted().unwrap_or_default())
            .envs(self.ports.all().map(|(name, port)| (name, port.to_string())));
        command
    }

    fn is_up(&self) -> Result<bool> {
        let noted = std::fs::read_to_string(self.directory.join("up")).unwrap_or_default();
        if noted != build::fingerprint()? {
            return Ok(false);
        }
        let containers = self.containers()?;
        let running = |container: &Container| container.state == "running";
        if containers.is_empty() || !containers.iter().all(running) {
            return Ok(false);
        }
        // A fault that a killed drill left behind is waited out for a moment only: Compose mends the rest.
        Ok(containers.iter().all(Container::is_whole))
    }

    fn wait_whole(&self) -> Result<()> {
        let step = progress::Step::start("waiting until every service is healthy");
        let mut told = clock::now();
        let answer = clock::wait_for("every service to be healthy", HEALTHY_WITHIN, || {
            let containers = self.containers()?;
            let waiting: Vec<&str> =
                containers.iter().filter(|container| !container.is_whole()).map(|container| container.service.as_str()).collect();
            if waiting.is_empty() && !containers.is_empty() {
                return Ok(Some(()));
            }
            if told.elapsed() > Duration::from_secs(4) {
                progress::say(format_args!("not yet healthy: {}", waiting.join(", ")));
                told = clock::now();
            }
            std::thread::sleep(Duration::from_millis(300));
            Ok(None)
        });
        step.finish(answer.is_ok());
        answer.with_context(|| {
            let ill = self.containers().unwrap_or_default();
            let ill: Vec<String> = ill
                .iter()
                .filter(|container| !container.is_whole())
                .map(|container| {
                    let log = self.log(&container.service).unwrap_or_default();
                    format!("{}: {}\n{}", container.name, container.status, command::last_lines(&log, 10))
                })
                .collect();
            ill.join("\n")
        })
    }

    /// Containers of this name that were made from another clone or with other ports cannot be completed.
    fn clear_away_strangers(&self) -> Result<()> {
        if self.directory.join("up").exists() || self.containers()?.is_empty() {
            return Ok(());
        }
        progress::step("removing what a run before left of this estate", || self.remove_by_label())
    }

    fn remove_by_label(&self) -> Result<()> {
        let filter = format!("label=com.docker.compose.project={}", self.name);
        for (kind, list, remove) in [
            ("container", &["ls", "--all"][..], &["rm", "--force", "--volumes"][..]),
            ("network", &["ls"][..], &["rm"][..]),
            ("volume", &["ls"][..], &["rm", "--force"][..]),
        ] {
            let found = self.engine.run(&[&[kind], list, &["--quiet", "--filter", filter.as_str()]].concat())?;
            let found: Vec<&str> = found.split_whitespace().collect();
            if !found.is_empty() {
                self.engine.run(&[&[kind], remove, &found].concat())?;
            }
        }
        Ok(())
    }
}
