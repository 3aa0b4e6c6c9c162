//! The runbookd of the demo: built from this workspace, run on the host, asked through its API.
//!
//! Its journal starts empty with every demo (limits and recurrence would otherwise count earlier demos); the token
//! that Alertmanager delivers with is kept, because it is mounted into the estate.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::estate::Estate;
use crate::http::Request;
use crate::servers::{Process, Program};
use crate::{paths, progress};

/// The running daemon; ended with the demo.
pub(super) struct Daemon {
    program: PathBuf,
    process: Process,
    port: u16,
    state: PathBuf,
}

impl Daemon {
    /// Starts it and waits until it is ready.
    pub(super) fn start(estate: &Estate, runbookd: &Path, config: &Path) -> Result<Daemon> {
        let state = estate.state_directory();
        empty_but_for(&state, &estate.token_file())?;
        let port = estate.port("RUNBOOKD_PORT")?;
        let log = estate.directory().join("runbookd.log");
        std::fs::write(&log, "")?;
        let environment = [("RUNBOOKD_LOOK_PASSWORD", "runbookd_look"), ("RUNBOOKD_ACT_PASSWORD", "runbookd_act")];
        let program = Program {
            name: "runbookd".into(),
            path: runbookd.to_path_buf(),
            arguments: vec![
                "serve".into(),
                "--config".into(),
                config.display().to_string(),
                "--state".into(),
                state.display().to_string(),
                "--listen".into(),
                // Alertmanager comes from the estate's network, not over the loopback address.
                format!("0.0.0.0:{port}"),
            ],
            environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            user: None,
            directory: paths::root(),
            log: log.clone(),
        };
        let mut process = Process::start(&program)?;
        let ready = Request::get(&format!("http://127.0.0.1:{port}/readyz"));
        progress::step("starting runbookd", || process.wait_ready(Duration::from_secs(30), || ready.send()?.ok().map(|_| ())))?;
        Ok(Daemon { program: runbookd.to_path_buf(), process, port, state })
    }

    /// Its log.
    pub(super) fn log(&self) -> &Path {
        self.process.log_path()
    }

    /// Its address on this machine.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The program, for its command line.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Its state directory, for the command line.
    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// All its incidents, newest first.
    pub(super) fn incidents(&self) -> Result<Vec<Value>> {
        let answer = self.ask("/api/v1/incidents")?;
        let list = answer.get("incidents").unwrap_or(&answer);
        Ok(list.as_array().cloned().unwrap_or_default())
    }

    /// One incident with its events.
    pub(super) fn incident(&self, id: &Value) -> Result<Value> {
        let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        self.ask(&format!("/api/v1/incidents/{id}"))
    }

    fn ask(&self, path: &str) -> Result<Value> {
        let token = std::fs::read_to_string(self.state.join("api.token")).context("runbookd made no token for its API")?;
        Request::get(&format!("{}{path}", self.url())).bearer(&token).send()?.ok()?.json()
    }
}

fn empty_but_for(directory: &Path, kept: &Path) -> Result<()> {
    for entry in std::fs::read_dir(directory)?.flatten() {
        let path = entry.path();
        if path == kept {
            continue;
        }
        if path.is_dir() {
            std::fs::remove_dir_all(&path)?;
        } else {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}
