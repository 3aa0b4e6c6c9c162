//! All runbooks by name, and beside them which of them each alert's name leads to. Why a type of its own: nearly every runbook names
//! its alerts, and without that every alert would be compared with every runbook. Deliberately changed only through
//! [`Runbooks::edit`], after which the names are gathered anew: a runbook that is not among them would not hear of its alerts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::alert::{ALERTNAME, Labels};
use crate::book::Runbook;

/// All runbooks by name.
#[derive(Clone, Debug, Default)]
pub struct Runbooks {
    by_name: BTreeMap<String, Runbook>,
    /// The names of those that are for no other alerts than these; an alert without a name has the empty one.
    by_alert: BTreeMap<String, Vec<String>>,
    /// The names of those of which that cannot be said.
    others: Vec<String>,
}

impl Runbooks {
    /// Those whose matchers all hold for these labels, in no order.
    pub fn matching(&self, labels: &Labels) -> Vec<&Runbook> {
        let named = self.by_alert.get(labels.get(ALERTNAME).map_or("", String::as_str));
        let may_match = named.into_iter().flatten().chain(&self.others).filter_map(|name| self.by_name.get(name));
        may_match.filter(|runbook| runbook.matches.as_ref().is_some_and(|matchers| matchers.matches(labels))).collect()
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
        let (mut by_alert, mut others) = (BTreeMap::<String, Vec<String>>::new(), Vec::new());
        for (name, runbook) in &by_name {
            let Some(matchers) = &runbook.matches else { continue };
            match matchers.values_of(ALERTNAME) {
                Some(alerts) => alerts.into_iter().collect::<BTreeSet<_>>().into_iter().for_each(|alert| {
                    by_alert.entry(alert.to_owned()).or_default().push(name.clone());
                }),
                None => others.push(name.clone()),
            }
        }
        Self { by_name, by_alert, others }
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

// The rest follows from the runbooks.
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
