//! `cargo xtask demo`: one real alert, one real cure, and the proof of it from outside runbookd.
//!
//! The sample estate is brought up while runbookd is built; a fault makes the backend leak sessions; Prometheus fires,
//! Alertmanager delivers, runbookd works. What is shown as proof is not runbookd's word: the sessions that ended stand
//! in PostgreSQL's log, the delivery in Alertmanager's metrics, the end of the alert in Prometheus. When one of them is
//! missing the demo fails. Deliberately nothing of runbookd is linked in: it is run as anybody would run it.

mod config;
mod daemon;
mod proof;
mod stay;
mod timeline;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::estate::{Estate, Fault, Fire};
use crate::{clock, command, paths, progress, slack};

pub use config::as_in;
use daemon::Daemon;
use proof::{Before, Proof, WithoutHeartbeat};
pub use proof::{DELIVERY, SESSIONS};

/// The fault that the demo begins with.
const FAULT: &str = "too-many-connections";

/// The token that the stand-in for Slack accepts.
const SLACK_TOKEN: &str = "xoxb-demo";

/// When this variable is set, runbookd may only observe: the cure is a no-op, and the demo must fail.
pub const NO_OP: &str = "RUNBOOKD_DEMO_NOOP";

/// When this variable is set, it names the program to be shown; nothing is built then.
pub const PROGRAM: &str = "RUNBOOKD_DEMO_PROGRAM";

/// What kind of demo it is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The estate's name.
    pub estate: String,
    /// End after the first cure, instead of staying and offering more faults.
    pub once: bool,
    /// runbookd may only observe, so that nothing is cured: shows that the proof is not had for nothing.
    pub observe_only: bool,
    /// The program to be shown; built when none is named.
    pub program: Option<PathBuf>,
}

/// Shows it, and answers what of the proof is missing.
///
/// # Errors
/// When something cannot be built or started. A proof that is missing is no error.
pub fn run(settings: &Settings) -> Result<Vec<&'static str>> {
    let (name, once) = (settings.estate.clone(), settings.once);
    let coming = std::thread::spawn(move || Estate::up(&name));
    let program = match &settings.program {
        Some(program) => Ok(program.clone()),
        None => progress::step("building runbookd", build),
    };
    let estate = coming.join().ok().context("the thread that starts the estate died")??;
    let program = program?;

    let slack = slack::StandIn::start(SLACK_TOKEN)?;
    let config = config::derive(&estate, &slack, settings.observe_only)?;
    let daemon = Daemon::start(&estate, &program, &config)?;
    let fault = Fault::named(FAULT)?;
    quiet(&estate, &fault)?;

    let proof = show(&estate, &daemon, &slack, &fault)?;
    fault.switch(&estate, Fire::Mend)?;
    progress::show("");
    for line in &proof.lines {
        progress::show(format_args!("  {line}"));
    }
    read_by_people(&slack);
    progress::show("");
    if once {
        progress::say(format_args!(
            "the estate stays up for the next time; `cargo xtask estate down{}` ends it",
            if settings.estate == crate::estate::DEFAULT { String::new() } else { format!(" --name {}", settings.estate) }
        ));
    } else if proof.missing.is_empty() {
        stay::stay(&estate, &daemon, &slack)?;
    }
    if proof.missing.is_empty() {
        progress::show(format_args!("demo: cured and proved"));
    } else {
        progress::show(format_args!(
            "demo: FAILED, for want of the proof marked MISSING above; runbookd's log is {}",
            daemon.log().display()
        ));
    }
    Ok(proof.missing)
}

/// The message about the incident as it stands now, and the last one in its thread: the report.
fn read_by_people(slack: &slack::StandIn) {
    let messages = slack.messages();
    let Some(first) = messages.first() else {
        return;
    };
    let report = messages.iter().rfind(|message| message.thread_ts.is_some());
    let place = format!("in {}, kept current by {} updates", first.channel, first.updates);
    for (place, message) in [(place, Some(first)), ("in its thread, at the end".to_owned(), report)] {
        let Some(message) = message else {
            continue;
        };
        progress::show(format_args!("\nWhat people read {place}:"));
        for line in message.shown.lines() {
            progress::show(format_args!("  | {line}"));
        }
    }
}

fn build() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(crate::test::BUILT) {
        return Ok(PathBuf::from(folder).join("runbookd"));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(paths::root()).args(["build", "--package", "runbookd", "--quiet"]);
    let (well, _) = command::shown(&mut build)?;
    anyhow::ensure!(well, "runbookd does not build; what cargo said is above");
    Ok(paths::target().join("debug/runbookd"))
}

/// Nothing that an earlier run broke is left, and the alert of the fault to come is not active.
fn quiet(estate: &Estate, fault: &Fault) -> Result<()> {
    fault.switch(estate, Fire::Mend)?;
    progress::step("waiting until the estate is quiet", || {
        clock::wait_for("the alerts of earlier faults to end", Duration::from_secs(60), || {
            let alerts = estate.alerts()?;
            let active = alerts.iter().any(|alert| alert["labels"]["alertname"] == fault.alert.as_str());
            Ok((!active).then_some(()))
        })
    })
}

fn show(estate: &Estate, daemon: &Daemon, slack: &slack::StandIn, fault: &Fault) -> Result<Proof> {
    let _alone = WithoutHeartbeat::begin(estate)?;
    let mut before = Before::look(estate)?;
    let mut timeline = timeline::Timeline::begin(fault);
    fault.switch(estate, Fire::Break)?;
    timeline.fault_is_on();
    let story = timeline.follow(estate, daemon, slack, &mut before)?;
    proof::look(estate, fault, &before, &story)
}
