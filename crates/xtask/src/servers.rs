//! Private real servers for a test: Debian's binaries, data of their own, a free port of their own, gone on drop.
//!
//! Why: a test that asks a real server finds what a mock would repeat. Each server also ends when the test's
//! process is killed (the kernel is asked to see to it), and its data is swept away by the next test that starts one.
//! Deliberately no containers: these start in about a second and need no Engine. For a whole estate see
//! [`crate::estate`].

mod alertmanager;
mod docker_proxy;
mod port;
mod postgres;
mod process;
mod prometheus;
mod rabbitmq;
mod redis;
mod scratch;

pub(crate) use alertmanager::metric_in;
pub use alertmanager::{Alertmanager, AlertmanagerSettings};
pub use docker_proxy::DockerProxy;
pub use port::{free_port, is_free};
pub use postgres::{Postgres, PostgresSettings};
pub(crate) use process::children;
pub use process::{Process, Program};
pub use prometheus::Prometheus;
pub use rabbitmq::RabbitMq;
pub use redis::Redis;
pub use scratch::Scratch;

use anyhow::Result;

/// How often a start is tried again when another process took the port in between.
const ATTEMPTS: usize = 3;

/// Starts something on fresh ports, again when a port was taken in the moment between finding and using it.
fn on_free_ports<T>(mut start: impl FnMut() -> Result<T>) -> Result<T> {
    let mut attempt = 1;
    loop {
        match start() {
            Err(error) if attempt < ATTEMPTS && format!("{error:#}").to_lowercase().contains("address already in use") => {
                attempt += 1;
            }
            answer => return answer,
        }
    }
}
