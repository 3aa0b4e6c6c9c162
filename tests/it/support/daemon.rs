//! The real daemon as a process of its own, with a configuration made for the test, a state directory and a port. Ended on drop,
//! by SIGKILL: a test that wants it to end well says so.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use xtask::http::{Answer, Request};

/// Set by whoever has built both binaries already: the folder that they are in.
const BUILT: &str = "RUNBOOKD_TEST_BINARIES";

/// Builds a binary of the daemon, once a test process, and says where it is. Cargo's own lock parts test processes.
fn built(rehearsal: bool) -> &'static Path {
    static SHIPPED: OnceLock<PathBuf> = OnceLock::new();
    static REHEARSAL: OnceLock<PathBuf> = OnceLock::new();
    let (cell, name) = if rehearsal { (&REHEARSAL, "runbookd-rehearsal") } else { (&SHIPPED, "runbookd") };
    cell.get_or_init(|| {
        // `cargo xtask test` builds both before the tests begin and says so: a hundred test processes that each ask cargo would
        // wait for each other. Run by hand, a test builds what it needs.
        let folder = std::env::var_os(BUILT).map_or_else(|| build(name, rehearsal), PathBuf::from);
        let path = folder.join(name);
        assert!(path.exists(), "{} was not built", path.display());
        path
    })
}

/// Builds one of them and says in which folder it is.
fn build(name: &str, rehearsal: bool) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--package", "runbookd", "--bin", name]);
    if rehearsal {
        cargo.args(["--features", "rehearsal"]);
    }
    let status = cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()).status().unwrap();
    assert!(status.success(), "the daemon does not build");
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().to_owned()
}

/// Where the daemon's binary is, as it is shipped.
pub fn binary() -> &'static Path {
    built(false)
}

/// Where the daemon's binary with rehearsals in it is.
pub fn rehearsal_binary() -> &'static Path {
    built(true)
}

/// A folder with a configuration and a state directory; outlives the daemon, so that it can be started again.
pub struct Home {
    folder: tempfile::TempDir,
    port: u16,
}

impl Home {
    /// A home with these files of configuration, by their path within the folder. `PORT` stands for the daemon's own port.
    pub fn new(files: &[(&str, String)]) -> Self {
        let home = Self::at(xtask::servers::free_port().unwrap());
        for (name, text) in files {
            home.write(name, text);
        }
        home
    }

    /// An empty home of a daemon that is expected on this port.
    pub fn at(port: u16) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), port }
    }

    /// Writes a file of configuration.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.config().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.replace("PORT", &self.port.to_string())).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The folder that holds both, for a test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A command of the command line, to be run to its end.
    pub fn command(&self, binary: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary);
        command.args(arguments).arg("--config").arg(self.config()).arg("--state").arg(self.state());
        command.env_remove("RUNBOOKD_CONFIG").env_remove("RUNBOOKD_STATE").stdin(Stdio::null());
        command
    }

    /// Starts the daemon and waits until it is ready.
    pub fn start(&self, binary: &Path, variables: &[(&str, &str)]) -> Daemon<'_> {
        let daemon = self.start_without_waiting(binary, variables);
        daemon.wait_ready();
        daemon
    }

    /// Starts the daemon.
    pub fn start_without_waiting(&self, binary: &Path, variables: &[(&str, &str)]) -> Daemon<'_> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut command = self.command(binary, &["serve"]);
        command.stdout(log.try_clone().unwrap()).stderr(log).env("RUST_LOG", "info").envs(variables.iter().copied());
        Daemon { child: command.spawn().unwrap(), home: self }
    }

    /// Everything the daemon has logged, over all its lives.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// A running daemon.
pub struct Daemon<'a> {
    pub child: Child,
    home: &'a Home,
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon<'_> {
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.home.port)
    }

    /// Waits until `/readyz` says 200.
    pub fn wait_ready(&self) {
        let ready = || matches!(Request::get(&self.url("/readyz")).send(), Ok(Answer { status: 200, .. }));
        until("the daemon is ready", Duration::from_secs(20), || ready().then_some(()), || self.home.log());
    }

    fn token(&self, name: &str) -> String {
        std::fs::read_to_string(self.home.state().join(name)).unwrap()
    }

    /// Asks the API.
    pub fn get(&self, path: &str) -> Value {
        self.try_get(path).unwrap()
    }

    /// Asks the API, which may be gone.
    pub fn try_get(&self, path: &str) -> anyhow::Result<Value> {
        Request::get(&self.url(path)).bearer(&self.token("api.token")).send()?.ok()?.json()
    }

    /// Tells the API.
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        Request::post(&self.url(path)).bearer(&self.token("api.token")).json(body).send()
    }

    /// Delivers as Alertmanager does.
    pub fn deliver(&self, body: &Value) -> anyhow::Result<Answer> {
        Request::post(&self.url("/webhook/alertmanager")).bearer(&self.token("webhook.token")).json(body).send()
    }

    /// The incidents, newest first.
    pub fn incidents(&self) -> Vec<Value> {
        let list = self.get("/api/v1/incidents");
        list.get("incidents").unwrap_or(&list).as_array().unwrap().clone()
    }

    /// Waits until the newest incident is over, and gives its summary.
    pub fn wait_closed(&self, within: Duration) -> Value {
        let closed = || self.incidents().into_iter().next().filter(|incident| !incident["closed"].is_null());
        until("the incident is over", within, closed, || format!("{:?}\n{}", self.incidents(), self.home.log()))
    }
}

/// Waits for a condition; fails with what `state` says when it does not come about.
pub fn until<T>(what: &str, within: Duration, mut come: impl FnMut() -> Option<T>, state: impl Fn() -> String) -> T {
    #[expect(clippy::disallowed_methods, reason = "a test waits in real time")]
    let began = Instant::now();
    loop {
        if let Some(value) = come() {
            return value;
        }
        assert!(began.elapsed() < within, "{what}: not within {within:?}\n{}", state());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A delivery in Alertmanager's form with one alert.
pub fn delivery(labels: &[(&str, &str)], status: &str, starts_at: &str) -> Value {
    let labels: serde_json::Map<String, Value> =
        labels.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    serde_json::json!({
        "version": "4", "receiver": "runbookd", "status": status, "groupKey": "{}", "truncatedAlerts": 0,
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "",
        "alerts": [{"status": status, "labels": labels, "annotations": {}, "startsAt": starts_at,
                    "endsAt": "0001-01-01T00:00:00Z", "generatorURL": ""}],
    })
}
