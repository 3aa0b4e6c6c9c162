//! The replicas of a Compose service.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum as Status, HealthStatusEnum as Health};
use bollard::query_parameters::ListContainersOptionsBuilder;
use connect::Looking;
use futures_util::{StreamExt, TryStreamExt, stream};
use runbook::condition::Value;
use runbook::finding::{Seen, Subject};
use runbook::identity::Identity;
use runbook::target::{Inventory, Place, Target};
use runbook::text::inert;
use runbook::time::Stamp;

use crate::seen::Fields;

/// More replicas than any service here has; a service with more is unknown rather than half seen.
const MOST_REPLICAS: usize = 100;

/// How many containers are inspected at the same time.
const AT_ONCE: usize = 8;

pub(crate) async fn look(
    looking: &Looking,
    inventory: &Inventory,
    target: &Target,
    _now: Stamp,
    within: Duration,
) -> Result<Seen, String> {
    let Place::Service { engine, project, service, .. } = &target.place else {
        return Err(format!("{} is no service", target.id));
    };
    let engine =
        inventory.get(engine).ok_or_else(|| format!("{engine}, on which {} runs, is not in the inventory", target.id))?;
    let docker = looking.docker(engine, within).map_err(|error| format!("{error:#}"))?;
    let containers = containers(&docker, project, service).await.map_err(|error| format!("{}: {error}", engine.id))?;
    if containers.len() > MOST_REPLICAS {
        return Err(format!("{} has more than {MOST_REPLICAS} containers", target.id));
    }
    Ok(read(&containers))
}

async fn containers(
    docker: &Docker,
    project: &str,
    service: &str,
) -> Result<Vec<ContainerInspectResponse>, bollard::errors::Error> {
    let labels = vec![
        format!("com.docker.compose.project={project}"),
        format!("com.docker.compose.service={service}"),
        "com.docker.compose.oneoff=False".to_owned(),
    ];
    let options = ListContainersOptionsBuilder::default().all(true).filters(&HashMap::from([("label", labels)])).build();
    let listed = docker.list_containers(Some(options)).await?;
    let ids = listed.into_iter().filter_map(|container| container.id).take(MOST_REPLICAS + 1);
    let inspected = stream::iter(ids).map(|id| async move {
        match docker.inspect_container(&id, None).await {
            Ok(container) => Ok(Some(container)),
            // Gone between the list and the question: then it is no replica any more.
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    });
    let mut found: Vec<_> = inspected.buffer_unordered(AT_ONCE).try_filter_map(|found| async { Ok(found) }).try_collect().await?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn read(containers: &[ContainerInspectResponse]) -> Seen {
    let state = |container: &&ContainerInspectResponse| container.state.as_ref().and_then(|state| state.status);
    let health = |container: &&ContainerInspectResponse| {
        container.state.as_ref().and_then(|state| state.health.as_ref()).and_then(|health| health.status).unwrap_or(Health::NONE)
    };
    let count = |wanted: &dyn Fn(&&ContainerInspectResponse) -> bool| containers.iter().filter(|c| wanted(c)).count() as f64;
    let runs = |c: &&ContainerInspectResponse| state(c) == Some(Status::RUNNING);
    let mut fields = Fields::new();
    fields.number("replicas", containers.len() as f64);
    fields.number("running", count(&runs));
    fields.number("healthy", count(&|c| runs(c) && matches!(health(c), Health::HEALTHY | Health::NONE | Health::EMPTY)));
    fields.number("unhealthy", count(&|c| runs(c) && health(c) == Health::UNHEALTHY));
    fields.number("restarting", count(&|c| state(c) == Some(Status::RESTARTING)));
    fields.number("exited", count(&|c| matches!(state(c), Some(Status::EXITED | Status::DEAD))));
    fields.number("restarts", containers.iter().filter_map(|c| c.restart_count).max().unwrap_or(0) as f64);
    fields.flag("oom_killed", containers.iter().any(|c| c.state.as_ref().and_then(|state| state.oom_killed) == Some(true)));
    fields.seen_with(containers.iter().filter_map(subject).collect())
}

fn subject(container: &ContainerInspectResponse) -> Option<Subject> {
    let id = container.id.clone()?;
    let state = container.state.as_ref()?;
    let status = state.status.map(|status| status.to_string()).unwrap_or_default();
    let health = state.health.as_ref().and_then(|health| health.status).map(|health| health.to_string()).unwrap_or_default();
    let name = container.name.as_deref().unwrap_or("").trim_start_matches('/').to_owned();
    let restarts = container.restart_count.unwrap_or(0);
    let health_words = if health.is_empty() || health == "none" { String::new() } else { format!(", {health}") };
    let words = format!("{} ({}), {status}{health_words}, {restarts} restarts", inert(&name, 80), id.get(..12).unwrap_or(&id));
    let attributes = BTreeMap::from([
        ("name".to_owned(), Value::Text(name)),
        ("state".to_owned(), Value::Text(status)),
        ("health".to_owned(), Value::Text(health)),
        ("restarts".to_owned(), Value::Number(restarts as f64)),
    ]);
    let started_at = state.started_at.clone().unwrap_or_default();
    Some(Subject { identity: Identity::Container { id, started_at }, words, attributes })
}
