//! Resolves references to secrets, at each connect, so that a rotated file counts from the next connect on.
//!
//! What comes out is a [`SecretString`]: no Display, a Debug that shows nothing, wiped when dropped. Errors name the reference,
//! never the content. Every caller says how long it can wait, because the file system that a secret lies on may hang; a read that
//! hangs keeps one thread and no more, because the next read of the same file waits for it. Deliberately no cache: a cached secret
//! is an old one.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use runbook::target::SecretRef;
use runbook::text::humanize_duration;
use secrecy::SecretString;

/// More than any password or token, and little enough to read without a thought.
const MOST_BYTES: u64 = 64 * 1024;

/// The secret that a reference points to, within `within`.
///
/// # Errors
/// A sentence that names the reference and how to mend it.
pub async fn resolve(reference: &SecretRef, within: Duration) -> Result<SecretString, String> {
    match reference {
        SecretRef::File(path) => read(path, path, within).await,
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
            read(&format!("{folder}/{name}"), &format!("the systemd credential {name}"), within).await
        }
    }
}

/// Reads a file whose content, without its last line break, is the secret.
async fn read(path: &str, name: &str, within: Duration) -> Result<SecretString, String> {
    let cannot = |why: String| format!("cannot read the secret in {name}: {why}");
    let reading = async {
        let (turn, path) = (turn(path).lock_owned().await, path.to_owned());
        // The turn goes along: nobody can end a read that hangs, so it is over only when the read is.
        let read = tokio::task::spawn_blocking(move || {
            let read = whole(&path);
            drop(turn);
            read
        });
        read.await.map_err(std::io::Error::from).flatten()
    };
    let hangs = |_| {
        let within = humanize_duration(within);
        cannot(format!("it could not be read within {within}; see whether the file system that it lies on answers"))
    };
    let read = tokio::time::timeout(within, reading).await.map_err(hangs)?;
    let mut content = read.map_err(|error| cannot(error.to_string()))?;
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

fn whole(path: &str) -> std::io::Result<String> {
    let mut content = String::new();
    std::fs::File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut content)?;
    Ok(content)
}

/// Whose turn it is to read this file; there are as many as files that are being read.
fn turn(path: &str) -> Arc<tokio::sync::Mutex<()>> {
    static TURNS: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>> = Mutex::new(BTreeMap::new());
    let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    turns.retain(|_, turn| Arc::strong_count(turn) > 1);
    turns.entry(path.to_owned()).or_default().clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_file_is_read_anew_each_time_without_its_last_line_break() {
        let folder = std::env::temp_dir().join(format!("runbookd-secret-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("password");
        let reference = SecretRef::File(path.display().to_string());
        for (written, wanted) in [("one\n", "one"), ("two\r\n", "two"), ("three", "three"), (" four \n\n", " four \n")] {
            std::fs::write(&path, written).unwrap();
            assert_eq!(resolve(&reference, SOON).await.unwrap().expose_secret(), wanted);
        }
        for (written, says) in [("\n", "empty"), (&*"x".repeat(70_000), "longer")] {
            std::fs::write(&path, written).unwrap();
            let error = resolve(&reference, SOON).await.unwrap_err();
            assert!(error.contains(says) && error.len() < 300, "{error}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(resolve(&reference, SOON).await.unwrap_err().contains("password"));
    }

    fn threads() -> usize {
        std::fs::read_dir("/proc/self/task").unwrap().count()
    }

    /// Nobody writes to the pipe, so opening it hangs, as a file on a server that is away does.
    #[tokio::test]
    async fn a_read_that_hangs_keeps_its_caller_no_longer_than_it_can_wait_and_one_thread_however_often_it_is_tried() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, file) = (folder.path().join("pipe"), folder.path().join("file"));
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        std::fs::write(&file, "another").unwrap();
        let [hangs, well] = [&pipe, &file].map(|path| SecretRef::File(path.display().to_string()));
        assert_eq!(resolve(&well, SOON).await.unwrap().expose_secret(), "another");
        let before = threads();
        for _ in 0..3 {
            let tries = (0..30).map(|_| resolve(&hangs, Duration::from_millis(100)));
            for tried in futures_util::future::join_all(tries).await {
                let error = tried.unwrap_err();
                assert!(error.contains("pipe: it could not be read within 100ms"), "{error}");
            }
        }
        assert!(threads() <= before + 1, "{} threads, before {before}", threads());
        assert_eq!(resolve(&well, SOON).await.unwrap().expose_secret(), "another", "nobody else waits for it");
        // The server is back: what hung ends, and the next reads what is there now.
        std::fs::write(&pipe, "late").unwrap();
        std::fs::rename(&file, &pipe).unwrap();
        assert_eq!(resolve(&hangs, SOON).await.unwrap().expose_secret(), "another");
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let error = resolve(&SecretRef::Env("RUNBOOKD_NO_SUCH_VARIABLE".into()), SOON).await.unwrap_err();
        assert!(error.contains("RUNBOOKD_NO_SUCH_VARIABLE"));
        for name in ["", "..", "../../etc/shadow"] {
            assert!(resolve(&SecretRef::Credential(name.into()), SOON).await.is_err());
        }
    }
}
