//! Connections and logins: one for looking, one for acting.
//!
//! Why two types: [`Looking`] and [`Acting`] use different credentials and cannot be turned into each other. `probe` is handed
//! nothing but a `Looking`, so no look can ever use the login that changes things. Passwords are resolved at each connect from
//! the references of the inventory and live no longer than the login; neither type has them, nor does any error.
//!
//! PostgreSQL is special: one connection per login is held open from the start ([`Connections::hold_all`]), because when every
//! slot is taken nobody gets in any more. Everything else is connected to per look, so a server that was down needs no recovery
//! here. Deliberately no look and no action: what is asked over a connection stands in `probe` and `action`.

pub mod amqp;
pub mod container;
pub mod docker;
pub mod env_file;
mod front;
mod held;
pub mod http;
mod postgres;
pub mod redis;
pub mod secret;
mod trouble;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use runbook::target::{Inventory, Place, Target, TargetId};
use sqlx::PgConnection;
use tokio::task::JoinSet;

pub use held::Held;
pub use postgres::{APPLICATION_ACT, APPLICATION_LOOK};
pub use trouble::{PostgresError, PostgresTrouble};

use held::Slot;
use postgres::PostgresLogin;

/// Which of the two logins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// The login that only looks.
    Look,
    /// The login that changes things.
    Act,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Look => "look",
            Side::Act => "act",
        })
    }
}

/// One held connection and how it is: for `doctor`, the log and the metrics.
#[derive(Clone, Debug)]
pub struct Holding {
    /// The server.
    pub target: TargetId,
    /// Which login.
    pub side: Side,
    /// Nothing while the connection is open; else why it is not.
    pub trouble: Option<PostgresError>,
}

/// Everything that can be connected to, from one inventory.
#[derive(Debug)]
pub struct Connections {
    looking: Looking,
    acting: Acting,
}

impl Connections {
    /// Connections to the targets of this inventory. Does no input or output: nothing is opened, read or resolved here.
    pub fn new(inventory: &Inventory) -> Self {
        Self::keeping(inventory, &BTreeMap::new(), &BTreeMap::new(), http::Client::new())
    }

    /// Connections for a new inventory that keep the held ones of every server whose place did not change. The others are closed
    /// when the last user of `self` is done; call [`Connections::hold_all`] on the result.
    pub fn renewed(&self, inventory: &Inventory) -> Self {
        Self::keeping(inventory, &self.looking.postgres, &self.acting.postgres, self.looking.http.clone())
    }

    fn keeping(inventory: &Inventory, look: &Slots, act: &Slots, http: http::Client) -> Self {
        Self {
            looking: Looking { postgres: slots(inventory, Side::Look, look), http },
            acting: Acting { postgres: slots(inventory, Side::Act, act) },
        }
    }

    /// The connections that only look.
    pub fn looking(&self) -> &Looking {
        &self.looking
    }

    /// The connections that change things.
    pub fn acting(&self) -> &Acting {
        &self.acting
    }

    /// Opens every held connection, all at once, each within `within`, and from then on keeps it: it is pinged, and opened again
    /// with growing pauses when it is lost. Reports each, opened or not; one that failed is still being tried afterwards.
    pub async fn hold_all(&self, within: Duration) -> Vec<Holding> {
        let mut opening = JoinSet::new();
        for slot in self.all_slots() {
            let slot = Arc::clone(slot);
            opening.spawn(async move {
                let _ = slot.hold(within).await;
                held::keep(&slot);
            });
        }
        while opening.join_next().await.is_some() {}
        self.held()
    }

    /// How every held connection is, as last known. Asks nothing.
    pub fn held(&self) -> Vec<Holding> {
        self.all_slots().map(|slot| slot.holding()).collect()
    }

    fn all_slots(&self) -> impl Iterator<Item = &Arc<Slot>> {
        self.looking.postgres.values().chain(self.acting.postgres.values())
    }
}

type Slots = BTreeMap<TargetId, Arc<Slot>>;

/// A slot per PostgreSQL server that has a login for this side; the old one where the login is unchanged.
fn slots(inventory: &Inventory, side: Side, old: &Slots) -> Slots {
    let logins = inventory.iter().filter_map(|target| PostgresLogin::of(target, side));
    logins
        .map(|login| {
            let kept = old.get(login.target()).filter(|slot| *slot.login() == login).cloned();
            (login.target().clone(), kept.unwrap_or_else(|| Arc::new(Slot::new(login))))
        })
        .collect()
}

fn unknown_server(id: &TargetId, side: Side) -> PostgresError {
    PostgresError::new(PostgresTrouble::Unasked, format!("{id} has no login to {side} with in the inventory"))
}

