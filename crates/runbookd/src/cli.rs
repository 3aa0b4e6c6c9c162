//! The command line: a client of the daemon's API over the socket in the state directory. What only reads the record (`incidents`,
//! `explain`, `journal check|backup`) reads the journal itself, so that it says the same whether the daemon lives or not; and a
//! pause works without one. Exit codes: 0 done, 1 not done, 64 wrong usage or configuration, 75 the daemon cannot be reached.
//! Deliberately no decision here, and nothing that a person could not do with the API.

mod args;
mod ask;
mod asks;
mod client;
mod configuration;
mod failure;
mod look;
mod place;
mod record;
mod show;
mod stop;
mod trust;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;
use rustix::fs::Mode;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command, LogFormat};
use client::Client;
use failure::Failure;

use crate::serve;

/// Wrong usage or configuration (`EX_USAGE` of sysexits.h); a supervisor does not start it again.
const WRONG: u8 = 64;
/// How long the runtime may take to let go of what still blocks.
const LET_GO: Duration = Duration::from_secs(1);

/// Parses what was typed, runs it, and gives the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => {
            // Nothing can be done about a closed terminal.
            let _ = said.print();
            let asked_for = matches!(said.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked_for { ExitCode::SUCCESS } else { ExitCode::from(WRONG) };
        }
    };
    let serves = matches!(cli.command, Command::Serve { .. });
    // The journal and its copies hold evidence. A pause file is for everybody to read.
    if !matches!(cli.command, Command::Pause { .. }) {
        rustix::process::umask(Mode::RWXG | Mode::RWXO);
    }
    start_log(cli.log_format, if serves { "info" } else { "error" });
    let mut builder =
        if serves { tokio::runtime::Builder::new_multi_thread() } else { tokio::runtime::Builder::new_current_thread() };
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::from(anyhow::Error::new(error).context("starting the runtime")).tell(),
    };
    let outcome = runtime.block_on(run(cli));
    runtime.shutdown_timeout(LET_GO);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

/// To standard error, so that what a command prints can be piped.
fn start_log(format: LogFormat, usual: &str) {
    let wanted = std::env::var("RUST_LOG").unwrap_or_else(|_| usual.to_owned());
    // lapin logs at ERROR what a look reports as a finding.
    let filter = EnvFilter::try_new(format!("{wanted},lapin::channel=off")).unwrap_or_else(|_| EnvFilter::new(usual));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = match format {
        LogFormat::Json => log.json().flatten_event(true).try_init(),
        LogFormat::Human => log.with_ansi(colours).try_init(),
    };
    if let Err(error) = set {
        show::complain(&format!("the log cannot be set up: {error}"));
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { place, json, command, .. } = cli;
    if let Command::Serve { listen } = command {
        let options = serve::Options { config: place.config, state: place.state, listen };
        return Ok(serve::serve(options).await?);
    }
    if let Command::Check { rules, alertmanager } = command {
        return configuration::check(&place.config, &rules, alertmanager.as_deref(), json);
    }
    if let Command::Schema { form } = command {
        return configuration::schema(form);
    }
    let client = Client::new(place.state_directory(), place.token_file.clone());
    match command {
        Command::Serve { .. } | Command::Check { .. } | Command::Schema { .. } => Ok(()),
        Command::Doctor => look::doctor(&client, json).await,
        Command::Targets => look::targets(&client, &place, json).await,
        Command::Look { target } => look::look(&client, &place, &target, json).await,
        Command::Runbooks => trust::runbooks(&client, json).await,
        Command::Mark { id, word, why, by } => trust::mark(&client, id, word, &why, by, json).await,
        Command::Breaker { what } => trust::breaker(&client, what, json).await,
        Command::Run { runbook, target, dry_run, by } => ask::run(&client, &runbook, target.as_ref(), dry_run, by, json).await,
        Command::Fire { alert, labels, resolved } => ask::fire(&client, &alert, &labels, resolved, json).await,
        Command::Report { words, runbook, target, by } => {
            ask::report(&client, &words, runbook.as_deref(), target.as_ref(), by, json).await
        }
        Command::Note { id, words, by } => ask::note(&client, id, &words, by, json).await,
        Command::Asks => asks::list(&client, json).await,
        Command::Approve { ask, by } => ask::answer(&client, &ask, None, by, json).await,
        Command::Deny { ask, why, by } => ask::answer(&client, &ask, Some(&why), by, json).await,
        Command::Reload => ask::reload(&client, json).await,
        Command::Incidents { what, listing } => record::incidents(&client, what, &listing, json).await,
        Command::Explain { id } => record::explain(&client, id, json).await,
        Command::Evidence { hash } => record::evidence(&client, &hash).await,
        Command::Unmatched => record::unmatched(&client, json).await,
        Command::Pause { list: true, .. } => stop::list(&client, json).await,
        Command::Pause { scope, list: false, reason, lasts, by } => stop::pause(&client, scope, &reason, lasts, by, json).await,
        Command::Resume { scope, by } => stop::resume(&client, &scope, by, json).await,
        Command::Journal { what } => record::journal(&client, &place, what, json).await,
    }
}
