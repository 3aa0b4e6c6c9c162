//! The daemon as a library: build, serve, stop; `main` parses and exits. Why a library: the tests run it in process, with a
//! virtual clock where time matters. It assembles look, decide, act, remember and tell, and is none of them.

pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod doctor;
pub mod engine;
pub mod giving_up;
pub mod housekeeping;
pub mod http;
pub mod killpoint;
pub mod live;
pub mod metrics;
pub mod people;
pub mod random;
pub mod reconcile;
pub mod routing;
pub mod serve;
pub mod silencing;
pub mod teller;
pub mod token;
pub mod watchdog;
pub mod wire;
pub mod world;
