//! Stands where people's pager would: takes what Alertmanager sends the receiver `humans`, and keeps it with the moment it came.
//! Deliberately no opinion on what should come; each test has its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use serde_json::Value;

/// One alert of one notification.
#[derive(Clone, Debug)]
pub struct Page {
    /// When it came.
    pub at: Instant,
    /// `firing` or `resolved`.
    pub status: String,
    /// The alert, as the webhook has it.
    pub alert: Value,
}

impl Page {
    pub fn name(&self) -> &str {
        self.alert["labels"]["alertname"].as_str().unwrap_or_default()
    }
}

/// A running receiver; ends on drop.
pub struct People {
    address: SocketAddr,
    pages: Arc<Mutex<Vec<Page>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for People {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl People {
    /// One that this machine reaches.
    pub async fn start() -> Self {
        Self::listening("127.0.0.1").await
    }

    /// One that containers reach too, by the name that they have for this machine.
    pub async fn start_for_containers() -> Self {
        Self::listening("0.0.0.0").await
    }

    async fn listening(on: &str) -> Self {
        let pages: Arc<Mutex<Vec<Page>>> = Arc::default();
        let routes = axum::Router::new().route("/", axum::routing::post(take)).with_state(pages.clone());
        let listener = tokio::net::TcpListener::bind((on, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, pages, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Everything that came, in order.
    pub fn pages(&self) -> Vec<Page> {
        self.pages.lock().unwrap().clone()
    }

    /// The first page of that name and status.
    pub fn page(&self, name: &str, status: &str) -> Option<Page> {
        self.pages().into_iter().find(|page| page.name() == name && page.status == status)
    }

    /// Waits for it.
    pub fn wait(&self, name: &str, status: &str, within: Duration, state: impl Fn() -> String) -> Page {
        let shown = || format!("{:?}\n{}", self.pages(), state());
        super::daemon::until(&format!("people hear that {name} is {status}"), within, || self.page(name, status), shown)
    }
}

#[expect(clippy::disallowed_methods, reason = "a test measures in real time")]
async fn take(State(pages): State<Arc<Mutex<Vec<Page>>>>, body: axum::body::Bytes) {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let at = Instant::now();
    for alert in body["alerts"].as_array().unwrap() {
        let status = alert["status"].as_str().unwrap().to_owned();
        pages.lock().unwrap().push(Page { at, status, alert: alert.clone() });
    }
}
