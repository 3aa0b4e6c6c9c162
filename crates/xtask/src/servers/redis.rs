//! A private Redis 7.
//!
//! Deliberately without persistence unless asked for: its data ends with the test.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::{Process, Program, Scratch, free_port, on_free_ports};
use crate::{command, packages};

/// A running Redis; ended on drop.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    program: Program,
    port: u16,
    scratch: Scratch,
}

impl Redis {
    /// Starts one without further settings.
    ///
    /// # Errors
    /// When the package is missing and cannot be installed, or the server does not come up.
    pub fn start() -> Result<Redis> {
        Redis::start_with(&[])
    }

    /// Starts one with more directives, as (name, value): `("maxmemory", "20mb")`.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub fn start_with(directives: &[(&str, &str)]) -> Result<Redis> {
        packages::ensure(&["redis-server"])?;
        on_free_ports(|| Redis::start_once(directives))
    }

    fn start_once(directives: &[(&str, &str)]) -> Result<Redis> {
        let port = free_port()?;
        let scratch = Scratch::new("redis")?;
        let mut text = format!(
            "bind 127.0.0.1\nport {port}\nunixsocket {}\ndir {}\nsave \"\"\nappendonly no\n",
            scratch.join("socket").display(),
            scratch.path().display()
        );
        for (name, value) in directives {
            text.push_str(&format!("{name} {value}\n"));
        }
        let configuration = scratch.write("redis.conf", &text)?;
        let path = command::find("redis-server").context("redis-server is not on the search path")?;
        let program = Program {
            name: format!("redis on port {port}"),
            path,
            arguments: vec![configuration.display().to_string()],
            environment: vec![],
            user: None,
            directory: scratch.path().into(),
            log: scratch.join("log"),
        };
        let mut redis = Redis { process: Process::start(&program)?, program, port, scratch };
        redis.wait_ready()?;
        Ok(redis)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let socket = self.scratch.join("socket");
        self.process.wait_ready(Duration::from_secs(10), || {
            let text = ask(&socket, &["ping"])?;
            // NOAUTH is an answer too: it is up, and wants a password.
            if text.starts_with("PONG") || text.starts_with("NOAUTH") {
                return Ok(());
            }
            bail!("it answers {text}")
        })
    }

    /// The port it listens on, at 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// An address that clients understand.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Sends one command and answers what `redis-cli` printed.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn cli(&self, arguments: &[&str]) -> Result<String> {
        ask(&self.scratch.join("socket"), arguments)
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

    /// Ends it; [`Redis::start_again`] brings it back on the same port.
    pub fn shut_down(&mut self) {
        self.process.end(Signal::TERM, Duration::from_secs(5));
    }

    /// Starts it again after [`Redis::shut_down`].
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_again(&mut self) -> Result<()> {
        self.shut_down();
        self.process = Process::start(&self.program)?;
        self.wait_ready()
    }
}

fn ask(socket: &Path, arguments: &[&str]) -> Result<String> {
    let text = command::output(Command::new("redis-cli").arg("-s").arg(socket).args(arguments))?;
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_and_comes_back_on_its_port() {
        let mut redis = Redis::start_with(&[("maxmemory", "20mb")]).unwrap();
        assert_eq!(redis.cli(&["set", "a", "b c"]).unwrap(), "OK");
        assert_eq!(redis.cli(&["get", "a"]).unwrap(), "b c");
        assert!(redis.cli(&["config", "get", "maxmemory"]).unwrap().contains("20971520"));
        redis.shut_down();
        assert!(redis.cli(&["ping"]).is_err());
        redis.start_again().unwrap();
        assert_eq!(redis.cli(&["ping"]).unwrap(), "PONG");
    }
}
