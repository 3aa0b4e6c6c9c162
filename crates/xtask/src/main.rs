//! The thin end of `cargo xtask`: hands the arguments to the library and turns its answer into an exit code.
//!
//! Deliberately nothing else: all of it can be called from tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = xtask::lint::called_by_cargo() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match xtask::cli::run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
