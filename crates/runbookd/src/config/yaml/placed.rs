//! Values that know where they stand, and that may be missing or unreadable without taking their neighbours along. Why:
//! one wrong duration must not hide the wrong condition below it. They work with [`super::Reader`] and with no other
//! deserializer, which is on purpose: no other one knows places.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::document::{Bytes, NodeId};

/// The name by which a [`Placed`] tells the reader what it wants.
pub(super) const PLACED: &str = "$runbookd::placed";
/// The name by which a [`Raw`] tells the reader what it wants.
pub(super) const RAW: &str = "$runbookd::raw";

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    at: Option<Bytes>,
    value: Option<T>,
}

impl<T> Placed<T> {
    /// The value; nothing where it is missing, or unreadable and complained about.
    pub fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// Whether the key is not there at all. Nothing was complained about then.
    pub fn is_missing(&self) -> bool {
        self.at.is_none()
    }

    /// Where it stands; the start of the file where it is missing.
    pub fn at(&self) -> Bytes {
        self.at.clone().unwrap_or(0..0)
    }
}

struct PlacedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for PlacedVisitor<T> {
    type Value = Placed<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    // Serde offers a missing field as "none", and only so can it be told from an unreadable one.
    fn visit_none<E>(self) -> Result<Placed<T>, E> {
        Ok(Placed { at: None, value: None })
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Placed<T>, D::Error> {
        deserializer.deserialize_newtype_struct(PLACED, self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Placed<T>, A::Error> {
        let without = || A::Error::custom("values with places are read by the configuration's own reader only");
        let start = parts.next_element::<usize>()?.ok_or_else(without)?;
        let end = parts.next_element::<usize>()?.ok_or_else(without)?;
        // The reader has put the reason on the document's list.
        let value = parts.next_element().ok().flatten();
        Ok(Placed { at: Some(start..end), value })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Placed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(PlacedVisitor(PhantomData))
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for Placed<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

/// A part of the document that is read later, when it is known as what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Raw(pub NodeId);

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawVisitor;
        impl Visitor<'_> for RawVisitor {
            type Value = Raw;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_u32<E>(self, node: u32) -> Result<Raw, E> {
                Ok(Raw(NodeId(node)))
            }
        }
        deserializer.deserialize_newtype_struct(RAW, RawVisitor)
    }
}

/// A map whose keys know their places, in the order written.
#[derive(Clone, Debug)]
pub struct Entries<T>(pub Vec<(Placed<String>, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<T> {
            type Value = Entries<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}
