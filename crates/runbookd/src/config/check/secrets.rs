//! Files of secrets that are not there. Why only a warning: `check` may run where the daemon does not. Asks the disk for
//! names and kinds and opens nothing, so no secret passes through here; variables and credentials are the daemon's own and
//! are looked at by `runbookd doctor`.

use std::path::Path;

use super::pages::Pages;
use crate::config::complaint::Severity;
use crate::config::yaml::{Document, Kind, NodeId};

/// Looks for every `{file: PATH}` of the configuration.
pub fn complain(pages: &Pages<'_>) {
    for document in pages.documents() {
        let Some(root) = document.root() else { continue };
        let base = Path::new(document.name()).parent().unwrap_or(Path::new(""));
        let mut todo = vec![root];
        while let Some(node) = todo.pop() {
            match document.kind(node) {
                Kind::List(items) => todo.extend(items),
                Kind::Map(entries) => {
                    match entries.as_slice() {
                        [(key, value)] if key.text == "file" => look(document, base, *value),
                        _ => todo.extend(entries.iter().map(|(_, value)| *value)),
                    };
                }
                Kind::Null | Kind::Scalar { .. } => {}
            }
        }
    }
}

fn look(document: &Document, base: &Path, node: NodeId) {
    let Some(written) = document.scalar(node) else { return };
    let path = base.join(written);
    let what = match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() && metadata.len() > 0 => return,
        Ok(metadata) if metadata.is_file() => "the file is empty".to_owned(),
        Ok(_) => "no regular file stands under this name".to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        Err(error) => format!("the file cannot be looked at: {error}"),
    };
    let message = format!("{what}: {}", path.display());
    let mend = "put the secret there, for the daemon's user alone; where the daemon runs elsewhere, check it there";
    document.say(Severity::Warning, document.at(node), message, mend);
}
