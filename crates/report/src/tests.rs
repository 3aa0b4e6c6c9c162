//! The tests of this crate that need whole incidents: what they look like (`snapshots`), that no limit is ever broken (`limits`), and
//! what is said when (`saying`). `samples` makes the incidents, by the real state machine.

mod limits;
mod samples;
mod saying;
mod snapshots;
