//! What happens to an estate's containers, taken down while it happens. Why not asked for afterwards: an Engine keeps its last 256
//! events, and health checks alone are as many in a minute, so a question at the end would find nothing and look like nothing.

use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use xtask::clock::wait_for;
use xtask::estate::Estate;

/// What would show that somebody touched a container. Health checks are the Engine's own and are not listed.
const TOUCHES: [&str; 12] =
    ["create", "start", "stop", "die", "kill", "restart", "pause", "unpause", "oom", "rename", "update", "destroy"];
/// A command in this container marks a moment; nothing else is ever done to it.
const MARKED: &str = "frontend";

/// Something that happened to a container, as its Engine tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    pub service: String,
    pub container: String,
    pub what: String,
    /// Of a `kill`: the signal. Of a `die`: the exit code.
    pub how: String,
}

/// Takes down what happens from its start on; ended on drop.
pub struct Watch<'a> {
    estate: &'a Estate,
    child: Child,
    file: tempfile::NamedTempFile,
    marks: AtomicU32,
}

impl<'a> Watch<'a> {
    pub fn start(estate: &'a Estate) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut docker = estate.engine().docker();
        docker.args(["events", "--filter=type=container", "--filter=event=exec_create", "--format={{json .}}"]);
        docker.arg(format!("--filter=label=com.docker.compose.project={}", estate.name()));
        docker.args(TOUCHES.map(|event| format!("--filter=event={event}")));
        let child = docker.stdin(Stdio::null()).stdout(file.reopen().unwrap()).spawn().unwrap();
        let watch = Self { estate, child, file, marks: AtomicU32::new(0) };
        // It has begun to listen once it hears something.
        watch.touches();
        watch
    }

    /// All that has happened so far, oldest first.
    pub fn touches(&self) -> Vec<Touch> {
        wait_for("the Engine's events", Duration::from_secs(30), || {
            let mark = format!("true {}-{}", std::process::id(), self.marks.fetch_add(1, Ordering::Relaxed));
            self.estate.exec(MARKED, &mark.split(' ').collect::<Vec<_>>())?;
            let heard = wait_for("the mark", Duration::from_secs(1), || {
                Ok(self
                    .events()
                    .iter()
                    .any(|event| event["Action"].as_str() == Some(&format!("exec_create: {mark}")))
                    .then_some(()))
            });
            Ok(heard.ok())
        })
        .unwrap();
        let attribute = |event: &Value, name: &str| event["Actor"]["Attributes"][name].as_str().unwrap_or_default().to_owned();
        let touch = |event: Value| {
            let what = event["Action"].as_str().filter(|what| TOUCHES.contains(what))?.to_owned();
            let how = attribute(&event, if what == "kill" { "signal" } else { "exitCode" });
            let service = attribute(&event, "com.docker.compose.service");
            Some(Touch { service, container: attribute(&event, "name"), what, how })
        };
        self.events().into_iter().filter_map(touch).collect()
    }

    /// What has happened to the containers of these services.
    pub fn touches_of(&self, services: &[&str]) -> Vec<Touch> {
        self.touches().into_iter().filter(|touch| services.contains(&touch.service.as_str())).collect()
    }

    /// Every whole line so far.
    fn events(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.file.path()).unwrap();
        text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
