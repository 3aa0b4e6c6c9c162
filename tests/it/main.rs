//! The one integration binary: every module is one subject.

// Whether a future may be sent is asked through every future in it, AMQP's included, which are many.
#![recursion_limit = "256"]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod api;
mod approval;
mod backup;
mod cli;
mod clock;
mod config;
mod crash;
mod cure;
mod databases;
mod demo;
mod deploy;
mod docker;
mod doctor;
mod door;
mod earlier;
mod estate;
mod examined;
mod intake;
mod kill;
mod looks;
mod paging;
mod reconcile;
mod retention;
mod rules;
mod silence;
mod slack;
mod store;
mod support;
mod terminate;
mod tidy;
mod untold;
mod watchdog;
mod writing;
