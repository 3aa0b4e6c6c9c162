//! Runs other programs to their end, with their output kept, so that a failure can be told in full.
//!
//! Deliberately no shell: every argument is one argument. Processes that stay (servers) are in
//! [`crate::servers`].

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// How many lines of a failed program's output are repeated in the error.
const TAIL: usize = 40;

/// Runs it with no input and answers what it printed on standard output.
///
/// # Errors
/// When it cannot be started or ends with another code than 0; the error carries the end of what it printed.
pub fn output(command: &mut Command) -> Result<String> {
    let done = finish(command)?;
    if !done.status.success() {
        bail!(
            "{} ended with {}:\n{}{}",
            line(command),
            done.status,
            last_lines(&String::from_utf8_lossy(&done.stdout), TAIL),
            last_lines(&String::from_utf8_lossy(&done.stderr), TAIL)
        );
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Runs it with no input, whatever code it ends with.
///
/// # Errors
/// Only when it cannot be started.
pub fn finish(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", line(command)))
}

/// Whether it can be started and ends with code 0; what it prints is thrown away.
pub fn succeeds(command: &mut Command) -> bool {
    finish(command).is_ok_and(|done| done.status.success())
}

/// Runs it with no input and its output in `log`, of which only the end is told, and only if it fails.
///
/// # Errors
/// When it cannot be started or ends with another code than 0.
pub fn logged(command: &mut Command, log: &Path) -> Result<()> {
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot start {}", line(command)))?;
    if !status.success() {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        bail!("{} ended with {status}; the end of {}:\n{}", line(command), log.display(), last_lines(&text, TAIL));
    }
    Ok(())
}

/// Runs it with no input, showing what it prints as it comes; answers all of its standard output and whether it
/// ended with code 0.
///
/// # Errors
/// When it cannot be started.
pub fn shown(command: &mut Command) -> Result<(bool, String)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", line(command)))?;
    let errors = child.stderr.take().map(|pipe| std::thread::spawn(move || copy(pipe)));
    let text = child.stdout.take().map(copy).unwrap_or_default();
    let told = errors.and_then(|thread| thread.join().ok()).unwrap_or_default();
    let status = child.wait().context("cannot wait for a child process")?;
    Ok((status.success(), text + &told))
}

/// Like [`shown`], but from the first line on standard error that begins with `mark` nothing is shown: that is
/// answered, so that the caller can say something before it.
///
/// # Errors
/// When it cannot be started.
pub fn shown_until(command: &mut Command, mark: &str) -> Result<(bool, String)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", line(command)))?;
    let shown = child.stdout.take().map(|pipe| std::thread::spawn(move || copy(pipe)));
    let mut held = String::new();
    if let Some(pipe) = child.stderr.take() {
        lines(pipe, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            if held.is_empty() && !text.starts_with(mark) {
                let _ = std::io::stdout().write_all(bytes);
            } else {
                held.push_str(&text);
            }
        });
    }
    if let Some(thread) = shown {
        let _ = thread.join();
    }
    let status = child.wait().context("cannot wait for a child process")?;
    Ok((status.success(), held))
}

/// Copies lines to standard output as they come, and keeps them.
fn copy(pipe: impl Read) -> String {
    let mut kept = String::new();
    lines(pipe, |bytes| {
        let _ = std::io::stdout().write_all(bytes);
        kept.push_str(&String::from_utf8_lossy(bytes));
    });
    kept
}

fn lines(pipe: impl Read, mut each: impl FnMut(&[u8])) {
    let mut reader = BufReader::new(pipe);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
        each(&bytes);
        bytes.clear();
    }
}

/// The command as a person would type it, near enough to find it again; never with its environment.
#[must_use]
pub fn line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    if line.len() > 300 {
        let end = line.floor_char_boundary(300);
        line.truncate(end);
        line.push_str(" ...");
    }
    line
}

/// The last `count` lines of a text, each ended.
#[must_use]
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(count);
    lines.iter().skip(from).map(|line| format!("{line}\n")).collect()
}

/// Where a program of that name is on the search path (and in the directories that Debian keeps for root).
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    find_all(program).into_iter().next()
}

/// All programs of that name on the search path, first one first.
#[must_use]
pub fn find_all(program: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .filter(|candidate| candidate.is_file())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_repeats_what_the_program_said() {
        let error = output(Command::new("ls").arg("/there/is/no/such/place")).unwrap_err();
        assert!(error.to_string().contains("/there/is/no/such/place"), "{error}");
        assert_eq!(output(Command::new("echo").arg("a b")).unwrap(), "a b\n");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = output(&mut Command::new("no-such-program")).unwrap_err();
        assert!(error.to_string().contains("no-such-program"));
        assert!(find("no-such-program").is_none());
        assert!(find("ls").is_some());
    }

    #[test]
    fn the_end_of_a_text_is_its_last_lines() {
        assert_eq!(last_lines("a\nb\nc", 2), "b\nc\n");
        assert_eq!(last_lines("", 2), "");
    }
}
