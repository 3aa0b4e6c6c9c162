//! The filtering proxy before the Docker socket: the shipped files before a private Engine. Here is what runbookd does, which gets
//! through; beside it what is denied, what cannot be smuggled, bad weather, and the image. Deliberately nothing of what runbookd makes
//! of the answers.

mod denied;
mod shipped;
mod smuggled;
mod weather;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bollard::Docker;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{ContainerCreateBody, ContainerUpdateBody, RestartPolicy, RestartPolicyNameEnum};
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
    let kept = RestartPolicy { name: Some(RestartPolicyNameEnum::UNLESS_STOPPED), ..Default::default() };
    let policy = ContainerUpdateBody { restart_policy: Some(kept), ..Default::default() };
    act.update_container(&clone, policy).await.unwrap();
    // `sleep` as the first process ignores SIGTERM: the grace is used up.
    act.restart_container(&clone, Some(RestartContainerOptionsBuilder::default().t(2).build())).await.unwrap();
    act.rename_container(&clone, bollard::query_parameters::RenameContainerOptions { name: "worker-3".into() }).await.unwrap();
    act.stop_container(&clone, Some(StopContainerOptionsBuilder::default().t(1).signal("SIGTERM").build())).await.unwrap();
    let gently = RemoveContainerOptionsBuilder::default().v(false).force(false).build();
    act.remove_container(&clone, Some(gently)).await.unwrap();
    // A line is written once its answer is gone.
    for told in ["inside: 101", "act: 201", "/restart?t=2", "DELETE /containers/"] {
        let look = || Ok(proxy.log().contains(told).then_some(()));
        xtask::clock::wait_for(&format!("the line of {told}"), Duration::from_secs(5), look).unwrap();
    }
    let log = proxy.log();
    assert!(!log.contains("GET /containers/json"), "a look that went well is not worth a line:\n{log}");
}
