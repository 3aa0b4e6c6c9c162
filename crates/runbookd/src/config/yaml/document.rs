//! One file as a tree with places, and the list of what is wrong with it. Why the list lives here: a complaint needs the
//! text to know its line, and every stage of reading adds to the same list. Deliberately knows nothing of runbooks.

use std::cell::RefCell;
use std::ops::Range;

use crate::config::complaint::{Complaint, Severity};
use crate::config::render::may_hold_secret;

/// A stretch of a document's text, in bytes.
pub type Bytes = Range<usize>;

/// A node of a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeId(pub(super) u32);

/// What stands at a node.
#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// Text; a plain one may be meant as a number or as true or false.
    Scalar {
        /// The text after unquoting.
        text: String,
        /// It was written without quotes.
        plain: bool,
    },
    /// A list.
    List(Vec<NodeId>),
    /// A map, in the order written; no key twice.
    Map(Vec<(Key, NodeId)>),
}

/// A key of a map.
#[derive(Clone, PartialEq, Debug)]
pub struct Key {
    /// The key itself.
    pub text: String,
    /// Where it stands.
    pub at: Bytes,
}

pub(super) struct Node {
    pub(super) at: Bytes,
    pub(super) kind: Kind,
}

/// More complaints about one file than this are not kept: nobody reads them, and placing each costs time.
const MOST_COMPLAINTS: usize = 200;

/// One file.
pub struct Document {
    name: String,
    text: String,
    pub(super) nodes: Vec<Node>,
    pub(super) root: Option<NodeId>,
    complaints: RefCell<Vec<Complaint>>,
}

impl Document {
    /// Reads a text. What is not YAML becomes complaints; see [`Document::root`].
    pub fn parse(name: &str, text: &str) -> Document {
        let mut document = Document {
            name: name.to_owned(),
            text: text.to_owned(),
            nodes: Vec::new(),
            root: None,
            complaints: RefCell::new(Vec::new()),
        };
        super::parse::parse(&mut document, text);
        document
    }

    /// The file, as it was named to us.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The whole; nothing where the text is not YAML, which was complained about.
    pub fn root(&self) -> Option<NodeId> {
        self.root
    }

    /// What stands at a node.
    pub fn kind(&self, node: NodeId) -> &Kind {
        self.nodes.get(node.0 as usize).map_or(&Kind::Null, |node| &node.kind)
    }

    /// Where it stands.
    pub fn at(&self, node: NodeId) -> Bytes {
        self.nodes.get(node.0 as usize).map_or(0..0, |node| node.at.clone())
    }

    /// The text of a scalar.
    pub fn scalar(&self, node: NodeId) -> Option<&str> {
        match self.kind(node) {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The value of a key of a map.
    pub fn get(&self, node: NodeId, key: &str) -> Option<NodeId> {
        match self.kind(node) {
            Kind::Map(entries) => entries.iter().find(|(found, _)| found.text == key).map(|(_, value)| *value),
            _ => None,
        }
    }

    /// Where scalars stand that hold this text.
    pub fn scalars_with(&self, part: &str) -> Vec<Bytes> {
        let holds = |node: &&Node| matches!(&node.kind, Kind::Scalar { text, .. } if text.contains(part));
        self.nodes.iter().filter(holds).map(|node| node.at.clone()).collect()
    }

    /// Follows keys and list places, as in `time_intervals[0].times`, as far as they exist.
    pub fn follow(&self, from: NodeId, path: &str) -> NodeId {
        let mut here = from;
        for part in path.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
            let next = match (self.kind(here), part.parse::<usize>()) {
                (Kind::List(items), Ok(index)) => items.get(index).copied(),
                _ => self.get(here, part),
            };
            match next {
                Some(next) => here = next,
                None => return here,
            }
        }
        here
    }

    /// Puts an error on the list.
    pub fn complain(&self, at: Bytes, message: impl Into<String>, mend: impl Into<String>) {
        self.say(Severity::Error, at, message, mend);
    }

    /// Puts something on the list.
    pub fn say(&self, severity: Severity, at: Bytes, message: impl Into<String>, mend: impl Into<String>) {
        self.add(|| self.complaint(severity, at, message, mend));
    }

    /// Puts an error on the list whose text is never shown, because it may be a secret.
    pub fn complain_hidden(&self, at: Bytes, message: impl Into<String>, mend: impl Into<String>) {
        self.add(|| Complaint { hidden: true, ..self.complaint(Severity::Error, at, message, mend) });
    }

    /// A complaint about this document, not yet on its list.
    pub fn complaint(&self, severity: Severity, at: Bytes, message: impl Into<String>, mend: impl Into<String>) -> Complaint {
        let start = floor(&self.text, at.start);
        let end = floor(&self.text, at.end).max(start);
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_text = self.text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default();
        Complaint {
            severity,
            file: self.name.clone(),
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            span: start..end,
            message: message.into(),
            mend: mend.into(),
            hidden: may_hold_secret(line_text),
        }
    }

    /// The complaint is made only where it is kept: finding its line means reading the text up to it.
    fn add(&self, complaint: impl FnOnce() -> Complaint) {
        let mut list = self.complaints.borrow_mut();
        if list.len() < MOST_COMPLAINTS {
            list.push(complaint());
        }
    }

    /// Whether the list is full, so that nobody need think of a mend any more.
    pub fn is_full(&self) -> bool {
        self.complaints.borrow().len() >= MOST_COMPLAINTS
    }

    /// Takes the list.
    pub fn take_complaints(&self) -> Vec<Complaint> {
        self.complaints.take()
    }
}

/// The nearest place at or before this one that is no middle of a character.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
