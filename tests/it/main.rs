//! The one integration binary: every module is one subject.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod api;
mod approval;
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
mod estate;
mod examined;
mod intake;
mod kill;
mod looks;
mod paging;
mod reconcile;
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
