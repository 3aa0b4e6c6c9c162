//! Looks at live systems and changes nothing.
//!
//! [`look`] answers with a finding, always: an error, a refusal and a passed deadline are findings too, *unknown* with the reason.
//! Why never an error: nobody may forget to handle it, and nothing acts or closes on an unknown. It is handed the connections
//! that only look; there is no way from here to the login that changes things, nor to a permit.
//!
//! [`capture`] keeps what an order is about to destroy, and [`rights`] says what would stand in an action's way; both are looks.
//! Deliberately no judgement of what was seen: that is the runbook's condition and `policy`.

mod docker;
mod evidence;
mod http;
mod postgres;
mod prometheus;
mod queue;
mod rabbitmq;
mod redact;
mod redis;
mod rehearsal;
mod rights;
mod seen;

use std::time::Duration;

use connect::Looking;
use runbook::Stamp;
use runbook::finding::{Finding, Seen, fields};
use runbook::probe::{
    DockerProbe, HttpProbe, PostgresProbe, Probe, Progress, PrometheusProbe, QueueProbe, RabbitmqProbe, RedisProbe,
    RehearsalProbe,
};
use runbook::target::{Inventory, Target};
use runbook::text::{humanize_duration, inert};

pub use docker::leftovers::{Leftover, leftovers};
pub use docker::round::Round;
pub use evidence::capture;
pub use rights::rights;

/// More than any reason needs; a server's own words can be long.
const LONGEST_REASON: usize = 500;

/// Looks at a target, once, within `deadline`. `now` is asked for the time when the look is over.
///
/// The finding carries exactly the fields of [`runbook::finding::fields`], or is unknown as a whole.
pub async fn look(
    looking: &Looking,
    inventory: &Inventory,
    target: &Target,
    probe: &Probe,
    now: impl Fn() -> Stamp,
    deadline: Duration,
) -> Finding {
    look_as_part(looking, inventory, (target, probe), now, deadline, None).await
}

/// The same as one look of a round, which must not decide on an act: what several of them ask alike is asked once.
pub async fn look_in_round(
    round: &Round,
    looking: &Looking,
    inventory: &Inventory,
    (target, probe): (&Target, &Probe),
    now: impl Fn() -> Stamp,
    deadline: Duration,
) -> Finding {
    look_as_part(looking, inventory, (target, probe), now, deadline, Some(round)).await
}

async fn look_as_part(
    looking: &Looking,
    inventory: &Inventory,
    (target, probe): (&Target, &Probe),
    now: impl Fn() -> Stamp,
    deadline: Duration,
    round: Option<&Round>,
) -> Finding {
    let seen = if target.id.kind == probe.kind() {
        let dispatched = dispatch(looking, inventory, target, probe, now(), deadline, round);
        let looked = tokio::time::timeout(deadline, dispatched).await;
        looked.unwrap_or_else(|_| Err(format!("{} gave no answer within {}", target.id, humanize_duration(deadline))))
    } else {
        Err(format!("{probe} is for a {}, and {} is none", probe.kind().word(), target.id))
    };
    let seen = match seen {
        Ok(seen) => seen::complete(seen, fields(probe.name())),
        Err(why) => Seen::Unknown(inert(&why, LONGEST_REASON)),
    };
    Finding { probe: probe.name().to_owned(), at: now(), seen }
}

async fn dispatch(
    looking: &Looking,
    inventory: &Inventory,
    target: &Target,
    probe: &Probe,
    now: Stamp,
    within: Duration,
    round: Option<&Round>,
) -> Result<Seen, String> {
    match probe {
        Probe::Postgres(PostgresProbe::Answering) => postgres::answering::look(looking, target, within).await,
        Probe::Postgres(PostgresProbe::Sessions(sessions)) => postgres::sessions::look(looking, target, sessions, within).await,
        Probe::Postgres(PostgresProbe::Alive(asked)) => postgres::alive::look(looking, target, asked, within).await,
        Probe::Redis(RedisProbe::Answering) => redis::answering(looking, target, within).await,
        Probe::Redis(RedisProbe::Memory) => redis::memory(looking, target, within).await,
        Probe::Rabbitmq(RabbitmqProbe::Answering) => rabbitmq::answering(looking, target, within).await,
        Probe::Queue(QueueProbe::Depth) => queue::depth(looking, inventory, target, within).await,
        Probe::Queue(QueueProbe::Progress) => queue::progress(looking, inventory, target, Progress::default(), within).await,
        Probe::Queue(QueueProbe::ProgressOver(progress)) => queue::progress(looking, inventory, target, *progress, within).await,
        Probe::Docker(DockerProbe::Engine) => docker::engine::look(looking, target, within).await,
        Probe::Docker(DockerProbe::Service) => docker::service::look(looking, inventory, target, now, within, round).await,
        Probe::Docker(DockerProbe::Logs(logs)) => docker::logs::look(looking, inventory, target, logs, now, within).await,
        Probe::Docker(DockerProbe::Stats) => docker::stats::look(looking, inventory, target, within).await,
        Probe::Docker(DockerProbe::Top) => docker::top::look(looking, inventory, target, within).await,
        Probe::Docker(DockerProbe::Inside(inside)) => docker::inside::look(looking, inventory, target, inside, within).await,
        Probe::Docker(DockerProbe::Settings(asked)) => {
            docker::settings::look(looking, inventory, target, asked, now, within).await
        }
        Probe::Http(HttpProbe::Get) => http::get(looking, target, within).await,
        Probe::Prometheus(PrometheusProbe::Ready) => prometheus::ready(looking, target, within).await,
        Probe::Prometheus(PrometheusProbe::Query(query)) => prometheus::query(looking, target, query, within).await,
        Probe::Rehearsal(RehearsalProbe::Ledger) => rehearsal::ledger(target).await,
    }
}

/// Nearly all of the time there is: what gives up a moment before the look's own deadline can still say what it knows.
pub(crate) fn nearly(within: Duration) -> Duration {
    within - within / 10
}
