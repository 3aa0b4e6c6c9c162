//! The arguments of `cargo xtask`, taken apart by hand, and what they lead to.
//!
//! Why by hand: an argument parser would be the largest dependency of the crate that has to build first.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::estate::{self, Estate, Fault, Fire};
use crate::{bench, demo, engine, progress, test};

const USAGE: &str = "\
cargo xtask COMMAND

  demo [--once] [--name ESTATE]     a real alert, a real cure, and its proof from outside
  test [FILTER...] [--unit]         everything that must pass; with FILTER only the tests named so
  estate up|down|status [--name ESTATE]
                                    the sample estate; another name gives a second one beside it
  estate break|mend FAULT [--name ESTATE]
                                    switch one of its faults on or off
  bench docker|intake|looks|policy|reaction
                                    how fast it is on this machine; looks are the second half of docker

Where Docker, packages or images are missing they are seen to: on Debian as root by installing them, elsewhere by saying
what is missing. `estate down` stops what was started, the Docker Engine included if it was started here.";

/// Runs one command.
///
/// # Errors
/// When the arguments make no sense, or the command fails.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    let arguments = Arguments::read(arguments)?;
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    let name = arguments.name.as_deref().unwrap_or(estate::DEFAULT);
    match words.as_slice() {
        ["demo"] => {
            let missing = demo::run(&demo::Settings {
                estate: name.to_owned(),
                once: arguments.once,
                observe_only: std::env::var_os(demo::NO_OP).is_some(),
                program: std::env::var_os(demo::PROGRAM).map(Into::into),
            })?;
            Ok(code(missing.is_empty()))
        }
        ["test", filters @ ..] => test::run(filters, arguments.unit),
        ["estate", "up"] => {
            let estate = Estate::up(name)?;
            tell_status(&estate)
        }
        ["estate", "down"] => {
            Estate::find(name)?.down()?;
            engine::stop_if_ours()?;
            Ok(ExitCode::SUCCESS)
        }
        ["estate", "status"] => tell_status(&Estate::find(name)?),
        ["estate", "break", fault] => switch(name, fault, Fire::Break),
        ["estate", "mend", fault] => switch(name, fault, Fire::Mend),
        ["bench", what] => {
            bench::run(what)?;
            Ok(ExitCode::SUCCESS)
        }
        [] | ["help"] => {
            progress::show(format_args!("{USAGE}"));
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("no such command: {}\n\n{USAGE}", words.join(" ")),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    words: Vec<String>,
    name: Option<String>,
    once: bool,
    unit: bool,
}

impl Arguments {
    fn read(given: &[String]) -> Result<Arguments> {
        let mut arguments = Arguments::default();
        let mut rest = given.iter();
        while let Some(word) = rest.next() {
            match word.as_str() {
                "--once" => arguments.once = true,
                "--unit" => arguments.unit = true,
                "--help" | "-h" => arguments.words = vec!["help".into()],
                "--name" => match rest.next() {
                    Some(name) => arguments.name = Some(name.clone()),
                    None => bail!("--name wants the name of an estate"),
                },
                other => match other.strip_prefix("--name=") {
                    Some(name) => arguments.name = Some(name.to_owned()),
                    None if other.starts_with('-') => bail!("no such option: {other}\n\n{USAGE}"),
                    None => arguments.words.push(word.clone()),
                },
            }
        }
        Ok(arguments)
    }
}

fn switch(name: &str, fault: &str, fire: Fire) -> Result<ExitCode> {
    let fault = Fault::named(fault)?;
    let estate = Estate::find(name)?;
    fault.switch(&estate, fire)?;
    let (word, then) = match fire {
        Fire::Break => ("on", "fires soon"),
        Fire::Mend => ("off", "resolves soon"),
    };
    progress::say(format_args!("{} is {word}: {} {then}", fault.name, fault.alert));
    Ok(ExitCode::SUCCESS)
}

/// Prints what runs and where; fails when something of it does not run or is ill.
fn tell_status(estate: &Estate) -> Result<ExitCode> {
    let containers = estate.containers()?;
    if containers.is_empty() {
        progress::show(format_args!("estate {} is not up; `cargo xtask estate up` brings it up", estate.name()));
        return Ok(ExitCode::FAILURE);
    }
    for container in &containers {
        progress::show(format_args!("{:<34} {}", container.name, container.status));
    }
    progress::show("");
    for (variable, port) in estate.ports().all() {
        progress::show(format_args!("{variable:<28} 127.0.0.1:{port}"));
    }
    match estate.alerts() {
        Ok(alerts) if alerts.is_empty() => progress::show(format_args!("\nno alert is active")),
        Ok(alerts) => {
            progress::show("");
            for alert in alerts {
                progress::show(format_args!("alert {} is {}", alert["labels"]["alertname"], alert["state"]));
            }
        }
        Err(error) => progress::show(format_args!("\nPrometheus does not answer: {error:#}")),
    }
    if let Ok(faults) = Fault::all() {
        progress::show(format_args!("\nfaults (cargo xtask estate break FAULT):"));
        for fault in faults {
            progress::show(format_args!("  {:<24} -> {} {}", fault.name, fault.alert, fault.summary));
        }
    }
    let whole = containers.iter().all(estate::Container::is_whole);
    Ok(code(whole))
}

fn code(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments> {
        Arguments::read(&line.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_stand_anywhere() {
        let expected = Arguments { words: vec!["demo".into()], name: Some("b".into()), once: true, unit: false };
        assert_eq!(read("demo --once --name b").unwrap(), expected);
        assert_eq!(read("--name=b --once demo").unwrap(), expected);
    }

    #[test]
    fn mistakes_are_answered_with_the_usage() {
        assert!(read("demo --twice").unwrap_err().to_string().contains("--twice"));
        assert!(read("demo --name").is_err());
        let error = run(&["fly".into()]).unwrap_err().to_string();
        assert!(error.contains("fly") && error.contains("cargo xtask COMMAND"), "{error}");
        assert!(run(&["bench".into(), "fly".into()]).is_err());
    }
}
