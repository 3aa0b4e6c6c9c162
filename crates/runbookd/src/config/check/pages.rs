//! The configuration's files once more, for the places of complaints that are made after loading. Why read again and not kept:
//! a daemon holds its configuration for months, and only `check` wants to point into it. The text is the one that was loaded.

use std::collections::BTreeMap;

use crate::config::complaint::{Complaints, Severity};
use crate::config::yaml::Document;
use crate::config::{Complaint, Loaded};

/// The files of a loaded configuration.
pub struct Pages<'a> {
    loaded: &'a Loaded,
    documents: BTreeMap<&'a str, Document>,
}

impl<'a> Pages<'a> {
    /// Reads the texts of a loaded configuration as trees.
    pub fn of(loaded: &'a Loaded) -> Self {
        let documents = loaded.sources.iter().map(|(name, text)| (name.as_str(), Document::parse(name, text))).collect();
        Self { loaded, documents }
    }

    /// Every file, in order of name.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.documents.values()
    }

    /// Says something about a part of a runbook, named as in `remedies[0].steps[1]`; about its head where there is none.
    pub fn say(&self, severity: Severity, runbook: &str, part: &str, message: impl Into<String>, mend: impl Into<String>) {
        let document = self.loaded.places.get(runbook).and_then(|place| self.documents.get(place.file.as_str()));
        let Some((document, root)) = document.and_then(|document| Some((document, document.root()?))) else { return };
        document.say(severity, document.at(document.follow(root, part)), message, mend);
    }

    /// Everything that was said.
    pub fn take(&self) -> Complaints {
        let mut complaints = Complaints::default();
        for document in self.documents.values() {
            let said: Vec<Complaint> = document.take_complaints();
            complaints.add_file(document.name(), document.text(), said);
        }
        complaints
    }
}
