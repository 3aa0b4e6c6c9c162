//! AMQP connections to RabbitMQ, one per look. Why one per look: asking for a queue that does not exist closes the channel, and
//! a connection that recovers by itself hides from its user that it was gone.
//!
//! The library reads each connection in a thread of its own, which an abandoned login would leave behind for as long as a hung
//! broker hangs. So we keep a second handle to the socket and shut it down when the look is over, however it ends.
//! Deliberately no TLS yet: it adds some forty crates.

use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use lapin::tcp::AMQPUriTcpExt;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, Error, ErrorKind};
use runbook::target::{Login, Place, Target};
use runbook::text::humanize_duration;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::{Side, secret};

/// How long closing politely may take before the connection is simply dropped.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);

/// An AMQP connection for one look.
pub struct Session {
    connection: Connection,
    // After the connection, so that it is dropped last.
    _cutter: Cutter,
}

/// A second handle to the socket of a connection; shuts it down when dropped, and with it the thread that reads it.
#[derive(Clone, Default)]
struct Line(Arc<Mutex<Option<TcpStream>>>);

impl Line {
    fn keep(&self, socket: TcpStream) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
    }

    fn cut(&self) {
        if let Some(socket) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Already shut down is as good.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Cuts the line when the look is over or abandoned.
struct Cutter(Line);

impl Drop for Cutter {
    fn drop(&mut self) {
        self.0.cut();
    }
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

/// Logs in, within `within`, the reading of the secret included.
pub(crate) async fn connect(target: &Target, side: Side, within: Duration) -> Result<Session> {
    let Place::Rabbitmq { host, port, vhost, .. } = &target.place else { bail!("{} is no RabbitMQ broker", target.id) };
    let Login { user, password } = login(target, side)?;
    let until = Instant::now() + within;
    let password = secret::resolve(password, within).await.map_err(|why| anyhow!(why))?;
    let uri = AMQPUri {
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username: user.clone(), password: password.expose_secret().to_owned() },
            host: host.clone(),
            port: *port,
        },
        vhost: vhost.clone(),
        query: AMQPQueryString::default(),
    };
    let properties = ConnectionProperties::default().with_connection_name(format!("runbookd {side}").into());
    let line = Line::default();
    let cutter = Cutter(line.clone());
    let runtime = lapin::runtime::default_runtime()?;
    let connecting = Connection::connector(
        uri,
        runtime,
        async move |uri: AMQPUri, runtime| {
            // In the reading thread, which nobody else ends while it dials.
            let dialled = tokio::time::timeout_at(until, uri.connect_async(&runtime)).await;
            let stream = dialled.map_err(std::io::Error::from).flatten().map_err(to_lapin)?;
            if let AsyncTcpStream::Plain(plain) = &stream {
                line.keep(plain.get_ref().as_fd().try_clone_to_owned().map_err(to_lapin)?.into());
            }
            Ok(stream)
        },
        properties,
    );
    let connection = tokio::time::timeout_at(until, connecting)
        .await
        .map_err(|_| anyhow!("no answer within {}", humanize_duration(within)))?
        .with_context(|| format!("cannot log in to RabbitMQ at {host}:{port}"))?;
    Ok(Session { connection, _cutter: cutter })
}

fn to_lapin(error: std::io::Error) -> Error {
    ErrorKind::IOError(Arc::new(error)).into()
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
