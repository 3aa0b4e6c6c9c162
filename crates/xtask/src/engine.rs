//! A Docker Engine: the machine's, started where none answers, or a private one for faults that hit an Engine.
//!
//! Why we start one: the demo and the tests must work on a machine that has only a Rust toolchain. Deliberately only
//! what was started here is ever stopped, and the Engine is driven through its command line, as a person would.

mod bridge;
mod daemon;
mod image;
mod private;

pub use daemon::{ensure, find, stop_if_ours};
pub use image::{BASE, TINY, ensure_base, ensure_tiny};
pub use private::PrivateEngine;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command;
use crate::http::Request;

/// An Engine that answered when it was last asked, and the programs to drive it.
#[derive(Debug, Clone)]
pub struct Engine {
    socket: PathBuf,
    client: PathBuf,
    compose: Vec<PathBuf>,
}

impl Engine {
    /// The Engine behind a socket.
    ///
    /// # Errors
    /// When it does not answer, or no client on this machine can talk to it.
    pub fn at(socket: &Path) -> Result<Engine> {
        ping(socket)?;
        let host = host_of(socket);
        let client = command::find_all("docker")
            .into_iter()
            .find(|client| command::succeeds(Command::new(client).env("DOCKER_HOST", &host).arg("version")))
            .with_context(|| {
                format!(
                    "an Engine answers at {}, but no docker command line on the search path can \
                     talk to it: install docker.io or docker-ce-cli",
                    socket.display()
                )
            })?;
        let compose = compose(&client)?;
        Ok(Engine { socket: socket.to_path_buf(), client, compose })
    }

    /// Its Unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its address as `DOCKER_HOST` has it.
    #[must_use]
    pub fn host(&self) -> String {
        host_of(&self.socket)
    }

    /// A `docker` command for this Engine, without arguments yet.
    #[must_use]
    pub fn docker(&self) -> Command {
        let mut command = Command::new(&self.client);
        command.env("DOCKER_HOST", self.host()).env_remove("DOCKER_CONTEXT");
        command
    }

    /// A Compose command (v2 where it is there, else v1) for this Engine, without arguments yet.
    #[must_use]
    pub fn compose(&self) -> Command {
        let mut words = self.compose.iter();
        let mut command = Command::new(words.next().map_or(Path::new("docker-compose"), |word| word));
        command.args(words).env("DOCKER_HOST", self.host()).env_remove("DOCKER_CONTEXT").env("COMPOSE_HTTP_TIMEOUT", "300");
        command
    }

    /// Runs `docker` to its end and answers what it printed, without the last line's end.
    ///
    /// # Errors
    /// With what it printed when it fails.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        Ok(command::output(self.docker().args(arguments))?.trim_end().to_owned())
    }

    /// What it answers to a GET. Whoever asks again and again asks this way: a program started for each question would keep a processor
    /// busy.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub fn ask(&self, path: &str) -> Result<Value> {
        Request::get(&format!("http://localhost{path}")).send_unix(&self.socket)?.ok()?.json()
    }

    /// A container, by name or id, as the Engine describes it.
    ///
    /// # Errors
    /// When there is none, or the Engine does not answer.
    pub fn inspect(&self, container: &str) -> Result<Value> {
        self.ask(&format!("/containers/{container}/json"))
    }

    /// The containers of a Compose project, in any state, as the Engine's list has them.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn project(&self, name: &str) -> Result<Vec<Value>> {
        let filters = format!("%7B%22label%22%3A%5B%22com.docker.compose.project%3D{name}%22%5D%7D");
        let listed = self.ask(&format!("/containers/json?all=1&filters={filters}"))?;
        Ok(listed.as_array().cloned().unwrap_or_default())
    }

    /// Whether it has an image of that name.
    #[must_use]
    pub fn has_image(&self, name: &str) -> bool {
        command::succeeds(self.docker().args(["image", "inspect", name]))
    }
}

/// Asks an Engine whether it is there.
///
/// # Errors
/// When nothing listens, or what listens does not answer as an Engine does.
pub fn ping(socket: &Path) -> Result<()> {
    let answer = Request::get("http://localhost/_ping").deadline(Duration::from_secs(5)).send_unix(socket)?.ok()?;
    if answer.text() != "OK" {
        bail!("what listens at {} is no Engine", socket.display());
    }
    Ok(())
}

fn host_of(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

fn compose(client: &Path) -> Result<Vec<PathBuf>> {
    if command::succeeds(Command::new(client).args(["compose", "version"])) {
        return Ok(vec![client.to_path_buf(), "compose".into()]);
    }
    let old = command::find("docker-compose").context(
        "neither `docker compose` nor `docker-compose` is there: install docker-compose (Debian) \
         or docker-compose-plugin",
    )?;
    Ok(vec![old])
}
