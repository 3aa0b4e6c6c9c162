//! `docker.exec`: a command that the target allows, inside a replica. The arguments are those of the inventory of now; there is no
//! shell, no terminal, and no more rights than the container's own user has.
//!
//! An Engine cannot end such a command from outside: one that is not over in time goes on, and that is said. The end of what it
//! printed is told, made safe to show. Deliberately no search for secrets in it: which commands may run is the operator's word,
//! and one that prints secrets does not belong among them.

use std::time::Duration;

use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures_util::StreamExt;
use runbook::action::Exec;
use runbook::incident::Reply;
use runbook::text::{humanize_duration, inert};
use tokio::time::Instant;

use super::hand::Hand;
use super::reply::Trouble;

/// How many bytes of the output are kept while it runs: the last ones.
const KEPT: usize = 4096;

/// How many characters of them are told; a reply is for people who read on a telephone.
const TOLD: usize = 350;

/// Runs the command of the order in its container.
pub(super) async fn exec(hand: &Hand<'_>, exec: &Exec) -> Result<String, Reply> {
    let run = &exec.run;
    let Some(arguments) = hand.scope.commands.get(run).filter(|arguments| !arguments.is_empty()) else {
        return Err(hand.no(format!("{} allows no command `{run}`", hand.target.id)));
    };
    let seen = hand.ordered().await?;
    let name = seen.name();
    if !seen.container.runs() {
        return Err(hand.no(format!("{name} does not run; nothing was done")));
    }
    let within = exec.within.duration();
    hand.in_time_for(within)?;
    let config = ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(false),
        privileged: Some(false),
        cmd: Some(arguments.clone()),
        ..ExecConfig::default()
    };
    // Made, it does nothing yet.
    let made = hand.look(hand.docker.create_exec(&seen.container.id, config)).await;
    let made = made.map_err(|trouble| hand.ended(&format!("preparing `{run}` in {name}"), trouble))?;
    let until = (Instant::now() + within).min(hand.until());
    let output = hand.change_until(until, output(hand, &made.id)).await;
    let output = output.map_err(|trouble| hand.ended(&told(run, &name, within, &trouble), trouble))?;
    let ended = hand.look(hand.docker.inspect_exec(&made.id)).await;
    let ended = ended.map_err(|trouble| hand.ended(&format!("`{run}` ran in {name}, how it ended is not known"), trouble))?;
    match ended.exit_code {
        Some(0) => Ok(format!("`{run}` ended well in {name}: {}", output.told())),
        Some(code) => Err(Reply::Failed(format!("`{run}` ended with {code} in {name}: {}", output.told()))),
        None => Err(Reply::NoAnswer(format!("`{run}` was run in {name}, and the Engine did not say how it ended"))),
    }
}

fn told(run: &str, name: &str, within: Duration, trouble: &Trouble) -> String {
    if trouble.never_sent() {
        format!("`{run}` was not run in {name}")
    } else {
        format!("`{run}` in {name} was not over within {} and may go on", humanize_duration(within))
    }
}

/// The end of what a command printed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Output {
    end: Vec<u8>,
    cut: bool,
}

impl Output {
    fn take(&mut self, more: &[u8]) {
        self.end.extend_from_slice(more);
        let over = self.end.len().saturating_sub(KEPT);
        if over > 0 {
            self.end.drain(..over);
            self.cut = true;
        }
    }

    fn told(&self) -> String {
        let text = String::from_utf8_lossy(&self.end);
        let text = text.trim();
        if text.is_empty() {
            return "it printed nothing".to_owned();
        }
        let longer = text.chars().count().saturating_sub(TOLD);
        let end: String = text.chars().skip(longer).collect();
        let begin = if self.cut || longer > 0 { "…" } else { "" };
        // What steers a terminal is written longer than it is.
        format!("{begin}{}", inert(&end, TOLD * 2))
    }
}

async fn output(hand: &Hand<'_>, id: &str) -> Result<Output, bollard::errors::Error> {
    let mut printed = Output::default();
    let options = StartExecOptions { detach: false, tty: false, output_capacity: None };
    if let StartExecResults::Attached { mut output, .. } = hand.docker.start_exec(id, Some(options)).await? {
        while let Some(piece) = output.next().await {
            printed.take(&piece?.into_bytes());
        }
    }
    Ok(printed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_output_the_end_is_kept_and_nothing_in_it_steers_a_terminal() {
        let mut output = Output::default();
        assert_eq!(output.told(), "it printed nothing");
        output.take(b"first\n");
        assert_eq!(output.told(), "first");
        for _ in 0..2000 {
            output.take(b"0123456789");
        }
        output.take(b"\x1b[2Jlast");
        let told = output.told();
        assert!(told.starts_with('…') && told.ends_with("last") && !told.contains('\u{1b}'), "{told}");
        assert!(told.chars().count() < 400 && output.end.len() == KEPT);
    }
}
