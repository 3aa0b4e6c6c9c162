//! Accepts connections and serves each in a task of its own, at most so many at once. More are answered 503 right away: a
//! sender that waits in a queue it cannot see would time out instead of coming again. When the daemon stops, nobody new is
//! accepted, requests in flight are finished, and what takes longer than its bound is cut off. Deliberately HTTP/1.1 alone:
//! it is all that Alertmanager, Prometheus and our own clients need.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::paced::Paced;
use super::surface::{Origin, Surface};
use super::tls::Tls;

/// What a caller hears when there is no room. Written without waiting, so that turning away costs nothing.
const TURNED_AWAY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// Bytes of a request's header, and of what is buffered between two reads of a body.
const BUFFER: usize = 64 << 10;
/// How long to let things settle when no connection can be accepted, mostly because too many files are open.
const BREATH: Duration = Duration::from_millis(50);

/// Accepts for one listener.
pub(super) struct Acceptor {
    surface: Arc<Surface>,
    origin: Origin,
    room: Arc<Semaphore>,
    tracker: TaskTracker,
    http: http1::Builder,
}

impl Acceptor {
    pub(super) fn new(surface: Arc<Surface>, origin: Origin, most: usize, tracker: TaskTracker) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(surface.bounds.header).max_buf_size(BUFFER).half_close(false);
        Self { surface, origin, room: Arc::new(Semaphore::new(most)), tracker, http }
    }

    pub(super) async fn serve_tcp(self, listener: TcpListener, tls: Option<Arc<Tls>>) {
        while let Some(accepted) = self.until_stop(listener.accept()).await {
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    rest(&error).await;
                    continue;
                }
            };
            let Some(permit) = self.admit() else {
                // A TLS client could not read it.
                if tls.is_none() {
                    let _ = stream.try_write(TURNED_AWAY);
                }
                continue;
            };
            // Without this, an answer waits for the acknowledgement of the one before it.
            let _ = stream.set_nodelay(true);
            match &tls {
                None => self.spawn(stream, permit),
                Some(tls) => self.spawn_tls(stream, tls.clone(), permit),
            }
        }
    }

    pub(super) async fn serve_local(self, listener: UnixListener) {
        while let Some(accepted) = self.until_stop(listener.accept()).await {
            match accepted {
                Ok((stream, _)) => match self.admit() {
                    Some(permit) => self.spawn(stream, permit),
                    None => {
                        let _ = stream.try_write(TURNED_AWAY);
                    }
                },
                Err(error) => rest(&error).await,
            }
        }
    }

    async fn until_stop<T>(&self, accepting: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.surface.daemon.stop.cancelled() => None,
            accepted = accepting => Some(accepted),
        }
    }

    fn admit(&self) -> Option<OwnedSemaphorePermit> {
        let permit = self.room.clone().try_acquire_owned().ok();
        if permit.is_none() {
            self.surface.daemon.metrics.turned_away();
        }
        permit
    }

    fn spawn<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S, permit: OwnedSemaphorePermit) {
        let serving = serve(self.surface.clone(), self.origin, self.http.clone(), stream, permit);
        self.tracker.spawn(serving);
    }

    fn spawn_tls(&self, stream: TcpStream, tls: Arc<Tls>, permit: OwnedSemaphorePermit) {
        let (surface, origin, http) = (self.surface.clone(), self.origin, self.http.clone());
        self.tracker.spawn(async move {
            let acceptor = match tls.acceptor() {
                Ok(acceptor) => acceptor,
                Err(error) => return tracing::error!("no TLS connection can be accepted: {error:#}"),
            };
            match tokio::time::timeout(surface.bounds.header, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => serve(surface, origin, http, stream, permit).await,
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        });
    }
}

/// Serves one connection to its end, or to the daemon's.
async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    surface: Arc<Surface>,
    origin: Origin,
    http: http1::Builder,
    stream: S,
    permit: OwnedSemaphorePermit,
) {
    let _connected = surface.daemon.metrics.connected();
    let bounds = surface.bounds;
    let stop = surface.daemon.stop.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let surface = surface.clone();
        async move { Ok::<Response<Body>, std::convert::Infallible>(surface.answer(origin, request).await) }
    });
    let io = TokioIo::new(Paced::new(stream, bounds.unread));
    let mut connection = std::pin::pin!(http.serve_connection(io, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(bounds.stop, connection).await {
                Ok(ended) => ended,
                Err(_) => return tracing::warn!("a request was cut off, because it took longer than a stop may take"),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
    drop(permit);
}

async fn rest(error: &std::io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(BREATH).await;
}
