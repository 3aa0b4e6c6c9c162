//! Serde's deserializer over a document. Why our own: it puts what is wrong on the document's list, at the innermost place,
//! and goes on with the next field. Unknown keys are named here, with the key that was probably meant. It deliberately
//! converts nothing silently: `yes` is no truth value, `0x10` no number, and nothing is no text.

use serde::de::{self, DeserializeSeed, Deserializer, Visitor};

use super::access::{Chosen, Items, Pairs, Parts};
use super::document::{Document, Key, Kind, NodeId};
use super::placed::{PLACED, RAW};
use super::unread::{Unread, meant, refuse};

/// Reads the value at one node.
#[derive(Clone, Copy)]
pub struct Reader<'d> {
    document: &'d Document,
    node: NodeId,
    /// Keys of this map that somebody else reads.
    aside: &'d [&'d str],
    /// Unknown keys are skipped: another program's file.
    lenient: bool,
    /// Nothing stands here, and that is taken for an empty map: a look or an action without parameters.
    nothing: bool,
}

impl<'d> Reader<'d> {
    /// A reader of this node.
    pub fn new(document: &'d Document, node: NodeId) -> Self {
        Self { document, node, aside: &[], lenient: false, nothing: false }
    }

    /// Leaves these keys of the map, or of the parameters of the one thing the map names, to another reader.
    pub fn aside(self, keys: &'d [&'d str]) -> Self {
        Self { aside: keys, ..self }
    }

    /// Skips unknown keys, here and below.
    pub fn lenient(self) -> Self {
        Self { lenient: true, ..self }
    }

    /// Reads, or puts what is wrong on the document's list.
    pub fn read<T: de::Deserialize<'d>>(self) -> Option<T> {
        self.say(T::deserialize(self)).ok()
    }

    /// Reads by a seed; what is wrong is on the list before the error reaches the caller. Types check texts of their own after
    /// the reader has handed them over, so every value is read through here.
    pub(super) fn value<T: DeserializeSeed<'d>>(self, seed: T) -> Result<T::Value, Unread> {
        self.say(seed.deserialize(self))
    }

    pub(super) fn document(&self) -> &'d Document {
        self.document
    }

    /// A reader of the parameters of what this node names: of nothing, where it is a word alone.
    pub(super) fn parameters(self, content: Option<NodeId>) -> Self {
        let node = content.unwrap_or(self.node);
        let nothing = content.is_none() || *self.document.kind(node) == Kind::Null;
        Self { node, nothing, ..self }
    }

    pub(super) fn below(&self, node: NodeId) -> Self {
        Self { document: self.document, node, aside: &[], lenient: self.lenient, nothing: false }
    }

    fn kind(&self) -> &'d Kind {
        self.document.kind(self.node)
    }

    fn say<T>(&self, result: Result<T, Unread>) -> Result<T, Unread> {
        result.map_err(|error| refuse(self.document, self.document.at(self.node), error))
    }

    /// Something else stands here than is wanted.
    fn other_than(&self, wanted: &str) -> Unread {
        if *self.kind() == Kind::Null && self.document.root() == Some(self.node) {
            let mend = "write it into the file, or take one from `config/` of the project";
            return Unread::new(format!("{wanted} is wanted here, and nothing is written in this file"), mend);
        }
        let found = match self.kind() {
            Kind::Null => de::Unexpected::Unit,
            Kind::Scalar { text, .. } => de::Unexpected::Str(text),
            Kind::List(_) => de::Unexpected::Seq,
            Kind::Map(_) => de::Unexpected::Map,
        };
        de::Error::invalid_type(found, &wanted)
    }

    /// A plain scalar as a number.
    fn number<T: std::str::FromStr>(&self, wanted: &str) -> Result<T, Unread> {
        match self.kind() {
            Kind::Scalar { text, plain: true } if text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.')) => {
                text.parse().map_err(|_| Unread::new(format!("{wanted} is wanted here, and `{text}` is none"), "write digits"))
            }
            Kind::Scalar { text, plain: false } if text.parse::<f64>().is_ok() => {
                Err(Unread::new(format!("{wanted} is wanted here, and this is a text in quotes"), "remove the quotes"))
            }
            _ => Err(self.other_than(wanted)),
        }
    }

    fn struct_entries(&self, fields: &[&str]) -> Vec<&'d (Key, NodeId)> {
        let Kind::Map(entries) = self.kind() else { return Vec::new() };
        let known = |(key, _): &&(Key, NodeId)| {
            if fields.contains(&key.text.as_str()) {
                return true;
            }
            if !self.lenient && !self.aside.contains(&key.text.as_str()) && !self.document.is_full() {
                let all: Vec<&str> = fields.iter().chain(self.aside).copied().collect();
                let shown = runbook::text::inert(&key.text, 60);
                self.document.complain(key.at.clone(), format!("`{shown}` is no key that is known here"), meant(&key.text, &all));
            }
            false
        };
        entries.iter().filter(known).collect()
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $wanted:literal)*) => {$(
        fn $method<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unread> {
            self.say(self.number($wanted).and_then(|number| visitor.$visit(number)))
        }
    )*};
}

