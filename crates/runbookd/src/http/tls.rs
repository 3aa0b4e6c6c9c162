//! TLS for the TCP listener: certificate, key and, where clients must show one, who signs theirs. The files are looked at with
//! each new connection and read again when they changed, so a renewed certificate needs no restart; unreadable new files
//! leave the old ones in force. Deliberately rustls's own defaults for versions and ciphers, with ring.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsSettings;

/// TLS as the files have it now.
pub(super) struct Tls {
    settings: TlsSettings,
    state: Mutex<State>,
}

struct State {
    versions: Versions,
    config: Arc<ServerConfig>,
}

/// Modification time and inode of each file: what changes when it is replaced.
type Versions = Vec<(i64, i64, u64)>;

impl Tls {
    pub(super) fn open(settings: TlsSettings) -> anyhow::Result<Self> {
        let versions = versions(&settings);
        let config = Arc::new(read(&settings)?);
        Ok(Self { settings, state: Mutex::new(State { versions, config }) })
    }

    /// What the next connection is accepted with.
    pub(super) fn acceptor(&self) -> anyhow::Result<TlsAcceptor> {
        let mut state = self.state.lock().map_err(|_| anyhow::anyhow!("an earlier renewal of the certificate broke off"))?;
        let versions = versions(&self.settings);
        if versions != state.versions {
            // Remembered also when reading fails: the log has it once, not with every connection.
            state.versions = versions;
            match read(&self.settings) {
                Ok(config) => {
                    state.config = Arc::new(config);
                    tracing::info!(certificate = %self.settings.certificate.display(), "took a new certificate up");
                }
                Err(error) => tracing::error!("the new certificate cannot be used, so the old one stays in force: {error:#}"),
            }
        }
        Ok(TlsAcceptor::from(state.config.clone()))
    }
}

fn versions(settings: &TlsSettings) -> Versions {
    let files = [Some(&settings.certificate), Some(&settings.key), settings.client_ca.as_ref()];
    let version = |path| std::fs::metadata(path).map(|file| (file.mtime(), file.mtime_nsec(), file.ino())).unwrap_or_default();
    files.into_iter().flatten().map(version).collect()
}

fn read(settings: &TlsSettings) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates(&settings.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key)
        .with_context(|| format!("reading the key {}; one in PEM form is wanted", settings.key.display()))?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .context("choosing TLS versions")?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).with_context(|| format!("using {} to check clients", path.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .with_context(|| format!("using {} to check clients", path.display()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).with_context(|| {
        format!("the certificate {} and the key {} do not make a pair", settings.certificate.display(), settings.key.display())
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let reading = || format!("reading the certificates in {}; PEM form is wanted", path.display());
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).with_context(reading)?.collect();
    let all = all.with_context(reading)?;
    anyhow::ensure!(!all.is_empty(), "there is no certificate in {}; PEM form is wanted", path.display());
    Ok(all)
}
