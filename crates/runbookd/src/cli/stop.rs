//! `pause` and `resume`: through the daemon where one answers; by the pause file where none does, because a stop that needs the
//! daemon to be well is no stop. Deliberately says aloud when the file stops more than was asked for.

use std::path::Path;

use journal::Scope;
use runbook::text::inert;
use runbook::time::{Span, Stamp};
use serde_json::{Value, json};

use super::args::By;
use super::client::{Client, segment};
use super::failure::Failure;
use super::place::who;
use super::show;
use crate::clock::Clock;
use crate::commands::{Written, remove_pause_file, write_pause_file};

/// What is said where no reason is.
pub(super) const NO_REASON: &str = "no reason was given";
/// Fewer characters than the daemon takes of a reason.
const LONGEST_REASON: usize = 1_000;

pub(super) async fn pause(
    client: &Client,
    scope: Option<Scope>,
    reason: &str,
    lasts: Option<Span>,
    by: By,
    json: bool,
) -> Result<(), Failure> {
    let (scope, by) = (scope.unwrap_or(Scope::All), who(by.by));
    // A stop is refused for nothing that is only words: an empty reason is none, and one without an end is cut.
    let reason = match inert(reason.trim(), LONGEST_REASON) {
        reason if reason.is_empty() => NO_REASON.to_owned(),
        reason => reason,
    };
    let body = json!({"scope": scope, "reason": reason, "by": by, "for": lasts});
    match client.post::<Value>("pauses", &body).await {
        Ok(said) if json => show::json(&said),
        Ok(said) => {
            let until = said["until"].as_i64().map(Stamp::from_millis);
            let end = until.map_or_else(|| format!("until `runbookd resume {scope}`"), |until| format!("until {until}"));
            show::text(&format!(
                "paused {scope} {end}; nothing new starts, and what is in the middle of an action is settled by looking"
            ))
        }
        // A daemon that answers and cannot keep it is no better than none: a stop must not need it to be well.
        Err(Failure::Unreachable { why, .. } | Failure::Unwell { why, .. }) => {
            pause_alone(client.state(), &scope, &reason, lasts, &by, &why, json)
        }
        Err(failure) => Err(failure),
    }
}

fn pause_alone(
    state: &Path,
    scope: &Scope,
    reason: &str,
    lasts: Option<Span>,
    by: &str,
    why: &str,
    json: bool,
) -> Result<(), Failure> {
    if !state.is_dir() {
        return Err(Failure::Unreachable {
            why: format!("{why}, and there is no state directory {} to put the pause file in", state.display()),
            mend: "name the daemon's state directory with --state or RUNBOOKD_STATE".to_owned(),
        });
    }
    let now = Clock::new().now();
    let wanted = lasts.map(|lasts| now.plus(lasts.duration()));
    let Written { path, until, before } = write_pause_file(state, reason, by, now, wanted)?;
    if json {
        return show::json(&json!({"scope": "all", "file": path, "until": until}));
    }
    let end =
        until.map_or_else(|| "until `runbookd resume all`".to_owned(), |until| format!("until {until} or `runbookd resume all`"));
    let mut text = format!(
        "{why}, so {} stands there: for the daemon of this directory, and no other, everything is paused, also after the next start, {end}",
        path.display()
    );
    if *scope != Scope::All {
        text.push_str(&format!("\nthe file stops more than {scope}: only a running daemon can pause that alone"));
    }
    if let Some(before) = before {
        let words = if before.words.is_empty() { "no words of it can be read" } else { &before.words };
        text.push_str(&format!("\nanother stop stood there and is not cut short: {}", inert(words, 200)));
    }
    show::text(&text)
}

