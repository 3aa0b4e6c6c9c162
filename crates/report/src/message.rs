//! A Slack message within Slack's limits, whatever is put in. The documented ones: 50 blocks, 3000 characters a text object, 150 in a
//! header. The undocumented one that bites: about 13,000 characters over all blocks; 9,600 with 15,500 of JSON was accepted, 11,300
//! with 17,700 refused (`msg_blocks_too_long`). So a draft has a budget, counts non-ASCII as the six characters that `\uXXXX` takes,
//! and says how much it left out. Deliberately no interactive blocks: approvals are given where `runbookd approve` is allowed.

use serde::{Deserialize, Serialize};

use crate::prose::{Prose, width};

/// The most blocks of one message.
pub const MAX_BLOCKS: usize = 50;
/// The most characters of one text object.
pub const MAX_TEXT: usize = 3000;
/// The most characters of a header.
pub const MAX_HEADER: usize = 150;
/// The most characters over everything in one message.
pub const BUDGET_TEXT: usize = 9_000;
/// The most characters of one message's blocks and text as JSON with everything but ASCII escaped.
pub const BUDGET_JSON: usize = 15_000;

const SECTION: usize = MAX_TEXT - 100;
const LINE: usize = 1_200;
const FALLBACK: usize = 400;
const FOOTER: usize = 300;
/// What one block costs in JSON besides its text.
const FRAME: usize = 90;
/// Kept for the line that says how much was left out.
const TAIL: usize = 220;

/// A text of Slack's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TextObject {
    /// No markup at all.
    PlainText {
        /// The words.
        text: String,
        /// Whether `:name:` becomes a picture; never.
        emoji: bool,
    },
    /// With Slack's markup.
    Mrkdwn {
        /// The words, escaped.
        text: String,
        /// Addresses and names in the words are left alone; always.
        verbatim: bool,
    },
}

/// A block of a message: the few that we use.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    /// A title.
    Header {
        /// Plain, at most 150 characters.
        text: TextObject,
    },
    /// Lines of text.
    Section {
        /// At most 3000 characters.
        text: TextObject,
    },
    /// Small print.
    Context {
        /// At most ten.
        elements: Vec<TextObject>,
    },
}

/// A message: blocks, and the text that stands for them in notifications and screen readers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Message {
    /// Never empty.
    pub text: String,
    /// What is shown.
    pub blocks: Vec<Block>,
}

impl Message {
    /// The same news without blocks, for the case that Slack refuses the blocks.
    pub fn bare(&self) -> Message {
        Message { text: self.text.clone(), blocks: Vec::new() }
    }

    /// A short name for exactly this message, so that a message that did not change is not sent again (FNV-1a, 64 bits).
    pub fn digest(&self) -> String {
        let mut hash: u64 = 14_695_981_039_346_656_037;
        for byte in serde_json::to_vec(self).unwrap_or_default() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211);
        }
        format!("{hash:016x}")
    }
}

/// A message in the making.
pub(crate) struct Draft {
    text: String,
    blocks: Vec<Block>,
    open: String,
    footer: String,
    left_out: usize,
    more: Prose,
    room_text: usize,
    room_json: usize,
}

impl Draft {
    /// A draft with a title, the text that stands for it all, small print, and where the rest is when not all fits.
    pub(crate) fn new(title: Option<&Prose>, fallback: &Prose, footer: &Prose, more: Prose) -> Self {
        let mut text = fallback.mrkdwn(FALLBACK);
        if text.is_empty() {
            text.push('…');
        }
        let footer = footer.mrkdwn(FOOTER);
        let mut draft = Self {
            room_text: BUDGET_TEXT.saturating_sub(width(&text) + width(&footer) + TAIL),
            room_json: BUDGET_JSON.saturating_sub(weight(&text) + weight(&footer) + TAIL + 3 * FRAME),
            text,
            blocks: Vec::new(),
            open: String::new(),
            footer,
            left_out: 0,
            more,
        };
        if let Some(title) = title {
            // Plain text is not parsed; whether entities are read there is not documented, so none of the three is in it.
            let title = title.plain().replace('<', "‹").replace('>', "›").replace('&', "+");
            let title = cut(&title, MAX_HEADER);
            draft.pay(&title, FRAME);
            draft.blocks.push(Block::Header { text: TextObject::PlainText { text: title, emoji: false } });
        }
        draft
    }

    /// A line that begins a section.
    pub(crate) fn heading(&mut self, line: &Prose) {
        self.flush();
        self.line(line);
    }

    /// A line; left out, and counted, when there is no room for it.
    pub(crate) fn line(&mut self, line: &Prose) {
        let line = line.mrkdwn(LINE);
        if line.is_empty() {
            return;
        }
        let opens = self.open.is_empty() || width(&self.open) + 1 + width(&line) > SECTION;
        let frame = if opens { FRAME } else { 2 };
        let fits = width(&line) < self.room_text && weight(&line) + frame < self.room_json;
        // Three blocks are kept for the tail and the footer.
        if !fits || (opens && self.blocks.len() + 4 > MAX_BLOCKS) {
            self.left_out += 1;
            return;
        }
        self.pay(&line, frame);
        if opens {
            self.flush();
        } else {
            self.open.push('\n');
        }
        self.open.push_str(&line);
    }

    /// The message.
    pub(crate) fn finish(mut self) -> Message {
        self.flush();
        if self.left_out > 0 {
            let lines = if self.left_out == 1 { "1 more line".to_owned() } else { format!("{} more lines", self.left_out) };
            let tail = Prose::of("… ").say(lines).say("; all of it: ").join(self.more.clone()).mrkdwn(TAIL - 20);
            self.blocks.push(section(tail));
        }
        if !self.footer.is_empty() {
            let small = TextObject::Mrkdwn { text: std::mem::take(&mut self.footer), verbatim: true };
            self.blocks.push(Block::Context { elements: vec![small] });
        }
        Message { text: self.text, blocks: self.blocks }
    }

    fn flush(&mut self) {
        if !self.open.is_empty() {
            let text = std::mem::take(&mut self.open);
            self.blocks.push(section(text));
        }
    }

    fn pay(&mut self, text: &str, frame: usize) {
        self.room_text = self.room_text.saturating_sub(width(text) + 1);
        self.room_json = self.room_json.saturating_sub(weight(text) + frame);
    }
}

fn section(text: String) -> Block {
    Block::Section { text: TextObject::Mrkdwn { text, verbatim: true } }
}

fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut used = 1;
    let mut shown: String = text
        .chars()
        .take_while(|character| {
            used += character.len_utf16();
            used <= room
        })
        .collect();
    shown.push('…');
    shown
}

/// How long a text is in JSON when everything but ASCII is escaped, which is how Slack's own side may count it.
pub(crate) fn weight(text: &str) -> usize {
    text.chars()
        .map(|character| match character {
            '"' | '\\' | '\n' | '/' => 2,
            ' '..='~' => 1,
            other => 6 * other.len_utf16(),
        })
        .sum()
}
