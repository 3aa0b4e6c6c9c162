//! The bearer token between the estate's Alertmanager and runbookd: made before the estate starts, because a file
//! that is to be mounted must exist.
//!
//! It lies in runbookd's state directory, where runbookd looks for its own; deliberately a new one per estate.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};

use crate::paths;

/// Sees to it that the file holds a token; one that is there is kept, because it is mounted already.
pub(super) fn ensure(file: &Path) -> Result<()> {
    if std::fs::read_to_string(file).is_ok_and(|token| token.trim().len() >= 32) {
        return Ok(());
    }
    if file.is_dir() {
        // An Engine makes a directory where a file to be mounted is missing.
        std::fs::remove_dir_all(file)?;
    }
    if let Some(directory) = file.parent() {
        paths::make(directory.to_path_buf())?;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
    }
    let mut random = [0_u8; 24];
    File::open("/dev/urandom")?.read_exact(&mut random).context("cannot read /dev/urandom")?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    // Written in place: a mount follows the file, not its name.
    File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut open| writeln!(open, "{token}"))
        .with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::Scratch;

    #[test]
    fn a_token_is_made_once_and_only_its_owner_reads_it() {
        let scratch = Scratch::new("token").unwrap();
        let file = scratch.join("state/webhook.token");
        paths::make(file.clone()).unwrap();
        ensure(&file).unwrap();
        let first = std::fs::read_to_string(&file).unwrap();
        assert_eq!(first.trim().len(), 48);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        ensure(&file).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), first);
    }
}
