//! A private RabbitMQ with its management plugin.
//!
//! It has a node name mapper (`epmd`) of its own on a port of its own, so that several stand side by side and none
//! stays behind. It takes about five seconds to come up: share one within a test. Users: `rabbitmq` (administrator)
//! in the virtual host `voiceai`, as in the estate.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::process::as_user;
use super::{Process, Program, Scratch, free_port, on_free_ports};
use crate::http::Request;
use crate::{command, packages};

/// The scripts themselves, not Debian's wrappers, which insist on the system's own node.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// The user that it runs as where we are root.
const USER: &str = "rabbitmq";

/// A running RabbitMQ; ended on drop.
#[derive(Debug)]
pub struct RabbitMq {
    process: Process,
    _names: Process,
    amqp: u16,
    management: u16,
    environment: Vec<(String, String)>,
    scratch: Scratch,
}

impl RabbitMq {
    /// Starts one.
    ///
    /// # Errors
    /// When the package is missing and cannot be installed, or the server does not come up.
    pub fn start() -> Result<RabbitMq> {
        packages::ensure(&["rabbitmq-server"])?;
        on_free_ports(RabbitMq::start_once)
    }

    fn start_once() -> Result<RabbitMq> {
        let (amqp, management) = (free_port()?, free_port()?);
        let (names, distribution) = (free_port()?, free_port()?);
        let scratch = Scratch::new("rabbitmq")?;
        let configuration = scratch.write(
            "rabbitmq.conf",
            &format!(
                "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
                 management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n\
                 default_vhost = voiceai\ndefault_user = rabbitmq\ndefault_pass = rabbitmq\n\
                 collect_statistics_interval = 1000\nlog.console = true\nlog.file = false\n"
            ),
        )?;
        let plugins = scratch.write("enabled_plugins", "[rabbitmq_management].\n")?;
        let at = |name: &str| scratch.join(name).display().to_string();
        let environment: Vec<(String, String)> = [
            ("HOME", at("")),
            ("ERL_EPMD_PORT", names.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            ("RABBITMQ_NODENAME", "rabbit@localhost".into()),
            ("RABBITMQ_DIST_PORT", distribution.to_string()),
            ("RABBITMQ_MNESIA_BASE", at("data")),
            ("RABBITMQ_LOG_BASE", at("logs")),
            ("RABBITMQ_CONFIG_FILE", configuration.display().to_string()),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", plugins.display().to_string()),
            ("RABBITMQ_CONF_ENV_FILE", at("no-such-file")),
            // Makes the script become the server instead of watching over it, so that our signals reach it.
            ("RUNNING_UNDER_SYSTEMD", "true".into()),
            ("LANG", "C.UTF-8".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        scratch.give_to(USER)?;
        let epmd = Process::start(&Program {
            name: "epmd".into(),
            path: command::find("epmd").context("epmd (package erlang-base) is not on the search path")?,
            arguments: ["-port", &names.to_string(), "-address", "127.0.0.1"].map(String::from).into(),
            environment: vec![],
            user: Some(USER.into()),
            directory: scratch.path().into(),
            log: scratch.join("epmd.log"),
        })?;
        let mut process = Process::start(&Program {
            name: format!("rabbitmq on port {amqp}"),
            path: Path::new(PROGRAMS).join("rabbitmq-server"),
            arguments: vec![],
            environment: environment.clone(),
            user: Some(USER.into()),
            directory: scratch.path().into(),
            log: scratch.join("log"),
        })?;
        process.wait_ready(Duration::from_secs(60), || {
            std::net::TcpStream::connect(("127.0.0.1", amqp))?;
            ask(Request::get(&format!("http://127.0.0.1:{management}/api/overview"))).map(|_| ())
        })?;
        Ok(RabbitMq { process, _names: epmd, amqp, management, environment, scratch })
    }

    /// The AMQP port, at 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.amqp
    }

    /// The port of the management API, at 127.0.0.1.
    #[must_use]
    pub fn management_port(&self) -> u16 {
        self.management
    }

    /// The administrator's name.
    #[must_use]
    pub fn user(&self) -> &'static str {
        "rabbitmq"
    }

    /// The administrator's password.
    #[must_use]
    pub fn password(&self) -> &'static str {
        "rabbitmq"
    }

    /// The virtual host.
    #[must_use]
    pub fn virtual_host(&self) -> &'static str {
        "voiceai"
    }

    /// An address that AMQP clients understand.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://rabbitmq:rabbitmq@127.0.0.1:{}/voiceai", self.amqp)
    }

    /// Asks the management API as the administrator: `api("GET", "/api/queues", None)`.
    ///
    /// # Errors
    /// When it answers with anything but 2xx.
    pub fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Result<String> {
        let url = format!("http://127.0.0.1:{}{path}", self.management);
        let mut request = Request::new(method, &url);
        if let Some(body) = body {
            request = request.json(body);
        }
        ask(request)
    }

    /// Runs `rabbitmqctl` on this node.
    ///
    /// # Errors
    /// With what it printed when it fails.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String> {
        command::output(
            as_user(Some(USER))
                .arg("--")
                .arg(Path::new(PROGRAMS).join("rabbitmqctl"))
                .arg("--quiet")
                .args(arguments)
                .envs(self.environment.iter().map(|(name, value)| (name, value)))
                .current_dir(self.scratch.path()),
        )
    }

    /// The server's log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The process, to be asked for its id.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Stops it where it stands (SIGSTOP).
    ///
    /// # Errors
    /// When it is gone.
    pub fn stop(&self) -> Result<()> {
        self.process.stop()
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// When it is gone.
    pub fn cont(&self) -> Result<()> {
        self.process.cont()
    }
}

/// `rabbitmq:rabbitmq` in the form of HTTP's basic authentication.
const LOGIN: &str = "Basic cmFiYml0bXE6cmFiYml0bXE=";

fn ask(request: Request) -> Result<String> {
    Ok(request.header("Authorization", LOGIN).send()?.ok()?.text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_answers_on_both_ports_and_obeys_its_control_program() {
        let rabbit = RabbitMq::start().unwrap();
        rabbit.api("PUT", "/api/queues/voiceai/tasks", Some(&json!({"durable": true}))).unwrap();
        let queues = rabbit.ctl(&["list_queues", "--vhost", "voiceai", "name"]).unwrap();
        assert!(queues.contains("tasks"), "{queues}");
    }
}
