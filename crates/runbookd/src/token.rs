//! The tokens that callers must show: one for deliveries, one for the API over TCP. Each is a file in the state directory,
//! made with 32 random bytes where there is none, so that no endpoint is ever open by omission; an operator may put a token
//! of their own there instead. Only a hash of it is kept, and compared in constant time. Deliberately no way to print one.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use anyhow::{Context, bail, ensure};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The file that holds the token for deliveries.
pub const WEBHOOK_TOKEN: &str = "webhook.token";
/// The file that holds the token for the API over TCP.
pub const API_TOKEN: &str = "api.token";

/// Random bytes in a token that we make.
const BYTES: usize = 32;
/// Fewer characters than this can be guessed.
pub(crate) const SHORTEST: usize = 16;
/// More than any token.
const LONGEST: u64 = 4096;

/// A token that callers must show, known by its hash.
pub struct Token {
    path: PathBuf,
    known: RwLock<Known>,
}

struct Known {
    hash: [u8; 32],
    /// Modification time and inode: what changes when the file is replaced.
    version: (i64, i64, u64),
}

impl Token {
    /// The token in this file of the state directory; a new one where there is no such file.
    ///
    /// # Errors
    /// When the file can neither be read nor made, is open to others, or holds nothing that could be a token.
    pub fn in_directory(directory: &Path, name: &str) -> anyhow::Result<Self> {
        let path = directory.join(name);
        if !path.try_exists().with_context(|| format!("looking for {}", path.display()))? {
            make(directory, name).with_context(|| format!("making the token {}", path.display()))?;
            tracing::info!(path = %path.display(), "made a new token; give the file's content to whoever calls");
        }
        let known = read(&path)?;
        Ok(Self { path, known: RwLock::new(known) })
    }

    /// Where it is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this is the token. Takes the same time wherever the two differ, and however long the shown one is: hashes are
    /// compared, not texts.
    pub fn is(&self, shown: &[u8]) -> bool {
        let shown: [u8; 32] = Sha256::digest(shown).into();
        match self.known.read() {
            Ok(known) => bool::from(known.hash.ct_eq(&shown)),
            Err(_) => false,
        }
    }

    /// Takes a replaced file up. An unreadable one leaves the old token in force, with an error in the log.
    pub fn refresh(&self) {
        let unchanged = || -> anyhow::Result<bool> {
            let version = version_of(&std::fs::metadata(&self.path)?);
            Ok(self.known.read().is_ok_and(|known| known.version == version))
        };
        if unchanged().unwrap_or(false) {
            return;
        }
        match read(&self.path) {
            Ok(new) => {
                if let Ok(mut known) = self.known.write() {
                    if known.hash != new.hash {
                        tracing::info!(path = %self.path.display(), "the token was replaced; the old one no longer counts");
                    }
                    *known = new;
                }
            }
            Err(error) => tracing::error!("the token's file cannot be used, so the old token still counts: {error:#}"),
        }
    }
}

fn version_of(metadata: &std::fs::Metadata) -> (i64, i64, u64) {
    (metadata.mtime(), metadata.mtime_nsec(), metadata.ino())
}

fn read(path: &Path) -> anyhow::Result<Known> {
    let file = File::open(path).with_context(|| format!("opening the token {}", path.display()))?;
    let metadata = file.metadata()?;
    if metadata.mode() & 0o007 != 0 {
        bail!("everybody on this machine may read the token {}; `chmod 600` it, or replace it", path.display());
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).with_context(|| format!("reading the token {}", path.display()))?;
    let token = text.trim_end_matches(['\n', '\r']);
    ensure!(
        token.len() >= SHORTEST && token.bytes().all(|byte| byte.is_ascii_graphic()),
        "{} holds no token: {SHORTEST} or more visible ASCII characters on one line are wanted; remove the file to have one made",
        path.display()
    );
    Ok(Known { hash: Sha256::digest(token.as_bytes()).into(), version: version_of(&metadata) })
}

/// Writes a new token beside its place, syncs it, and moves it there, so that no half-written token is ever found.
fn make(directory: &Path, name: &str) -> anyhow::Result<()> {
    let mut random = [0_u8; BYTES];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("the machine gives no random bytes: {error}"))?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let beside = directory.join(format!(".{name}.new"));
    // What an earlier try left goes, and nothing is written through a link.
    let _ = std::fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(token.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&beside, directory.join(name))?;
    File::open(directory)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn one_is_made_once_and_only_its_owner_may_read_it() {
        let directory = directory();
        let token = Token::in_directory(directory.path(), WEBHOOK_TOKEN).unwrap();
        let text = std::fs::read_to_string(token.path()).unwrap();
        assert_eq!(text.trim().len(), 64);
        assert_eq!(std::fs::metadata(token.path()).unwrap().mode() & 0o777, 0o600);
        assert!(token.is(text.trim().as_bytes()));
        for wrong in ["", "x", &text, &text.trim()[..63], &text.trim().to_uppercase()] {
            assert!(!token.is(wrong.as_bytes()), "{wrong}");
        }
        let again = Token::in_directory(directory.path(), WEBHOOK_TOKEN).unwrap();
        assert!(again.is(text.trim().as_bytes()));
        let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(files, [WEBHOOK_TOKEN]);
    }

    #[test]
    fn what_is_no_token_or_open_to_all_is_refused() {
        let directory = directory();
        let path = directory.path().join(API_TOKEN);
        for (text, mode, says) in [
            ("", 0o600, "holds no token"),
            ("short\n", 0o600, "holds no token"),
            ("two words and more of them\n", 0o600, "holds no token"),
            ("0123456789abcdef\n", 0o644, "chmod 600"),
        ] {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = Token::in_directory(directory.path(), API_TOKEN).err().map(|error| format!("{error:#}")).unwrap();
            assert!(error.contains(says) && !error.contains("0123456789abcdef"), "{error}");
        }
    }

    #[test]
    fn a_replaced_token_counts_from_the_next_refresh_on() {
        let directory = directory();
        let token = Token::in_directory(directory.path(), API_TOKEN).unwrap();
        let replace = |text: &str| {
            let beside = directory.path().join("new");
            std::fs::write(&beside, text).unwrap();
            std::fs::set_permissions(&beside, Permissions::from_mode(0o600)).unwrap();
            std::fs::rename(&beside, token.path()).unwrap();
        };
        replace("0123456789abcdef\r\n");
        token.refresh();
        assert!(token.is(b"0123456789abcdef"));
        replace("");
        token.refresh();
        assert!(token.is(b"0123456789abcdef"), "the old one stays in force");
    }
}
