//! `check` and `schema`: what can be known of a configuration without touching the world.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::args::FormArg;
use super::failure::Failure;
use super::{WRONG, show};
use crate::config::{self, Complaints, Form};

/// Said where `approval` names nobody.
const UNPROVED: &str =
    "whoever holds the API's token may agree to a question, under any name: `approval: people:` would prove names\n";

/// Says everything that is wrong; exit 64 where anything is.
pub(super) fn check(config: &Path, rules: &[PathBuf], alertmanager: Option<&Path>, json: bool) -> Result<(), Failure> {
    let (complaints, what) = match config::load(config) {
        Err(complaints) => (complaints, String::new()),
        Ok(loaded) => {
            let mut complaints = Complaints::default();
            complaints.extend(loaded.notes.clone());
            complaints.extend(config::against(&loaded, rules, alertmanager));
            complaints.sort();
            let (runbooks, targets) = (loaded.configuration.runbooks.len(), loaded.configuration.inventory.iter().count());
            let unproved = if loaded.configuration.approval.proves_names() { "" } else { UNPROVED };
            (complaints, format!("{}: {runbooks} runbooks, {targets} targets, no errors\n{unproved}", config.display()))
        }
    };
    if json {
        show::json(&complaints.to_json())?;
    } else if !complaints.is_empty() {
        show::text(&complaints.render(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()))?;
    }
    if complaints.has_errors() {
        return Err(Failure::Told(WRONG));
    }
    if json { Ok(()) } else { show::text(&what) }
}

/// Prints a schema, or all of them by the file that has the form.
pub(super) fn schema(form: Option<FormArg>) -> Result<(), Failure> {
    match form {
        Some(FormArg::Daemon) => show::json(&config::schema(Form::Daemon)),
        Some(FormArg::Targets) => show::json(&config::schema(Form::Targets)),
        Some(FormArg::Runbook) => show::json(&config::schema(Form::Runbook)),
        None => {
            let all: serde_json::Map<String, serde_json::Value> =
                Form::ALL.into_iter().map(|(form, file)| (file.to_owned(), config::schema(form))).collect();
            show::json(&all)
        }
    }
}
