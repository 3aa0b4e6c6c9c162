//! Looks at a Docker Engine and at Compose services on it. Services are found by the labels that every Compose version sets, never
//! by name: names differ between versions and are used again. Deliberately nothing is changed, and commands inside containers are
//! those of a list closed in code.

pub(crate) mod engine;
pub(crate) mod evidence;
pub(crate) mod inside;
pub(crate) mod logs;
pub(crate) mod service;
pub(crate) mod stats;
pub(crate) mod top;
