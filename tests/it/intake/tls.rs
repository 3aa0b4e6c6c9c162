//! TLS in the form of Prometheus's web configuration file: a delivery over it, a client without the wanted certificate, a renewed
//! certificate without a restart. With certificates from Debian's openssl.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use runbookd::http::Bounds;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::door::{Door, payload};

fn openssl(folder: &Path, arguments: &str) {
    xtask::packages::ensure(&["openssl"]).unwrap();
    let done = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A self-signed certificate for localhost and its key, in `NAME.pem` and `NAME.key`.
fn certificate(folder: &Path, name: &str) {
    let subject = format!("-subj /CN={name} -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE");
    openssl(
        folder,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout {name}.key -out {name}.pem {subject}"
        ),
    );
}

/// Delivers over TLS, trusting this certificate alone, and gives the status; fails where the handshake does.
fn deliver(address: std::net::SocketAddr, request: &str, trusted: &Path, own: Option<(&Path, &Path)>) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
        }
    };
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let tcp = std::net::TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let mut stream = StreamOwned::new(connection, tcp);
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn door_with(web: &str, make: &[&str]) -> (Door, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (state, configuration) = (folder.path().join("state"), folder.path().join("config"));
    std::fs::create_dir_all(&configuration).unwrap();
    for name in make {
        certificate(&configuration, name);
    }
    std::fs::write(configuration.join("web.yaml"), web).unwrap();
    let door = Door::at(folder, &state, Bounds::default(), "tls: web.yaml\n").await;
    (door, configuration)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_comes_over_tls_and_a_renewed_certificate_counts_at_once() {
    let (door, folder) =
        door_with("tls_server_config: {cert_file: server.pem, key_file: server.key}\n", &["server", "other"]).await;
    let body = payload("A");
    let request = format!("{}Connection: close\r\n\r\n{body}", door.head(body.len()));
    let (address, trusted) = (door.address, folder.join("server.pem"));
    let old = folder.join("old.pem");
    std::fs::copy(&trusted, &old).unwrap();
    let send = |trusted: std::path::PathBuf| {
        let request = request.clone();
        blocking(move || deliver(address, &request, &trusted, None))
    };
    assert_eq!(send(trusted.clone()).await.unwrap(), "HTTP/1.1 200");
    assert!(send(folder.join("other.pem")).await.is_err(), "the client checks, so this is the certificate of the file");
    // Half of a renewal: the pair does not fit, and the old one stays in force.
    std::fs::copy(folder.join("other.pem"), folder.join("server.pem")).unwrap();
    assert_eq!(send(old).await.unwrap(), "HTTP/1.1 200");
    std::fs::copy(folder.join("other.key"), folder.join("server.key")).unwrap();
    assert_eq!(send(folder.join("other.pem")).await.unwrap(), "HTTP/1.1 200");
    // Plain HTTP to it gets no answer that could be taken for one.
    assert_ne!(door.get("/healthz").await.status, 200);
    assert_eq!(door.stored().await.len(), 3);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_clients_must_show_a_certificate_nobody_comes_in_without() {
    let web = "tls_server_config: {cert_file: server.pem, key_file: server.key, client_auth_type: RequireAndVerifyClientCert, client_ca_file: client.pem}\n";
    let (door, folder) = door_with(web, &["server", "client", "other"]).await;
    let body = payload("A");
    let request = format!("{}Connection: close\r\n\r\n{body}", door.head(body.len()));
    let address = door.address;
    let send = |own: Option<&'static str>| {
        let (request, folder) = (request.clone(), folder.clone());
        blocking(move || {
            let own = own.map(|name| (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key"))));
            deliver(address, &request, &folder.join("server.pem"), own.as_ref().map(|(pem, key)| (pem.as_path(), key.as_path())))
        })
    };
    assert_eq!(send(Some("client")).await.unwrap(), "HTTP/1.1 200");
    assert!(send(None).await.is_err());
    assert!(send(Some("other")).await.is_err());
    assert_eq!(door.stored().await.len(), 1);
    door.close().await;
}
