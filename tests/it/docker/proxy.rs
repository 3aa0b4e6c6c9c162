//! The filtering proxy before the Docker socket: what each front lets through, what none does however it is spelt, commands inside
//! containers over an upgraded connection, client certificates, and an Engine that hangs or dies behind it. All of it is the shipped
//! proxy before a private Engine. Deliberately nothing of what runbookd makes of the answers.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bollard::Docker;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, RestartContainerOptionsBuilder, StatsOptionsBuilder, StopContainerOptionsBuilder,
};
use futures_util::TryStreamExt;
use runbook::target::{EngineTls, Place};
use xtask::engine::{PrivateEngine, TINY, ensure_tiny};
use xtask::http::Request;
use xtask::servers::DockerProxy;

use crate::databases::target;
use crate::looks::listed;

/// An Engine with one container, and the proxy before it.
struct Behind {
    engine: PrivateEngine,
    proxy: DockerProxy,
    id: String,
}

impl Behind {
    fn start(proxy: fn(&Path) -> anyhow::Result<DockerProxy>) -> Behind {
        let engine = PrivateEngine::start().unwrap();
        ensure_tiny(engine.engine()).unwrap();
        let id = engine.engine().run(&["run", "--detach", "--name", "worker", TINY]).unwrap();
        let proxy = proxy(engine.engine().socket()).unwrap();
        Behind { engine, proxy, id }
    }

    /// The status of one call, its path as it is written here with ID and IMAGE filled in, and what came with it.
    fn call(&self, front: &str, method: &str, path: &str) -> (u16, String) {
        let answer = Request::new(method, &format!("http://localhost{}", path.replace("ID", &self.id))).send_unix(&socket(front));
        let answer = answer.unwrap();
        (answer.status, answer.text())
    }

