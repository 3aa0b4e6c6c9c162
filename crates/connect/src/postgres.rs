//! How to log in to a PostgreSQL server, and what every session of ours is set to.
//!
//! A session that looks is read-only, and no session of ours can wait for a lock or run a statement for long: a look that takes
//! longer is part of the problem. The settings are made after the login and not as start-up options, so that an older server
//! without one of them, or a pooler, does not refuse the login. Deliberately no pool: see [`crate::held`].

use std::time::Duration;

use runbook::target::{Login, Place, SecretRef, Target, TargetId};
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, PgConnection};

use crate::trouble::{PostgresError, PostgresTrouble};
use crate::{Side, secret};

/// The application name of sessions that look.
pub const APPLICATION_LOOK: &str = "runbookd look";

/// The application name of sessions that act; the incident's number is added while it acts.
pub const APPLICATION_ACT: &str = "runbookd act";

/// What every session of ours is set to, where the server knows the setting.
const SETTINGS: [(&str, &str); 7] = [
    ("statement_timeout", "8s"),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "60s"),
    // A server-wide limit for idle sessions (14 and later) must not end the ones that are held on purpose.
    ("idle_session_timeout", "0"),
    // Compiling a look takes longer than the look.
    ("jit", "off"),
    // Nobody's function or view may stand in the way of the server's own.
    ("search_path", "pg_catalog, pg_temp"),
    ("client_min_messages", "error"),
];

/// Made after the login; a setting that this server does not have is left out.
const SET: &str = "SELECT count(set_config(s.name, w.value, false)) \
    FROM unnest($1::text[], $2::text[]) AS w(name, value) JOIN pg_catalog.pg_settings AS s ON s.name = w.name";

/// Where a server is and how to get in, for one side.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PostgresLogin {
    target: TargetId,
    side: Side,
    host: String,
    port: u16,
    database: String,
    tls: bool,
    user: String,
    password: SecretRef,
}

impl PostgresLogin {
    /// The login of this side; none for another kind of target, or where the inventory has none.
    pub(crate) fn of(target: &Target, side: Side) -> Option<Self> {
        let Place::Postgres { host, port, database, tls, look, act, .. } = &target.place else { return None };
        let Login { user, password } = match side {
            Side::Look => look,
            Side::Act => act.as_ref()?,
        };
        Some(Self {
            target: target.id.clone(),
            side,
            host: host.clone(),
            port: *port,
            database: database.clone(),
            tls: *tls,
            user: user.clone(),
            password: password.clone(),
        })
    }

    pub(crate) fn target(&self) -> &TargetId {
        &self.target
    }

    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// Logs in, within `within`.
    pub(crate) async fn connect(&self, within: Duration) -> Result<PgConnection, PostgresError> {
        tokio::time::timeout(within, self.log_in(within)).await.unwrap_or_else(|_| Err(PostgresError::no_answer(within)))
    }

    async fn log_in(&self, within: Duration) -> Result<PgConnection, PostgresError> {
        let password = secret::resolve(&self.password, within).await;
        let password = password.map_err(|why| PostgresError::new(PostgresTrouble::Unasked, why))?;
        let application = match self.side {
            Side::Look => APPLICATION_LOOK,
            Side::Act => APPLICATION_ACT,
        };
        // With TLS the certificate is demanded and checked; without, TLS is still used where the server offers it.
        let tls = if self.tls { PgSslMode::VerifyFull } else { PgSslMode::Prefer };
        let options = PgConnectOptions::new_without_pgpass()
            .username(&self.user)
            .password(password.expose_secret())
            .database(&self.database)
            .ssl_mode(tls)
            .port(self.port)
            .application_name(application)
            .disable_statement_logging();
        let options = if self.host.starts_with('/') { options.socket(&self.host) } else { options.host(&self.host) };
        let mut connection = options.connect().await.map_err(|error| PostgresError::from(&error))?;
        self.settle(&mut connection).await.map_err(|error| PostgresError::from(&error))?;
        Ok(connection)
    }

    async fn settle(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let read_only = match self.side {
            Side::Look => "on",
            Side::Act => "off",
        };
        let settings = SETTINGS.into_iter().chain([("default_transaction_read_only", read_only)]);
        let (names, values): (Vec<&str>, Vec<&str>) = settings.unzip();
        sqlx::query(SET).bind(names).bind(values).persistent(false).execute(connection).await?;
        Ok(())
    }
}
