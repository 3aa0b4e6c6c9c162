//! What is wrong with a configuration, where, and how to mend it. Why one type for all of it: the command line, the
//! reload endpoint and the tests show the same list. Deliberately no colour and no source text here; `render` adds them,
//! and the machine-readable form never quotes the file, because a secret may stand in it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, and probably does not do what was meant.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Complaint {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as it was named to us.
    pub file: String,
    /// Line, from 1; 0 where the complaint is about the whole file.
    pub line: usize,
    /// Column in characters, from 1; 0 where the complaint is about the whole file.
    pub column: usize,
    /// The bytes of the file that are meant.
    pub span: Range<usize>,
    /// What is wrong, without a full stop.
    pub message: String,
    /// How to mend it, without a full stop; empty where the message says it all.
    pub mend: String,
    /// The place holds what may be a secret, so its text is never shown.
    #[serde(skip)]
    pub(super) hidden: bool,
}

impl Complaint {
    /// A complaint about a whole file or folder.
    pub fn of_file(severity: Severity, file: &str, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            severity,
            file: file.to_owned(),
            line: 0,
            column: 0,
            span: 0..0,
            message: message.into(),
            mend: mend.into(),
            hidden: true,
        }
    }

    /// `file:line:column`, or the file alone.
    pub fn place(&self) -> String {
        match self.line {
            0 => self.file.clone(),
            line => format!("{}:{line}:{}", self.file, self.column),
        }
    }
}

impl fmt::Display for Complaint {
    /// One line, without source text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |text: &str| runbook::text::inert(text, 1000);
        write!(f, "{}: {}: {}", plain(&self.place()), self.severity.word(), plain(&self.message))?;
        if !self.mend.is_empty() {
            write!(f, "; {}", plain(&self.mend))?;
        }
        Ok(())
    }
}

/// All complaints about one configuration, in the order of files and lines, with the texts they point into.
#[derive(Clone, Default)]
pub struct Complaints {
    list: Vec<Complaint>,
    pub(super) sources: BTreeMap<String, String>,
}

impl Complaints {
    /// Adds one.
    pub fn push(&mut self, complaint: Complaint) {
        self.list.push(complaint);
    }

    /// Adds those of one file, with its text for showing.
    pub fn add_file(&mut self, name: &str, text: &str, complaints: Vec<Complaint>) {
        if !complaints.is_empty() {
            self.sources.insert(name.to_owned(), text.to_owned());
        }
        self.list.extend(complaints);
    }

    /// Adds all of another list.
    pub fn extend(&mut self, other: Complaints) {
        self.list.extend(other.list);
        self.sources.extend(other.sources);
    }

    /// Puts them in the order of files and lines; `check` shows them so.
    pub fn sort(&mut self) {
        self.list.sort_by(|a, b| (&a.file, a.span.start, a.severity).cmp(&(&b.file, b.span.start, b.severity)));
        self.list.dedup();
    }

    /// Whether nothing at all was said.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// How many of this severity there are.
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|complaint| complaint.severity == severity).count()
    }

    /// Whether the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Complaint> {
        self.list.iter()
    }

    /// The machine-readable form: an array, every complaint, no source text.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!(self.list)
    }
}

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

// As text and not as a structure: an error that is unwrapped in a test should be readable.
impl fmt::Debug for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Complaints {}
