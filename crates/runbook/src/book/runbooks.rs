//! All runbooks by name, and beside them the marks of each, by which routing passes over most of them. Why a type of its own: every
//! alert is compared with every runbook, and a runbook is large; the marks lie side by side. Deliberately changed only through
//! [`Runbooks::edit`], after which they are made anew: a runbook whose marks are old ones would not hear of its alerts.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::alert::Labels;
use crate::book::Runbook;
use crate::matcher::Marks;

/// All runbooks by name.
#[derive(Clone, Debug, Default)]
pub struct Runbooks {
    by_name: BTreeMap<String, Runbook>,
    /// What each wants, in the same order.
    wants: Vec<Marks>,
}

impl Runbooks {
    /// Those whose matchers all hold for these labels, by name.
    pub fn matching(&self, labels: &Labels) -> Vec<&Runbook> {
        let marks = Marks::of(labels);
        let may_match = self.by_name.values().zip(&self.wants).filter(|(_, wants)| wants.may_hold(marks));
        let matches = |runbook: &&Runbook| {
            runbook.matches.as_ref().is_some_and(|matchers| matchers.may_match(marks) && matchers.matches(labels))
        };
        may_match.map(|(runbook, _)| runbook).filter(matches).collect()
    }

    /// All of them, to be changed until this is dropped.
    pub fn edit(&mut self) -> Edit<'_> {
        Edit(self)
    }
}

/// Runbooks that are being changed.
#[derive(Debug)]
pub struct Edit<'a>(&'a mut Runbooks);

impl Deref for Edit<'_> {
    type Target = BTreeMap<String, Runbook>;
    fn deref(&self) -> &Self::Target {
        &self.0.by_name
    }
}

impl DerefMut for Edit<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0.by_name
    }
}

impl Drop for Edit<'_> {
    fn drop(&mut self) {
        *self.0 = std::mem::take(&mut self.0.by_name).into();
    }
}

impl From<BTreeMap<String, Runbook>> for Runbooks {
    fn from(by_name: BTreeMap<String, Runbook>) -> Self {
        let wants = |runbook: &Runbook| runbook.matches.as_ref().map_or(Marks::NONE, |matchers| matchers.wants());
        Self { wants: by_name.values().map(wants).collect(), by_name }
    }
}

impl FromIterator<(String, Runbook)> for Runbooks {
    fn from_iter<T: IntoIterator<Item = (String, Runbook)>>(all: T) -> Self {
        BTreeMap::from_iter(all).into()
    }
}

impl Deref for Runbooks {
    type Target = BTreeMap<String, Runbook>;
    fn deref(&self) -> &Self::Target {
        &self.by_name
    }
}

// The marks follow from the runbooks.
impl PartialEq for Runbooks {
    fn eq(&self, other: &Self) -> bool {
        self.by_name == other.by_name
    }
}

impl Serialize for Runbooks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.by_name.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Runbooks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self::from)
    }
}
