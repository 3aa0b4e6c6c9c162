//! The proxy as it is handed to operators: both of its forms are read without a complaint, and its image and service do what they
//! should. The container runs on the machine's Engine, which it does not touch: it has a private one's socket.

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output};

use xtask::engine::{self, Engine, PrivateEngine};
use xtask::servers::DockerProxy;
use xtask::{clock, paths};

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn nginx_takes_both_forms() {
    let nowhere = std::path::Path::new("/nowhere/docker.sock");
    let certificates = DockerProxy::start_with_tls(nowhere).unwrap();
    let run = tempfile::tempdir().unwrap();
    let check = |tls: Option<String>| {
        let mut entrypoint = Command::new(paths::root().join("deploy/docker-proxy/entrypoint"));
        entrypoint.arg("-t").env("DOCKER_PROXY_RUN", run.path()).env("DOCKER_PROXY_SOCKETS", run.path());
        let output = entrypoint.envs(tls.map(|folder| ("DOCKER_PROXY_TLS", folder))).output().unwrap();
        assert!(output.status.success() && !told(&output).contains("[warn]"), "{}", told(&output));
    };
    check(None);
    check(Some(certificates.certificate("").display().to_string()));
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit_and_rates_it_as_hardly_exposed() {
    xtask::packages::ensure(&["systemd"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("docker-proxy.service");
    let written = std::fs::read_to_string(paths::root().join("deploy/docker-proxy/docker-proxy.service")).unwrap();
    let program = "/usr/local/lib/docker-proxy/entrypoint";
    assert!(written.contains(&format!("ExecStart={program}\n")) && written.contains("RuntimeDirectoryMode=0750\n"));
    std::fs::write(&unit, written.replace(program, "/bin/true")).unwrap();
    let analyze = |words: &[&str]| Command::new("systemd-analyze").args(words).arg(&unit).output().unwrap();
    let verified = analyze(&["verify", "--man=no"]);
    assert!(verified.status.success() && told(&verified).is_empty(), "{}", told(&verified));
    // In tenths.
    let rated = analyze(&["security", "--offline=true", "--threshold=15"]);
    assert!(rated.status.success(), "{}", told(&rated));
}

#[test]
fn only_the_proxy_has_the_socket_in_both_compose_files() {
    for file in ["docker-compose.yml", "deploy/compose.runbookd.yml"] {
        let text = std::fs::read_to_string(paths::root().join(file)).unwrap();
        let service = |name: &str| {
            let from = text.split(&format!("\n  {name}:\n")).nth(1).unwrap();
            from.split("\n\n").next().unwrap().to_owned()
        };
        let (runbookd, proxy) = (service("runbookd"), service("docker-proxy"));
        assert!(proxy.contains(":/var/run/docker.sock\n") && proxy.contains("network_mode: none"), "{file}: {proxy}");
        assert!(!runbookd.contains("docker.sock") && !runbookd.contains("group_add"), "{file}: {runbookd}");
        // What an image has at the place of a volume is copied into it, with its owner, and the proxy could not make its sockets.
        assert!(runbookd.contains(":ro,nocopy\n") && runbookd.contains("depends_on: [docker-proxy]"), "{file}: {runbookd}");
    }
}

/// The service of the fragment under a name of this test's; gone on drop, with its volume.
struct Service<'a> {
    engine: &'a Engine,
    name: String,
    socket: String,
}

impl Service<'_> {
    fn compose(&self, words: &[&str]) -> String {
        let file = paths::root().join("deploy/compose.runbookd.yml");
        let mut compose = self.engine.compose();
        compose.args(["-p", &self.name, "-f"]).arg(file).args(words);
        // Neither the network nor the configuration is of concern to the proxy.
        compose.env("PROJECT_NETWORK", "bridge").env("RUNBOOKD_CONFIG", "/nowhere").env("RUNBOOKD_NAME", &self.name);
        compose.env("DOCKER_GID", std::fs::metadata(&self.socket).unwrap().gid().to_string());
        let output =
            compose.env("ENGINE_SOCKET", &self.socket).env("DOCKER_PROXY_IMAGE", "runbookd-docker-proxy-test").output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", told(&output));
        told(&output)
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        self.compose(&["down", "--volumes"]);
    }
}

#[test]
fn the_service_of_the_fragment_lets_runbookd_in_and_nobody_else() {
    let machine = engine::ensure().unwrap();
    engine::ensure_base(&machine).unwrap();
    let private = PrivateEngine::start().unwrap();
    let socket = private.engine().socket().display().to_string();
    let service = Service { engine: &machine, name: format!("dockerproxytest{}", std::process::id()), socket };
    service.compose(&["build", "docker-proxy"]);
    service.compose(&["up", "--detach", "docker-proxy"]);
    let container = format!("{}-docker-proxy", service.name);
    clock::wait_for("the proxy's own check", std::time::Duration::from_secs(60), || {
        Ok((machine.run(&["inspect", "--format", "{{.State.Health.Status}}", &container])? == "healthy").then_some(()))
    })
    .unwrap();
    let volume = format!("{}_docker-proxy:/run/docker-proxy:ro", service.name);
    let ask = |user: &str, front: &str, call: &str| {
        let perl = format!(
            "$s = IO::Socket::UNIX->new(\"/run/docker-proxy/{front}.sock\") or die $!; print $s \"{call} HTTP/1.0\\r\\n\\r\\n\"; print <$s>"
        );
        let run = ["run", "--rm", "--network=none", "--read-only", "--cap-drop=ALL", "--user", user, "--volume", &volume];
        let entry = ["--entrypoint", "perl", "runbookd-docker-proxy-test", "-MIO::Socket::UNIX", "-e", &perl];
        told(&machine.docker().args(run).args(entry).output().unwrap())
    };
    // The user of the image of runbookd. The private Engine has no containers: its answer is not the machine's.
    let seen = ask("10095:10095", "look", "GET /containers/json");
    assert!(seen.starts_with("HTTP/1.1 200") && seen.trim_end().ends_with("[]"), "{seen}");
    let denied = ask("10095:10095", "look", "POST /containers/prune");
    assert!(denied.starts_with("HTTP/1.1 403"), "{denied}");
    let kept_out = ask("10097:10097", "act", "GET /containers/json");
    assert!(kept_out.contains("Permission denied"), "{kept_out}");
    assert!(machine.run(&["logs", &container]).unwrap().contains("look: 403"));
    let inside =
        machine.run(&["inspect", "--format", "{{.HostConfig.NetworkMode}} {{.Config.User}} {{.HostConfig.CapDrop}}", &container]);
    assert_eq!(inside.unwrap(), "none 10096:10095 [ALL]");
}
