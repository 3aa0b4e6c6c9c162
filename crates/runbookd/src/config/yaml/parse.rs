//! From the events of the YAML parser to the tree. Why events and not a ready-made tree: they carry byte places for every
//! key and value. Bounded on the way: depth, and the number of nodes counted as often as aliases repeat them, so an alias
//! bomb is refused when it is lit and never unfolded.

use std::collections::{BTreeMap, HashSet};

use granit_parser::{Event, Options, Parser, ScalarStyle, Span};

use super::document::{Bytes, Document, Key, Kind, Node, NodeId};

/// Deeper than this is no configuration.
const DEEPEST: usize = 32;
/// More nodes than this, aliases counted as often as they are used, is no configuration.
const MOST_NODES: u64 = 50_000;

/// Something that is still open.
struct Open {
    at: Bytes,
    anchor: usize,
    weight: u64,
    depth: usize,
    inside: Inside,
}

enum Inside {
    List(Vec<NodeId>),
    Map { entries: Vec<(Key, NodeId)>, seen: HashSet<String>, key: Awaited },
}

/// What a map waits for.
enum Awaited {
    Key,
    ValueOf(Key),
    /// The value of a key that was complained about.
    Ignored,
}

struct Builder<'d> {
    document: &'d mut Document,
    open: Vec<Open>,
    anchors: BTreeMap<usize, (NodeId, u64, usize)>,
    /// Weight and height of every finished node, by its number.
    sizes: Vec<(u64, usize)>,
    root: Option<NodeId>,
    documents: usize,
}

/// Fills the document, or its list of complaints.
pub(super) fn parse(document: &mut Document, text: &str) {
    // Our own bound on depth comes first, with a better sentence; these hold the scanner's own stacks.
    let options = granit_parser::options! { emit_comments: false, flow_nesting_limit: 64, block_nesting_limit: 64 };
    let options: Options = options;
    let mut builder =
        Builder { document, open: Vec::new(), anchors: BTreeMap::new(), sizes: Vec::new(), root: None, documents: 0 };
    for next in Parser::new_from_str_with_options(text, options) {
        match next {
            Ok((event, span)) => {
                if builder.take(event, &span).is_none() {
                    return;
                }
            }
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(0);
                builder.document.complain(
                    at..at + 1,
                    format!("this is not YAML: {}", error.info()),
                    "mend the syntax here or just before; nothing else of this file was looked at",
                );
                return;
            }
        }
    }
    let root = match builder.root {
        Some(root) => root,
        None => builder.push(0..0, Kind::Null, 1, 0),
    };
    builder.document.root = Some(root);
}

impl Builder<'_> {
    /// Takes one event; none when the document is refused as a whole.
    fn take(&mut self, event: Event<'_>, span: &Span) -> Option<()> {
        let at = span.byte_range().unwrap_or(0..0);
        if let Some(tag) = event.tag() {
            let tag = tag.original();
            self.document.complain(at.clone(), format!("the tag `{tag}` means nothing here"), "remove it; a text goes in quotes");
        }
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.document.complain(
                        at,
                        "a second document begins here",
                        "one file holds one document; remove the line `---`",
                    );
                    return None;
                }
            }
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let kind = match plain && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL") {
                    true => Kind::Null,
                    false => Kind::Scalar { text: text.into_owned(), plain },
                };
                let node = self.push(at, kind, 1, 0);
                self.finished(node, anchor)?;
            }
            Event::SequenceStart(_, anchor, _) => self.begin(at, anchor, Inside::List(Vec::new()))?,
            Event::MappingStart(_, anchor, _) => {
                let inside = Inside::Map { entries: Vec::new(), seen: HashSet::new(), key: Awaited::Key };
                self.begin(at, anchor, inside)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(at)?,
            Event::Alias(id) => match self.anchors.get(&id).copied() {
                Some((node, ..)) => self.finished(node, 0)?,
                None => {
                    self.document.complain(at, "this alias stands inside of what it repeats", "write out what is meant");
                    return None;
                }
            },
            _ => {}
        }
        Some(())
    }

    fn begin(&mut self, at: Bytes, anchor: usize, inside: Inside) -> Option<()> {
        if self.open.len() >= DEEPEST {
            self.document.complain(
                at,
                format!("this is nested more than {DEEPEST} deep"),
                "no setting is; remove some of the brackets",
            );
            return None;
        }
        self.open.push(Open { at, anchor, weight: 1, depth: 0, inside });
        Some(())
    }

    fn end(&mut self, end: Bytes) -> Option<()> {
        let open = self.open.pop()?;
        let (at, kind) = match open.inside {
            Inside::List(items) => (open.at.start..open.at.end.max(open.at.start + 1), Kind::List(items)),
            Inside::Map { entries, .. } => {
                // What is missing in a map is best shown at its first key.
                let at = entries.first().map_or(open.at.start..end.end.max(open.at.start), |(key, _)| key.at.clone());
                (at, Kind::Map(entries))
            }
        };
        let node = self.push(at, kind, open.weight, open.depth + 1);
        self.finished(node, open.anchor)
    }

    fn push(&mut self, at: Bytes, kind: Kind, weight: u64, depth: usize) -> NodeId {
        let node = NodeId(u32::try_from(self.document.nodes.len()).unwrap_or(u32::MAX));
        self.document.nodes.push(Node { at, kind });
        self.sizes.push((weight, depth));
        node
    }

    /// Puts a finished node where it belongs.
    fn finished(&mut self, node: NodeId, anchor: usize) -> Option<()> {
        let (weight, depth) = self.sizes.get(node.0 as usize).copied().unwrap_or((1, 0));
        if anchor != 0 {
            self.anchors.insert(anchor, (node, weight, depth));
        }
        let at = self.document.at(node);
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        open.weight = open.weight.saturating_add(weight);
        open.depth = open.depth.max(depth);
        if open.weight > MOST_NODES || open.depth > DEEPEST {
            let message = format!("this file holds more than {MOST_NODES} values, or aliases nested more than {DEEPEST} deep");
            self.document.complain(at, message, "an alias counts as often as it is used; write less, or write it out");
            return None;
        }
        match &mut open.inside {
            Inside::List(items) => items.push(node),
            Inside::Map { entries, seen, key } => match std::mem::replace(key, Awaited::Key) {
                Awaited::ValueOf(name) => entries.push((name, node)),
                Awaited::Ignored => {}
                Awaited::Key => {
                    let text = match self.document.kind(node) {
                        Kind::Scalar { text, .. } => Some(text.clone()),
                        Kind::Null => Some("null".to_owned()),
                        _ => None,
                    };
                    *key = match text {
                        Some(text) if seen.insert(text.clone()) => Awaited::ValueOf(Key { text, at }),
                        Some(text) => {
                            let message = format!("the key `{text}` is here a second time");
                            self.document.complain(at, message, "keep one of the two; which one would have counted is a guess");
                            Awaited::Ignored
                        }
                        None => {
                            self.document.complain(at, "a list or a map cannot be a key", "write a plain word before the colon");
                            Awaited::Ignored
                        }
                    };
                }
            },
        }
        Some(())
    }
}
