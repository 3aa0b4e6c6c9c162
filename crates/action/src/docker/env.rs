//! The service's `env_file` is changed in place: written beside itself, synced, and put in its own stead in one step, so that at no
//! moment, whatever dies, half of it is there. Mode and owner stay, and so does every byte but the values that change.
//!
//! Why a rehearsal before the act: an end that cannot be written is better known while nothing has been touched. Deliberately no
//! backup that stays, and no writing over a file that has other names or is mounted by itself: there a new file in its stead
//! would part what belongs together.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use connect::env_file::{EnvFile, Says};
use runbook::incident::IncidentId;

/// How often a file is read again that somebody else writes at the same moment.
const TRIES: usize = 5;

/// What a change has found or done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Written {
    /// The file has been changed.
    Changed,
    /// It said so already.
    AsItWas,
}

/// Sees that this text can be put in the file's stead, without doing it: all of it is written beside it under the file's mode and
/// owner, so that a full disk is found now, and goes again.
///
/// # Errors
/// What is in the way, for people.
pub(super) fn rehearse(file: &EnvFile, text: &str, incident: IncidentId) -> Result<(), String> {
    let path = file.path();
    let cannot = |why: &str| format!("{} cannot be rewritten: {why}", path.display());
    if file.meta().nlink() > 1 {
        return Err(cannot("it has other names (hard links), which would keep the old text"));
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if is_mounted(&mounts, path) {
        return Err(cannot("it is mounted here as a single file; mount its folder instead"));
    }
    if let Some(why) = file.locked() {
        return Err(cannot(&why));
    }
    let beside = beside(path, incident);
    let made = make(&beside, file, text);
    remove(&beside);
    made.map_err(|why| cannot(&why))
}

/// Changes these variables. `before` says what the file may have said until now of one that it does not say yet; where it says
/// something else, somebody changed it meanwhile, and it is left alone. Blocks for as long as the disk does.
///
/// # Errors
/// What is in the way, for people; the file is then as it was.
pub(super) fn write(
    path: &Path,
    set: &BTreeMap<String, String>,
    before: Option<&BTreeMap<String, String>>,
    incident: IncidentId,
) -> Result<Written, String> {
    for _ in 0..TRIES {
        let file = EnvFile::read(path)?;
        let beside = beside(file.path(), incident);
        if set.iter().all(|(key, value)| file.says(key, value) == Says::This) {
            // What an earlier try left when it died.
            remove(&beside);
            return Ok(Written::AsItWas);
        }
        let changed_meanwhile = set.iter().find(|(key, value)| {
            let old = before.and_then(|before| before.get(*key));
            file.says(key, value) != Says::This && old.is_some_and(|old| file.says(key, old) != Says::This)
        });
        if let Some((key, _)) = changed_meanwhile {
            return Err(format!("somebody changed {key} in {} meanwhile, so it is left as it is", file.path().display()));
        }
        let text = file.with(set)?;
        let done = put(&file, &beside, &text);
        if !matches!(done, Ok(true)) {
            remove(&beside);
        }
        match done {
            Ok(true) => return Ok(Written::Changed),
            Ok(false) => {}
            Err(why) => return Err(format!("{} cannot be rewritten: {why}", file.path().display())),
        }
    }
    Err(format!("somebody else keeps writing {}", path.display()))
}

/// Writes it beside and puts it in the file's stead, unless that has changed since it was read.
fn put(file: &EnvFile, beside: &Path, text: &str) -> Result<bool, String> {
    make(beside, file, text)?;
    if !is_same(file) {
        return Ok(false);
    }
    std::fs::rename(beside, file.path()).map_err(|error| error.to_string())?;
    if let Some(folder) = file.path().parent() {
        // The name is durable once the folder is; a file system that cannot sync a folder has done so already.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(true)
}

fn is_same(file: &EnvFile) -> bool {
    let print = |meta: &std::fs::Metadata| (meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec());
    std::fs::symlink_metadata(file.path()).is_ok_and(|now| print(&now) == print(file.meta()))
}

/// A file with this text and the mode and the owner of this one, on the disk. Nobody else can read it before it has them.
fn make(beside: &Path, file: &EnvFile, text: &str) -> Result<(), String> {
    remove(beside);
    let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside);
    let mut new = new.map_err(|error| format!("cannot write beside it: {error}"))?;
    let (wanted, made) = (file.meta(), new.metadata().map_err(|error| error.to_string())?);
    let owner = (made.uid() != wanted.uid()).then(|| wanted.uid());
    let group = (made.gid() != wanted.gid()).then(|| wanted.gid());
    if owner.is_some() || group.is_some() {
        fchown(&new, owner, group).map_err(|error| {
            format!("it belongs to user {} and group {}, which cannot be kept: {error}", wanted.uid(), wanted.gid())
        })?;
    }
    let mode = Permissions::from_mode(wanted.mode() & 0o7777);
    new.set_permissions(mode).map_err(|error| format!("its mode cannot be kept: {error}"))?;
    let written = new.write_all(text.as_bytes()).and_then(|()| new.sync_all());
    written.map_err(|error| format!("a new text beside it cannot be written: {error}"))
}

/// The name is the incident's: what a try left when it died is found by the next.
fn beside(path: &Path, incident: IncidentId) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".runbookd-{incident}"));
    path.with_file_name(name)
}

