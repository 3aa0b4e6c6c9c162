//! The program: parses what was typed, sets up the log, runs one command, and decides the exit code. Deliberately nothing else;
//! the library does the work, and the tests run it in process.

use std::process::ExitCode;

fn main() -> ExitCode {
    runbookd::cli::main()
}
