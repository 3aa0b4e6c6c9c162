//! The same program with rehearsals in it, under a name of its own, so that it never stands where the shipped one is looked
//! for. Built only with the feature `rehearsal`. Deliberately nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    runbookd::cli::main()
}
