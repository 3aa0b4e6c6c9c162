//! Text for eyes: makes foreign words safe to print, durations short, and finds the word that was meant.
//!
//! Labels, annotations and replies of systems are written by strangers. Before one of them reaches a terminal, a log or a
//! message, [`inert`] takes away what could steer the reader's screen or reorder the line: control characters, bidirectional
//! controls, and characters that take no space. What was there stays visible, as an escape.
//!
//! It does not escape for a particular medium (HTML, Slack's markup, JSON): that is the medium's own last step.

use std::fmt::Write as _;
use std::time::Duration;

/// Makes `text` safe to show: characters that steer a terminal, reorder a line or cannot be seen become visible escapes
/// (`\n`, `\u{202e}`), and at most `max_chars` characters are written.
///
/// What is left out is counted: `abc… (12 more)` means that 12 characters of the input are not shown. An escape is never cut
/// in half, and the count and the ellipsis come on top of `max_chars`. The work and the result are bounded by the input's
/// length, so a label of a megabyte is fine.
pub fn inert(text: &str, max_chars: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(max_chars.saturating_mul(4)));
    let mut width = 0;
    for (at, character) in text.char_indices() {
        let before = shown.len();
        let needs = if is_steering(character) {
            shown.extend(character.escape_default());
            shown.len() - before
        } else {
            shown.push(character);
            1
        };
        width += needs;
        if width > max_chars {
            shown.truncate(before);
            let left_out = text.get(at..).map_or(0, |rest| rest.chars().count());
            // Writing to a String cannot fail; the result is of no interest.
            let _ = write!(shown, "… ({left_out} more)");
            return shown;
        }
    }
    shown
}

/// True for characters that move the cursor, change the direction or the identity of text, or take no space.
///
/// C0, DEL, C1; the Bidi_Control property (U+061C, U+200E/F, U+202A–202E, U+2066–2069); zero-width and invisible format
/// characters (soft hyphen, joiners, U+2060–206F, U+FEFF, interlinear annotations, tags); line and paragraph separators.
fn is_steering(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A duration as Prometheus writes one: `850ms`, `2.5s`, `1h30m`, `2d4h`.
///
/// Below a minute the milliseconds are kept; from a minute on only whole seconds are, because nobody reads them there.
/// A duration above nothing and below a millisecond is `<1ms`, so that "no time" and "hardly any" stay apart.
pub fn humanize_duration(duration: Duration) -> String {
    let millis = duration.subsec_millis();
    let seconds = duration.as_secs();
    if seconds == 0 {
        return match (duration.is_zero(), millis) {
            (true, _) => "0s".into(),
            (false, 0) => "<1ms".into(),
            (false, millis) => format!("{millis}ms"),
        };
    }
    if seconds < 60 {
        if millis == 0 {
            return format!("{seconds}s");
        }
        let fraction = format!("{millis:03}");
        return format!("{seconds}.{}s", fraction.trim_end_matches('0'));
    }
    let mut written = String::new();
    let mut rest = seconds;
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        if rest >= length {
            let _ = write!(written, "{}{unit}", rest / length);
            rest %= length;
        }
    }
    written
}

/// The candidate that `word` was probably meant to be, for the mend of an error: the nearest by edits (insert, delete,
/// replace, swap two neighbours), ignoring case, and only when it is near enough to be a slip rather than another word.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer than any name that we offer: not a slip, and quadratic work on foreign input is not wanted.
    if word.chars().count() > 64 {
        return None;
    }
    let wanted: Vec<char> = word.to_lowercase().chars().collect();
    let slack = (wanted.len() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(wanted.len()) <= slack)
        .map(|candidate| {
            let found: Vec<char> = candidate.to_lowercase().chars().collect();
            (edits(&wanted, &found), candidate)
        })
        .filter(|(distance, _)| *distance <= slack)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edit distance with swaps of neighbours (optimal string alignment), three rows at a time.
