//! `cargo xtask test`: everything that must pass before a change lands, in one command.
//!
//! Packages, an Engine and the estate's images are seen to while the code is checked and built; then the test runner
//! runs everything. Its summary is the last thing printed, so that whoever reads the end of a log reads the result.
//! Deliberately no retries: a test that fails now and then is a failing test.

mod times;

use std::process::{Command, ExitCode};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};

use crate::{command, engine, estate, licences, packages, paths, progress};

/// Runs it; with `filters` only the tests whose names contain one of them, without the checks of style; with `unit`
/// only what needs no server and no Engine.
///
/// # Errors
/// When something that the tests need cannot be had, or a check before the tests fails.
pub fn run(filters: &[&str], unit: bool) -> Result<ExitCode> {
    let needs = if unit { None } else { Some(prepare(filters.is_empty())) };
    let checked = check(filters.is_empty());
    // The tests are built even when a check failed, so that one run tells all; the build is of use the next time.
    let built = progress::step("building the tests", || build(unit));
    if let Some(needs) = needs {
        let ready = needs.join().ok().context("the thread that prepares servers and images died")?;
        ready.context("what the tests need is not there")?;
    }
    checked?;
    built?;
    tests(filters, unit)
}

/// Servers, Engine and images, beside the build; and the estate where all tests are run, so that none of them is blamed for the
/// time that its start takes.
fn prepare(all: bool) -> JoinHandle<Result<()>> {
    std::thread::spawn(move || {
        packages::ensure(packages::SERVERS)?;
        let engine = engine::ensure()?;
        estate::ensure_images(&engine)?;
        engine::ensure_tiny(&engine)?;
        if all {
            estate::Estate::up(estate::TEST)?;
        }
        Ok(())
    })
}

/// Style, lints, documentation and licences; all are run, and all failures told.
fn check(all: bool) -> Result<()> {
    if !all {
        return Ok(());
    }
    let mut failed = Vec::new();
    let mut part = |name: &str, work: &dyn Fn() -> Result<()>| {
        if let Err(error) = progress::step(name, work) {
            progress::say(format_args!("{error:#}"));
            failed.push(name.to_owned());
        }
    };
    part("cargo fmt --check", &|| told(cargo(&["fmt", "--all", "--check"])));
    part("licences", &|| licences::check().map(|_| ()));
    part("cargo clippy", &|| told(cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])));
    part("cargo doc", &|| {
        let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
        doc.env("RUSTDOCFLAGS", "-D warnings");
        told(doc)
    });
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// Says to the tests of the whole daemon that both of its programs are built.
const BUILT: &str = "RUNBOOKD_TEST_BINARIES";

/// The tests, and the programs that they run: the daemon as it is shipped, and the one with rehearsals in it.
fn build(unit: bool) -> Result<()> {
    if unit {
        return told(with_scope(cargo(&["test", "--no-run", "--quiet", "--locked"]), unit));
    }
    told(cargo(&["build", "--workspace", "--all-targets", "--quiet", "--locked"]))?;
    // Workspace-wide too, so that what it shares with the build before is not compiled a second time with other features.
    let rehearsal = ["--features", "runbookd/rehearsal", "--bin", "runbookd-rehearsal"];
    told(cargo(&[&["build", "--workspace", "--quiet", "--locked"][..], &rehearsal].concat()))
}

fn tests(filters: &[&str], unit: bool) -> Result<ExitCode> {
    if !has_nextest() {
        progress::say("cargo-nextest is not installed: using cargo test, which does not tell each test's time");
        let (well, _) = command::shown(with_scope(cargo(&["test"]), unit).args(filters).env(BUILT, "1"))?;
        return Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let mut runner = with_scope(cargo(&["nextest", "run", "--cargo-quiet", "--locked"]), unit);
    runner.args(filters).env("NEXTEST_HIDE_PROGRESS_BAR", "1").env(BUILT, "1");
    let report = paths::target().join("nextest/default/junit.xml");
    let _ = std::fs::remove_file(&report);
    let (well, summary) = command::shown_until(&mut runner, "     Summary [")?;
    if filters.is_empty()
        && let Err(error) = take_down()
    {
        progress::say(format_args!("the tests' estate could not be taken down: {error:#}"));
    }
    let slow = times::unlisted(&report);
    // The runner's own summary comes last, whatever is said about times. A machine that is busy with other things makes tests slow,
    // so slowness is shown and fails nothing.
    match slow {
        Ok(slow) if slow.is_empty() => {}
        Ok(slow) => {
            progress::show(format_args!("longer than {:.0} s, and not listed in {}:", times::LIMIT, times::LIST));
            slow.iter().for_each(|line| progress::show(format_args!("    {line}")));
        }
        Err(error) => progress::show(format_args!("the tests' times are not known: {error:#}")),
    }
    progress::show(summary.trim_end());
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The estate that tests brought up goes, and the Engine too if it was started for this.
fn take_down() -> Result<()> {
    let Ok(estate) = estate::Estate::find(estate::TEST) else {
        return Ok(());
    };
    if !estate.containers()?.is_empty() {
        estate.down()?;
    }
    engine::stop_if_ours()
}

fn with_scope(mut command: Command, unit: bool) -> Command {
    command.arg("--workspace");
    if unit {
        // The tests of this crate start servers; those of all others, where they are unit tests, do not.
        command.args(["--lib", "--exclude", "xtask"]);
    }
    command
}

fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(paths::root()).args(arguments);
    command
}

fn has_nextest() -> bool {
    command::succeeds(&mut cargo(&["nextest", "--version"]))
}

/// Runs it, shows what it prints as it comes, and makes a failing end an error.
fn told(mut command: Command) -> Result<()> {
    let (well, _) = command::shown(&mut command)?;
    if !well {
        bail!("{} failed; what it said is above", command::line(&command));
    }
    Ok(())
}
