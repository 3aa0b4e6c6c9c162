//! Connections to Redis. Why one per look: a shared connection that is being opened again makes every caller wait for all its
//! retries and then fail together, and a new one picks up a rotated password. It costs a millisecond.
//! Deliberately no retry.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo};
use runbook::target::{Place, Target};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::{Side, secret};

/// The user that a password without a name belongs to.
const DEFAULT_USER: &str = "default";

/// Connects within `within`, the reading of the secret included; every answer over it is bounded by `within` too.
pub(crate) async fn connect(target: &Target, side: Side, within: Duration) -> Result<MultiplexedConnection> {
    let Place::Redis { host, port, tls, look, act } = &target.place else { bail!("{} is no Redis server", target.id) };
    let login = match side {
        Side::Look => look,
        Side::Act => act,
    };
    let address = match tls {
        false => ConnectionAddr::Tcp(host.clone(), *port),
        true => {
            crate::http::install_crypto();
            ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
        }
    };
    let until = Instant::now() + within;
    let mut info = address.into_connection_info()?;
    if let Some(login) = login {
        let password = secret::resolve(&login.password, within).await.map_err(|why| anyhow!(why))?;
        let mut settings = info.redis_settings().clone().set_password(password.expose_secret());
        // Servers before 6 know no user names.
        if !login.user.is_empty() && login.user != DEFAULT_USER {
            settings = settings.set_username(&login.user);
        }
        info = info.set_redis_settings(settings);
    }
    let lean = info.redis_settings().clone().set_skip_set_lib_name();
    let info = info.set_redis_settings(lean);
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(within)).set_response_timeout(Some(within));
    let client = Client::open(info)?;
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    let no_answer = || anyhow!("no answer within {}", runbook::text::humanize_duration(within));
    let connected = tokio::time::timeout_at(until, connecting).await.map_err(|_| no_answer())?;
    if connected.as_ref().is_err_and(|error| error.is_timeout()) {
        return Err(no_answer());
    }
    connected.with_context(|| format!("cannot log in to Redis at {host}:{port}"))
}
