//! Every crate that is linked in must come under a licence from a short list.
//!
//! Why: whoever ships runbookd must be able to say so without asking a lawyer. What is judged is the SPDX expression
//! that each crate declares (`cargo metadata`), dependencies of tests included.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{command, paths};

/// What may be linked in.
pub const ALLOWED: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Zlib",
    "BSL-1.0",
    "0BSD",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
];

/// Looks at every crate of the lock file and answers how many there are.
///
/// # Errors
/// Each crate whose licence is not allowed, all at once.
pub fn check() -> Result<usize> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let text =
        command::output(Command::new(cargo).current_dir(paths::root()).args(["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata prints no JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let mut wrong = Vec::new();
    for package in packages {
        let expression = package["license"].as_str().unwrap_or_default();
        if !allows(expression) {
            let (name, version) = (&package["name"], &package["version"]);
            wrong.push(format!("{name} {version}: {expression:?}"));
        }
    }
    if !wrong.is_empty() {
        bail!("licences that are not on the list in xtask's licences.rs:\n{}", wrong.join("\n"));
    }
    Ok(packages.len())
}

/// Whether an SPDX expression can be met with allowed licences only.
#[must_use]
pub fn allows(expression: &str) -> bool {
    // Older crates write "MIT/Apache-2.0" for OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: &words, at: 0 };
    let answer = reader.any();
    answer == Some(true) && reader.at == words.len()
}

/// Reads the expression by recursive descent; `None` is a mistake in it.
struct Reader<'a> {
    words: &'a [&'a str],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, word: &str) -> bool {
        let found = self.words.get(self.at) == Some(&word);
        if found {
            self.at += 1;
        }
        found
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word
    }

    fn any(&mut self) -> Option<bool> {
        let mut answer = self.all()?;
        while self.take("OR") {
            answer |= self.all()?;
        }
        Some(answer)
    }

    fn all(&mut self) -> Option<bool> {
        let mut answer = self.one()?;
        while self.take("AND") {
            answer &= self.one()?;
        }
        Some(answer)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let answer = self.any()?;
            return self.take(")").then_some(answer);
        }
        let mut licence = self.next()?.to_owned();
        if self.take("WITH") {
            licence = format!("{licence} WITH {}", self.next()?);
        }
        Some(ALLOWED.contains(&licence.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_judged_as_spdx_means_them() {
        for (expression, expected) in [
            ("MIT", true),
            ("MIT OR GPL-3.0-only", true),
            ("MIT AND GPL-3.0-only", false),
            ("(MIT OR GPL-3.0-only) AND Unicode-3.0", true),
            ("GPL-3.0-only OR MIT AND ISC", true),
            ("MIT/Apache-2.0", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0 WITH other-exception", false),
            ("GPL-3.0-only", false),
            ("(MIT", false),
            ("MIT ISC", false),
            ("", false),
        ] {
            assert_eq!(allows(expression), expected, "{expression}");
        }
    }

    #[test]
    fn every_crate_of_the_lock_file_is_allowed() {
        assert!(check().unwrap() > 10);
    }
}
