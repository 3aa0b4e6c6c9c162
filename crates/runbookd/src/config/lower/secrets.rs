//! References to secrets, and the complaint about secrets in the clear. Why so strict: a configuration is committed, copied
//! and shown. The complaint never repeats what it complains about.

use std::path::Path;

use runbook::target::{Login, SecretRef};

use super::{need, path_from};
use crate::config::written::WrittenLogin;
use crate::config::yaml::{Bytes, Document, Kind, Placed, Raw, Reader};

const MEND: &str = "write {file: PATH}, {env: NAME} or {credential: NAME}, and keep the secret there";

/// A reference to a secret; a relative file starts at the configuration's folder.
pub fn secret(document: &Document, base: &Path, within: Bytes, placed: &Placed<Raw>, key: &str) -> Option<SecretRef> {
    let Raw(node) = need(document, within, placed, key)?;
    if let Kind::Scalar { .. } = document.kind(*node) {
        document.complain_hidden(placed.at(), format!("`{key}` holds the secret itself, in the clear"), MEND);
        return None;
    }
    // A word that is no known key may be the secret, so the reader, which would repeat it, is not asked.
    let refers = match document.kind(*node) {
        Kind::Map(entries) => {
            matches!(entries.as_slice(), [(key, _)] if ["file", "env", "credential"].contains(&key.text.as_str()))
        }
        _ => false,
    };
    if !refers {
        document.complain_hidden(placed.at(), format!("`{key}` is no reference to a secret"), MEND);
        return None;
    }
    let found: SecretRef = Reader::new(document, *node).read()?;
    let (SecretRef::File(name) | SecretRef::Env(name) | SecretRef::Credential(name)) = &found;
    if name.is_empty() {
        document.complain(placed.at(), "this names no secret", MEND);
        return None;
    }
    let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    match found {
        SecretRef::File(file) => Some(SecretRef::File(path_from(base, &file).to_string_lossy().into_owned())),
        SecretRef::Env(name) | SecretRef::Credential(name) if !plain(&name) => {
            // What does not look like a name may be the secret.
            document.complain_hidden(placed.at(), "this is no name of a variable or a credential", MEND);
            None
        }
        named => Some(named),
    }
}

/// A login.
pub fn login(document: &Document, base: &Path, placed: &Placed<WrittenLogin>) -> Option<Login> {
    let written = placed.get()?;
    let user = super::need_text(document, placed.at(), &written.user, "user");
    let password = secret(document, base, placed.at(), &written.password, "password");
    Some(Login { user: user?.to_owned(), password: password? })
}