pub(super) async fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let (pauses, lifted) = match client.get::<Value>("pauses").await {
        Ok(said) => (said["pauses"].clone(), said["lifted"].clone()),
        Err(Failure::Unreachable { .. }) => {
            show::complain("no daemon answers: this is what its journal and the pause file say");
            without_a_daemon(client.state()).await
        }
        Err(failure) => return Err(failure),
    };
    if json {
        return show::json(&json!({"pauses": pauses, "lifted": lifted}));
    }
    let text = |pause: &Value, name: &str| inert(pause[name].as_str().unwrap_or_default(), 200);
    let when = |at: &Value, none: &str| at.as_i64().map_or_else(|| none.to_owned(), |at| Stamp::from_millis(at).to_string());
    let rows = |of: &Value, row: &dyn Fn(&Value) -> Vec<String>| of.as_array().into_iter().flatten().map(row).collect::<Vec<_>>();
    let in_force = rows(&pauses, &|pause| {
        vec![text(pause, "scope"), when(&pause["until"], "until lifted"), text(pause, "by"), text(pause, "reason")]
    });
    let over = rows(&lifted, &|pause| {
        vec![text(pause, "scope"), when(&pause["lifted"], ""), text(pause, "lifted_by"), text(pause, "by"), text(pause, "reason")]
    });
    if in_force.is_empty() {
        show::text("Nothing is paused. `runbookd pause` stops everything.")?;
    } else {
        show::text(&show::table(&["PAUSED", "UNTIL", "BY", "WHY"], &in_force))?;
    }
    if !over.is_empty() {
        show::text(&format!("\n{}", show::table(&["LIFTED", "WHEN", "BY", "WAS PAUSED BY", "WHY"], &over)))?;
    }
    Ok(())
}

/// The pauses and those that were lifted, read beside whatever happened to the daemon. Where there is no journal yet, the file is all.
async fn without_a_daemon(state: &Path) -> (Value, Value) {
    let now = Clock::new().now();
    let recorded = async {
        anyhow::ensure!(state.join("journal.db").exists(), "there is none");
        let journal = journal::Journal::open_to_read(state).await?;
        let pauses = journal.pauses(now).await?;
        // An older release's journal has none.
        Ok((json!(pauses), json!(journal.lifted_pauses(20).await.unwrap_or_default())))
    };
    recorded.await.unwrap_or_else(|error: anyhow::Error| {
        show::complain(&format!("the journal tells nothing, so this is the pause file alone: {error:#}"));
        let file = journal::pause_file(state, now)
            .map(|file| json!({"scope": "all", "reason": file.reason, "by": "the pause file", "until": file.until}));
        (file.into_iter().collect(), json!([]))
    })
}

pub(super) async fn resume(client: &Client, scope: &Scope, by: By, json: bool) -> Result<(), Failure> {
    let state = client.state();
    // The file goes first: while it is there, nothing that the daemon lifts helps.
    let stood = if *scope == Scope::All { journal::written_pause_file(state) } else { None };
    let removed = *scope == Scope::All && remove_pause_file(state)?;
    let by = who(by.by);
    let mut path = format!("pauses/{}?by={}", segment(&scope.to_string()).replace("%2F", "/"), segment(&by));
    if let Some(stood) = stood.filter(|_| removed) {
        path.push_str(&format!("&file={}", segment(&inert(&stood.words, 200))));
    }
    let file_only = |words: &str| match json {
        true => show::json(&json!({"scope": "all", "file": state.join(journal::PAUSE_FILE), "removed": true})),
        false => show::text(words),
    };
    match client.delete(&path).await {
        Ok(said) if json => show::json(&said),
        Ok(_) => show::text(&format!("resumed {scope}, says {by}")),
        Err(Failure::Unreachable { .. }) if removed => {
            file_only("removed the pause file; no daemon answers, and pauses that it keeps in its journal stay until it runs")
        }
        Err(failure) if removed => {
            show::complain("the pause file was removed all the same: what it stopped goes on");
            Err(failure)
        }
        Err(Failure::Unreachable { why, mend }) => {
            let file = if *scope == Scope::All {
                ", and there is no pause file to remove"
            } else {
                ", and a pause of it stands in the daemon's journal"
            };
            Err(Failure::Unreachable { why: format!("{why}{file}"), mend })
        }
        Err(failure) => Err(failure),
    }
}
