//! What can be typed. Deliberately no abbreviations of commands: what is written in a procedure must mean the same next year.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use journal::Scope;
use runbook::incident::IncidentId;
use runbook::target::TargetId;
use runbook::time::Span;

use super::place::Place;

/// Takes an alert, looks, decides, acts, proves that the act helped, and tells people.
#[derive(Parser, Debug)]
#[command(name = "runbookd", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done; 1 not done; 64 wrong usage or configuration; 75 the daemon cannot be reached.")]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) place: Place,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// How the log is written, to standard error; what is logged is chosen by RUST_LOG.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Human, value_name = "FORMAT")]
    pub(super) log_format: LogFormat,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum LogFormat {
    /// A sentence per line, with its fields behind it.
    Human,
    /// An object per line.
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum FormArg {
    /// `runbookd.yaml`.
    Daemon,
    /// `targets.yaml`.
    Targets,
    /// A file of `runbooks/`.
    Runbook,
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Run the daemon. SIGHUP reloads; SIGTERM stops, at most 20 seconds later.
    Serve {
        /// Listen here instead of where the configuration says.
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<SocketAddr>,
    },
    /// Say everything that is wrong with the configuration, without touching the world.
    Check {
        /// Compare with a rule file of Prometheus too, or with those of a folder; may be given several times.
        #[arg(long, value_name = "FILE|DIR")]
        rules: Vec<PathBuf>,
        /// Compare with the configuration of Alertmanager too.
        #[arg(long, value_name = "FILE")]
        alertmanager: Option<PathBuf>,
    },
    /// Examine everything that a cure will need at night; changes nothing.
    Doctor,
    /// Look at every target of the inventory now.
    Targets,
    /// Look at one target now.
    Look {
        /// Which, as KIND/NAME.
        target: TargetId,
    },
    /// List the runbooks in force: what each may do now, what keeps it from more, and what it has earned.
    Runbooks,
    /// Open an incident for a runbook, as if its alert had come.
    Run {
        /// Which.
        runbook: String,
        /// On what, where the runbook leaves it open.
        #[arg(long, value_name = "KIND/NAME")]
        target: Option<TargetId>,
        /// Look and decide, say gate by gate what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        by: By,
    },
    /// Deliver an alert by hand, through the door that Alertmanager uses.
    Fire {
        /// The alert's name.
        alert: String,
        /// A label; may be given several times.
        #[arg(short = 'l', long = "label", value_name = "NAME=VALUE", value_parser = label)]
        labels: Vec<(String, String)>,
        /// It is over instead of firing.
        #[arg(long)]
        resolved: bool,
    },
    /// Open an incident for what a person saw.
    Report {
        /// In their words; a runbook or target named in them is found.
        words: String,
        /// The runbook that it is for.
        #[arg(long)]
        runbook: Option<String>,
        /// What it is about.
        #[arg(long, value_name = "KIND/NAME")]
        target: Option<TargetId>,
        #[command(flatten)]
        by: By,
    },
    /// Write something down on an incident.
    Note {
        /// Which, as INC-NUMBER.
        id: IncidentId,
        /// What.
        words: String,
        #[command(flatten)]
        by: By,
    },
    /// Say that what an incident proposed or did was right, or wrong. Where autonomy is earned, it is earned by this.
    Mark {
        /// Which, as INC-NUMBER; it has to be over.
        id: IncidentId,
        /// Your word on it. A `right` can be taken back by a `wrong`, and a `wrong` stands.
        #[arg(value_enum)]
        word: Word,
        /// Why; it is kept.
        #[arg(long, default_value = "")]
        why: String,
        #[command(flatten)]
        by: By,
    },
    /// List incidents, or show one in full. Reads the journal, with or without a daemon.
    Incidents {
        #[command(subcommand)]
        what: Option<Incidents>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show every decision of an incident, gate by gate. Reads the journal, with or without a daemon.
    Explain {
        /// Which, as INC-NUMBER.
        id: IncidentId,
    },
    /// Print a piece of evidence. Reads the journal, with or without a daemon.
    Evidence {
        /// Its hash, from `runbookd incidents show`.
        hash: String,
    },
    /// List the alerts that came and that no runbook is for. Reads the journal, with or without a daemon.
    Unmatched,
    /// List the questions that wait for a person: what exactly is asked, until when, who may agree.
    Asks,
    /// Say yes to exactly what a question shows.
    Approve {
        /// The question's name, from the message.
        ask: String,
        #[command(flatten)]
        by: By,
    },
    /// Say no to a question.
    Deny {
        /// The question's name, from the message.
        ask: String,
        /// Why; it is kept.
        #[arg(long, default_value = "")]
        why: String,
        #[command(flatten)]
        by: By,
    },
    /// Stop everything, a runbook or a target from acting; everything, where nothing is said. Works without a daemon.
    Pause {
        /// `all`, `runbook:NAME` or `target:KIND/NAME`; all, where nothing is said.
        #[arg(value_parser = scope)]
        scope: Option<Scope>,
        /// List what is paused, and stop nothing.
        #[arg(long, conflicts_with_all = ["scope", "reason", "lasts"])]
        list: bool,
        /// Why; whoever finds it at night will want to know.
        #[arg(long, default_value = super::stop::NO_REASON)]
        reason: String,
        /// For how long, for example 2h; without an end, where nothing is said.
        #[arg(long = "for", value_name = "DURATION")]
        lasts: Option<Span>,
        #[command(flatten)]
        by: By,
    },
    /// End a pause. Works without a daemon where the pause file is meant.
    Resume {
        /// `all`, `runbook:NAME` or `target:KIND/NAME`.
        #[arg(value_parser = scope, default_value = "all")]
        scope: Scope,
        #[command(flatten)]
        by: By,
    },
    /// List the circuit breakers that are open, or close one: what failed before is no longer counted by it.
    Breaker {
        #[command(subcommand)]
        what: Breaker,
    },
    /// Print the JSON Schema of a written form; of all, where none is named.
    Schema {
        /// Which.
        #[arg(value_enum)]
        form: Option<FormArg>,
    },
    /// Put the configuration on disk in force; a wrong one leaves the old in force.
    Reload,
    /// Keep the record.
    Journal {
        #[command(subcommand)]
        what: Journal,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Word {
    /// It should have been proposed or done, and so.
    Right,
    /// It should not have been.
    Wrong,
}

#[derive(Subcommand, Debug)]
pub(super) enum Breaker {
    /// List those that are open.
    List,
    /// Close one.
    Close {
        /// A runbook, or `all` for the breaker over all runbooks together.
        #[arg(value_name = "RUNBOOK|all")]
        scope: String,
        /// Why; it is kept with your name.
        #[arg(long)]
        why: String,
        #[command(flatten)]
        by: By,
    },
}

#[derive(Subcommand, Debug)]
pub(super) enum Incidents {
    /// List them, newest first.
    List(Listing),
    /// Show one in full: its report, and everything that happened.
    Show {
        /// Which, as INC-NUMBER.
        id: IncidentId,
    },
}

#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Listing {
    /// Only those that are not over.
    #[arg(long)]
    pub(super) open: bool,
    /// At most this many.
    #[arg(short = 'n', long = "most", default_value_t = 50, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) most: u32,
}

#[derive(Subcommand, Debug)]
pub(super) enum Journal {
    /// Copy the journal to a new file, consistently, while it is in use.
    Backup {
        /// Where nothing is yet.
        to: PathBuf,
    },
    /// Take what is older or more than the configuration keeps.
    Prune,
    /// Read everything: the file's integrity, every incident's fold, every piece of evidence.
    Check,
}

#[derive(Args, Clone, Debug)]
pub(super) struct By {
    /// Who does it; USER@HOST, where nothing is said.
    #[arg(long, value_name = "NAME")]
    pub(super) by: Option<String>,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a label is written NAME=VALUE".to_owned()),
    }
}

/// A scope; a bare `KIND/NAME` means the target.
fn scope(text: &str) -> Result<Scope, String> {
    text.parse().or_else(|error| text.parse().map(Scope::Target).map_err(|_| error))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn scopes_and_labels_are_read_as_people_write_them() {
        for (text, read) in [
            ("all", "all"),
            ("runbook:x", "runbook:x"),
            ("target:redis/cache", "target:redis/cache"),
            ("redis/cache", "target:redis/cache"),
        ] {
            assert_eq!(scope(text).map(|scope| scope.to_string()), Ok(read.to_owned()));
        }
        assert!(scope("redis").is_err() && scope("").is_err());
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(label("=b").is_err() && label("a").is_err());
    }
}