fn edits(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = Vec::with_capacity(right.len() + 1);
        row.push(i + 1);
        for (j, b) in right.iter().enumerate() {
            let mut best = (above[j + 1] + 1).min(row[j] + 1).min(above[j] + usize::from(a != b));
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_steers_is_escaped_and_the_rest_is_untouched() {
        let table = [
            ("plain words, ünïcödé, 日本, 🙂", "plain words, ünïcödé, 日本, 🙂"),
            ("two\nlines\tand\r", r"two\nlines\tand\r"),
            ("\u{1b}[31mred\u{7}\0", r"\u{1b}[31mred\u{7}\u{0}"),
            ("\u{9b}2J\u{7f}", r"\u{9b}2J\u{7f}"),
            ("evil\u{202e}gpj.exe", r"evil\u{202e}gpj.exe"),
            ("\u{2066}a\u{2069}\u{200e}\u{200f}\u{61c}", r"\u{2066}a\u{2069}\u{200e}\u{200f}\u{61c}"),
            ("a\u{200b}b\u{200d}c\u{feff}\u{2060}", r"a\u{200b}b\u{200d}c\u{feff}\u{2060}"),
            ("a\u{2028}b\u{2029}", r"a\u{2028}b\u{2029}"),
            ("$(reboot); DROP TABLE x; --", "$(reboot); DROP TABLE x; --"),
            (r"a \ stays", r"a \ stays"),
            ("", ""),
        ];
        for (given, wanted) in table {
            assert_eq!(inert(given, 1000), wanted);
        }
    }

    #[test]
    fn what_is_left_out_is_counted_and_no_escape_is_cut() {
        assert_eq!(inert("abcdef", 6), "abcdef");
        assert_eq!(inert("abcdefg", 6), "abcdef… (1 more)");
        assert_eq!(inert("äöüß", 2), "äö… (2 more)");
        assert_eq!(inert("ab\u{202e}cd", 5), "ab… (3 more)");
        assert_eq!(inert("abc", 0), "… (3 more)");
        let megabyte = "x".repeat(1 << 20);
        assert_eq!(inert(&megabyte, 3), format!("xxx… ({} more)", (1 << 20) - 3));
    }

    #[test]
    fn durations_read_like_prometheus() {
        let table = [
            (0, "0s"),
            (1, "1ms"),
            (850, "850ms"),
            (1_000, "1s"),
            (2_500, "2.5s"),
            (2_050, "2.05s"),
            (59_999, "59.999s"),
            (60_000, "1m"),
            (60_500, "1m"),
            (90_000, "1m30s"),
            (3_600_000, "1h"),
            (5_400_000, "1h30m"),
            (3_601_000, "1h1s"),
            (86_400_000, "1d"),
            (187_200_000, "2d4h"),
        ];
        for (millis, wanted) in table {
            assert_eq!(humanize_duration(Duration::from_millis(millis)), wanted);
        }
        assert_eq!(humanize_duration(Duration::from_micros(400)), "<1ms");
        assert!(humanize_duration(Duration::MAX).ends_with('s'));
    }

    #[test]
    fn the_word_that_was_meant_is_found_only_when_near() {
        let known = ["sessions.idle", "sessions.used_ratio", "disk.free"];
        assert_eq!(closest("sessions.idel", known), Some("sessions.idle"));
        assert_eq!(closest("sessions.used_ration", known), Some("sessions.used_ratio"));
        assert_eq!(closest("Disk.Free", known), Some("disk.free"));
        assert_eq!(closest("queue.depth", known), None);
        assert_eq!(closest(&"x".repeat(10_000), known), None);
        assert_eq!(closest("", known), None);
    }

    proptest! {
        #[test]
        fn inert_text_never_steers_and_stays_bounded(text in any::<String>(), max in 0usize..60) {
            let shown = inert(&text, max);
            prop_assert!(!shown.chars().any(is_steering));
            prop_assert!(shown.chars().count() <= max + "… (18446744073709551615 more)".chars().count());
        }
    }
}