/// Connections that only look. What `probe` gets.
pub struct Looking {
    postgres: Slots,
    http: http::Client,
}

impl Looking {
    /// The held connection to a PostgreSQL server, once nobody else uses it; opened when it is not open. `within` bounds it all.
    ///
    /// # Errors
    /// Why it could not be had, in a form to branch on.
    pub async fn postgres(&self, id: &TargetId, within: Duration) -> Result<Held<'_>, PostgresError> {
        self.postgres.get(id).ok_or_else(|| unknown_server(id, Side::Look))?.acquire(within).await
    }

    /// A new login to a PostgreSQL server, apart from the held one: the only way to see whether anybody can get in.
    ///
    /// # Errors
    /// Why it did not work, in a form to branch on.
    pub async fn postgres_login(&self, id: &TargetId, within: Duration) -> Result<PgConnection, PostgresError> {
        self.postgres.get(id).ok_or_else(|| unknown_server(id, Side::Look))?.login().connect(within).await
    }

    /// The client for HTTP.
    pub fn http(&self) -> &http::Client {
        &self.http
    }

    /// A connection to a Redis server for one look.
    ///
    /// # Errors
    /// When it cannot be reached within `within`, or refuses the login.
    pub async fn redis(&self, target: &Target, within: Duration) -> anyhow::Result<::redis::aio::MultiplexedConnection> {
        redis::connect(target, Side::Look, within).await
    }

    /// An AMQP connection to a broker for one look; close it after use.
    ///
    /// # Errors
    /// When it cannot be reached within `within`, or refuses the login.
    pub async fn amqp(&self, target: &Target, within: Duration) -> anyhow::Result<amqp::Session> {
        amqp::connect(target, Side::Look, within).await
    }

    /// A client of a Docker Engine for one look; nothing is sent yet.
    ///
    /// # Errors
    /// When the socket does not exist, the address is no address, or the certificates cannot be read.
    pub fn docker(&self, target: &Target, within: Duration) -> anyhow::Result<bollard::Docker> {
        docker::connect(target, docker::Use::Look, within)
    }

    /// A client of a Docker Engine for running commands inside its containers; nothing is sent yet. It has an address of its own,
    /// because what may run commands is as good as root: only commands that are known to change nothing belong here.
    ///
    /// # Errors
    /// When the inventory has no `inside` for it, the socket does not exist, or the certificates cannot be read.
    pub fn docker_inside(&self, target: &Target, within: Duration) -> anyhow::Result<bollard::Docker> {
        docker::connect(target, docker::Use::Inside, within)
    }
}

impl Looking {
    /// Whether an Engine's address for acting is one, by two calls that only read: no client that could act is given out.
    ///
    /// # Errors
    /// Why nothing could be done over it, with the mend.
    pub async fn acting_front(&self, engine: &Target, within: Duration) -> Result<(), String> {
        front::acting(engine, within).await
    }
}

impl fmt::Debug for Looking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looking").field("postgres", &self.postgres.keys()).finish_non_exhaustive()
    }
}

/// Connections that change things. What `action` gets, and nothing else.
pub struct Acting {
    postgres: Slots,
}

impl Acting {
    /// The held connection for acting on a PostgreSQL server; see [`Looking::postgres`].
    ///
    /// # Errors
    /// Why it could not be had, in a form to branch on.
    pub async fn postgres(&self, id: &TargetId, within: Duration) -> Result<Held<'_>, PostgresError> {
        self.postgres.get(id).ok_or_else(|| unknown_server(id, Side::Act))?.acquire(within).await
    }

    /// A client of a Docker Engine for one act; nothing is sent yet. `within` must exceed what the Engine itself waits for, such
    /// as the grace of a stop: a call that is given up goes on at the Engine.
    ///
    /// # Errors
    /// When the inventory has no `act` for it, the socket does not exist, or the certificates cannot be read.
    pub fn docker(&self, target: &Target, within: Duration) -> anyhow::Result<bollard::Docker> {
        docker::connect(target, docker::Use::Act, within)
    }
}

impl fmt::Debug for Acting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acting").field("postgres", &self.postgres.keys()).finish_non_exhaustive()
    }
}

/// Whether a place has a login for acting, where its kind has one at all.
pub fn can_act(place: &Place) -> bool {
    match place {
        Place::Postgres { act, .. } => act.is_some(),
        Place::Redis { act, .. } => act.is_some(),
        Place::Rabbitmq { act, .. } => act.is_some(),
        Place::Engine { act, .. } => act.is_some(),
        Place::Queue { .. } | Place::Service { .. } | Place::Rehearsal { .. } => true,
        Place::Http { .. } | Place::Prometheus { .. } => false,
    }
}
