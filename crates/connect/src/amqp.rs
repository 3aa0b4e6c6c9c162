//! AMQP connections to RabbitMQ, one per look. Why one per look: asking for a queue that does not exist closes the channel, and
//! a connection that recovers by itself hides from its user that it was gone. Deliberately no TLS yet: it doubles the number of
//! crates that this crate pulls in.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties};
use runbook::target::{Login, Place, Target};
use runbook::text::humanize_duration;
use secrecy::ExposeSecret;

use crate::{Side, secret};

/// How long closing politely may take before the connection is simply dropped.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);

/// An AMQP connection for one look.
pub struct Session {
    connection: Connection,
}

impl Session {
    /// A channel of its own; one that a failed question closed is replaced by asking again.
    ///
    /// # Errors
    /// When the broker does not open one.
    pub async fn channel(&self) -> Result<Channel> {
        self.connection.create_channel().await.context("the broker opened no channel")
    }

    /// Ends it. Not an error when the broker does not answer that any more.
    pub async fn close(self) {
        let closing = self.connection.close(200, "done looking".into());
        let _ = tokio::time::timeout(CLOSE_WITHIN, closing).await;
    }
}

/// Logs in, within `within`.
pub(crate) async fn connect(target: &Target, side: Side, within: Duration) -> Result<Session> {
    let Place::Rabbitmq { host, port, vhost, .. } = &target.place else { bail!("{} is no RabbitMQ broker", target.id) };
    let Login { user, password } = login(target, side)?;
    let password = secret::resolve(password).await.map_err(|why| anyhow!(why))?;
    let millis = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    let uri = AMQPUri {
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username: user.clone(), password: password.expose_secret().to_owned() },
            host: host.clone(),
            port: *port,
        },
        vhost: vhost.clone(),
        query: AMQPQueryString { connection_timeout: Some(millis), ..AMQPQueryString::default() },
    };
    let properties = ConnectionProperties::default().with_connection_name(format!("runbookd {side}").into());
    let connection = tokio::time::timeout(within, Connection::connect_uri(uri, properties))
        .await
        .map_err(|_| anyhow!("no answer within {}", humanize_duration(within)))?
        .with_context(|| format!("cannot log in to RabbitMQ at {host}:{port}"))?;
    Ok(Session { connection })
}

/// The login of this side, which the management API takes too.
///
/// # Errors
/// When the target is no broker or has no login for this side.
pub(crate) fn login(target: &Target, side: Side) -> Result<&Login> {
    let Place::Rabbitmq { look, act, .. } = &target.place else { bail!("{} is no RabbitMQ broker", target.id) };
    match side {
        Side::Look => Ok(look),
        Side::Act => act.as_ref().ok_or_else(|| anyhow!("{} has no login to act with", target.id)),
    }
}
