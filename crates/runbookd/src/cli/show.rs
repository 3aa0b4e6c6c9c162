//! Printing: text where people read, JSON where programs do, progress to standard error after two seconds. Everything foreign has
//! been made inert before it gets here or is here. Deliberately the only place that prints.

use std::future::Future;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::Context;
use runbook::condition::Value as Seen;
use runbook::finding::Finding;
use runbook::text::inert;
use serde::Serialize;

use super::failure::Failure;
use crate::commands::DryRun;

/// How long something may take before progress is shown.
const PATIENCE: Duration = Duration::from_secs(2);
/// More things of one look than a terminal has lines for.
const MOST_SUBJECTS: usize = 40;
/// More of a piece of evidence than a terminal is for.
const MOST_BYTES: usize = 256 << 10;
/// The longest line of it there.
const LONGEST_LINE: usize = 2_000;

/// Prints text; a reader that has gone away ends the command quietly.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") });
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(anyhow::Error::new(error).context("printing").into()),
        _ => Ok(()),
    }
}

/// Prints what was kept, byte for byte; on a terminal line by line, bounded, and with nothing in it that steers.
pub(super) fn kept(body: &[u8]) -> Result<(), Failure> {
    if !std::io::stdout().is_terminal() {
        let mut out = std::io::stdout().lock();
        return match out.write_all(body).and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(anyhow::Error::new(error).context("printing").into())
            }
            _ => Ok(()),
        };
    }
    text(&tamed(body))
}

/// The beginning of it as lines for a terminal.
fn tamed(body: &[u8]) -> String {
    let shown = body.get(..body.len().min(MOST_BYTES)).unwrap_or_default();
    let mut lines: String = String::from_utf8_lossy(shown).lines().map(|line| inert(line, LONGEST_LINE) + "\n").collect();
    if body.len() > shown.len() {
        lines.push_str(&format!("… {} more bytes; send it to a file for all of it\n", body.len() - shown.len()));
    }
    lines
}

/// Prints JSON.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    text(&serde_json::to_string_pretty(value).context("writing JSON")?)
}

/// Says something to standard error.
pub(super) fn complain(text: &str) {
    // Where even that is closed, nobody is listening.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Waits for something, and shows after two seconds that it is still being waited for.
pub(super) async fn patiently<T>(what: &str, waited_for: impl Future<Output = T>) -> T {
    tokio::pin!(waited_for);
    let terminal = std::io::stderr().is_terminal();
    let mut seconds = PATIENCE.as_secs();
    if let Ok(done) = tokio::time::timeout(PATIENCE, &mut waited_for).await {
        return done;
    }
    loop {
        let line = format!("{what}: {seconds} s");
        // On a terminal one line that changes; in a file a line now and then.
        let _ = match terminal {
            true => write!(std::io::stderr(), "\r{line} "),
            false if seconds == 2 || seconds.is_multiple_of(10) => writeln!(std::io::stderr(), "{line}"),
            false => Ok(()),
        };
        if let Ok(done) = tokio::time::timeout(Duration::from_secs(1), &mut waited_for).await {
            if terminal {
                let _ = write!(std::io::stderr(), "\r\u{1b}[K");
            }
            return done;
        }
        seconds += 1;
    }
}

/// Columns as wide as their widest cell, two blanks between.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|&word| word.to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&head).chain(rows).collect();
    let width = |column: usize| all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for row in all {
        let cells =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count() + 2)));
        text.push_str(cells.collect::<String>().trim_end());
        text.push('\n');
    }
    text
}

/// One look in one line.
pub(super) fn finding_line(finding: &Finding) -> String {
    match (&finding.seen, finding.unknown()) {
        (_, Some(why)) => format!("unknown: {}", inert(why, 200)),
        (runbook::finding::Seen::Known { fields, .. }, None) => {
            let parts: Vec<String> = fields.iter().map(|(name, value)| format!("{name} {}", value_words(value))).collect();
            parts.join(", ")
        }
        (runbook::finding::Seen::Unknown(_), None) => String::new(),
    }
}

/// One look in full.
pub(super) fn finding(finding: &Finding) -> String {
    let mut text = format!("{}  at {}\n", finding.probe, finding.at);
    if let Some(why) = finding.unknown() {
        text.push_str(&format!("  unknown: {}\n", inert(why, 500)));
        return text;
    }
    let table = runbook::finding::fields(&finding.probe);
    for field in table {
        let value = finding.field(field.name);
        let unit = if matches!(value, Seen::Unknown(_)) { "" } else { field.unit };
        text.push_str(&format!(
            "  {:<26} {:<24} {}\n",
            field.name,
            format!("{} {unit}", value_words(&value)).trim_end(),
            field.means
        ));
    }
    let subjects = finding.subjects();
    for subject in subjects.iter().take(MOST_SUBJECTS) {
        text.push_str(&format!("    {}: {}\n", subject.identity, inert(&subject.words, 200)));
    }
    if subjects.len() > MOST_SUBJECTS {
        text.push_str(&format!("    … and {} more (--json has all)\n", subjects.len() - MOST_SUBJECTS));
    }
    text
}

fn value_words(value: &Seen) -> String {
    match value {
        Seen::Number(number) if number.fract() == 0.0 => format!("{number:.0}"),
        Seen::Number(number) => format!("{number:.3}"),
        Seen::Flag(flag) => (if *flag { "yes" } else { "no" }).to_owned(),
        Seen::Text(text) => inert(text, 80),
        Seen::List(members) => members.iter().map(value_words).collect::<Vec<_>>().join(" "),
        Seen::Unknown(why) => format!("unknown ({})", inert(why, 120)),
    }
}

/// A dry run, gate by gate.
pub(super) fn dry_run(dry: &DryRun) -> String {
    let mut text =
        format!("A dry run of {} on {}: nothing was written, nothing was done.\n\nSeen\n", inert(&dry.runbook, 100), dry.target);
    for (name, seen) in &dry.looks {
        text.push_str(&format!("  {}: {}\n", inert(name, 60), finding_line(seen)));
    }
    for rung in &dry.rungs {
        text.push_str(&format!(
            "\n{}\n",
            if rung.remedy.is_empty() { "At the end".to_owned() } else { inert(&rung.remedy, 200) }
        ));
        for gate in &rung.gates {
            text.push_str(&format!(
                "  {:<7} {:<12} {}\n",
                if gate.open { "open" } else { "CLOSED" },
                gate.name,
                inert(&gate.why, 500)
            ));
        }
        text.push_str(&format!("  {}\n", inert(&rung.would, 500)));
        for one in &rung.touched {
            text.push_str(&format!("    {}\n", inert(one, 300)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_steers_no_terminal_and_does_not_flood_it() {
        let said = tamed(b"pid 1\n\x1b[2Jgone\n\xff\n");
        assert!(said.starts_with("pid 1\n") && !said.contains('\u{1b}') && said.lines().count() == 3, "{said:?}");
        let much = tamed(&vec![b'\n'; MOST_BYTES + 7]);
        assert!(much.ends_with("… 7 more bytes; send it to a file for all of it\n"));
    }
}
