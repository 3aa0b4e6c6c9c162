//! A private Alertmanager 0.25 (Debian's), alone or in a cluster.
//!
//! Deliberately no defaults for routing: the configuration is the test's, taken as it is.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Process, Program, Scratch, free_port, on_free_ports};
use crate::http::Request;
use crate::{command, packages};

/// What can be chosen beside the configuration; the default stands alone.
#[derive(Debug, Clone, Default)]
pub struct AlertmanagerSettings {
    /// Take part in a cluster: listen for peers too.
    pub clustered: bool,
    /// The cluster addresses ([`Alertmanager::cluster_address`]) of peers to join.
    pub peers: Vec<String>,
    /// More files beside the configuration, as (name, text): a token, say.
    pub files: Vec<(String, String)>,
    /// More arguments.
    pub arguments: Vec<String>,
}

/// A running Alertmanager; ended on drop.
#[derive(Debug)]
pub struct Alertmanager {
    process: Process,
    port: u16,
    cluster: Option<u16>,
    scratch: Scratch,
}

impl Alertmanager {
    /// Starts one that stands alone, with the text of its configuration file.
    ///
    /// # Errors
    /// When the package is missing and cannot be installed, or the server does not come up.
    pub fn start(configuration: &str) -> Result<Alertmanager> {
        Alertmanager::start_with(configuration, &AlertmanagerSettings::default())
    }

    /// Starts one.
    ///
    /// # Errors
    /// As [`Alertmanager::start`].
    pub fn start_with(configuration: &str, settings: &AlertmanagerSettings) -> Result<Alertmanager> {
        packages::ensure(&["prometheus-alertmanager"])?;
        on_free_ports(|| Alertmanager::start_once(configuration, settings))
    }

    fn start_once(configuration: &str, settings: &AlertmanagerSettings) -> Result<Alertmanager> {
        let port = free_port()?;
        let cluster = if settings.clustered { Some(free_port()?) } else { None };
        let scratch = Scratch::new("alertmanager")?;
        for (name, text) in &settings.files {
            scratch.write(name, text)?;
        }
        let file = scratch.write("alertmanager.yml", configuration)?;
        let mut arguments = vec![
            format!("--config.file={}", file.display()),
            format!("--storage.path={}", scratch.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        match cluster {
            Some(own) => {
                arguments.push(format!("--cluster.listen-address=127.0.0.1:{own}"));
                arguments.push("--cluster.pushpull-interval=1s".into());
            }
            None => arguments.push("--cluster.listen-address=".into()),
        }
        arguments.extend(settings.peers.iter().map(|peer| format!("--cluster.peer={peer}")));
        arguments.extend(settings.arguments.iter().cloned());
        let mut process = Process::start(&Program {
            name: format!("alertmanager on port {port}"),
            path: command::find("prometheus-alertmanager")
                .or_else(|| command::find("alertmanager"))
                .context("prometheus-alertmanager is not on the search path")?,
            arguments,
            environment: vec![],
            user: None,
            directory: scratch.path().into(),
            log: scratch.join("log"),
        })?;
        process.wait_ready(Duration::from_secs(20), || {
            Request::get(&format!("http://127.0.0.1:{port}/-/ready")).send()?.ok().map(|_| ())
        })?;
        Ok(Alertmanager { process, port, cluster, scratch })
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

    /// Where peers reach it; empty when it stands alone.
    #[must_use]
    pub fn cluster_address(&self) -> String {
        self.cluster.map(|port| format!("127.0.0.1:{port}")).unwrap_or_default()
    }

    /// Writes the configuration anew and has it read.
    ///
    /// # Errors
    /// When it refuses what it reads.
    pub fn reload(&self, configuration: &str) -> Result<()> {
        self.scratch.write("alertmanager.yml", configuration)?;
        Request::post(&format!("{}/-/reload", self.url())).send()?.ok().map(|_| ())
    }

    /// Sends alerts as Prometheus would: a JSON array of `{labels, annotations, startsAt, endsAt}`.
    ///
    /// # Errors
    /// When it refuses them.
    pub fn send(&self, alerts: &Value) -> Result<()> {
        Request::post(&format!("{}/api/v2/alerts", self.url())).json(alerts).send()?.ok().map(|_| ())
    }

    /// Answers `/api/v2` + path.
    ///
    /// # Errors
    /// When the answer is no success.
    pub fn api(&self, path: &str) -> Result<Value> {
        Request::get(&format!("{}/api/v2{path}", self.url())).send()?.ok()?.json()
    }

    /// The value of one of its metrics whose line begins with `prefix`; 0 when there is none.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn metric(&self, prefix: &str) -> Result<f64> {
        let text = Request::get(&format!("{}/metrics", self.url())).send()?.ok()?.text();
        Ok(metric_in(&text, prefix))
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

/// The value of the first line of a metrics page that begins with `prefix`; 0 when there is none.
pub(crate) fn metric_in(text: &str, prefix: &str) -> f64 {
    text.lines()
        .find(|line| line.starts_with(prefix))
        .and_then(|line| line.rsplit(' ').next())
        .and_then(|word| word.parse().ok())
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use serde_json::json;

    const QUIET: &str = "route: {receiver: none}\nreceivers: [{name: none}]\n";

    #[test]
    fn two_of_them_share_an_alert_or_stand_alone() {
        let settings = AlertmanagerSettings { clustered: true, ..AlertmanagerSettings::default() };
        let first = Alertmanager::start_with(QUIET, &settings).unwrap();
        let joins = AlertmanagerSettings { peers: vec![first.cluster_address()], ..settings };
        let second = Alertmanager::start_with(QUIET, &joins).unwrap();
        clock::wait_for("two members", Duration::from_secs(20), || {
            Ok((second.metric("alertmanager_cluster_members ")? == 2.0).then_some(()))
        })
        .unwrap();
        first.send(&json!([{"labels": {"alertname": "A"}}])).unwrap();
        assert_eq!(first.api("/alerts").unwrap()[0]["labels"]["alertname"], "A");
        assert!(first.reload("no configuration").is_err());
    }
}
