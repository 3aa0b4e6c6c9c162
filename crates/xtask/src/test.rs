//! `cargo xtask test`: everything that must pass before a change lands, in one command.
//!
//! Packages, an Engine and the estate's images are seen to while the code is checked and built; then the test runner
//! runs everything. Its summary is the last thing printed, so that whoever reads the end of a log reads the result.
//! Deliberately no retries: a test that fails now and then is a failing test. And nothing beside the tests: lints at the lowest
//! priority, tried, made the machine so busy that real servers missed real deadlines.

mod memory;
mod runner;
mod times;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::lint::{self, Linter};
use crate::{command, engine, estate, licences, packages, paths, progress};

/// Runs it; with `filters` only the tests whose names contain one of them, without the checks of style; with `unit`
/// only what needs no server and no Engine.
///
/// # Errors
/// When something that the tests need cannot be had, or a check before the tests fails.
pub fn run(filters: &[&str], unit: bool) -> Result<ExitCode> {
    runner::ensure()?;
    let all = filters.is_empty();
    // Only a whole run: what is asked for in between, or often, is not held up by a lint.
    let linter = if all && !unit { Some(Linter::new()?) } else { None };
    let linter = linter.as_ref();
    let needs = (!unit).then(|| std::thread::spawn(prepare));
    let checked = if all { check(unit) } else { Ok(()) };
    // The tests are built even when a check failed, and go on past a lint as far as they can, so that one run tells all.
    let name = if linter.is_some() { "building the tests, with lints and documentation" } else { "building the tests" };
    let compiled = progress::step(name, || compile(unit, linter));
    if let Some(needs) = needs {
        let ready = needs.join().ok().context("the thread that prepares servers and images died")?;
        ready.context("what the tests need is not there")?;
    }
    // Up before the first test, so that none of them is blamed for the time that its start takes; and not before the code is built,
    // because it takes its share of the processors.
    let goes_on = compiled.is_ok() && checked.is_ok();
    let estate = (all && !unit && goes_on).then(|| std::thread::spawn(|| estate::Estate::up(estate::TEST).map(drop)));
    let built = compiled.and_then(|()| progress::step("building the rehearsals", || build(unit, linter)));
    if let Some(estate) = estate {
        estate.join().ok().context("the thread that brings the estate up died")?.context("the tests' estate is not up")?;
    }
    checked?;
    tests(filters, &built?)
}

/// Servers, Engine and images, beside the build.
fn prepare() -> Result<()> {
    packages::ensure(packages::SERVERS)?;
    let engine = engine::ensure()?;
    estate::ensure_images(&engine)?;
    engine::ensure_tiny(&engine)
}

/// Style and licences, and where not everything is built, lints and documentation, which otherwise come with the build; all are run,
/// and all failures told.
fn check(unit: bool) -> Result<()> {
    let mut failed = Vec::new();
    let mut part = |name: &str, work: &dyn Fn() -> Result<()>| {
        if let Err(error) = progress::step(name, work) {
            progress::say(format_args!("{error:#}"));
            failed.push(name.to_owned());
        }
    };
    part("cargo fmt --check", &|| told(cargo(&["fmt", "--all", "--check"])));
    part("licences", &|| licences::check().map(|_| ()));
    if unit {
        part("cargo clippy", &|| told(cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])));
        part("cargo doc", &|| {
            let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
            doc.env("RUSTDOCFLAGS", "-D warnings");
            told(doc)
        });
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// Says to the tests of the whole daemon in which folder both of its programs are, built.
pub(crate) const BUILT: &str = "RUNBOOKD_TEST_BINARIES";

/// The daemon's programs, without and with rehearsals in it.
const PROGRAMS: [&str; 2] = ["runbookd", "runbookd-rehearsal"];

/// Copies of the daemon's programs for the tests to start, and their folder: a person's `cargo build` beside a run puts another
/// program in the place of what was built, and the tests would go on with that.
fn set_aside() -> Result<PathBuf> {
    let folder = paths::make(paths::cache()?.join("tested"))?;
    for name in PROGRAMS {
        let (built, copy) = (paths::target().join("debug").join(name), folder.join(name));
        // Not written into: a daemon that a killed run left may be executing it.
        let unfinished = folder.join(format!("{name}.new"));
        std::fs::copy(&built, &unfinished)
            .and_then(|_| std::fs::rename(&unfinished, &copy))
            .with_context(|| format!("cannot copy {} to {}", built.display(), copy.display()))?;
    }
    Ok(folder)
}

/// What is to be run, for the runner: it asks cargo nothing more, whose lock a person may want meanwhile.
struct Listed {
    metadata: PathBuf,
    binaries: PathBuf,
}

