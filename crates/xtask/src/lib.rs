//! `cargo xtask`: the only automation entry (demo, test, estate, bench), and the library behind it.
//!
//! Why a library: the integration tests and the benchmarks start the same real servers and the same estate as the
//! commands do, so there is one way to start each of them. Why so few dependencies: it has to be running within
//! 30 seconds of a bare clone, because everything else (packages, images, the long build) is started by it.
//!
//! Deliberately not here: anything that runbookd itself needs. No shipped crate depends on this one.

pub mod bench;
pub mod cli;
pub mod clock;
pub mod command;
pub mod demo;
pub mod engine;
pub mod estate;
pub mod http;
pub mod licences;
pub mod lint;
pub mod packages;
pub mod paths;
pub mod progress;
pub mod servers;
pub mod slack;
pub mod test;
