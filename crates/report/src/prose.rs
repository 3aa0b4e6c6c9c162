//! A line for people, in pieces that know what they are. Why not a string: the same line goes to Slack, to a terminal and into a
//! fallback text, each with an escape of its own, and text that was escaped once cannot be escaped again for another medium.
//! Whatever is put in, also foreign text, can steer nothing: control and bidirectional characters become visible escapes, and in
//! Slack's markup nothing but our own bold, code and links is ever markup. Deliberately no layout: that is `message` and `terminal`.

use runbook::text::inert;

/// The most characters of one plain piece; a reason longer than this is cut, and says so.
const PLAIN: usize = 500;
/// The most characters of one piece of code: a label, a name, a condition, a command.
const CODE: usize = 240;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Bit {
    Plain(String),
    Strong(String),
    Code(String),
    Link { url: String, words: String },
}

/// A line for people.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Prose {
    bits: Vec<Bit>,
}

impl Prose {
    /// An empty line.
    pub fn new() -> Self {
        Self::default()
    }

    /// A line that begins with these words.
    pub fn of(words: impl AsRef<str>) -> Self {
        Self::new().say(words)
    }

    /// Adds words. What stands between backticks in them is taken literally, as [`Prose::code`] does it.
    pub fn say(mut self, words: impl AsRef<str>) -> Self {
        let words = inert(words.as_ref(), PLAIN);
        if !words.matches('`').count().is_multiple_of(2) {
            self.bits.push(Bit::Plain(words));
            return self;
        }
        for (index, part) in words.split('`').enumerate() {
            match index % 2 {
                _ if part.is_empty() => {}
                0 => self.bits.push(Bit::Plain(part.to_owned())),
                _ => self = self.code(part),
            }
        }
        self
    }

    /// Ends the sentence, where it has not ended yet.
    pub fn stop(self) -> Self {
        let ended = match self.bits.last() {
            Some(Bit::Plain(words)) => words.trim_end().ends_with(['.', '!', '?', ':']),
            Some(_) => false,
            None => true,
        };
        if ended { self } else { self.say(".") }
    }

    /// Adds words that should be seen first.
    pub fn strong(mut self, words: impl AsRef<str>) -> Self {
        self.bits.push(Bit::Strong(inert(words.as_ref(), PLAIN)));
        self
    }

    /// Adds something to be taken literally: a name, a label, a condition, a command. Foreign text belongs here, because
    /// nothing inside is markup.
    pub fn code(mut self, literal: impl AsRef<str>) -> Self {
        let literal = inert(literal.as_ref(), CODE);
        // An empty pair of backticks would be two characters of text.
        self.bits.push(if literal.trim().is_empty() { Bit::Plain("(empty)".to_owned()) } else { Bit::Code(literal) });
        self
    }

    /// Adds a link, where the address is one that we vouch for: the caller has compared it with its configuration.
    pub fn link(mut self, url: &str, words: impl AsRef<str>) -> Self {
        let plain = url.starts_with("http://") || url.starts_with("https://");
        let clean = url.len() <= 2000 && url.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>|\"`".contains(&byte));
        let words = inert(words.as_ref(), CODE);
        self.bits.push(if plain && clean { Bit::Link { url: url.to_owned(), words } } else { Bit::Plain(words) });
        self
    }

    /// Adds another line's pieces.
    pub fn join(mut self, other: Prose) -> Self {
        self.bits.extend(other.bits);
        self
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    /// The same as several lines of at most about `room` characters each, broken between pieces.
    pub(crate) fn broken(self, room: usize) -> Vec<Prose> {
        let mut lines = vec![Prose::new()];
        let mut used = 0;
        for bit in self.bits {
            let needs = match &bit {
                Bit::Plain(words) | Bit::Strong(words) | Bit::Code(words) => width(words),
                Bit::Link { url, words } => width(words) + url.len(),
            };
            if used > 0 && used + needs > room {
                lines.push(Prose::new());
                used = 0;
            }
            used += needs;
            if let Some(line) = lines.last_mut() {
                line.bits.push(bit);
            }
        }
        lines
    }

    /// For a terminal or a file: no markup, nothing that steers.
    pub fn plain(&self) -> String {
        let mut line = String::new();
        for bit in &self.bits {
            match bit {
                Bit::Plain(words) | Bit::Strong(words) | Bit::Code(words) => line.push_str(words),
                Bit::Link { url, words } => {
                    line.push_str(words);
                    line.push_str(" (");
                    line.push_str(url);
                    line.push(')');
                }
            }
        }
        line
    }

    /// In Slack's markup, in at most `room` characters (as UTF-16 counts them, the largest of the counts Slack may use).
    /// What does not fit is cut between characters, never inside an escape, a span or a link.
    pub fn mrkdwn(&self, room: usize) -> String {
        let mut line = String::new();
        let mut left = room;
        for bit in &self.bits {
            let (open, text, close) = match bit {
                Bit::Plain(words) => (String::new(), words, ""),
                Bit::Strong(words) => ("*".to_owned(), words, "*"),
                Bit::Code(words) => ("`".to_owned(), words, "`"),
                Bit::Link { url, words } => (format!("<{}|", url.replace('&', "&amp;")), words, ">"),
            };
            let frame = width(&open) + close.len();
            let (shown, whole) = escape_within(text, left.saturating_sub(frame));
            if !shown.is_empty() {
                line.push_str(&open);
                line.push_str(&shown);
                line.push_str(close);
                left = left.saturating_sub(frame + width(&shown));
            }
            if !whole {
                break;
            }
        }
        line
    }
}

