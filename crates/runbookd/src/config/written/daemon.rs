//! `runbookd.yaml` as it is written: the daemon itself and what it talks to. Deliberately no targets and no runbooks.

use runbook::Span;
use runbook::interval::WrittenIntervals;
use runbook::target::SecretRef;
use schemars::JsonSchema;
use serde::Deserialize;

use super::WrittenLogin;
use super::approval::WrittenApproval;
use super::rules::WrittenRules;
use crate::config::yaml::{Placed, Raw};

/// The daemon's own settings. Nothing is read from the environment except what is named as `{env: NAME}`, and `${NAME}` is
/// never replaced.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenDaemon {
    /// Address and port for HTTP: 127.0.0.1:9095 where nothing is said.
    pub listen: Option<Placed<String>>,
    /// The state directory, which holds the journal. Relative paths start at the configuration's folder.
    pub state: Option<Placed<String>>,
    /// A web configuration file in Prometheus's form, with a `tls_server_config`: then HTTP is spoken over TLS.
    pub tls: Option<Placed<String>>,
    /// The endpoint for Alertmanager.
    pub webhook: Option<Placed<WrittenWebhook>>,
    /// The Alertmanagers that are asked what still fires. Name every one of a cluster.
    pub alertmanager: Option<Placed<Vec<Placed<WrittenAlertmanager>>>>,
    /// Where people are told.
    pub slack: Option<Placed<WrittenSlack>>,
    /// An alert that always fires, and whom to tell when it stops.
    pub watchdog: Option<Placed<WrittenWatchdog>>,
    /// Named time intervals in Alertmanager's form; modes refer to them by name.
    #[schemars(with = "Option<Vec<WrittenIntervals>>")]
    pub time_intervals: Option<Placed<Vec<Placed<Raw>>>>,
    /// How long the journal keeps closed incidents.
    pub retention: Option<Placed<WrittenRetention>>,
    /// How a person is waited for, and who may agree to what.
    pub approval: Option<Placed<WrittenApproval>>,
    /// What holds for all runbooks together, however they are written.
    pub rules: Option<Placed<WrittenRules>>,
}

/// The endpoint for Alertmanager.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenWebhook {
    /// Accept deliveries from anybody, without a token. Not advised.
    pub open: Option<Placed<bool>>,
}

/// One Alertmanager.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenAlertmanager {
    /// Its base address.
    pub url: Placed<String>,
    /// The name of the receiver there that delivers to us.
    pub receiver: Placed<String>,
    /// A bearer token, where it wants one.
    #[schemars(with = "Option<SecretRef>")]
    pub token: Option<Placed<Raw>>,
    /// A login, where it wants one.
    pub basic: Option<Placed<WrittenLogin>>,
    /// Whether it is sent the alert `RunbookdGaveUp` for each incident that a person has to go on with: true where nothing is said.
    pub raise: Option<Placed<bool>>,
}

/// Where people are told.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenSlack {
    /// Where the bot token (`xoxb-…`) is kept.
    #[schemars(with = "SecretRef")]
    pub token: Placed<Raw>,
    /// The channel, as `#name` in quotes or by id.
    pub channel: Placed<String>,
    /// The base of Slack's Web API: https://slack.com/api where nothing is said.
    pub base_url: Option<Placed<String>>,
}

/// An alert that always fires, and whom to tell when it stops. Without this section nobody notices that alerts stopped coming.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenWatchdog {
    /// Its name: Watchdog where nothing is said.
    pub alert: Option<Placed<String>>,
    /// People are told in Slack when it has not come for so long: 10m where nothing is said.
    pub silence_after: Option<Placed<Span>>,
    /// Where the outside address is kept that is asked (GET) whenever it comes, and that calls people when that stops.
    #[schemars(with = "Option<SecretRef>")]
    pub ping: Option<Placed<Raw>>,
    /// The outside address is asked no more often than this: 1m where nothing is said.
    pub every: Option<Placed<Span>>,
}

/// How long the journal keeps closed incidents; whichever bound is met first counts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenRetention {
    /// Closed incidents older than this go.
    pub age: Option<Placed<Span>>,
    /// Oldest first, until the journal is smaller than this: `512MB`, `2GB` (powers of 1024, as Prometheus counts).
    pub size: Option<Placed<String>>,
}

/// The part of Prometheus's web configuration file that is understood; the rest is refused by name.
#[derive(Deserialize)]
pub struct WrittenWeb {
    /// TLS.
    pub tls_server_config: Placed<WrittenTls>,
}

/// `tls_server_config` of that file. Relative paths start at the file's own folder.
#[derive(Deserialize)]
pub struct WrittenTls {
    /// The certificate chain, PEM.
    pub cert_file: Placed<String>,
    /// Its key, PEM.
    pub key_file: Placed<String>,
    /// Whether clients show a certificate.
    pub client_auth_type: Option<Placed<WrittenClientAuth>>,
    /// Who may have signed it, PEM.
    pub client_ca_file: Option<Placed<String>>,
}

/// The kinds of client authentication that are offered, by Go's names.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
pub enum WrittenClientAuth {
    /// No certificate is asked for.
    NoClientCert,
    /// A certificate is demanded and checked.
    RequireAndVerifyClientCert,
}