impl<'d> Deserializer<'d> for Reader<'d> {
    type Error = Unread;

    fn deserialize_any<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.say(match self.kind() {
            Kind::Null => visitor.visit_unit(),
            Kind::Scalar { text, plain } => match (*plain, text.parse::<i64>(), text.as_str()) {
                (true, Ok(number), _) => visitor.visit_i64(number),
                (true, _, "true") => visitor.visit_bool(true),
                (true, _, "false") => visitor.visit_bool(false),
                _ => visitor.visit_borrowed_str(text),
            },
            Kind::List(items) => visitor.visit_seq(Items { reader: self, items: items.iter() }),
            Kind::Map(entries) => visitor.visit_map(Pairs::new(self, entries.iter().collect())),
        })
    }

    fn deserialize_bool<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.say(match self.kind() {
            Kind::Scalar { text, plain: true } if text == "true" => visitor.visit_bool(true),
            Kind::Scalar { text, plain: true } if text == "false" => visitor.visit_bool(false),
            _ => Err(self.other_than("true or false").mended("write true or false")),
        })
    }

    numbers! {
        deserialize_i8 visit_i8 "a whole number"
        deserialize_i16 visit_i16 "a whole number"
        deserialize_i32 visit_i32 "a whole number"
        deserialize_i64 visit_i64 "a whole number"
        deserialize_u8 visit_u8 "a whole number from 0 to 255"
        deserialize_u16 visit_u16 "a whole number from 0 to 65535"
        deserialize_u32 visit_u32 "a whole number of 0 or more"
        deserialize_u64 visit_u64 "a whole number of 0 or more"
        deserialize_f32 visit_f32 "a number"
        deserialize_f64 visit_f64 "a number"
    }

    fn deserialize_char<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.say(match self.kind() {
            Kind::Scalar { text, .. } => visitor.visit_borrowed_str(text),
            _ => Err(self.other_than("a text")),
        })
    }

    fn deserialize_string<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_str(visitor)
    }

    // A key without a value is no way of leaving the key out: what reads the value complains.
    fn deserialize_option<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unread> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_any(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'d>>(self, _: &'static str, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'d>>(self, name: &'static str, visitor: V) -> Result<V::Value, Unread> {
        match name {
            PLACED => {
                visitor.visit_seq(Parts { reader: self, document: self.document, at: self.document.at(self.node), step: 0 })
            }
            RAW => visitor.visit_u32(self.node.0),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.say(match self.kind() {
            Kind::List(items) => visitor.visit_seq(Items { reader: self, items: items.iter() }),
            _ => Err(self.other_than("a list").mended("write [ ] around it, or a dash before each")),
        })
    }

    fn deserialize_tuple<V: Visitor<'d>>(self, _: usize, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'d>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.say(match self.kind() {
            Kind::Map(entries) => visitor.visit_map(Pairs::new(self, entries.iter().collect())),
            _ => Err(self.other_than("a map")),
        })
    }

    fn deserialize_struct<V: Visitor<'d>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unread> {
        self.say(match self.kind() {
            Kind::Map(_) => visitor.visit_map(Pairs::new(self, self.struct_entries(fields))),
            _ if self.nothing => visitor.visit_map(Pairs::new(self, Vec::new())),
            _ => {
                let mend =
                    format!("the keys are {}", fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", "));
                let error = self.other_than("a map").mended(mend);
                // Whoever writes a login as one text writes the password with it.
                Err(if name.ends_with("Login") { error.hidden() } else { error })
            }
        })
    }

    fn deserialize_enum<V: Visitor<'d>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unread> {
        let (word, at, content) = match self.kind() {
            Kind::Scalar { text, .. } => (text.as_str(), self.document.at(self.node), None),
            Kind::Map(entries) => match entries.as_slice() {
                [(key, content)] => (key.text.as_str(), key.at.clone(), Some(*content)),
                [] => return self.say(Err(Unread::new("nothing is named here", meant("", known)))),
                [(first, _), (second, _), ..] => {
                    let mend = format!(
                        "indent what belongs to `{}` below it, or begin a new entry",
                        runbook::text::inert(&first.text, 60)
                    );
                    let error = Unread::new(format!("one thing is wanted here, and there are {} keys", entries.len()), mend);
                    return Err(refuse(self.document, second.at.clone(), error));
                }
            },
            _ => {
                return self.say(Err(self.other_than("one word").mended(meant("", known))));
            }
        };
        if !known.contains(&word) {
            let shown = runbook::text::inert(word, 60);
            return Err(refuse(
                self.document,
                at,
                Unread::new(format!("`{shown}` is none of the words that are known here"), meant(word, known)),
            ));
        }
        self.say(visitor.visit_enum(Chosen { reader: self, word, content }))
    }

    fn deserialize_identifier<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unread> {
        visitor.visit_unit()
    }
}
