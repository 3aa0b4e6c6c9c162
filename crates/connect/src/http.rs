//! One HTTP client for all looks, and one for the few words that neighbours are told: no redirects, no proxies, bounded in time
//! and size.
//!
//! Why no redirects and proxies: what is looked at is what the inventory names, nothing else. The client is built at its first
//! use. On a machine without CA certificates plain HTTP still works, and HTTPS says what is missing.
//! Deliberately only GET for looks, which change nothing; [`Telling`] is a type of its own, and no look is ever handed one.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use reqwest::redirect::Policy;
use runbook::target::{Login, Place, SecretRef, Target};
use runbook::text::inert;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::{Side, amqp, secret};

/// An answer, read to its end or to the limit.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, at most as long as was asked for.
    pub body: Vec<u8>,
    /// The body was longer.
    pub cut: bool,
    /// The answerer's own time, as its `Date` header has it.
    pub date: Option<String>,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it was cut, or is no JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        if self.cut {
            return Err(anyhow!("the answer is longer than {} bytes", self.body.len()));
        }
        serde_json::from_slice(&self.body).context("the answer is no JSON")
    }

    /// The beginning of the body, safe to print.
    pub fn words(&self) -> String {
        inert(&String::from_utf8_lossy(&self.body), 200)
    }
}

/// How a request proves who it is from.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// It does not.
    None,
    /// Name and password.
    Basic(&'a Login),
    /// A bearer token.
    Bearer(&'a SecretRef),
}

/// The client. Clones share it.
#[derive(Clone, Default)]
pub struct Client {
    built: Arc<OnceLock<Result<Built, String>>>,
}

/// What is asked for.
enum Asked {
    Get,
    Post(String),
    Delete,
}

struct Built {
    client: reqwest::Client,
    /// Why HTTPS cannot work here, if it cannot.
    without_https: Option<String>,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// One GET, to the end of the answer or `most_bytes` of it, within `within`.
    ///
    /// # Errors
    /// When no answer came, or the URL, a secret or the certificates are in the way. Any status is an answer.
    pub async fn get(&self, url: &str, proof: Proof<'_>, most_bytes: usize, within: Duration) -> Result<Answer> {
        let url = url.parse::<reqwest::Url>().map_err(|error| anyhow!("the inventory's address is no URL: {error}"))?;
        self.get_url(url, proof, most_bytes, within).await
    }

    /// The same for a URL that was put together from parts.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_url(&self, url: reqwest::Url, proof: Proof<'_>, most_bytes: usize, within: Duration) -> Result<Answer> {
        self.exchange(Asked::Get, url, proof, most_bytes, within).await
    }

    /// One exchange. What may take `within` is all of it, the reading of the secret included.
    async fn exchange(
        &self,
        asked: Asked,
        url: reqwest::Url,
        proof: Proof<'_>,
        most_bytes: usize,
        within: Duration,
    ) -> Result<Answer> {
        let until = Instant::now() + within;
        let left = || until.saturating_duration_since(Instant::now());
        let built = self.built.get_or_init(build).as_ref().map_err(|why| anyhow!(why.clone()))?;
        if let (Some(why), "https") = (&built.without_https, url.scheme()) {
            return Err(anyhow!(why.clone()));
        }
        let request = match asked {
            Asked::Get => built.client.get(url),
            Asked::Delete => built.client.delete(url),
            Asked::Post(body) => built.client.post(url).header(reqwest::header::CONTENT_TYPE, "application/json").body(body),
        };
        let request = match proof {
            Proof::None => request,
            Proof::Basic(login) => {
                let password = secret::resolve(&login.password, left()).await.map_err(|why| anyhow!(why))?;
                request.basic_auth(&login.user, Some(password.expose_secret()))
            }
            Proof::Bearer(token) => {
                request.bearer_auth(secret::resolve(token, left()).await.map_err(|why| anyhow!(why))?.expose_secret())
            }
        };
        let request = request.timeout(left());
        // The address is left out of errors: it may carry what nobody should read.
        let mut answer = request.send().await.map_err(|error| plain(error, within))?;
        let date = answer.headers().get(reqwest::header::DATE);
        let date = date.and_then(|date| date.to_str().ok()).map(|date| inert(date, 40));
        let mut body = Vec::new();
        let mut cut = false;
        while let Some(chunk) = answer.chunk().await.map_err(|error| plain(error, within))? {
            let room = most_bytes - body.len();
            body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
            if chunk.len() > room {
                cut = true;
                break;
            }
        }
        Ok(Answer { status: answer.status().as_u16(), body, cut, date })
    }
}

