//! The demo that stays: says what can be looked at where, and offers the next fault to try.
//!
//! Deliberately a plain prompt. Where there is no input (a closed or empty standard input) it stays until it is ended.

use std::io::{BufRead, Write};
use std::time::Duration;

use anyhow::Result;

use super::daemon::Daemon;
use super::timeline::plain;
use crate::estate::{Estate, Fault, Fire};
use crate::{progress, slack};

/// Stays until the person says `quit`.
pub(super) fn stay(estate: &Estate, daemon: &Daemon, slack: &slack::StandIn) -> Result<()> {
    where_to_look(estate, daemon, slack)?;
    let faults = Fault::all()?;
    let mut on: Vec<Fault> = Vec::new();
    let mut next = 1;
    let input = std::io::stdin();
    loop {
        let offered = faults.get(next % faults.len().max(1));
        prompt(offered, &on);
        let mut line = String::new();
        if input.lock().read_line(&mut line)? == 0 {
            progress::show(format_args!("no input: staying until Ctrl-C"));
            loop {
                std::thread::sleep(Duration::from_secs(3600));
            }
        }
        match line.trim() {
            "q" | "quit" | "exit" => break,
            "w" | "where" => where_to_look(estate, daemon, slack)?,
            "i" | "incidents" => incidents(daemon)?,
            "f" | "faults" => faults
                .iter()
                .for_each(|fault| progress::show(format_args!("  {:<24} -> {} {}", fault.name, fault.alert, fault.summary))),
            "m" | "mend" => mend(estate, &mut on)?,
            word => {
                let chosen = if word.is_empty() { offered } else { faults.iter().find(|fault| fault.name == word) };
                let Some(fault) = chosen else {
                    progress::show(format_args!("there is no fault {word:?}; `faults` lists them"));
                    continue;
                };
                if word.is_empty() {
                    next += 1;
                }
                fault.switch(estate, Fire::Break)?;
                progress::show(format_args!("{} is on; {} fires in a few seconds", fault.name, fault.alert));
                on.push(fault.clone());
            }
        }
    }
    mend(estate, &mut on)
}

fn prompt(offered: Option<&Fault>, on: &[Fault]) {
    if !on.is_empty() {
        let names: Vec<&str> = on.iter().map(|fault| fault.name.as_str()).collect();
        progress::show(format_args!("switched on: {}", names.join(", ")));
    }
    let offer = offered.map(|fault| format!("Enter for {} ({}), ", fault.name, fault.alert)).unwrap_or_default();
    print!("{offer}another fault's name, `faults`, `mend`, `incidents`, `where`, or `quit` > ");
    let _ = std::io::stdout().flush();
}

fn mend(estate: &Estate, on: &mut Vec<Fault>) -> Result<()> {
    for fault in on.drain(..) {
        fault.switch(estate, Fire::Mend)?;
        progress::show(format_args!("{} is off", fault.name));
    }
    Ok(())
}

fn incidents(daemon: &Daemon) -> Result<()> {
    for incident in daemon.incidents()? {
        let how = incident["how"].as_str().unwrap_or("open");
        progress::show(format_args!(
            "  {:<6} {:<10} {:<36} {}",
            plain(&incident["id"]),
            how,
            plain(&incident["runbook"]),
            plain(&incident["why"])
        ));
    }
    Ok(())
}

fn where_to_look(estate: &Estate, daemon: &Daemon, slack: &slack::StandIn) -> Result<()> {
    let program = daemon.program();
    progress::show(format_args!("What can be looked at where:"));
    for (what, place) in [
        ("the incident", format!("{} incidents show 1 --state {}", program.display(), daemon.state().display())),
        ("why, gate by gate", format!("{} explain 1 --state {}", program.display(), daemon.state().display())),
        ("runbookd's metrics", format!("{}/metrics", daemon.url())),
        ("Prometheus", format!("{}/alerts", estate.url("PORT_PROMETHEUS")?)),
        ("Alertmanager", estate.url("PORT_ALERTMANAGER")?),
        ("Slack's stand-in", slack.url()),
        ("the application", format!("{}/docs", estate.url("PORT_BACKEND")?)),
        ("runbookd's log", daemon.log().display().to_string()),
    ] {
        progress::show(format_args!("  {what:<20} {place}"));
    }
    Ok(())
}
