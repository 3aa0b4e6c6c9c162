//! Where the tests' Engines and databases have their data: in memory, where there is room. They live for seconds, and on a disk
//! much of that goes into files that nobody will read. What a process killed in the middle finds afterwards is the same on both;
//! only a machine that dies would tell them apart, and no test here kills one.
//!
//! Deliberately never cleaned here: each folder below belongs to a process, and the next one sweeps what the dead left.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::paths;

/// Enough for all that runs side by side: a private Engine with its images takes some 100 MiB.
const ROOM: u64 = 4 << 30;

/// The folder, made for this user; none where there is no room, or where the caller says by `TMPDIR` where the data goes.
///
/// # Errors
/// When it cannot be made or opened to the users that servers run as.
pub(super) fn folder() -> Result<Option<PathBuf>> {
    let place = Path::new("/dev/shm");
    let Some(there) = rustix::fs::statvfs(place).ok().filter(|_| std::env::var_os("TMPDIR").is_none()) else {
        return Ok(None);
    };
    // The file system promises what the machine may not have: the servers themselves want as much again.
    let roomy = there.f_bavail.saturating_mul(there.f_frsize) >= ROOM && available() >= 2 * ROOM;
    let runs_programs = !there.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC);
    if !roomy || !runs_programs {
        return Ok(None);
    }
    let user = rustix::process::geteuid();
    let own = paths::make(place.join(format!("runbookd-tests-{}", user.as_raw())))?;
    // Everybody may write there, so another may have made it first.
    let found = std::fs::symlink_metadata(&own).with_context(|| format!("cannot look at {}", own.display()))?;
    if !found.is_dir() || found.uid() != user.as_raw() {
        return Ok(None);
    }
    // Servers of other users have their data below.
    std::fs::set_permissions(&own, Permissions::from_mode(0o755)).with_context(|| format!("cannot open {}", own.display()))?;
    Ok(Some(own))
}

/// How many bytes of memory programs can still have; none where the kernel does not say.
fn available() -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kilobytes| kilobytes * 1024)
}
