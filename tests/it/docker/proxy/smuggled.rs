//! Bytes that are no honest request: upgrades, second requests behind the first, bodies where none belongs. Nothing of them may reach
//! an Engine. What the proxy passes on is read at a socket in the Engine's stead, because no Engine tells what it was asked.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use xtask::servers::DockerProxy;

use super::{Behind, socket};

/// What an address answers to bytes that no client would send, to its end.
fn raw(address: &str, bytes: &str) -> String {
    let mut stream = UnixStream::connect(socket(address)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn nothing_is_smuggled_past_the_lists() {
    let behind = Behind::start(DockerProxy::start);
    let before = behind.state();
    let (look, act) = (behind.proxy.look(), behind.proxy.act());
    let kill =
        format!("POST /containers/{}/kill HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", behind.id);
    let get = |more: &str| format!("GET /containers/json HTTP/1.1\r\nHost: x\r\n{more}\r\n");

    // An upgrade would hand the connection over to whoever asks.
    for protocol in ["h2c", "tcp", "websocket"] {
        let answer = raw(&act, &(get(&format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n")) + &kill));
        assert!(answer.starts_with("HTTP/1.1 403") && !answer.contains("HTTP/1.1 20"), "{protocol}: {answer}");
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

#[test]
fn an_upgrade_reaches_the_engine_with_the_start_of_a_command_and_with_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
    let proxy = DockerProxy::start(&folder.path().join("docker.sock")).unwrap();
    let ask = |call: &str, upgrades: &str, more: &str| {
        raw(&proxy.act(), &format!("{call} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\n{upgrades}{more}"))
    };
    let exec = format!("POST /v1.41/exec/{}/start", "0f".repeat(32));
    let body = "Content-Length: 2\r\n\r\n{}";
    let denied = [
        (exec.as_str(), "Upgrade: h2c\r\n", body),
        (&exec, "Upgrade: tcp, h2c\r\n", body),
        (&exec, "Upgrade: h2c\r\nUpgrade: tcp\r\n", body),
        ("GET /containers/json", "Upgrade: tcp\r\n", "\r\n"),
        ("GET /containers/json", "Upgrade: h2c\r\n", "\r\n"),
    ];
    for (call, upgrades, more) in denied {
        let answer = ask(call, upgrades, more);
        assert!(answer.starts_with("HTTP/1.1 403"), "{call} {upgrades}: {answer}");
    }
    // So the first that arrives is the one that may, and of two protocols only the one that is known.
    let engine = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut arrived = Vec::new();
        while !arrived.ends_with(b"{}") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            arrived.extend(byte);
        }
        stream.write_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nthrough").unwrap();
        String::from_utf8(arrived).unwrap().to_lowercase()
    });
    let answer = ask(&exec, "Upgrade: tcp\r\nUpgrade: h2c\r\n", body);
    assert!(answer.starts_with("HTTP/1.1 101") && answer.ends_with("through"), "{answer}");
    let arrived = engine.join().unwrap();
    assert!(arrived.starts_with("post /v1.41/exec/") && !arrived.contains("h2c"), "{arrived}");
    assert!(arrived.contains("connection: upgrade\r\n") && arrived.contains("upgrade: tcp\r\n"), "{arrived}");
}