/// The client for what neighbours are told. Clones share it.
#[derive(Clone, Default)]
pub struct Telling(Client);

impl Telling {
    /// A client that is built at its first use.
    pub fn new() -> Self {
        Self::default()
    }

    /// POSTs JSON, once.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(
        &self,
        url: reqwest::Url,
        body: &serde_json::Value,
        proof: Proof<'_>,
        most_bytes: usize,
        within: Duration,
    ) -> Result<Answer> {
        self.0.exchange(Asked::Post(body.to_string()), url, proof, most_bytes, within).await
    }

    /// DELETEs, once: takes back what was told.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn delete(&self, url: reqwest::Url, proof: Proof<'_>, most_bytes: usize, within: Duration) -> Result<Answer> {
        self.0.exchange(Asked::Delete, url, proof, most_bytes, within).await
    }

    /// GETs, once: where being asked is all that is to be told.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get(&self, url: reqwest::Url, most_bytes: usize, within: Duration) -> Result<Answer> {
        self.0.exchange(Asked::Get, url, Proof::None, most_bytes, within).await
    }
}

/// The management API of a broker: its base address and the login for looking.
///
/// # Errors
/// When the target is no broker or its address is no URL.
pub fn management(broker: &Target) -> Result<(reqwest::Url, &Login)> {
    let Place::Rabbitmq { management, .. } = &broker.place else {
        return Err(anyhow!("{} is no RabbitMQ broker", broker.id));
    };
    let base = management.parse().map_err(|error| anyhow!("the management address of {} is no URL: {error}", broker.id))?;
    Ok((base, amqp::login(broker, Side::Look)?))
}

/// A URL below `base`; every part is one segment, whatever it holds (`/` becomes `%2F`).
///
/// # Errors
/// When the base cannot have a path.
pub fn below(base: &reqwest::Url, parts: &[&str]) -> Result<reqwest::Url> {
    let mut url = base.clone();
    url.path_segments_mut().map_err(|()| anyhow!("{base} cannot have a path"))?.pop_if_empty().extend(parts);
    Ok(url)
}

/// Makes the crypto of TLS available; the first caller wins, and `main` is usually it.
pub(crate) fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn build() -> Result<Built, String> {
    install_crypto();
    let builder = || {
        reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(2)
            .user_agent("runbookd")
    };
    match builder().build() {
        Ok(client) => Ok(Built { client, without_https: None }),
        // Without a single CA certificate no client can be built, not even for plain HTTP.
        Err(error) => {
            let why = format!("HTTPS does not work here, install the package ca-certificates: {}", chain(&error));
            let client = builder().tls_certs_only([]).build().map_err(|error| chain(&error))?;
            Ok(Built { client, without_https: Some(why) })
        }
    }
}

fn plain(error: reqwest::Error, within: Duration) -> anyhow::Error {
    if error.is_timeout() {
        return anyhow!("no answer within {}", runbook::text::humanize_duration(within));
    }
    anyhow!(inert(&chain(&error.without_url()), 300))
}

/// An error with its causes; the library's own words stop at the first.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        words.push_str(": ");
        words.push_str(&inner.to_string());
        cause = inner.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_path_stay_parts() {
        let base: reqwest::Url = "http://broker:15672/prefix/".parse().unwrap();
        let url = below(&base, &["api", "queues", "/", "a b/../c?d"]).unwrap();
        assert_eq!(url.as_str(), "http://broker:15672/prefix/api/queues/%2F/a%20b%2F..%2Fc%3Fd");
    }

    #[test]
    fn a_client_can_be_built_even_without_ca_certificates() {
        install_crypto();
        assert!(reqwest::Client::builder().tls_certs_only([]).build().is_ok());
        assert!(build().is_ok());
    }
}
