//! A private filtering proxy before an Engine's socket: the very files of `deploy/docker-proxy`, started by their own script.
//!
//! Why: what talks to an Engine is tested through the proxy that production has, so a call that the proxy lacks is noticed here.
//! Deliberately one process instead of nginx's two: a worker would outlive a killed test.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::Signal;

use super::{Process, Program, Scratch, free_port, on_free_ports};
use crate::http::Request;
use crate::{command, packages, paths};

/// A running proxy; ended on drop.
#[derive(Debug)]
pub struct DockerProxy {
    process: Process,
    program: Program,
    addresses: [String; 3],
    scratch: Scratch,
}

impl DockerProxy {
    /// Starts one with three Unix sockets before the Engine's. The Engine need not answer, nor be there yet.
    ///
    /// # Errors
    /// When the package is missing and cannot be installed, or nginx does not come up.
    pub fn start(engine: &Path) -> Result<DockerProxy> {
        packages::ensure(&["nginx-light"])?;
        let scratch = Scratch::new("docker-proxy")?;
        let sockets = scratch.join("sockets");
        std::fs::create_dir(&sockets)?;
        let more = [("DOCKER_PROXY_SOCKETS", sockets.display().to_string())];
        let program = program(&scratch, engine, &more);
        let process = started(&program, || answers(&sockets.join("act.sock")))?;
        let addresses = FRONTS.map(|front| format!("unix://{}", sockets.join(format!("{front}.sock")).display()));
        Ok(DockerProxy { process, program, addresses, scratch })
    }

    /// Starts one with three TCP ports of 127.0.0.1 that want client certificates; see [`DockerProxy::certificate`].
    ///
    /// # Errors
    /// When a package is missing and cannot be installed, or nginx does not come up.
    pub fn start_with_tls(engine: &Path) -> Result<DockerProxy> {
        packages::ensure(&["nginx-light", "openssl"])?;
        on_free_ports(|| {
            let scratch = Scratch::new("docker-proxy")?;
            make_certificates(&scratch)?;
            let ports = [free_port()?, free_port()?, free_port()?];
            let at = |port: u16| format!("127.0.0.1:{port}");
            let more = [
                ("DOCKER_PROXY_TLS", scratch.path().display().to_string()),
                ("DOCKER_PROXY_LOOK", at(ports[0])),
                ("DOCKER_PROXY_INSIDE", at(ports[1])),
                ("DOCKER_PROXY_ACT", at(ports[2])),
            ];
            let program = program(&scratch, engine, &more);
            let process = started(&program, || ports.iter().try_for_each(|port| Ok(drop(TcpStream::connect(at(*port))?))))?;
            Ok(DockerProxy { process, program, addresses: ports.map(|port| format!("https://127.0.0.1:{port}")), scratch })
        })
    }

    /// The address of the front for looking, as the inventory has it.
    #[must_use]
    pub fn look(&self) -> String {
        self.addresses[0].clone()
    }

    /// The address of the front for looking inside containers.
    #[must_use]
    pub fn inside(&self) -> String {
        self.addresses[1].clone()
    }

    /// The address of the front for acting.
    #[must_use]
    pub fn act(&self) -> String {
        self.addresses[2].clone()
    }

    /// With TLS: a file of its certificates. `ca.pem` signed everything, `client.pem` and `client.key` come in, `stranger.pem` and
    /// `stranger.key` are signed by somebody else.
    #[must_use]
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// Kills it, with no time to put its sockets away, and starts it again in the same place. For the form with Unix sockets.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn kill_and_start_again(&mut self) -> Result<()> {
        self.process.kill();
        let act = self.act();
        self.process = started(&self.program, || answers(Path::new(act.trim_start_matches("unix://"))))?;
        Ok(())
    }

    /// What it denied, what went wrong, and whatever was more than a look; a line each.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The process: stopped where it stands, it holds its sockets and passes nothing on.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}

impl Drop for DockerProxy {
    fn drop(&mut self) {
        self.process.end(Signal::TERM, Duration::from_secs(5));
    }
}

/// In the order of the addresses.
const FRONTS: [&str; 3] = ["look", "inside", "act"];

fn started(program: &Program, ready: impl FnMut() -> Result<()>) -> Result<Process> {
    let mut process = Process::start(program)?;
    process.wait_ready(Duration::from_secs(20), ready)?;
    Ok(process)
}

/// Whether it answers; it does so without the Engine where a call is on no list.
fn answers(socket: &Path) -> Result<()> {
    match Request::get("http://localhost/").send_unix(socket)?.status {
        403 => Ok(()),
        other => bail!("the proxy answers {other}"),
    }
}

fn program(scratch: &Scratch, engine: &Path, more: &[(&str, String)]) -> Program {
    let own =
        [("DOCKER_PROXY_ENGINE", engine.display().to_string()), ("DOCKER_PROXY_RUN", scratch.join("run").display().to_string())];
    Program {
        name: "docker-proxy".into(),
        path: paths::root().join("deploy/docker-proxy/entrypoint"),
        arguments: vec!["-g".into(), "master_process off;".into()],
        environment: own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        user: None,
        directory: scratch.path().into(),
        log: scratch.join("log"),
    }
}

/// An authority, a server and a client signed by it, and a client signed by another one.
fn make_certificates(scratch: &Scratch) -> Result<()> {
    let signed = |name: &str, subject: &[&str]| {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
        let usual = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
        let mut openssl = Command::new("openssl");
        openssl.current_dir(scratch.path()).args(usual).args(["-keyout", &key, "-out", &certificate]).args(subject);
        command::output(&mut openssl).map(drop)
    };
    let by = |authority: &'static str| {
        if authority == "ca" { ["-CA", "ca.pem", "-CAkey", "ca.key"] } else { ["-CA", "other.pem", "-CAkey", "other.key"] }
    };
    let authority = ["-addext", "basicConstraints=critical,CA:TRUE"];
    let end = ["-addext", "basicConstraints=critical,CA:FALSE"];
    signed("ca", &[&["-subj", "/CN=authority"][..], &authority].concat())?;
    signed("other", &[&["-subj", "/CN=other authority"][..], &authority].concat())?;
    let names = ["-subj", "/CN=docker-proxy", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    signed("server", &[&names[..], &end, &by("ca")].concat())?;
    signed("client", &[&["-subj", "/CN=runbookd"][..], &end, &by("ca")].concat())?;
    signed("stranger", &[&["-subj", "/CN=stranger"][..], &end, &by("other")].concat())?;
    std::fs::copy(scratch.join("ca.pem"), scratch.join("clients.pem"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_before_an_engine_that_is_not_there_and_says_so() {
        let nowhere = Path::new("/nowhere/docker.sock");
        let mut proxy = DockerProxy::start(nowhere).unwrap();
        let ping = |address: &str| {
            let socket = address.strip_prefix("unix://").unwrap();
            Request::get("http://localhost/_ping").send_unix(Path::new(socket)).unwrap()
        };
        for address in [proxy.look(), proxy.inside(), proxy.act()] {
            let answer = ping(&address);
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert!(answer.json().unwrap()["message"].as_str().unwrap().contains("nothing was sent"), "{}", answer.text());
        }
        assert!(proxy.log().contains("look: 503"), "{}", proxy.log());
        // The sockets that a killed one leaves are in nobody's way.
        proxy.kill_and_start_again().unwrap();
        assert_eq!(ping(&proxy.look()).status, 503);
        let scratch = proxy.scratch.path().to_path_buf();
        drop(proxy);
        assert!(!scratch.exists());
    }
}
