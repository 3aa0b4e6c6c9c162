//! A private Prometheus, with a given configuration and rules.
//!
//! Deliberately no defaults for scraping: the configuration is the test's, taken as it is.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Process, Program, Scratch, free_port, on_free_ports};
use crate::http::Request;
use crate::{command, packages};

/// A running Prometheus; ended on drop.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    port: u16,
    scratch: Scratch,
}

impl Prometheus {
    /// Starts one with the text of its configuration file and further files beside it, as (name, text); the
    /// configuration names them relatively (`rule_files: [rules.yml]`).
    ///
    /// # Errors
    /// When the package is missing and cannot be installed, or the server does not come up.
    pub fn start(configuration: &str, files: &[(&str, &str)]) -> Result<Prometheus> {
        Prometheus::start_with(configuration, files, &[])
    }

    /// The same with more arguments.
    ///
    /// # Errors
    /// As [`Prometheus::start`].
    pub fn start_with(configuration: &str, files: &[(&str, &str)], arguments: &[&str]) -> Result<Prometheus> {
        packages::ensure(&["prometheus"])?;
        on_free_ports(|| Prometheus::start_once(configuration, files, arguments))
    }

    fn start_once(configuration: &str, files: &[(&str, &str)], more: &[&str]) -> Result<Prometheus> {
        let port = free_port()?;
        let scratch = Scratch::new("prometheus")?;
        for (name, text) in files {
            scratch.write(name, text)?;
        }
        let file = scratch.write("prometheus.yml", configuration)?;
        let mut process = Process::start(&Program {
            name: format!("prometheus on port {port}"),
            path: command::find("prometheus").context("prometheus is not on the search path")?,
            arguments: [
                format!("--config.file={}", file.display()),
                format!("--storage.tsdb.path={}", scratch.join("data").display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
                "--web.enable-lifecycle".into(),
            ]
            .into_iter()
            .chain(more.iter().map(|argument| (*argument).to_owned()))
            .collect(),
            environment: vec![],
            user: None,
            directory: scratch.path().into(),
            log: scratch.join("log"),
        })?;
        process.wait_ready(Duration::from_secs(20), || {
            Request::get(&format!("http://127.0.0.1:{port}/-/ready")).send()?.ok().map(|_| ())
        })?;
        Ok(Prometheus { process, port, scratch })
    }

    /// The port it listens on, at 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Writes one of its files anew and has it read everything again.
    ///
    /// # Errors
    /// When it refuses what it reads.
    pub fn reload(&self, name: &str, text: &str) -> Result<()> {
        self.scratch.write(name, text)?;
        Request::post(&format!("{}/-/reload", self.url())).send()?.ok().map(|_| ())
    }

    /// Answers `/api/v1` + path: the `data` of the answer.
    ///
    /// # Errors
    /// When the answer is no success.
    pub fn api(&self, path: &str) -> Result<Value> {
        let answer = Request::get(&format!("{}/api/v1{path}", self.url())).send()?.json()?;
        if answer["status"] != "success" {
            bail!("prometheus answers {answer}");
        }
        Ok(answer["data"].clone())
    }

    /// The server's log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The process, to be stopped and continued.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_rule_fires() {
        let prometheus = Prometheus::start(
            "global: {evaluation_interval: 1s}\nrule_files: [rules.yml]\n",
            &[("rules.yml", "groups: [{name: a, rules: [{alert: Always, expr: vector(1)}]}]\n")],
        )
        .unwrap();
        clock::wait_for("the alert", Duration::from_secs(20), || {
            let alerts = prometheus.api("/alerts")?;
            Ok((alerts["alerts"][0]["labels"]["alertname"] == "Always").then_some(()))
        })
        .unwrap();
        assert!(prometheus.reload("rules.yml", "no rules").is_err());
    }
}
