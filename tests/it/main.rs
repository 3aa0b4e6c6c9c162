//! The one integration binary: every module is one subject.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod api;
mod config;
mod crash;
mod databases;
mod deploy;
mod estate;
mod looks;
mod slack;
mod support;
mod terminate;
mod door;
mod intake;
mod cure;
mod kill;
mod tidy;
mod cli;
mod doctor;
mod reconcile;
mod store;