fn remove(beside: &Path) {
    let _ = std::fs::remove_file(beside);
}

/// Whether something is mounted at exactly this place.
fn is_mounted(mounts: &str, path: &Path) -> bool {
    let written: Vec<u8> = path
        .as_os_str()
        .as_bytes()
        .iter()
        .flat_map(|byte| match byte {
            b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
            other => vec![*other],
        })
        .collect();
    mounts.lines().any(|mount| mount.split(' ').nth(4).is_some_and(|place| place.as_bytes() == written))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INC: IncidentId = IncidentId(7);

    fn set(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_keeps_its_mode_its_other_bytes_and_its_link_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("real.env");
        std::fs::write(&path, "# hush\nPASSWORD='a$b'\nexport W=2 # two\n").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let link = folder.path().join(".env");
        std::os::unix::fs::symlink("real.env", &link).unwrap();
        // What a try left that died.
        std::fs::write(folder.path().join(".real.env.runbookd-INC-7"), "W=").unwrap();
        rehearse(&EnvFile::read(&link).unwrap(), "W=4\n", INC).unwrap();
        assert_eq!(names(folder.path()), [".env", "real.env"]);
        assert_eq!(write(&link, &set(&[("W", "4")]), Some(&set(&[("W", "2")])), INC), Ok(Written::Changed));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "# hush\nPASSWORD='a$b'\nexport W=4 # two\n");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        std::fs::write(folder.path().join(".real.env.runbookd-INC-7"), "W=").unwrap();
        assert_eq!(write(&link, &set(&[("W", "4")]), Some(&set(&[("W", "2")])), INC), Ok(Written::AsItWas));
        assert_eq!(names(folder.path()), [".env", "real.env"]);
    }

    #[test]
    fn what_a_person_changed_meanwhile_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, "W=hush8\nA=1\n").unwrap();
        let why = write(&path, &set(&[("W", "4")]), Some(&set(&[("W", "2")])), INC).unwrap_err();
        assert!(why.contains("somebody changed W") && !why.contains("hush"), "{why}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "W=hush8\nA=1\n");
        // Another line is none of our business, and it stays.
        std::fs::write(&path, "W=2\nA=5\nB=6\n").unwrap();
        assert_eq!(write(&path, &set(&[("W", "4")]), Some(&set(&[("W", "2")])), INC), Ok(Written::Changed));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "W=4\nA=5\nB=6\n");
        assert_eq!(names(folder.path()), [".env"]);
    }

    #[test]
    fn what_a_new_file_would_part_is_seen_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my .env").canonicalize().unwrap_or_else(|_| folder.path().join("my .env"));
        std::fs::write(&path, "W=2\n").unwrap();
        std::fs::hard_link(&path, folder.path().join("other")).unwrap();
        let why = rehearse(&EnvFile::read(&path).unwrap(), "W=4\n", INC).unwrap_err();
        assert!(why.contains("hard links"), "{why}");
        let mounts = format!("36 35 98:0 /mnt1 {} rw - ext3 /dev/root rw\n", path.display().to_string().replace(' ', "\\040"));
        assert!(is_mounted(&mounts, &path) && !is_mounted(&mounts, folder.path()));
    }

    #[test]
    fn a_file_that_changes_right_before_it_is_put_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, "W=2\n").unwrap();
        let file = EnvFile::read(&path).unwrap();
        std::fs::write(&path, "W=2\nA=1\n").unwrap();
        assert_eq!(put(&file, &beside(&path, INC), "W=4\n"), Ok(false));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "W=2\nA=1\n");
    }

    #[test]
    fn an_owner_that_cannot_be_kept_is_said_before_anything_happens() {
        // Without root another's file cannot be made anew; with root it can, and the owner stays.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, "W=2\n").unwrap();
        if std::os::unix::fs::chown(&path, Some(12345), Some(12345)).is_err() {
            return;
        }
        assert_eq!(write(&path, &set(&[("W", "4")]), None, INC), Ok(Written::Changed));
        let meta = std::fs::metadata(&path).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (12345, 12345));
    }
}
