//! No caller can hold up another, or the daemon's end: slow headers, slow bodies, idle connections, unread answers, too many
//! connections. Each is cut in bounded time, and meanwhile others are served. Times are shortened, bounds are the same code.

use std::time::Duration;

use runbookd::http::Bounds;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::door::{Door, PATIENCE, WEBHOOK, payload, read_one, read_to_end};

const SHORT: Duration = Duration::from_millis(400);
/// More than `SHORT`, and less than a bound that does not work would take.
const SOON: Duration = Duration::from_secs(10);

fn impatient() -> Bounds {
    Bounds { header: SHORT, body: SHORT, unread: SHORT, stop: SHORT, ..Bounds::default() }
}

#[tokio::test]
async fn slow_headers_slow_bodies_and_idle_connections_are_cut_while_others_are_served() {
    let door = Door::with(impatient()).await;
    let body = payload("A");
    let began = Instant::now();
    let mut silent = door.tcp().await;
    let mut slow_head = door.tcp().await;
    slow_head.write_all(b"POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nX: ").await.unwrap();
    let mut slow_body = door.tcp().await;
    slow_body.write_all(format!("{}\r\n{{", door.head(body.len())).as_bytes()).await.unwrap();
    let mut idle = door.tcp().await;
    idle.write_all(format!("{}\r\n{body}", door.head(body.len())).as_bytes()).await.unwrap();
    assert_eq!(read_one(&mut idle).await.status, 200);
    for _ in 0..5 {
        door.deliver(body.as_bytes()).await.expect(200);
    }
    assert_eq!(read_to_end(&mut slow_body).await.status, 408);
    for stream in [&mut silent, &mut slow_head, &mut idle] {
        read_to_end(stream).await;
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let metrics = door.until_metric("runbookd_http_connections 1").await;
    assert!(metrics.contains("runbookd_deliveries_total{result=\"slow\"} 1"), "{metrics}");
    door.close().await;
}

#[tokio::test]
async fn a_trickle_does_not_buy_time() {
    let door = Door::with(impatient()).await;
    let mut stream = door.tcp().await;
    stream.write_all(format!("{}\r\n", door.head(1000)).as_bytes()).await.unwrap();
    let began = Instant::now();
    while stream.write_all(b" ").await.is_ok() && began.elapsed() < SOON {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() < SOON, "each byte bought more time");
    door.close().await;
}

#[tokio::test]
async fn a_header_beyond_its_bound_is_refused() {
    let door = Door::open().await;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(200 << 10));
    door.raw(request.as_bytes()).await.expect(431);
    door.get("/healthz").await.expect(200);
    door.close().await;
}

#[tokio::test]
async fn more_connections_than_allowed_are_told_to_come_again_and_the_socket_stays_free() {
    let door = Door::with(Bounds { connections: 2, ..Bounds::default() }).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = door.tcp().await;
        stream.write_all(format!("{}\r\n", door.head(10)).as_bytes()).await.unwrap();
        held.push(stream);
    }
    // Two that are held, and the one that asks.
    door.until_metric("runbookd_http_connections 3").await;
    let reply = read_to_end(&mut door.tcp().await).await.expect(503);
    assert!(reply.head.contains("Retry-After"), "{reply:?}");
    door.local("GET", "/healthz", "").await.expect(200);
    drop(held);
    door.until("/healthz", 200).await;
    let metrics = door.get("/metrics").await.body;
    assert!(!metrics.contains("runbookd_http_connections_refused_total 0"), "{metrics}");
    door.close().await;
}

#[tokio::test]
async fn a_stop_finishes_what_is_being_sent_and_is_bounded() {
    let outlives = tempfile::tempdir().unwrap();
    let bounds = Bounds { body: SOON, stop: Duration::from_secs(2), ..Bounds::default() };
    let door = Door::at(tempfile::tempdir().unwrap(), outlives.path(), bounds, "").await;
    let (address, body) = (door.address, payload("A"));
    let head = door.head(body.len());
    let mut finishing = door.tcp().await;
    finishing.write_all(format!("{head}\r\n{}", &body[..10]).as_bytes()).await.unwrap();
    let mut hanging = door.tcp().await;
    hanging.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    door.until_metric("runbookd_http_connections 3").await;
    let (state, socket) = (door.state.clone(), door.socket.clone());
    let began = Instant::now();
    door.daemon.stop.cancel();
    let closing = tokio::spawn(door.close());
    finishing.write_all(&body.as_bytes()[10..]).await.unwrap();
    assert_eq!(read_to_end(&mut finishing).await.status, 200, "what was begun before the stop is finished");
    closing.await.unwrap();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody is accepted after the stop");
    assert!(!socket.exists());
    let journal = journal::Journal::open_to_read(&state).await.unwrap();
    assert_eq!(journal.deliveries(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_socket_is_its_owners_alone_and_a_stale_one_is_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    std::fs::create_dir_all(&state).unwrap();
    drop(std::os::unix::net::UnixListener::bind(state.join("runbookd.sock")).unwrap());
    let door = Door::at(folder, &state, Bounds::default(), "").await;
    let mode = std::fs::metadata(&door.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    door.local("GET", "/healthz", "").await.expect(200);
    door.local("POST", WEBHOOK, &payload("A")).await.expect(200);
    door.close().await;
}

impl Door {
    /// Waits until the metrics have this line, asking over the socket, and gives them all.
    async fn until_metric(&self, line: &str) -> String {
        let waiting = async {
            loop {
                let metrics = self.local("GET", "/metrics", "").await.body;
                if metrics.lines().any(|found| found == line) {
                    return metrics;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("the metrics never had {line}"))
    }
}
