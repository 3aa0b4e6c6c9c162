//! Clients of Docker Engines, made per look and per act. Why per use: the library refuses to make one while the socket's file is
//! missing, and runbookd starts while Docker is down. Each use has its address, so that a filtering proxy can give each its rights.
//!
//! TLS is made here and not by the library: its own trusts every public authority besides the one it is told, reads them all at
//! each connect, and goes on without a certificate that it cannot read. Deliberately no call: nothing is sent before the first.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use runbook::target::{EngineTls, Place, Target};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// What a client is for: each has its address in the inventory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    /// Looking at what is there.
    Look,
    /// Looking inside containers, by running commands there.
    Inside,
    /// Acting.
    Act,
}

/// A client; nothing is sent yet. Each call's answer must begin within `within`, rounded up to a second.
pub(crate) fn connect(target: &Target, what_for: Use, within: Duration) -> Result<Docker> {
    let Place::Engine { look, inside, act, tls } = &target.place else { bail!("{} is no Docker Engine", target.id) };
    let id = &target.id;
    let address = match what_for {
        Use::Look => look,
        Use::Inside => inside.as_ref().ok_or_else(|| {
            anyhow!(
                "{id} has no address to look inside containers with: add `inside` to it in targets.yaml, the proxy's inside front"
            )
        })?,
        Use::Act => act
            .as_ref()
            .ok_or_else(|| anyhow!("{id} has no address to act on: add `act` to it in targets.yaml, the proxy's act front"))?,
    };
    let seconds = within.as_secs().saturating_add(1);
    if let Some(path) = address.strip_prefix("unix://") {
        Docker::connect_with_unix(path, seconds, API_DEFAULT_VERSION)
            .with_context(|| format!("cannot reach the Docker Engine at {path}"))
    } else if address.starts_with("https://") {
        let tls = tls.as_ref().ok_or_else(|| {
            anyhow!("{id} is at {address} and has no certificates: add `tls: {{ca, certificate, key}}` to it in targets.yaml")
        })?;
        let config = client_config(tls).with_context(|| format!("cannot reach the Docker Engine at {address}"))?;
        over_tls(address, config, seconds)
    } else if address.starts_with("http://") || address.starts_with("tcp://") {
        if tls.is_some() {
            bail!("{id} has certificates, and {address} is not encrypted: write https://host:port, or take `tls` away");
        }
        Docker::connect_with_http(address, seconds, API_DEFAULT_VERSION)
            .with_context(|| format!("cannot reach the Docker Engine at {address}"))
    } else {
        bail!("`{address}` is no address of a Docker Engine; write unix:///path, http://host:port or https://host:port")
    }
}

fn over_tls(address: &str, config: ClientConfig, seconds: u64) -> Result<Docker> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let connector = HttpsConnector::from((tcp, config));
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
    let transport = move |request: BollardRequest| {
        let answer = client.request(request);
        async move { answer.await.map_err(bollard::errors::Error::from) }
    };
    Docker::connect_with_custom_transport(transport, Some(address), seconds, API_DEFAULT_VERSION)
        .with_context(|| format!("cannot reach the Docker Engine at {address}"))
}

/// Trusts that authority alone, and shows our certificate. The files are read anew at each connect, so a renewed one counts.
fn client_config(tls: &EngineTls) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca)? {
        roots.add(certificate).with_context(|| format!("{}: a certificate in it cannot be an authority", tls.ca))?;
    }
    let chain = certificates(&tls.certificate)?;
    let key =
        PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| anyhow!("{}: no private key can be read: {error}", tls.key))?;
    // Named, because a process without a default provider would panic here.
    ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .context("this program speaks no version of TLS")?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .with_context(|| format!("{} and {} do not belong together", tls.certificate, tls.key))
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let found = read().map_err(|error| anyhow!("{path}: no certificate can be read: {error}"))?;
    if found.is_empty() {
        bail!("{path}: there is no certificate in it");
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use runbook::target::{Class, Traits};

    use super::*;

    fn engine(look: &str, tls: Option<EngineTls>) -> Target {
        let traits = Traits { depends_on: vec![], stateful: false, may_be_cloned: false, class: Class::P2, owner: "team".into() };
        let place = Place::Engine { look: look.into(), inside: None, act: None, tls };
        Target { id: "engine/main".parse().unwrap(), traits, place, known_as: vec![] }
    }

    fn refusal(target: &Target, what_for: Use) -> String {
        format!("{:#}", connect(target, what_for, Duration::from_secs(1)).unwrap_err())
    }

    #[test]
    fn what_is_not_configured_is_named_with_the_way_to_mend_it() {
        let plain = engine("http://127.0.0.1:1", None);
        assert!(connect(&plain, Use::Look, Duration::from_secs(1)).is_ok());
        assert!(refusal(&plain, Use::Inside).contains("add `inside`"));
        assert!(refusal(&plain, Use::Act).contains("add `act`"));
        assert!(refusal(&engine("ftp://x", None), Use::Look).contains("https://host:port"));
        assert!(refusal(&engine("https://127.0.0.1:1", None), Use::Look).contains("add `tls: {ca, certificate, key}`"));
    }

    #[test]
    fn certificates_that_cannot_serve_are_named_before_anything_is_sent() {
        let file = |name: &str| format!("{}/src/{name}", env!("CARGO_MANIFEST_DIR"));
        let tls = |ca: String| Some(EngineTls { ca, certificate: file("lib.rs"), key: file("lib.rs") });
        let missing = engine("https://127.0.0.1:1", tls(file("no.pem")));
        assert!(refusal(&missing, Use::Look).contains("no.pem: no certificate can be read"), "{}", refusal(&missing, Use::Look));
        let empty = engine("https://127.0.0.1:1", tls(file("lib.rs")));
        assert!(refusal(&empty, Use::Look).contains("there is no certificate in it"));
        // Certificates are not left unused without a word.
        let plain = engine("http://127.0.0.1:1", tls(file("lib.rs")));
        assert!(refusal(&plain, Use::Look).contains("is not encrypted"));
    }
}
