//! Lists, maps, keys and choices as serde walks them, for [`super::Reader`]. Apart from the reader because they are only
//! ways of getting from one node to the next. They complain about nothing but keys.

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::document::{Bytes, Document, Key, NodeId};
use super::placed::PLACED;
use super::reader::Reader;
use super::unread::{Unread, refuse};

pub(super) struct Items<'d> {
    pub(super) reader: Reader<'d>,
    pub(super) items: std::slice::Iter<'d, NodeId>,
}

impl<'d> SeqAccess<'d> for Items<'d> {
    type Error = Unread;
    fn next_element_seed<T: DeserializeSeed<'d>>(&mut self, seed: T) -> Result<Option<T::Value>, Unread> {
        self.items.next().map(|node| self.reader.below(*node).value(seed)).transpose()
    }
}

pub(super) struct Pairs<'d> {
    reader: Reader<'d>,
    entries: std::vec::IntoIter<&'d (Key, NodeId)>,
    value: Option<NodeId>,
}

impl<'d> Pairs<'d> {
    pub(super) fn new(reader: Reader<'d>, entries: Vec<&'d (Key, NodeId)>) -> Self {
        Self { reader, entries: entries.into_iter(), value: None }
    }
}

impl<'d> MapAccess<'d> for Pairs<'d> {
    type Error = Unread;
    fn next_key_seed<K: DeserializeSeed<'d>>(&mut self, seed: K) -> Result<Option<K::Value>, Unread> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some(*value);
        seed.deserialize(KeyReader { document: self.reader.document(), key }).map(Some)
    }
    fn next_value_seed<V: DeserializeSeed<'d>>(&mut self, seed: V) -> Result<V::Value, Unread> {
        let node = self.value.take().ok_or_else(|| Unread::new("a value was asked for before its key", ""))?;
        self.reader.below(node).value(seed)
    }
}

/// Reads a key, which is a text with a place.
#[derive(Clone, Copy)]
struct KeyReader<'d> {
    document: &'d Document,
    key: &'d Key,
}

impl<'d> Deserializer<'d> for KeyReader<'d> {
    type Error = Unread;
    fn deserialize_any<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unread> {
        visitor.visit_borrowed_str(&self.key.text).map_err(|error| refuse(self.document, self.key.at.clone(), error))
    }
    fn deserialize_option<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, Unread> {
        visitor.visit_some(self)
    }
    fn deserialize_newtype_struct<V: Visitor<'d>>(self, name: &'static str, visitor: V) -> Result<V::Value, Unread> {
        match name {
            PLACED => visitor.visit_seq(Parts { reader: self, document: self.document, at: self.key.at.clone(), step: 0 }),
            _ => visitor.visit_newtype_struct(self),
        }
    }
    serde::forward_to_deserialize_any! {
        <V: Visitor<'d>>
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct
        map struct enum identifier ignored_any
    }
}

/// Start, end and value, in this order: what a placed value is made from.
pub(super) struct Parts<'d, R> {
    pub(super) reader: R,
    pub(super) document: &'d Document,
    pub(super) at: Bytes,
    pub(super) step: u8,
}

impl<'d, R: Deserializer<'d, Error = Unread> + Copy> SeqAccess<'d> for Parts<'d, R> {
    type Error = Unread;
    fn next_element_seed<T: DeserializeSeed<'d>>(&mut self, seed: T) -> Result<Option<T::Value>, Unread> {
        self.step += 1;
        match self.step {
            1 => seed.deserialize(self.at.start.into_deserializer()).map(Some),
            2 => seed.deserialize(self.at.end.into_deserializer()).map(Some),
            3 => seed.deserialize(self.reader).map(Some).map_err(|error| refuse(self.document, self.at.clone(), error)),
            _ => Ok(None),
        }
    }
}

/// The one thing that a map names, or a word alone.
pub(super) struct Chosen<'d> {
    pub(super) reader: Reader<'d>,
    pub(super) word: &'d str,
    pub(super) content: Option<NodeId>,
}

impl<'d> EnumAccess<'d> for Chosen<'d> {
    type Error = Unread;
    type Variant = Self;
    fn variant_seed<V: DeserializeSeed<'d>>(self, seed: V) -> Result<(V::Value, Self), Unread> {
        let word: de::value::StrDeserializer<'_, Unread> = self.word.into_deserializer();
        Ok((seed.deserialize(word)?, self))
    }
}

impl<'d> VariantAccess<'d> for Chosen<'d> {
    type Error = Unread;
    fn unit_variant(self) -> Result<(), Unread> {
        match self.content {
            None => Ok(()),
            Some(_) => Err(Unread::new(format!("`{}` takes nothing", self.word), "write the word alone")),
        }
    }
    fn newtype_variant_seed<T: DeserializeSeed<'d>>(self, seed: T) -> Result<T::Value, Unread> {
        self.reader.parameters(self.content).value(seed)
    }
    fn tuple_variant<V: Visitor<'d>>(self, _: usize, visitor: V) -> Result<V::Value, Unread> {
        Deserializer::deserialize_seq(self.reader, visitor)
    }
    fn struct_variant<V: Visitor<'d>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Unread> {
        Deserializer::deserialize_struct(self.reader.parameters(self.content), "", fields, visitor)
    }
}
