//! The file that a service's environment comes from: what it says of a variable, and what it would be with others changed.
//!
//! Why here: a look compares it with a container, and an act rewrites it, so both must read it in the same way. It is read as both
//! generations of Compose read it; where the two differ, or a value refers to others by `$`, it says nothing that could be relied
//! on. Deliberately no writing, and values never leave but in the text itself: a setting can stand beside a password.
//! The only file that names the library underneath.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use adotenv::{Dialect, Edit, parse_with};
use rustix::fs::{Access, AtFlags, StatxAttributes, StatxFlags};

/// No environment is longer than this.
const LONGEST: u64 = 1 << 20;

/// What no value may have that is relied on or written.
const ESCAPE: char = '\\';

/// What a file says of one variable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Says {
    /// Nothing.
    Nothing,
    /// Exactly this value.
    This,
    /// Another value.
    Another,
    /// Something that different versions of Compose read differently: two lines, a reference to others, a backslash, unusual quotes.
    Unclear,
}

/// A file of `KEY=value` lines, as it was when it was read.
pub struct EnvFile {
    path: PathBuf,
    meta: Metadata,
    text: String,
}

impl fmt::Debug for EnvFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvFile").field("path", &self.path).field("bytes", &self.text.len()).finish_non_exhaustive()
    }
}

impl EnvFile {
    /// Reads it; a link is followed to the file that it leads to. Blocks for as long as the disk does.
    ///
    /// # Errors
    /// What is in the way, for people; never a line of the file.
    pub fn read(path: &Path) -> Result<Self, String> {
        read_text(path).map(|(path, meta, text)| Self { path, meta, text })
    }

    /// Where it really is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its owner, mode and times when it was read.
    pub fn meta(&self) -> &Metadata {
        &self.meta
    }

    /// Why nothing can be put in its stead although its folder may be written in, if so: the file or its folder is immutable or only
    /// to be appended to. A file system that does not tell is taken for one that has no such marks.
    pub fn locked(&self) -> Option<String> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        [self.path.as_path(), folder].into_iter().find_map(|place| {
            let told = rustix::fs::statx(rustix::fs::CWD, place, AtFlags::empty(), StatxFlags::BASIC_STATS).ok()?;
            let (word, letter) = if told.stx_attributes.contains(StatxAttributes::IMMUTABLE) {
                ("immutable", 'i')
            } else if told.stx_attributes.contains(StatxAttributes::APPEND) {
                ("marked as only to be appended to", 'a')
            } else {
                return None;
            };
            Some(format!("{0} is {word}; `chattr -{letter} {0}` takes that away", place.display()))
        })
    }

    /// What it says of a variable, beside this value.
    pub fn says(&self, key: &str, value: &str) -> Says {
        says(&self.text, key, value)
    }

    /// Its whole text with these variables changed: every byte outside of their values stays as it is.
    ///
    /// # Errors
    /// Which variable cannot be changed there, and why; never a value.
    pub fn with(&self, set: &BTreeMap<String, String>) -> Result<String, String> {
        with(&self.text, set).map_err(|why| format!("{}: {why}", self.path.display()))
    }
}

/// Whether this process could put a new text in the file's stead, as far as the disk tells without trying. Blocks for as long as the
/// disk does.
///
/// # Errors
/// What is in the way and how to mend it, for people, to be read after the file's name or what it is for.
pub fn rewritable(path: &Path) -> Result<(), String> {
    let file = EnvFile::read(path)?;
    let folder = file.path().parent().unwrap_or(Path::new("/"));
    rustix::fs::accessat(rustix::fs::CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).map_err(|error| {
        format!(
            "cannot be rewritten: nothing may be written in {} ({error}); give runbookd's user that right, and under systemd \
             name the folder in ReadWritePaths=",
            folder.display()
        )
    })?;
    if let Some(why) = file.locked() {
        return Err(format!("cannot be rewritten: {why}"));
    }
    let own = rustix::process::geteuid();
    if !own.is_root() && own.as_raw() != file.meta().uid() {
        return Err(format!(
            "cannot be rewritten: {} belongs to user {}, and a new file would belong to {}; run runbookd as that user",
            file.path().display(),
            file.meta().uid(),
            own.as_raw()
        ));
    }
    Ok(())
}

