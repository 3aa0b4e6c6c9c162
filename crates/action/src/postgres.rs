//! Changes to PostgreSQL, over the held connection for acting. Deliberately nothing that waits for locks.

pub(crate) mod outcome;
pub(crate) mod sessions;
