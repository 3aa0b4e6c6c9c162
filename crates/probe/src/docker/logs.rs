//! `docker.logs`: lines of the replicas' logs, counted. Why only counted: lines are strangers' text of any size; what was in them
//! is kept by the evidence, redacted. Of each replica the newest lines count, up to a number and a size; when there were more, the
//! field `cut` says so. Deliberately not followed: a look ends.

use std::collections::VecDeque;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::LogsOptionsBuilder;
use connect::Looking;
use futures_util::TryStreamExt;
use regex::Regex;
use runbook::finding::Seen;
use runbook::probe::Logs;
use runbook::target::{Inventory, Target};
use runbook::time::Stamp;

use super::{Replica, Service};
use crate::seen::Fields;

/// So much of the newest lines of each replica is looked at.
const MOST_BYTES: usize = 1024 * 1024;

/// Of a longer line only the beginning is looked at. The Engine itself splits lines at 16 KiB.
const LONGEST_LINE: usize = 64 * 1024;

/// More lines than anybody may ask for.
const MOST_LINES: u32 = 5000;

/// With a terminal, lines come as one stream that the client library gathers up to the next line break, and the Engine splits at
/// 16 KiB: so many lines bound what it can gather.
const MOST_TERMINAL_LINES: u32 = 256;

/// How many replicas' logs are read at the same time: each may be held in memory.
const AT_ONCE: usize = 8;

/// What names an error: a level, a traceback, an exception by its class, an end by force.
const ERRORS: &str = r"(?x)
    (?i:(?-u:\b)(?: error | fatal | critical | emerg(?:ency)? | panic(?:ked)? | exception | traceback | segfault )(?-u:\b))
    | (?i: segmentation\ fault | out\ of\ memory )
    | (?-u:\b) [A-Z] [A-Za-z0-9_]* (?: Error | Exception ) (?-u:\b)";

pub(crate) async fn look(
    looking: &Looking,
    inventory: &Inventory,
    target: &Target,
    logs: &Logs,
    now: Stamp,
    within: Duration,
) -> Result<Seen, String> {
    let compiled = |pattern: &str| Regex::new(pattern).map_err(|error| format!("the pattern is no regular expression: {error}"));
    let pattern = logs.pattern.as_deref().map(compiled).transpose()?;
    let errors = compiled(ERRORS)?;
    let since = now.millis().saturating_sub(i64::try_from(logs.since.duration().as_millis()).unwrap_or(i64::MAX));
    let tail = logs.tail.min(MOST_LINES);
    let service = Service::of(looking, inventory, target, within)?;
    let replicas = service.replicas().await?;
    let most = |replica: &Replica| {
        let terminal = replica.inspected.config.as_ref().and_then(|config| config.tty) == Some(true);
        if terminal { tail.min(MOST_TERMINAL_LINES) as usize } else { tail as usize }
    };
    let read = service
        .about_each(&replicas, AT_ONCE, |replica| read(&service.docker, &replica.container.id, most(replica), since, MOST_BYTES));
    let (mut lines, mut matching, mut named, mut cut) = (0, 0, 0, false);
    for (_, tail) in read.await? {
        cut |= tail.cut;
        for line in &tail.lines {
            let line = String::from_utf8_lossy(line);
            lines += 1;
            matching += usize::from(pattern.as_ref().is_some_and(|pattern| pattern.is_match(&line)));
            named += usize::from(errors.is_match(&line));
        }
    }
    let mut fields = Fields::new();
    fields.number("lines", lines as f64).number("errors", named as f64).flag("cut", cut);
    match pattern {
        Some(_) => fields.number("matching", matching as f64),
        None => fields.unknown(&["matching"], "the look has no pattern"),
    };
    Ok(fields.seen())
}

/// The newest lines of a log, without their line breaks.
pub(super) struct Tail {
    pub(super) lines: VecDeque<Vec<u8>>,
    /// There were more.
    pub(super) cut: bool,
}

/// At most so many of the newest lines after a time (milliseconds since the epoch), in at most so many bytes.
pub(super) async fn read(docker: &Docker, id: &str, most: usize, since: i64, bytes: usize) -> Result<Tail, Error> {
    // One more than is wanted tells whether there were more.
    let options = LogsOptionsBuilder::default()
        .stdout(true)
        .stderr(true)
        .since(i32::try_from(since.max(0) / 1000).unwrap_or(i32::MAX))
        .tail(&most.saturating_add(1).to_string())
        .build();
    let mut stream = std::pin::pin!(docker.logs(id, Some(options)));
    let mut kept = Keeping::new(most, bytes);
    while let Some(part) = stream.try_next().await? {
        kept.take(&part);
    }
    Ok(kept.end())
}

