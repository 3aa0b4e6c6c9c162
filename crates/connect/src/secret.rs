//! Resolves references to secrets, at each connect, so that a rotated file counts from the next connect on.
//!
//! What comes out is a [`SecretString`]: no Display, a Debug that shows nothing, wiped when dropped. Errors name the reference,
//! never the content. Deliberately no cache: a cached secret is an old one.

use runbook::target::SecretRef;
use secrecy::SecretString;
use tokio::io::AsyncReadExt;

/// More than any password or token, and little enough to read without a thought.
const MOST_BYTES: u64 = 64 * 1024;

/// The secret that a reference points to.
///
/// # Errors
/// A sentence that names the reference and how to mend it.
pub async fn resolve(reference: &SecretRef) -> Result<SecretString, String> {
    match reference {
        SecretRef::File(path) => read(path, path).await,
        SecretRef::Env(name) => match std::env::var(name) {
            Ok(value) if !value.is_empty() => Ok(SecretString::from(value)),
            Ok(_) | Err(std::env::VarError::NotPresent) => {
                Err(format!("the environment variable {name}, which should hold a secret, is not set"))
            }
            Err(std::env::VarError::NotUnicode(_)) => Err(format!("the environment variable {name} is not UTF-8")),
        },
        SecretRef::Credential(name) => {
            // A credential is named, not located: a name with a slash could leave its folder.
            if name.is_empty() || name.contains('/') || name == ".." {
                return Err(format!("`{name}` is no name of a systemd credential"));
            }
            let folder = std::env::var("CREDENTIALS_DIRECTORY").map_err(|_| {
                format!(
                    "there are no systemd credentials here, and `{name}` is wanted: add LoadCredential={name}:FILE to the unit"
                )
            })?;
            read(&format!("{folder}/{name}"), &format!("the systemd credential {name}")).await
        }
    }
}

/// Reads a file whose content, without its last line break, is the secret.
async fn read(path: &str, name: &str) -> Result<SecretString, String> {
    let cannot = |why: String| format!("cannot read the secret in {name}: {why}");
    let file = tokio::fs::File::open(path).await.map_err(|error| cannot(error.to_string()))?;
    let mut content = String::new();
    file.take(MOST_BYTES + 1).read_to_string(&mut content).await.map_err(|error| cannot(error.to_string()))?;
    if content.len() as u64 > MOST_BYTES {
        return Err(cannot("it is longer than any secret (64 KiB)".to_owned()));
    }
    let without_break = content.strip_suffix('\n').unwrap_or(&content);
    let length = without_break.strip_suffix('\r').unwrap_or(without_break).len();
    content.truncate(length);
    if content.is_empty() {
        return Err(cannot("it is empty".to_owned()));
    }
    Ok(SecretString::from(content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[tokio::test]
    async fn a_file_is_read_anew_each_time_without_its_last_line_break() {
        let folder = std::env::temp_dir().join(format!("runbookd-secret-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("password");
        let reference = SecretRef::File(path.display().to_string());
        for (written, wanted) in [("one\n", "one"), ("two\r\n", "two"), ("three", "three"), (" four \n\n", " four \n")] {
            std::fs::write(&path, written).unwrap();
            assert_eq!(resolve(&reference).await.unwrap().expose_secret(), wanted);
        }
        for (written, says) in [("\n", "empty"), (&*"x".repeat(70_000), "longer")] {
            std::fs::write(&path, written).unwrap();
            let error = resolve(&reference).await.unwrap_err();
            assert!(error.contains(says) && error.len() < 300, "{error}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(resolve(&reference).await.unwrap_err().contains("password"));
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let error = resolve(&SecretRef::Env("RUNBOOKD_NO_SUCH_VARIABLE".into())).await.unwrap_err();
        assert!(error.contains("RUNBOOKD_NO_SUCH_VARIABLE"));
        for name in ["", "..", "../../etc/shadow"] {
            assert!(resolve(&SecretRef::Credential(name.into())).await.is_err());
        }
    }
}
