//! Reading the folder: `runbookd.yaml`, `targets.yaml`, `runbooks/*.yaml`. Why bounded and only regular files: a pipe, a
//! device or a log under a wrong name must not hang or fill the daemon. This is the only file here that touches the disk,
//! and it only reads.

use std::io::Read;
use std::path::Path;

use super::complaint::{Complaint, Complaints, Severity};
use super::yaml::Document;

/// A larger file is no configuration.
pub const MOST_BYTES: u64 = 1 << 20;
/// More runbooks than this are refused.
const MOST_RUNBOOKS: usize = 1000;

/// What is wrong where a file is named instead of the folder: one complaint rather than one for each file that is not in it.
pub fn no_folder(dir: &Path) -> Option<Complaint> {
    if !dir.is_file() {
        return None;
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let message = "this is a file, and the configuration is a folder";
    let mend = format!("name the folder that holds `runbookd.yaml` and `targets.yaml`, perhaps {}", parent.display());
    Some(Complaint::of_file(Severity::Error, &dir.display().to_string(), message, mend))
}

/// Reads one file; complains and gives none where it cannot be.
pub fn read(complaints: &mut Complaints, path: &Path, name: &str) -> Option<Document> {
    match text(path) {
        Ok(text) => Some(Document::parse(name, &text)),
        Err((message, mend)) => {
            complaints.push(Complaint::of_file(Severity::Error, name, message, mend));
            None
        }
    }
}

fn text(path: &Path) -> Result<String, (String, String)> {
    let unreadable = |error: std::io::Error| {
        let mend = match error.kind() {
            std::io::ErrorKind::NotFound => "create it; `config/` of the project has a working example",
            std::io::ErrorKind::PermissionDenied => "let the daemon's user read it",
            _ => "put a regular file there",
        };
        (format!("this file cannot be read: {error}"), mend.to_owned())
    };
    // Asked before opening: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(("this is no regular file".to_owned(), "put a regular file there".to_owned()));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err((
            format!("this file is larger than {} KiB and was not read", MOST_BYTES / 1024),
            "a configuration is smaller; look whether this is the file that was meant".to_owned(),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        (format!("this file is not UTF-8: byte {at} is the first wrong one"), "save it as UTF-8".to_owned())
    })
}

/// Reads every runbook of the folder, in the order of their names; says which files are passed over.
pub fn read_runbooks(complaints: &mut Complaints, dir: &Path, shown: &str) -> Vec<Document> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            let mend = "create the folder; without a runbook nothing is ever done";
            complaints.push(Complaint::of_file(Severity::Error, shown, format!("this folder cannot be read: {error}"), mend));
            return Vec::new();
        }
    };
    let mut names: Vec<String> =
        entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let mut documents = Vec::new();
    for name in names {
        let file = format!("{shown}/{name}");
        // Editors and version control leave such files; they are never meant.
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        if !name.ends_with(".yaml") && !name.ends_with(".yml") {
            let message = "this file is passed over: it does not end in .yaml";
            complaints.push(Complaint::of_file(
                Severity::Note,
                &file,
                message,
                "rename it, if it holds a runbook, or move it away",
            ));
            continue;
        }
        if documents.len() == MOST_RUNBOOKS {
            let message = format!("there are more than {MOST_RUNBOOKS} runbooks");
            complaints.push(Complaint::of_file(Severity::Error, shown, message, "join those that differ only in their target"));
            break;
        }
        documents.extend(read(complaints, &dir.join(&name), &file));
    }
    documents
}
