//! Complaints as people read them: the place, the line with a mark under it, and the mend. Why `annotate-snippets`: it is
//! what rustc draws with. Deliberately shows one line, cuts long ones, makes what could steer a terminal visible, and shows
//! no line on which a secret may stand.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use runbook::text::inert;

use super::complaint::{Complaint, Complaints, Severity};

/// More than this many are counted and not drawn.
const MOST_SHOWN: usize = 100;
/// A line longer than this is not drawn; its place is named.
const LONGEST_LINE: usize = 200;

impl Complaints {
    /// Everything for a person's eyes, with colours or without, ending in a line that counts.
    pub fn render(&self, colours: bool) -> String {
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        let mut drawn = String::new();
        for complaint in self.iter().take(MOST_SHOWN) {
            drawn.push_str(&renderer.render(&[group(complaint, self.sources.get(&complaint.file).map(String::as_str))]));
            drawn.push_str("\n\n");
        }
        if self.len() > MOST_SHOWN {
            drawn.push_str(&format!("… and {} more\n\n", self.len() - MOST_SHOWN));
        }
        drawn.push_str(&self.counted());
        drawn.push('\n');
        drawn
    }

    fn counted(&self) -> String {
        let parts: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
            .into_iter()
            .map(|severity| (self.count(severity), severity.word()))
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}{}", if count == 1 { "" } else { "s" }))
            .collect();
        if parts.is_empty() { "nothing to complain about".to_owned() } else { parts.join(", ") }
    }
}

fn group<'a>(complaint: &Complaint, source: Option<&str>) -> Group<'a> {
    let level = match complaint.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let mut group = Group::with_title(level.primary_title(inert(&complaint.message, 600)));
    let file = inert(&complaint.file, 300);
    group = match source.filter(|_| !complaint.hidden).and_then(|source| Line::of(complaint, source)) {
        Some(line) => group.element(
            Snippet::source(line.text).line_start(complaint.line).path(file).annotation(AnnotationKind::Primary.span(line.mark)),
        ),
        None if complaint.line == 0 => group.element(Origin::path(file)),
        None => group.element(Origin::path(file).line(complaint.line).char_column(complaint.column)),
    };
    match complaint.mend.is_empty() {
        true => group,
        false => group.element(Level::HELP.message(inert(&complaint.mend, 600))),
    }
}

/// The line that a complaint points into, made inert, and the part of it that is meant.
struct Line {
    text: String,
    mark: std::ops::Range<usize>,
}

impl Line {
    fn of(complaint: &Complaint, source: &str) -> Option<Line> {
        let start = source.get(..complaint.span.start)?.rfind('\n').map_or(0, |at| at + 1);
        let end = source.get(start..)?.find('\n').map_or(source.len(), |at| start + at);
        let whole = source.get(start..end)?;
        if whole.chars().count() > LONGEST_LINE || may_hold_secret(whole) {
            return None;
        }
        let to = complaint.span.end.clamp(complaint.span.start, end);
        // A tab would be drawn wider than the mark believes.
        let shown = |text: &str| inert(&text.replace('\t', " ").replace('\r', ""), usize::MAX);
        let before = shown(source.get(start..complaint.span.start)?);
        let meant = shown(source.get(complaint.span.start..to)?);
        let after = shown(source.get(to..end)?);
        let mark = before.len()..(before.len() + meant.len());
        Some(Line { text: before + &meant + &after, mark })
    }
}

/// Words in a key that say that its value should be kept to itself.
const SECRET_WORDS: [&str; 7] = ["password", "passwd", "secret", "token", "credential", "api_key", "ping"];

/// Whether a line of a file may hold a secret in the clear: a telling key with a value right behind it, or a user and
/// password in an address.
pub(super) fn may_hold_secret(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    let telling = |word: &str| {
        lower.match_indices(word).any(|(at, _)| {
            let rest = lower.get(at + word.len()..).unwrap_or_default();
            let Some((key, value)) = rest.split_once(':') else { return false };
            let is_key = key.trim_end().chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '"' | '\''));
            let value = value.trim_start();
            is_key && !key.contains("_file") && !value.is_empty() && !value.starts_with(['{', '[', '#', '}', ','])
        })
    };
    let in_address =
        || lower.split("://").skip(1).any(|rest| rest.split(['/', ' ', '"', '\'']).next().is_some_and(|host| host.contains('@')));
    SECRET_WORDS.into_iter().any(telling) || in_address()
}

#[cfg(test)]
mod tests {
    use super::may_hold_secret;

    #[test]
    fn lines_that_may_hold_a_secret_are_known() {
        for line in [
            "password: hunter2",
            "  look: {user: x, password: hunter2}",
            "token: xoxb-1",
            "url: http://me:pw@host/",
            "\"password\": \"x\"",
            "slack_token: abc",
            "secret : x",
            "watchdog: {every: 2h, ping: \"https://check/hunter2\"}",
        ] {
            assert!(may_hold_secret(line), "{line}");
        }
        for line in [
            "password: {file: secrets/x}",
            "password:",
            "watchdog: {every: 2h, ping: {file: secrets/x}}",
            "target: postgres/main",
            "credentials_file: /x",
            "url: http://host/",
            "# a secret",
        ] {
            assert!(!may_hold_secret(line), "{line}");
        }
    }
}
