//! YAML with places. Why not straight from text to types: a reader that stops at its first slip hides the second one, and
//! `check` promises every error at once. So a file becomes a tree whose nodes know their bytes, and the written forms read
//! themselves from the tree: an unknown key or a wrong value is put on the document's list and reading goes on.
//! Deliberately small: no tags, one document, decimal numbers, `true` and `false` only, no interpolation of anything.

mod access;
mod document;
mod parse;
mod placed;
mod reader;
mod unread;

pub use document::{Bytes, Document, Kind, NodeId};
pub use placed::{Entries, Placed, Raw};
pub use reader::Reader;
