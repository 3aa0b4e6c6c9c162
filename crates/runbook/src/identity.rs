//! Who exactly is meant: identities that a name alone does not give. Why: pids and container names are used again, so an
//! act names `(pid, backend_start)` or `(id, started_at)` and is re-checked right before. Selections of them are never empty.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One concrete thing that an action may touch.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Identity {
    /// A PostgreSQL session. A pid alone is reused.
    Session {
        /// The backend's process id.
        pid: i32,
        /// `backend_start` in microseconds since the epoch, the server's own resolution.
        backend_start: i64,
    },
    /// A container. A restart keeps the id and changes the start.
    Container {
        /// The full id.
        id: String,
        /// `State.StartedAt` as the Engine writes it.
        started_at: String,
    },
    /// A container that does not exist yet: a clone of another, under the very name it will have.
    Clone {
        /// The full id of the container it is a clone of.
        of: String,
        /// Its name. Names are unique on an Engine, so a second one of the same name is refused by it.
        name: String,
        /// Its number within the service, as Compose counts.
        number: u32,
    },
    /// A key of a rehearsal's ledger.
    Rehearsal(String),
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Session { pid, .. } => write!(f, "pid {pid}"),
            Identity::Container { id, .. } => write!(f, "container {}", id.get(..12).unwrap_or(id)),
            Identity::Clone { of, name, .. } => write!(f, "{name}, a clone of container {}", of.get(..12).unwrap_or(of)),
            Identity::Rehearsal(key) => f.write_str(key),
        }
    }
}

/// A set of identities that has at least one: empty means none, never all. Kept in order and without doubles, in one piece of memory: each
/// decision makes one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<Identity>", into = "Vec<Identity>")]
pub struct Selection(Vec<Identity>);

/// There was nothing to select; the caller must do nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("nothing is selected, so nothing may be touched")]
pub struct NothingSelected;

impl Selection {
    /// A selection of these.
    ///
    /// # Errors
    /// [`NothingSelected`] when there are none.
    pub fn of(identities: impl IntoIterator<Item = Identity>) -> Result<Self, NothingSelected> {
        let mut set: Vec<Identity> = identities.into_iter().collect();
        set.sort_unstable();
        set.dedup();
        if set.is_empty() { Err(NothingSelected) } else { Ok(Self(set)) }
    }

    /// What both select. It may shrink, never grow.
    ///
    /// # Errors
    /// [`NothingSelected`] when they have nothing in common.
    pub fn intersect(&self, other: &Selection) -> Result<Self, NothingSelected> {
        Self::of(self.iter().filter(|identity| other.contains(identity)).cloned())
    }

    /// Each identity, in a stable order.
    pub fn iter(&self) -> impl Iterator<Item = &Identity> {
        self.0.iter()
    }

    /// How many; at least one.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether this identity is among them.
    pub fn contains(&self, identity: &Identity) -> bool {
        self.0.binary_search(identity).is_ok()
    }

    /// Whether everything here is also in `other`.
    pub fn is_within(&self, other: &Selection) -> bool {
        self.iter().all(|identity| other.contains(identity))
    }
}

impl TryFrom<Vec<Identity>> for Selection {
    type Error = NothingSelected;
    fn try_from(set: Vec<Identity>) -> Result<Self, NothingSelected> {
        Self::of(set)
    }
}

impl From<Selection> for Vec<Identity> {
    fn from(selection: Selection) -> Self {
        selection.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_means_none_also_from_disk() {
        assert_eq!(Selection::of([]), Err(NothingSelected));
        assert!(serde_json::from_str::<Selection>("[]").is_err());
        let one = Selection::of([Identity::Rehearsal("a".into())]).unwrap();
        let other = Selection::of([Identity::Rehearsal("b".into())]).unwrap();
        assert_eq!(one.intersect(&other), Err(NothingSelected));
    }

    #[test]
    fn what_is_written_twice_or_in_disorder_is_one_set() {
        let of = |keys: &[&str]| Selection::of(keys.iter().map(|key| Identity::Rehearsal((*key).into()))).unwrap();
        let read = serde_json::from_str::<Selection>(r#"[{"Rehearsal":"b"},{"Rehearsal":"a"},{"Rehearsal":"b"}]"#).unwrap();
        assert_eq!(read, of(&["a", "b"]));
        assert_eq!(read.count(), 2);
        let both = read.intersect(&of(&["b", "c"])).unwrap();
        assert_eq!(both, of(&["b"]));
        assert!(both.is_within(&read) && !read.is_within(&both) && !of(&["c"]).is_within(&read));
        assert!(["a", "b"].iter().all(|key| read.contains(&Identity::Rehearsal((*key).into()))));
    }
}
