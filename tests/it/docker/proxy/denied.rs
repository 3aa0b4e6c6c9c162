//! What each front denies, in a table and however it is spelt. Deliberately no bytes that no client would send: see `smuggled`.

use xtask::servers::DockerProxy;

use super::Behind;

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
