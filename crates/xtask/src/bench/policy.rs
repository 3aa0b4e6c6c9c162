//! What one decision costs: routing and deciding one alert under 200 runbooks, on one thread, with 1,000 and with 100,000 acts
//! on record. The two beside each other say whether it grows with history; the time to make the counters anew is what a start
//! pays. Deliberately without looks and without the start transaction: both are bound by what they talk to.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::release;
use crate::servers::Scratch;

/// One in a hundred decisions may take longer than this.
const BUDGET_MICROSECONDS: f64 = 100.0;
/// Past acts on record.
const HISTORIES: [usize; 2] = [1_000, 100_000];

const METHOD: &str = "\
method: a journal is filled with acts of the last 30 days, each of an incident of its own, and opened; the counters are made
from it once, timed. Once the kernel has written down what was filled in, 20,000 alerts are routed and decided one after another
on one thread, each timed by itself; the incident with its 50 idle sessions is prepared outside the time. Rules are wide enough that
decisions pass every gate, and every tenth act is counted, so that the counters move. The time is that of the clock on the wall; the
thread's own processor time is told beside it. Then as many loops of as long that do nothing are timed in the same way, for what the
machine itself adds. Release build.";

/// Runs the benchmark.
///
/// # Errors
/// When it cannot be built or run, or when a decision costs more than its budget.
pub fn run() -> Result<()> {
    let program = release::build(&["--package", "journal", "--example", "decisions"])?.join("examples/decisions");
    let mut worst = 0.0_f64;
    for acts in HISTORIES {
        let scratch = Scratch::new("bench-policy")?;
        let output =
            Command::new(&program).arg(scratch.path()).arg(acts.to_string()).output().context("running the decisions")?;
        ensure!(output.status.success(), "the decisions failed: {}", String::from_utf8_lossy(&output.stderr));
        let said: Value = serde_json::from_slice(&output.stdout).context("reading what was measured")?;
        let number = |name: &str| said.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
        println!(
            "{acts:>7} acts on record: p50 {:.1} us (routing {:.1} us), p99 {:.1} us, longest {:.1} us; counters made anew in {} ms",
            number("p50_microseconds"),
            number("routing_p50_microseconds"),
            number("p99_microseconds"),
            number("longest_microseconds"),
            number("rebuilt_milliseconds"),
        );
        println!(
            "        of the thread's own processor time: p50 {:.1} us, p99 {:.1} us",
            number("own_p50_microseconds"),
            number("own_p99_microseconds"),
        );
        println!(
            "        the machine itself: a loop that does nothing for {:.1} us (p50) has a p99 of {:.1} us",
            number("nothing_p50_microseconds"),
            number("nothing_p99_microseconds"),
        );
        worst = worst.max(number("p99_microseconds"));
    }
    println!("{METHOD}");
    ensure!(worst < BUDGET_MICROSECONDS, "p99 is {worst:.1} us, and {BUDGET_MICROSECONDS} us are allowed");
    Ok(())
}