/// How many characters Slack may count: UTF-16 units, which are never fewer than characters.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// One character as it may stand in Slack's markup. `&`, `<` and `>` are the three that Slack names as control characters;
/// without them there is no link, no mention and no broadcast. Backticks, asterisks and tildes would open or close our spans.
fn escaped(character: char) -> (&'static str, char) {
    match character {
        '&' => ("&amp;", ' '),
        '<' => ("&lt;", ' '),
        '>' => ("&gt;", ' '),
        '`' => ("", '\u{2b9}'),
        '*' => ("", '\u{2217}'),
        '~' => ("", '\u{223c}'),
        other => ("", other),
    }
}

// The escaped text in at most `room` units, and whether all of it is there.
fn escape_within(text: &str, room: usize) -> (String, bool) {
    let mut shown = String::with_capacity(text.len());
    let mut used = 0;
    let mut cut_at = 0;
    for character in text.chars() {
        let (entity, plain) = escaped(character);
        let units = if entity.is_empty() { plain.len_utf16() } else { entity.len() };
        if used + units > room {
            shown.truncate(cut_at);
            if room > 0 {
                shown.push('…');
            }
            return (shown, false);
        }
        if entity.is_empty() {
            shown.push(plain);
        } else {
            shown.push_str(entity);
        }
        used += units;
        if used < room {
            // Up to here there is still room for the ellipsis.
            cut_at = shown.len();
        }
    }
    (shown, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_foreign_is_markup() {
        let table = [
            ("<!channel> all", "&lt;!channel&gt; all"),
            ("<https://evil.example|Approve>", "&lt;https://evil.example|Approve&gt;"),
            ("<@U123> & co", "&lt;@U123&gt; &amp; co"),
            ("a `b c", "a ʹb c"),
            ("*bold* ~gone~", "∗bold∗ ∼gone∼"),
            ("line\nbreak \u{202e}evil", "line\\nbreak \\u{202e}evil"),
        ];
        for (given, wanted) in table {
            assert_eq!(Prose::of(given).mrkdwn(1000), wanted);
            assert_eq!(Prose::new().code(given).mrkdwn(1000), format!("`{wanted}`"));
        }
    }

    #[test]
    fn backticks_in_words_are_code_and_sentences_end_once() {
        let line = Prose::of("`a < b` did not hold").stop().say(" Next").stop().stop();
        assert_eq!(line.mrkdwn(100), "`a &lt; b` did not hold. Next.");
        assert_eq!(line.plain(), "a < b did not hold. Next.");
        assert_eq!(Prose::of("a ``` b ` c").mrkdwn(100), "a ` b ` c");
    }

    #[test]
    fn a_link_is_a_link_only_when_its_address_cannot_break_out() {
        let good = Prose::new().link("https://runbookd.example/incidents/42?a=1&b=2", "page");
        assert_eq!(good.mrkdwn(200), "<https://runbookd.example/incidents/42?a=1&amp;b=2|page>");
        assert_eq!(good.plain(), "page (https://runbookd.example/incidents/42?a=1&b=2)");
        for bad in ["javascript:alert(1)", "https://a|b", "https://a>b", "https://a b", "https://ünï.example", ""] {
            assert_eq!(Prose::new().link(bad, "page").mrkdwn(200), "page", "{bad}");
        }
    }

    #[test]
    fn a_cut_never_splits_an_escape_or_a_span() {
        let line = Prose::of("ab").code("c<d>");
        assert_eq!(line.mrkdwn(100), "ab`c&lt;d&gt;`");
        assert_eq!(line.mrkdwn(10), "ab`c&lt;…`");
        assert_eq!(line.mrkdwn(9), "ab`c…`");
        assert_eq!(line.mrkdwn(5), "ab`…`");
        assert_eq!(line.mrkdwn(3), "ab");
        assert_eq!(line.mrkdwn(0), "");
        assert_eq!(Prose::new().code("").mrkdwn(100), "(empty)");
    }

    proptest! {
        #[test]
        fn room_is_kept_and_only_our_markup_is_there(words in any::<String>(), literal in any::<String>(), room in 0usize..300) {
            let line = Prose::of(&words).strong("ours").code(&literal).mrkdwn(room);
            prop_assert!(width(&line) <= room, "{} > {room}", width(&line));
            prop_assert!(!line.contains('<') && !line.contains('>'));
            prop_assert_eq!(line.matches('`').count() % 2, 0);
            prop_assert_eq!(line.matches('*').count() % 2, 0);
            for (at, _) in line.match_indices('&') {
                let rest = &line[at..];
                prop_assert!(["&amp;", "&lt;", "&gt;"].iter().any(|entity| rest.starts_with(entity)));
            }
        }
    }
}
