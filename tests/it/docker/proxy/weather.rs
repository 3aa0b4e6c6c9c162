//! Certificates that are not those of the authority, and an Engine that hangs or dies behind the proxy.

use std::io::{Read, Write};
use std::time::Duration;

use bollard::exec::CreateExecOptions;
use bollard::query_parameters::RestartContainerOptionsBuilder;
use runbook::target::{EngineTls, Place};
use xtask::http::Request;
use xtask::servers::DockerProxy;

use super::{Behind, clients, run_inside, socket};
use crate::databases::target;
use crate::looks::listed;

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_only_those_come_in_whom_the_authority_signed() {
    let behind = Behind::start(DockerProxy::start_with_tls);
    let proxy = &behind.proxy;
    let tls = |ca: &str, own: &str| {
        let path = |name: String| proxy.certificate(&name).display().to_string();
        Some(EngineTls {
            ca: path(format!("{ca}.pem")),
            certificate: path(format!("{own}.pem")),
            key: path(format!("{own}.key")),
        })
    };
    let with = |tls| clients(proxy.look(), proxy.inside(), proxy.act(), tls);
    let [look, inside, act] = with(tls("ca", "client"));
    assert_eq!(look.list_containers(None).await.unwrap().len(), 1);
    assert_eq!(run_inside(&inside, &behind.id, &["/bin/echo", "hello"]).await.unwrap().0, b"hello\n");
    act.restart_container(&behind.id, Some(RestartContainerOptionsBuilder::default().t(1).build())).await.unwrap();
    assert!(proxy.log().contains("client \"CN=runbookd\""), "{}", proxy.log());
    assert!(look.create_exec(&behind.id, CreateExecOptions::<String>::default()).await.is_err());

    for stranger in with(tls("ca", "stranger")) {
        let refused = stranger.ping().await.unwrap_err().to_string();
        assert!(refused.contains("400") && refused.contains("certificate"), "{refused}");
    }
    // We do not talk to a server that somebody else signed.
    for impostor in with(tls("other", "client")) {
        assert!(impostor.ping().await.is_err());
    }
    // Without any certificate, and without TLS.
    let bare = |address: String| {
        let roots = rustls::pki_types::pem::PemObject::from_pem_file(proxy.certificate("ca.pem")).unwrap();
        let mut store = rustls::RootCertStore::empty();
        store.add(roots).unwrap();
        let config = rustls::ClientConfig::builder().with_root_certificates(store).with_no_client_auth();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let connection = rustls::ClientConnection::new(config.into(), name).unwrap();
        let tcp = std::net::TcpStream::connect(address.trim_start_matches("https://")).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, tcp);
        let mut answer = Vec::new();
        let _ = stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    for address in [proxy.look(), proxy.inside(), proxy.act()] {
        let answer = bare(address.clone());
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("No required SSL certificate"), "{answer}");
        let plain = Request::get(&format!("{}/_ping", address.replace("https", "http"))).send().unwrap();
        assert_eq!(plain.status, 400, "{}", plain.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_or_dies_is_told_apart_and_is_found_again() {
    let mut behind = Behind::start(DockerProxy::start);
    let place = Place::Engine { look: behind.proxy.look(), inside: None, act: Some(behind.proxy.act()), tls: None };
    let (inventory, connections) = listed([target("engine/main", place)]);
    let engine = inventory.get(&"engine/main".parse().unwrap()).unwrap();
    let docker = connections.acting().docker(engine, Duration::from_secs(1)).unwrap();

    behind.engine.process().stop().unwrap();
    // More than the proxy has connections for, if those of clients that went away stayed.
    for _ in 0..3 {
        let asked = (0..300).map(|_| docker.ping());
        for answer in futures_util::future::join_all(asked).await {
            assert!(matches!(answer, Err(bollard::errors::Error::RequestTimeoutError)), "{answer:?}");
        }
    }
    behind.engine.process().cont().unwrap();
    docker.ping().await.unwrap();

    // In the middle of a call nobody knows what became of it; afterwards nothing is sent, and that is said.
    let id = behind.id.clone();
    let patient = connections.acting().docker(engine, Duration::from_secs(60)).unwrap();
    let restart = tokio::spawn(async move {
        patient.restart_container(&id, Some(RestartContainerOptionsBuilder::default().t(30).build())).await
    });
    let socket = socket(&behind.proxy.act());
    let stopping = || {
        let events = behind.engine.engine().run(&["events", "--since=1m", "--until=0s", "--filter=event=kill"])?;
        Ok((!events.is_empty()).then_some(()))
    };
    xtask::clock::wait_for("the stop to begin", Duration::from_secs(20), stopping).unwrap();
    behind.engine.kill_and_start_again().unwrap();
    let broken = restart.await.unwrap().unwrap_err();
    assert!(matches!(broken, bollard::errors::Error::DockerResponseServerError { status_code: 502, .. }), "{broken:?}");
    docker.ping().await.unwrap();
    behind.proxy.kill_and_start_again().unwrap();
    assert_eq!(Request::get("http://localhost/_ping").send_unix(&socket).unwrap().status, 200);
}