/// Where a text file really is, what the disk says of it, and its text. At most a megabyte; a link is followed. Blocks for as long as
/// the disk does.
///
/// # Errors
/// What is in the way, for people; never a line of the file.
pub fn read_text(path: &Path) -> Result<(PathBuf, Metadata, String), String> {
    let cannot = |what: &str, error: &dyn fmt::Display| format!("{} cannot be {what}: {error}", path.display());
    let real = path.canonicalize().map_err(|error| cannot("found", &error))?;
    // Opening a pipe would wait for its other end.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(&real);
    let file: File = opened.map_err(|error| cannot("read", &error))?;
    let meta = file.metadata().map_err(|error| cannot("read", &error))?;
    if !meta.is_file() {
        return Err(cannot("read", &"it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|error| cannot("read", &error))?;
    if bytes.len() as u64 > LONGEST {
        return Err(cannot("read", &"it is longer than a megabyte"));
    }
    let text = String::from_utf8(bytes).map_err(|_| cannot("read", &"it is not in UTF-8"))?;
    Ok((real, meta, text))
}

fn says(text: &str, key: &str, value: &str) -> Says {
    let read = |dialect| {
        let (document, _) = parse_with(text, dialect);
        let lines = document.get_all(key).count();
        // Compose 1 takes a quote after a backslash for no end of the value, and reads on into the lines below: what it makes of
        // those is lost without a word. So a line with one is relied on no more than one that differs.
        let raw = document.entries().filter(|entry| entry.key() == key).filter_map(|entry| entry.raw_value());
        let escaped = raw.into_iter().any(|raw| raw.contains(ESCAPE));
        (lines, document.get(key).filter(|_| !escaped).map(str::to_owned))
    };
    match (read(Dialect::COMPOSE), read(Dialect::PYTHON_DOTENV)) {
        ((0, None), (0, None)) => Says::Nothing,
        ((1, Some(one)), (1, Some(other))) if one == other && !one.contains('$') => {
            if one == value {
                Says::This
            } else {
                Says::Another
            }
        }
        _ => Says::Unclear,
    }
}

fn with(text: &str, set: &BTreeMap<String, String>) -> Result<String, String> {
    let (document, _) = parse_with(text, Dialect::COMPOSE);
    let mut edits = Vec::new();
    for (key, value) in set {
        if value.contains(ESCAPE) {
            return Err(format!(
                "the new value of {key} has a backslash, which versions of Compose read differently: one of them takes the lines below \
                 it for a part of it; write the value without one"
            ));
        }
        if says(text, key, value) == Says::Unclear {
            return Err(format!("versions of Compose read the line of {key} differently"));
        }
        let entry = document.unique(key).map_err(|error| format!("{key}: {error}"))?;
        edits.push(Edit::Set { entry: entry.id(), value });
    }
    let changed = document.edit(&edits).map_err(|error| error.to_string())?.into_string();
    // Both generations of Compose must read what was meant.
    match set.iter().find(|(key, value)| says(&changed, key, value) != Says::This) {
        None => Ok(changed),
        Some((key, _)) => {
            Err(format!("the new value of {key} cannot be written so that every version of Compose reads the same"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_the_value_changes_however_the_line_is_written() {
        let table = [
            ("W=2\n", "W=4\n"),
            ("W=2", "W=4"),
            ("W=\n", "W=4\n"),
            ("export W=2\n", "export W=4\n"),
            ("W=\"2\"\n", "W=\"4\"\n"),
            ("W='2'\n", "W='4'\n"),
            ("  W=2\n", "  W=4\n"),
            ("W=2 # two a core\n", "W=4 # two a core\n"),
            ("W='2' # two a core\n", "W='4' # two a core\n"),
            ("W=2   \nX=1\n", "W=4   \nX=1\n"),
            ("\u{feff}W=2\n", "\u{feff}W=4\n"),
            ("# W=2\n\nA=a b\n\nW=2\n# end", "# W=2\n\nA=a b\n\nW=4\n# end"),
            ("A=1\r\nW=2\r\nB='x'\r\n", "A=1\r\nW=4\r\nB='x'\r\n"),
            ("WW=2\nW=2\nW_=2\n", "WW=2\nW=4\nW_=2\n"),
            ("P='a$b' # pass\nW=2\n", "P='a$b' # pass\nW=4\n"),
            ("M=\"one\ntwo\"\nW=2\n", "M=\"one\ntwo\"\nW=4\n"),
        ];
        for (before, after) in table {
            assert_eq!(with(before, &set(&[("W", "4")])).as_deref(), Ok(after), "{before:?}");
            assert_eq!(says(after, "W", "4"), Says::This, "{after:?}");
        }
    }

    #[test]
    fn several_change_at_once_and_a_value_is_quoted_where_it_must_be() {
        let text = "A=1\nB=2 # two\nC='3'\n";
        assert_eq!(with(text, &set(&[("C", "x"), ("A", "y")])).as_deref(), Ok("A=y\nB=2 # two\nC='x'\n"));
        let changed = with(text, &set(&[("B", "two words #1")])).unwrap();
        assert_eq!(says(&changed, "B", "two words #1"), Says::This);
        assert!(changed.starts_with("A=1\nB=") && changed.ends_with(" # two\nC='3'\n"), "{changed}");
    }

    #[test]
    fn what_versions_of_compose_read_differently_says_nothing() {
        for unclear in ["W=2\nW=2\n", "W=${N}\n", "W=$N\n", "W: 2\n", "W\n", "W= # 2\n"] {
            assert_eq!(says(unclear, "W", "2"), Says::Unclear, "{unclear:?}");
        }
        assert_eq!(says("A=1\n#W=2\n", "W", "2"), Says::Nothing);
        assert_eq!((says("W=2\n", "W", "2"), says("W=3\n", "W", "2")), (Says::This, Says::Another));
        assert_eq!(says("W=\n", "W", ""), Says::This);
    }

    #[test]
    fn an_immutable_file_is_seen_before_it_is_to_be_rewritten() {
        use rustix::fs::{IFlags, ioctl_setflags};
        // On a disk: a file system in memory, where tests may have theirs otherwise, need not know such marks.
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, "W=2\n").unwrap();
        assert_eq!(EnvFile::read(&path).unwrap().locked(), None);
        let opened = File::open(&path).unwrap();
        for (flag, word) in [(IFlags::IMMUTABLE, "immutable"), (IFlags::APPEND, "appended")] {
            // Not every file system has such marks, and only root may set them.
            if ioctl_setflags(&opened, flag).is_err() {
                return;
            }
            let (locked, refused) = (EnvFile::read(&path).unwrap().locked(), rewritable(&path));
            ioctl_setflags(&opened, IFlags::empty()).unwrap();
            assert!(locked.is_some_and(|why| why.contains(word) && why.contains("chattr")), "{word}");
            assert!(refused.unwrap_err().contains(word));
        }
    }

    #[test]
    fn a_backslash_is_neither_written_nor_relied_on() {
        for text in ["W='2'\nPASS=hush\n", "W=\"2\"\nPASS=hush\n", "W=2\nPASS=hush\n"] {
            for value in ["C:\\", "a\\", "a\\'b", "\\d+"] {
                let why = with(text, &set(&[("W", value)])).unwrap_err();
                assert!(why.contains("backslash") && !why.contains(value), "{why}");
            }
            // Nor is one made in order to write a quote.
            let quotes = with(text, &set(&[("W", "it's \"both\" #1")]));
            assert!(quotes.as_ref().map_or(true, |changed| !changed.contains('\\')), "{quotes:?}");
        }
        for text in ["W='a\\'\n", "W=\"a\\\"b\"\n", "W=a\\b\n", "W='\\d'\nA='1'\n"] {
            for value in ["a\\", "a\"b", "a\\b", "\\d", "2"] {
                assert!(matches!(says(text, "W", value), Says::Unclear | Says::Nothing), "{text:?}");
            }
            assert!(with(text, &set(&[("W", "4")])).is_err(), "{text:?}");
        }
        assert_eq!(says("W=a\\b\n", "W", "a\\b"), Says::Unclear);
    }

    #[test]
    fn what_cannot_be_changed_is_said_without_a_value() {
        for (text, value) in [("A=hush\n", "4"), ("W=hush\nW=hush\n", "4"), ("W=hush\n", "hush$N"), ("W=hush\n", "a\\'b\"$")] {
            let why = with(text, &set(&[("W", value)])).unwrap_err();
            assert!(why.contains('W') && !why.contains("hush") && !why.contains(value), "{why}");
        }
    }

    #[test]
    fn a_file_is_read_through_a_link_and_what_is_no_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("real"), "PASSWORD=hush\nW=2\n").unwrap();
        std::os::unix::fs::symlink("real", at("link")).unwrap();
        let file = EnvFile::read(&at("link")).unwrap();
        assert_eq!(file.path(), at("real").canonicalize().unwrap());
        assert_eq!(file.says("W", "2"), Says::This);
        assert!(!format!("{file:?}").contains("hush"));
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RUSR).unwrap();
        std::fs::write(at("latin"), b"W=\xe9\n").unwrap();
        std::fs::write(at("long"), vec![b'\n'; 1 << 21]).unwrap();
        for (name, why) in
            [("none", "cannot be found"), ("pipe", "no file"), (".", "no file"), ("latin", "UTF-8"), ("long", "megabyte")]
        {
            let said = EnvFile::read(&at(name)).unwrap_err();
            assert!(said.contains(why) && said.contains(name), "{said}");
        }
    }

    /// Lines as people write them, none of them about `W`.
    fn other_lines() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            "[A-V][A-Z_]{0,6}=[ -~&&[^'\"`\\\\$]]{0,12}",
            "[A-V][A-Z_]{0,6}='[ -~&&[^'\\\\]]{0,12}'( # [ -~&&[^'\"]]{0,8})?",
            "export [A-V]{1,4}=\"[ -~&&[^\"\\\\$]]{0,12}\"",
            "#[ -~]{0,20}",
            "[ \t]{0,3}",
        ];
        proptest::collection::vec((line, prop_oneof![Just("\n"), Just("\r\n")]), 0..8)
            .prop_map(|lines| lines.into_iter().map(|(line, end)| line + end).collect())
    }

    proptest! {
        #[test]
        fn all_other_bytes_are_unchanged(
            before in other_lines(),
            prefix in prop_oneof![Just(""), Just("export "), Just("  ")],
            quote in prop_oneof![Just(""), Just("'"), Just("\"")],
            old in "[a-zA-Z0-9_./:-]{0,10}",
            tail in prop_oneof![Just(""), Just(" # why"), Just("  ")],
            after in other_lines(),
            new in "[ -~&&[^$]]{0,12}",
        ) {
            let text = format!("{before}{prefix}W={quote}{old}{quote}{tail}\n{after}");
            // What cannot be told apart from another line is refused, and then nothing is written at all.
            if let Ok(changed) = with(&text, &set(&[("W", &new)])) {
                prop_assert_eq!(says(&changed, "W", &new), Says::This);
                let head = format!("{before}{prefix}W=");
                prop_assert!(changed.starts_with(&head), "{:?}", changed);
                let foot = format!("\n{after}");
                prop_assert!(changed.ends_with(&foot), "{:?}", changed);
                let middle = &changed[head.len()..changed.len() - foot.len()];
                prop_assert!(middle.trim_end().ends_with(tail.trim()), "{:?}", middle);
            } else {
                // `W= # why` is empty for one version of Compose and has a value for another.
                let unclear = old.is_empty() && quote.is_empty() && tail.contains('#');
                let plain = new.chars().all(|c| c.is_ascii_alphanumeric());
                prop_assert!(!plain || unclear, "a plain value was refused: {:?}", text);
            }
        }
    }
}