    fn fronts(&self) -> [(&'static str, String); 3] {
        [("look", self.proxy.look()), ("inside", self.proxy.inside()), ("act", self.proxy.act())]
    }

    /// When the container was started, and which containers there are: what no denied call may have changed.
    fn state(&self) -> String {
        let started = self.engine.engine().run(&["inspect", "--format", "{{.State.StartedAt}} {{.Name}}", &self.id]).unwrap();
        started + &self.engine.engine().run(&["ps", "--all", "--quiet"]).unwrap()
    }
}

fn socket(address: &str) -> std::path::PathBuf {
    address.strip_prefix("unix://").unwrap().into()
}

/// What an address answers to bytes that no client would send, to its end.
fn raw(address: &str, bytes: &str) -> String {
    let mut stream = UnixStream::connect(socket(address)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Clients as runbookd has them, for looking, looking inside and acting.
fn clients(look: String, inside: String, act: String, tls: Option<EngineTls>) -> [Docker; 3] {
    let place = Place::Engine { look, inside: Some(inside), act: Some(act), tls };
    let (inventory, connections) = listed([target("engine/main", place)]);
    let engine = inventory.get(&"engine/main".parse().unwrap()).unwrap();
    let within = Duration::from_secs(20);
    [
        connections.looking().docker(engine, within).unwrap(),
        connections.looking().docker_inside(engine, within).unwrap(),
        connections.acting().docker(engine, within).unwrap(),
    ]
}

/// Runs it inside and gives what it said and how it ended.
async fn run_inside(docker: &Docker, id: &str, command: &[&str]) -> Result<(Vec<u8>, i64), bollard::errors::Error> {
    let cmd = Some(command.iter().map(|word| (*word).to_owned()).collect());
    let options = CreateExecOptions { cmd, attach_stdout: Some(true), attach_stderr: Some(true), ..Default::default() };
    let exec = docker.create_exec(id, options).await?.id;
    let StartExecResults::Attached { output, .. } = docker.start_exec(&exec, None).await? else { panic!("not attached") };
    let said: Vec<_> = output.try_collect().await?;
    let ended = docker.inspect_exec(&exec).await?.exit_code.unwrap();
    Ok((said.into_iter().flat_map(|part| part.into_bytes()).collect(), ended))
}

/// What every front denies, as METHOD PATH.
const DENIED: &[&str] = &[
    // What kills, removes more than it says, or reaches beyond containers.
    "POST /containers/ID/kill",
    "POST /containers/ID/kill?signal=TERM",
    "POST /containers/prune",
    "DELETE /containers/ID?force=1",
    "DELETE /containers/ID?force=true",
    "DELETE /containers/ID?force=yes",
    "DELETE /containers/ID?%66orce=1",
    "DELETE /containers/ID?v=false&force=true",
    "DELETE /containers/ID?v=false&force=false&v=true",
    "DELETE /containers/ID?v=falseforce=false",
    "DELETE /containers/ID?v=1",
    "DELETE /containers/ID?v=true&force=false&link=false",
    "DELETE /containers/ID?link=true",
    "DELETE /containers/ID?v=false;force=true",
    "POST /containers/ID/stop?t=0",
    "POST /containers/ID/stop?t=-2",
    "POST /containers/ID/stop?t=-1&signal=KILL",
    "POST /containers/ID/restart?t=-1",
    "POST /containers/ID/stop?t=3601",
    "POST /containers/ID/stop?t=9&signal=KILL",
    "POST /containers/ID/restart?signal=9",
    "POST /containers/ID/rename?name=a/b",
    "POST /containers/ID/rename",
    "POST /containers/create",
    "POST /containers/create?name=",
    "POST /containers/create?name=new&name=other",
    "POST /containers/ID/update",
    "POST /containers/ID/pause",
    "POST /containers/ID/wait",
    "POST /containers/ID/attach?stream=1&stdin=1",
    "GET /containers/ID/attach/ws",
    "GET /containers/ID/export",
    "GET /containers/ID/archive?path=/etc",
    "PUT /containers/ID/archive?path=/etc",
    "GET /containers/ID/changes",
    "POST /commit?container=ID",
    "POST /images/create?fromImage=busybox",
    "POST /images/load",
    "DELETE /images/runbookd-tiny",
    "GET /images/json",
    "GET /images/runbookd-tiny/json",
    "POST /images/prune",
    "POST /build",
    "POST /build/prune",
    "GET /volumes",
    "POST /volumes/create",
    "DELETE /volumes/data",
    "GET /networks",
    "POST /networks/create",
    "POST /networks/bridge/connect",
    "POST /networks/prune",
    "POST /swarm/init",
    "GET /secrets",
    "GET /plugins",
    "POST /auth",
    "POST /session",
    "POST /grpc",
    "GET /events",
    "GET /system/df",
    "POST /exec/ID/resize?h=1&w=1",
    "GET /",
    // What would not end, or is more than its name says.
    "GET /containers/ID/logs",
    "GET /containers/ID/logs?stdout=true&follow=true",
    "GET /containers/ID/logs?stdout=true&follow=1",
    "GET /containers/ID/logs?stdout=true&%66ollow=true",
    "GET /containers/ID/logs?stdout=true&follow=True",
    "GET /containers/ID/logs?stdout=true&tail=all",
    "GET /containers/ID/stats",
    "GET /containers/ID/stats?stream=true",
    "GET /containers/ID/stats?stream=false&stream=true",
    "GET /containers/ID/top?ps_args=a;b",
    "GET /containers/json?size=true",
    "GET /containers/json?filters=%7B%7D;size=true",
    // Other spellings of what some front lets through.
    "GET //containers/json",
    "GET /./containers/json",
    "GET /containers//json",
    "GET /containers/json/",
    "GET /containers%2Fjson",
    "GET /containers%2fjson",
    "GET /%63ontainers/json",
    "GET /containers/ID/../json",
    "GET /images/../containers/json",
    "GET /images/%2e%2e/containers/json",
    "GET /containers/ID%2Fjson",
    "GET /containers/ID/json#",
    "GET /containers/IDx/json",
    "GET /containers/worker/json",
    "GET /CONTAINERS/json",
    "GET /v2/containers/json",
    "GET /v1.41.1/containers/json",
    "GET /v1.41/v1.41/containers/json",
    "POST /containers/json",
    "POST /version",
    "OPTIONS /containers/json",
    "PUT /containers/ID/start",
    "PATCH /containers/ID/start",
];

/// What nginx itself refuses, before any list is asked: no path, no method.
const UNREADABLE: &[&str] =
    &["GET /../../../containers/json", "GET /containers/ID/json%00", "post /containers/ID/start", "TRACE /version"];

/// What the front for acting has beyond the one for looking, and so the others deny.
const ONLY_ACT: &[&str] = &[
    "POST /containers/ID/restart",
    "POST /containers/ID/restart?t=5",
    "POST /containers/ID/stop",
    "POST /containers/ID/stop?t=-1",
    "POST /containers/ID/start",
    "POST /containers/ID/rename?name=other",
    "POST /containers/create?name=other",
    "DELETE /containers/ID",
    "POST /networks/ID/connect",
];

const ONLY_LOOK: &[&str] = &[
    "GET /info",
    "GET /containers/json",
    "GET /containers/ID/json",
    "GET /containers/ID/logs?stdout=true&tail=5",
    "GET /containers/ID/top",
    "GET /images/ID/json",
];

const ONLY_INSIDE: &[&str] = &["POST /containers/ID/exec", "POST /exec/ID/start", "GET /exec/ID/json"];

#[test]
fn each_front_denies_what_is_not_its_own_however_it_is_spelt() {
    let behind = Behind::start(DockerProxy::start);
    let before = behind.state();
    let tables: [&[&[&str]]; 3] = [&[DENIED, ONLY_INSIDE, ONLY_ACT], &[DENIED, ONLY_LOOK, ONLY_ACT], &[DENIED]];
    let mut wrong = Vec::new();
    for ((front, address), tables) in behind.fronts().iter().zip(tables) {
        for call in tables.concat() {
            let (method, path) = call.split_once(' ').unwrap();
            for version in ["", "/v1.41"] {
                let (status, said) = behind.call(address, method, &format!("{version}{path}"));
                if status != 403 || !said.contains(&format!("front {front}")) {
                    wrong.push(format!("{front}: {method} {version}{path}: {status} {said}"));
                }
            }
        }
    }
    for call in UNREADABLE {
        let (method, path) = call.split_once(' ').unwrap();
        let (status, said) = behind.call(&behind.proxy.act(), method, path);
        if !matches!(status, 400 | 405) {
            wrong.push(format!("{call}: {status} {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(behind.state(), before, "a call that was denied came through all the same");
    let log = behind.proxy.log();
    assert!(log.lines().any(|line| line.starts_with("look: 403") && line.contains("/kill HTTP/1.1")), "{log}");
}

#[test]
fn nothing_is_smuggled_past_the_lists() {
    let behind = Behind::start(DockerProxy::start);
    let before = behind.state();
    let (look, act) = (behind.proxy.look(), behind.proxy.act());
    let kill =
        format!("POST /containers/{}/kill HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", behind.id);
    let get = |more: &str| format!("GET /containers/json HTTP/1.1\r\nHost: x\r\n{more}\r\n");

    // An upgrade would hand the connection over to whoever asks: none but exec's own reaches the Engine.
    for protocol in ["h2c", "tcp", "websocket"] {
        let answer = raw(&act, &(get(&format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n")) + &kill));
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("HTTP/1.1 403"), "{protocol}: {answer}");
    }
    // A start that fails leaves a connection behind that is no tunnel.
    let body = "{\"Detach\":false,\"Tty\":false}";
    let start = format!(
        "POST /exec/{}/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        behind.id,
        body.len()
    );
    let answer = raw(&act, &(start + &kill));
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("HTTP/1.1 403"), "{answer}");
    // A body where none belongs could carry parameters, or a second call.
    let stop = |more: &str, body: &str| {
        format!("POST /containers/{}/stop?t=9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n{body}", behind.id)
    };
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    for (more, body) in [
        (format!("{form}Content-Length: 11\r\n"), "t=0&signal=9"),
        (format!("{form}Transfer-Encoding: chunked\r\n"), "3\r\nt=0\r\n0\r\n\r\n"),
        ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n".to_owned(), "0\r\n\r\n"),
        ("Content-Length: 0\r\nContent-Length: 4\r\n".to_owned(), "kill"),
    ] {
        let answer = raw(&act, &stop(&more, body));
        assert!(["HTTP/1.1 403", "HTTP/1.1 400"].iter().any(|status| answer.starts_with(status)), "{more}: {answer}");
    }
    let answer = raw(&look, &get("Connection: close\r\nContent-Length: 3\r\n").replace("\r\n\r\n", "\r\n\r\nabc"));
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    // Neither does another form of the address, nor another version of the protocol.
    let absolute = get("Connection: close\r\n").replace("GET /containers/json", "GET http://x/images/json");
    assert!(raw(&act, &absolute).starts_with("HTTP/1.1 403"));
    assert!(!raw(&act, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").contains(" 200"));
    // A body has its bound, told from its head alone.
    let create = "POST /containers/create?name=large HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1048577\r\n\r\n";
    let answer = raw(&act, create);
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("lets no body of this size through"), "{answer}");
    assert_eq!(behind.state(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runbookd_does_gets_through_its_fronts() {
    let behind = Behind::start(DockerProxy::start);
    let proxy = &behind.proxy;
    let [look, inside, act] = clients(proxy.look(), proxy.inside(), proxy.act(), None);
    let id = behind.id.as_str();
    let image = behind.engine.engine().run(&["image", "inspect", "--format", "{{.Id}}", TINY]).unwrap();
    for address in [proxy.look(), proxy.act()] {
        for path in [
            "/_ping",
            "/v1.41/_ping",
            "/v1.24/containers/json",
            "/containers/ID/json?size=false",
            "/containers/ID/top?ps_args=-eo+pid%2Cargs",
            &format!("/images/{image}/json"),
            &format!("/v1.41/images/{}/json", image.trim_start_matches("sha256:")),
        ] {
            assert_eq!(behind.call(&address, "GET", path).0, 200, "{path}");
        }
        assert_eq!(behind.call(&address, "HEAD", "/_ping").0, 200);
    }
    for docker in [&look, &act] {
        docker.ping().await.unwrap();
        docker.version().await.unwrap();
        docker.info().await.unwrap();
        let filters = HashMap::from([("label", vec!["com.docker.compose.project=a b/ü".to_owned()])]);
        let labelled = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        assert!(docker.list_containers(Some(labelled)).await.unwrap().is_empty());
        assert_eq!(docker.list_containers(None).await.unwrap().len(), 1);
        docker.inspect_container(id, None::<InspectContainerOptions>).await.unwrap();
        let logs = LogsOptionsBuilder::default().stdout(true).stderr(true).since(1).timestamps(true).tail("100").build();
        docker.logs(id, Some(logs)).try_collect::<Vec<_>>().await.unwrap();
        let once = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        assert_eq!(docker.stats(id, Some(once)).try_collect::<Vec<_>>().await.unwrap().len(), 1);
        docker.top_processes(id, None).await.unwrap();
        docker.inspect_image(&image).await.unwrap();
    }
    for docker in [&inside, &act] {
        docker.ping().await.unwrap();
        docker.version().await.unwrap();
        let speak = ["/bin/sh", "-c", "echo said; sleep 1; echo aloud >&2; exit 3"];
        assert_eq!(run_inside(docker, id, &speak).await.unwrap(), (b"said\naloud\n".to_vec(), 3));
        let much = ["/bin/dd", "if=/dev/zero", "bs=1024", "count=3000"];
        let (said, ended) = run_inside(docker, id, &much).await.unwrap();
        assert!(ended == 0 && said.len() > 3000 * 1024, "{} bytes came", said.len());
    }
    let denied = run_inside(&look, id, &["/bin/true"]).await.unwrap_err().to_string();
    assert!(denied.contains("does not let this call through its front look"), "{denied}");

    // A clone's life: created, connected, started, restarted with a grace, renamed, stopped, removed.
    let network = behind.engine.engine().run(&["network", "create", "further"]).unwrap();
    let named = CreateContainerOptionsBuilder::default().name("worker-2").build();
    let body = ContainerCreateBody { image: Some(image), ..Default::default() };
    let clone = act.create_container(Some(named), body).await.unwrap().id;
    act.connect_network(&network, bollard::models::NetworkConnectRequest { container: clone.clone(), ..Default::default() })
        .await
        .unwrap();
    act.start_container(&clone, None).await.unwrap();
    // `sleep` as the first process ignores SIGTERM: the grace is used up.
    act.restart_container(&clone, Some(RestartContainerOptionsBuilder::default().t(2).build())).await.unwrap();
    act.rename_container(&clone, bollard::query_parameters::RenameContainerOptions { name: "worker-3".into() }).await.unwrap();
    act.stop_container(&clone, Some(StopContainerOptionsBuilder::default().t(1).signal("SIGTERM").build())).await.unwrap();
    let gently = RemoveContainerOptionsBuilder::default().v(false).force(false).build();
    act.remove_container(&clone, Some(gently)).await.unwrap();
    let log = proxy.log();
    for told in ["inside: 101", "act: 201", "/restart?t=2", "DELETE /containers/"] {
        assert!(log.contains(told), "{told} is not told in\n{log}");
    }
    assert!(!log.contains("GET /containers/json"), "a look that went well is not worth a line:\n{log}");
}

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
