//! What the daemon itself was told, as meant. Why apart from `runbook::book::Configuration`: that one is stored by hash and
//! decides about incidents; this one decides only how the process is run. Holds references to secrets, never secrets.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use runbook::Span;
use runbook::target::{Login, SecretRef};

/// What the daemon itself was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DaemonSettings {
    /// Where HTTP is spoken.
    pub listen: SocketAddr,
    /// The state directory, where one was named.
    pub state: Option<PathBuf>,
    /// TLS, where it is spoken.
    pub tls: Option<TlsSettings>,
    /// Deliveries are accepted without a token. Only ever true where it was asked for by name.
    pub webhook_open: bool,
    /// The Alertmanagers that are asked what still fires.
    pub alertmanagers: Vec<AlertmanagerSettings>,
    /// Where people are told.
    pub slack: Option<SlackSettings>,
    /// The dead man's switch, where there is one.
    pub watchdog: Option<WatchdogSettings>,
    /// How long the journal keeps closed incidents.
    pub retention: Retention,
    /// What proves that somebody is who they say, by their name in `approval`.
    pub people: BTreeMap<String, PersonToken>,
}

/// What proves that somebody is who they say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PersonToken {
    /// A token that is kept there.
    Secret(SecretRef),
    /// A token with this SHA-256.
    Sha256([u8; 32]),
    /// The API's own token, or the socket, where no other token is shown.
    Api,
}

/// One Alertmanager.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertmanagerSettings {
    /// Its base address, without a slash at the end.
    pub url: String,
    /// The name of the receiver there that delivers to us.
    pub receiver: String,
    /// A bearer token.
    pub token: Option<SecretRef>,
    /// A login.
    pub basic: Option<Login>,
    /// It is sent an alert for each incident that was given up.
    pub calls_people: bool,
}

/// Where people are told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlackSettings {
    /// The bot token.
    pub token: SecretRef,
    /// `#name` or an id.
    pub channel: String,
    /// The base of Slack's Web API, without a slash at the end.
    pub base_url: String,
}

/// The dead man's switch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchdogSettings {
    /// The name of the alert that always fires.
    pub alert: String,
    /// People are told when it has not come for so long.
    pub silence_after: Span,
    /// Where the outside address is kept that is asked whenever it comes.
    pub ping: Option<SecretRef>,
    /// The outside address is asked no more often than this.
    pub every: Span,
}

/// How long the journal keeps closed incidents.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Retention {
    /// Closed incidents older than this go; kept for ever where nothing is said.
    pub age: Option<Span>,
    /// Bytes; oldest first, until the journal is smaller.
    pub size: Option<u64>,
}

/// TLS, from a web configuration file in Prometheus's form. The files are read when the server starts, not here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsSettings {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Who must have signed a client's certificate; none is asked for where nothing is said.
    pub client_ca: Option<PathBuf>,
}

impl Default for DaemonSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9095)),
            state: None,
            tls: None,
            webhook_open: false,
            alertmanagers: Vec::new(),
            slack: None,
            watchdog: None,
            retention: Retention::default(),
            people: BTreeMap::new(),
        }
    }
}