/// What the tests are run with.
struct Built {
    /// The daemon's programs, where tests start it.
    programs: Option<PathBuf>,
    /// What is to be run.
    listed: Listed,
}

/// Tests, and the daemon as it is shipped; where there are lints, examples too, for their sake.
fn compile(unit: bool, linter: Option<&Linter>) -> Result<()> {
    if unit {
        return Ok(());
    }
    let all = cargo(&[&["build", "--workspace", "--quiet", "--locked"][..], TARGETS].concat());
    let Some(linter) = linter else { return told(all) };
    let mut all = linter.lints_and_documents(all);
    all.args(["--examples", "--keep-going"]);
    told(all)?;
    lint::all_documented()
}

/// What is built to be tested.
const TARGETS: &[&str] = &["--lib", "--bins", "--tests"];

/// The daemon with rehearsals in it, and the list of what is to be run.
fn build(unit: bool, linter: Option<&Linter>) -> Result<Built> {
    let linted = |command: Command| by(linter, command);
    let programs = if unit {
        None
    } else {
        // Workspace-wide, and with an example beside it, which has cargo mind the dependencies of tests, too: otherwise what it shares
        // with the build before would be compiled a second time with other features.
        let rehearsal = ["--features", "runbookd/rehearsal", "--bin", "runbookd-rehearsal", "--example", "decisions"];
        told(linted(cargo(&[&["build", "--workspace", "--quiet", "--locked"][..], &rehearsal].concat())))?;
        Some(set_aside()?)
    };
    let listed = Listed { metadata: paths::cache()?.join("metadata.json"), binaries: paths::cache()?.join("binaries.json") };
    let list = ["list", "--list-type", "binaries-only", "--message-format", "json", "--cargo-quiet", "--locked"];
    for (file, command) in [
        (&listed.metadata, &mut cargo(&["metadata", "--format-version", "1", "--locked"])),
        (&listed.binaries, &mut linted(with_scope(runner::command(&list)?, unit))),
    ] {
        let text = command::output(command)?;
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(Built { programs, listed })
}

/// The same command, through the linter where there is one.
fn by(linter: Option<&Linter>, command: Command) -> Command {
    match linter {
        Some(linter) => linter.lints(command),
        None => command,
    }
}

fn tests(filters: &[&str], built: &Built) -> Result<ExitCode> {
    let all = filters.is_empty();
    let programs = built.programs.iter().map(|folder| (BUILT, folder));
    let mut runner = runner::command(&["run"])?;
    runner.arg("--cargo-metadata").arg(&built.listed.metadata).arg("--binaries-metadata").arg(&built.listed.binaries);
    runner.arg("--test-threads").arg(threads().to_string());
    runner.args(filters).env("NEXTEST_HIDE_PROGRESS_BAR", "1").envs(programs);
    if let Some(memory) = memory::folder()? {
        runner.env("TMPDIR", memory);
    }
    let _ = std::fs::remove_file(report());
    let (well, summary) = command::shown_until(&mut runner, "     Summary [")?;
    if all && let Err(error) = take_down() {
        progress::say(format_args!("the tests' estate could not be taken down: {error:#}"));
    }
    let quick = tell_slow(all);
    // The runner's own summary comes last, whatever is said before.
    progress::show(summary.trim_end());
    Ok(if well && quick { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How many tests run at a time: two more than there are processors, for the rows of tests that mostly wait
/// (`.config/nextest.toml`). With three more, tried, real servers were late now and then.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from) + 2
}

/// Where the runner leaves each test's time.
fn report() -> PathBuf {
    paths::target().join("nextest/default/junit.xml")
}

/// Whether every test that took long is known to; told, where one is not. A run of some tests, which somebody waits for beside other
/// work, is not judged by it.
fn tell_slow(judged: bool) -> bool {
    match times::unlisted(&report()) {
        Ok(slow) if slow.is_empty() => true,
        Ok(slow) => {
            progress::show(format_args!(
                "longer than {:.0} s, and not listed in {} with the reason, which {}:",
                times::LIMIT,
                times::LIST,
                if judged { "fails the run" } else { "would fail a whole run" }
            ));
            slow.iter().for_each(|line| progress::show(format_args!("    {line}")));
            !judged
        }
        Err(error) => {
            progress::show(format_args!("the tests' times are not known: {error:#}"));
            !judged
        }
    }
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
    } else {
        command.args(TARGETS);
    }
    command
}

fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(paths::root()).args(arguments);
    command
}

/// Runs it, shows what it prints as it comes, and makes a failing end an error.
fn told(mut command: Command) -> Result<()> {
    let (well, _) = command::shown(&mut command)?;
    if !well {
        bail!("{} failed; what it said is above", command::line(&command));
    }
    Ok(())
}