/// Puts parts of the two streams together to lines, and lets go of the oldest.
struct Keeping {
    most: usize,
    bytes: usize,
    held: usize,
    tail: Tail,
    begun: [Vec<u8>; 2],
}

impl Keeping {
    fn new(most: usize, bytes: usize) -> Self {
        Self { most, bytes, held: 0, tail: Tail { lines: VecDeque::new(), cut: false }, begun: [Vec::new(), Vec::new()] }
    }

    fn take(&mut self, part: &LogOutput) {
        let stream = usize::from(matches!(part, LogOutput::StdErr { .. }));
        for piece in part.as_ref().split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let Some(begun) = self.begun.get_mut(stream) else { return };
            let room = LONGEST_LINE.saturating_sub(begun.len());
            begun.extend_from_slice(text.get(..room).unwrap_or(text));
            if ends {
                let line = std::mem::take(begun);
                self.keep(line);
            }
        }
    }

    fn keep(&mut self, mut line: Vec<u8>) {
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        self.held += line.len() + 1;
        self.tail.lines.push_back(line);
        while self.tail.lines.len() > self.most || self.held > self.bytes {
            let Some(oldest) = self.tail.lines.pop_front() else { break };
            self.held -= oldest.len() + 1;
            self.tail.cut = true;
        }
    }

    fn end(mut self) -> Tail {
        for begun in std::mem::take(&mut self.begun) {
            if !begun.is_empty() {
                self.keep(begun);
            }
        }
        self.tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(stream: usize, text: &str) -> LogOutput {
        let message = text.as_bytes().to_vec().into();
        if stream == 0 { LogOutput::StdOut { message } } else { LogOutput::StdErr { message } }
    }

    fn kept(most: usize, bytes: usize, parts: &[LogOutput]) -> (Vec<String>, bool) {
        let mut keeping = Keeping::new(most, bytes);
        parts.iter().for_each(|part| keeping.take(part));
        let tail = keeping.end();
        (tail.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect(), tail.cut)
    }

    #[test]
    fn parts_of_both_streams_become_lines() {
        let parts = [part(0, "one\nt"), part(1, "other\n"), part(0, "wo\r\n"), part(0, "no end")];
        assert_eq!(kept(10, 1000, &parts), (["one", "other", "two", "no end"].map(str::to_owned).to_vec(), false));
        assert_eq!(kept(10, 1000, &[]), (vec![], false));
    }

    #[test]
    fn the_newest_lines_stay_and_the_rest_is_said_to_be_cut() {
        let parts: Vec<_> = (0..100).map(|i| part(0, &format!("line {i:03}\n"))).collect();
        let (lines, cut) = kept(3, 1000, &parts);
        assert_eq!((lines, cut), (["line 097", "line 098", "line 099"].map(str::to_owned).to_vec(), true));
        let (lines, cut) = kept(1000, 20, &parts);
        assert_eq!((lines, cut), (["line 098", "line 099"].map(str::to_owned).to_vec(), true));
        let (lines, cut) = kept(100, 1000, &parts);
        assert_eq!((lines.len(), cut), (100, false));
        // A line that never ends is not gathered without bound.
        let endless: Vec<_> = (0..100).map(|_| part(1, &"x".repeat(16 * 1024))).collect();
        let (lines, _) = kept(10, MOST_BYTES, &endless);
        assert_eq!(lines.iter().map(String::len).sum::<usize>(), LONGEST_LINE);
    }

    #[test]
    fn errors_are_known_by_their_words() {
        let errors = Regex::new(ERRORS).unwrap();
        let named = [
            "ERROR: relation does not exist",
            "[2026-11-25 16:00:00,000: CRITICAL/MainProcess] Unrecoverable error",
            "Traceback (most recent call last):",
            "ValueError: no such thing",
            "java.lang.NullPointerException at x",
            "thread 'main' panicked at src/main.rs",
            "kernel: Out of memory: Killed process 7",
            "level=fatal msg=\"cannot start\"",
        ];
        let well = ["0 errors, all is well", "GET /error_pages/1 200", "mirrored", "no terror here", "INFO Terrorist", ""];
        for line in named {
            assert!(errors.is_match(line), "{line}");
        }
        for line in well {
            assert!(!errors.is_match(line), "{line}");
        }
    }
}
