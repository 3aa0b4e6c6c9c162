//! One compilation in the place of three: cargo has this program called for every crate of the workspace, and it lets Clippy
//! compile the crate, warnings as errors, while rustdoc checks its documentation. Why: `cargo clippy` and `cargo doc` read all
//! dependencies and the workspace once more each, which together took as long as the build itself.
//!
//! What Clippy's driver makes is what the compiler makes, but for the few optimisations of a debug build, which it leaves out.
//! Deliberately only for a whole run of the tests; the benchmarks, the demo and every other build use the compiler alone.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::{command, paths};

/// Tells this program that cargo calls it in the compiler's place, and where the documentation goes; empty for none.
const DOCUMENTS: &str = "RUNBOOKD_XTASK_DOCUMENTS";

/// This program, ready to be called by cargo.
pub struct Linter(PathBuf);

impl Linter {
    /// A copy of this program: the build replaces the one that runs.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn new() -> Result<Self> {
        let own = std::env::current_exe().context("where this program lies is not known")?;
        // Cargo goes by the path alone: whoever changes what a crate is compiled with counts it up, or old crates stay as they are.
        let copy = paths::cache()?.join("linter-1");
        // Under another name first, because one of another run may be at work.
        let new = paths::cache()?.join(format!("linter-{}.new", std::process::id()));
        std::fs::copy(&own, &new).and_then(|_| std::fs::rename(&new, &copy)).context("cannot copy this program")?;
        Ok(Self(copy))
    }

    /// Has cargo build through it.
    #[must_use]
    pub fn lints(&self, mut cargo: Command) -> Command {
        cargo.env("RUSTC_WORKSPACE_WRAPPER", &self.0).env(DOCUMENTS, "");
        cargo
    }

    /// Has cargo build through it, and documents what it builds.
    #[must_use]
    pub fn lints_and_documents(&self, cargo: Command) -> Command {
        let mut linted = self.lints(cargo);
        linted.env(DOCUMENTS, folder());
        linted
    }
}

/// Where the documentation goes, as cargo has it.
fn folder() -> PathBuf {
    paths::target().join("doc")
}

/// That every library of the workspace has been documented: were one left out, its documentation would never be found wrong.
///
/// # Errors
/// When one has not, or the workspace cannot be read.
pub fn all_documented() -> Result<()> {
    for entry in std::fs::read_dir(paths::root().join("crates")).context("the crates cannot be listed")? {
        let entry = entry.context("the crates cannot be listed")?;
        let documented = folder().join(entry.file_name()).join("index.html");
        if entry.path().join("src/lib.rs").exists() && !documented.exists() {
            bail!("{} was built without its documentation: {} is not there", entry.path().display(), documented.display());
        }
    }
    Ok(())
}

/// Where cargo called this program in the compiler's place: does what it asks for, and answers with the code to end with.
#[must_use]
pub fn called_by_cargo() -> Option<ExitCode> {
    let documents = PathBuf::from(std::env::var_os(DOCUMENTS)?);
    let mut arguments = std::env::args_os().skip(1);
    // Whoever runs tests with these variables set wants this program's own commands to be themselves.
    let compiler = arguments
        .next()
        .map(PathBuf::from)
        .filter(|first| first.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rustc")))?;
    Some(match compile(&compiler, &arguments.collect::<Vec<_>>(), &documents) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    })
}

fn compile(compiler: &Path, arguments: &[OsString], documents: &Path) -> Result<bool> {
    // Without a source, cargo asks for the compiler's version, which is not to be refused for a lint.
    let deny: &[&str] = if source(arguments).is_some() { &["-D", "warnings"] } else { &[] };
    let mut clippy = Command::new(compiler.with_file_name("clippy-driver"));
    clippy.arg(compiler).args(arguments).args(deny);
    let mut driver = clippy.spawn().with_context(|| format!("cannot start {}", command::line(&clippy)))?;
    // Beside it, because all that waits for the crate waits for both.
    let documented = match documenting(compiler, arguments, documents) {
        Some(mut rustdoc) => {
            rustdoc.status().map(|status| status.success()).with_context(|| format!("cannot start {}", command::line(&rustdoc)))
        }
        None => Ok(true),
    };
    let compiled = driver.wait().context("cannot wait for clippy-driver")?.success();
    Ok(documented? && compiled)
}

/// The crate's first file, if that is what cargo wants compiled.
fn source(arguments: &[OsString]) -> Option<&OsStr> {
    arguments.iter().map(OsString::as_os_str).find(|argument| Path::new(argument).extension().is_some_and(|end| end == "rs"))
}

/// What checks the documentation of a library, by the compiler's own arguments; nothing for tests and programs.
fn documenting(compiler: &Path, arguments: &[OsString], to: &Path) -> Option<Command> {
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let library = arguments.windows(2).any(|pair| pair == ["--crate-type", "lib"]) && !has("--test");
    if !library || to.as_os_str().is_empty() || source(arguments).is_none() {
        return None;
    }
    let mut rustdoc = Command::new(compiler.with_file_name("rustdoc"));
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        // These are about what a compiler writes, and how it tells cargo.
        if text == "--out-dir" {
            arguments.next();
        } else if !["--emit", "--json", "--error-format"].iter().any(|flag| text.starts_with(flag)) {
            rustdoc.arg(argument);
        }
    }
    rustdoc.arg("--out-dir").arg(to).args(["-D", "warnings"]);
    Some(rustdoc)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documented(arguments: &[&str]) -> Option<Vec<String>> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let command = documenting(Path::new("/bin/rustc"), &arguments, Path::new("/doc"))?;
        assert_eq!(command.get_program(), "/bin/rustdoc");
        Some(command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn a_library_is_documented_by_the_compilers_own_arguments() {
        let of_cargo = ["--crate-name", "a", "src/lib.rs", "--error-format=json", "--json=artifacts", "--crate-type", "lib"];
        let more = ["--emit=metadata,link", "--extern", "b=libb.rmeta", "--out-dir", "/deps", "-L", "dependency=/deps"];
        let expected =
            "--crate-name a src/lib.rs --crate-type lib --extern b=libb.rmeta -L dependency=/deps --out-dir /doc -D warnings";
        assert_eq!(documented(&[&of_cargo[..], &more].concat()).unwrap().join(" "), expected);
    }

    #[test]
    fn tests_programs_and_questions_are_not_documented() {
        assert_eq!(documented(&["src/lib.rs", "--test", "--crate-type", "lib"]), None);
        assert_eq!(documented(&["src/main.rs", "--crate-type", "bin"]), None);
        assert_eq!(documented(&["-vV"]), None);
        assert_eq!(documented(&["-", "--crate-name", "___", "--print=file-names", "--crate-type", "lib"]), None);
    }
}
