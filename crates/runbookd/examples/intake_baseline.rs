//! The two servers that the intake is measured against, `cargo xtask bench intake`: one reads the body and answers 200, the
//! other also appends it to a file, with one `fdatasync` for all that arrived together. They are what the machine can do with
//! the same HTTP library, and with the least that could be called durable. Deliberately nothing else: no token, no check of
//! the body, no bound.
//!
//! Usage: `intake_baseline read PORT` or `intake_baseline append PORT FILE`, on 127.0.0.1.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write;

use anyhow::Context;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// A body on its way to the file, and who waits for it.
type Waiting = (Vec<u8>, oneshot::Sender<bool>);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (port, appender) = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["read", port] => (*port, None),
        ["append", port, path] => (*port, Some(appender(File::create(path).with_context(|| format!("creating {path}"))?))),
        _ => anyhow::bail!("usage: intake_baseline read PORT | append PORT FILE"),
    };
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let appender = appender.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let appender = appender.clone();
            async move { Ok::<_, Infallible>(answer(request, appender).await) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, appender: Option<mpsc::Sender<Waiting>>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let stored = match to_bytes(Body::new(request.into_body()), 32 << 20).await {
        Err(_) => false,
        Ok(body) => match appender {
            None => true,
            Some(appender) => {
                let (done, stored) = oneshot::channel();
                appender.send((body.into(), done)).await.is_ok() && stored.await.unwrap_or(false)
            }
        },
    };
    if !stored {
        *response.status_mut() = axum::http::StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// Appends in a thread of its own: what waits is written at once and synced once.
fn appender(mut file: File) -> mpsc::Sender<Waiting> {
    let (sender, mut receiver) = mpsc::channel::<Waiting>(4096);
    std::thread::spawn(move || {
        let mut batch = Vec::new();
        let mut bytes = Vec::new();
        while receiver.blocking_recv_many(&mut batch, 4096) > 0 {
            bytes.clear();
            for (body, _) in &batch {
                bytes.extend_from_slice(body);
            }
            let stored = file.write_all(&bytes).and_then(|()| file.sync_data()).is_ok();
            for (_, done) in batch.drain(..) {
                // A client that has gone away does not mind.
                let _ = done.send(stored);
            }
        }
    });
    sender
}
