//! Tells what is going on: a line when something starts, one every few seconds while it lasts, one when it is done.
//!
//! Why: an engineer who sees nothing for ten seconds presses Ctrl-C. Deliberately plain lines and no cursor tricks,
//! so that a log file of CI reads like the terminal did.

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::clock;

/// Silence lasts no longer than this while something is going on.
const HEARTBEAT: Duration = Duration::from_secs(5);

fn start_of_run() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(clock::now)
}

/// One line with the time since the run began.
pub fn say(line: impl Display) {
    show(format_args!("[{:6.1}s] {line}", start_of_run().elapsed().as_secs_f64()));
}

/// One line as it is. A reader who has gone (a closed pipe) does not end the work half-way, as `println!` would.
pub fn show(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Runs `work` under a name: says that it starts, that it goes on, and how long it took.
///
/// # Errors
/// Those of `work`.
pub fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let step = Step::start(name);
    let answer = work();
    step.finish(answer.is_ok());
    answer
}

/// Like [`step`], with the last line of a log file beside each sign of life.
///
/// # Errors
/// Those of `work`.
pub fn step_with_log<T>(name: &str, log: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let step = Step::begin(name, Some(log.to_path_buf()));
    let answer = work();
    step.finish(answer.is_ok());
    answer
}

/// The last line of a file that says something, cut to what fits a line.
fn last_line(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    line.unwrap_or_default().trim().chars().take(80).collect()
}

/// Something that is going on; [`step`] is the usual way to have one.
pub struct Step {
    name: String,
    started: Instant,
    stop: Sender<()>,
}

impl Step {
    /// Says that it starts, and keeps saying that it goes on until it is dropped or finished.
    #[must_use]
    pub fn start(name: &str) -> Step {
        Step::begin(name, None)
    }

    fn begin(name: &str, log: Option<PathBuf>) -> Step {
        say(format_args!("{name} ..."));
        let started = clock::now();
        let (stop, stopped) = channel();
        let label = name.to_owned();
        std::thread::spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(HEARTBEAT) {
                let seen = log.as_deref().map(last_line).unwrap_or_default();
                let line = format!("{label} ... {} s  {seen}", started.elapsed().as_secs());
                say(line.trim_end());
            }
        });
        Step { name: name.to_owned(), started, stop }
    }

    /// Says how it ended.
    pub fn finish(self, well: bool) {
        let _ = self.stop.send(());
        let word = if well { "done" } else { "FAILED" };
        say(format_args!("{}: {word} in {:.1} s", self.name, self.started.elapsed().as_secs_f64()));
    }
}
