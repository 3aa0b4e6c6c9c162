//! What a container is to runbookd, read from the Engine's own answer, and the containers of a Compose service.
//!
//! Why here: looks and acts must agree to the letter on what a container is called, whose it is and what may not be done to it,
//! and an act reads it again right before. Everything that could speak against an act is read here once, in words for people.
//! Deliberately pure but for [`of_service`] and [`inspect_each`], which ask, and [`own_id`]; nothing here changes anything.

mod refusal;

use std::collections::HashMap;
use std::sync::OnceLock;

use bollard::Docker;
use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum as Status, ContainerSummary, RestartPolicyNameEnum as Policy,
};
use bollard::query_parameters::ListContainersOptionsBuilder;
use futures_util::{StreamExt, TryStreamExt, stream};

/// Labels of containers: those of Compose, the same for its versions 1 and 2, and our own.
pub mod label {
    /// The Compose project.
    pub const PROJECT: &str = "com.docker.compose.project";
    /// The service within the project.
    pub const SERVICE: &str = "com.docker.compose.service";
    /// The number within the service, from 1.
    pub const NUMBER: &str = "com.docker.compose.container-number";
    /// `True` for what `docker-compose run` started, which is no replica.
    pub const ONEOFF: &str = "com.docker.compose.oneoff";
    /// What Compose compares to see whether the service's definition changed; without it Compose does not know the container.
    pub const CONFIG_HASH: &str = "com.docker.compose.config-hash";
    /// The version of Compose that made the container.
    pub const VERSION: &str = "com.docker.compose.version";
    /// The incident that a container of ours was made for: `INC-7`.
    pub const INCIDENT: &str = "runbookd.incident";
    /// The full id of the container that this one is a clone of.
    pub const CLONE_OF: &str = "runbookd.clone-of";
    /// The full id of the container that this one replaces.
    pub const REPLACES: &str = "runbookd.replaces";
}

/// Between a container's own name and the incident for which a recreate keeps it.
const KEPT: &str = ".runbookd-";

/// More replicas than any service here has; a service with more is not read to the end.
pub const MOST_REPLICAS: usize = 100;

/// How many containers are inspected at the same time.
const AT_ONCE: usize = 8;

/// The name under which a recreate keeps the old container of this name: `backend.runbookd-INC-7`.
pub fn kept_name(name: &str, incident: &str) -> String {
    format!("{name}{KEPT}{incident}")
}

/// Whether a name is that of a container which a recreate keeps: it is in reserve and no replica.
pub fn is_kept(name: &str) -> bool {
    kept_for(name).is_some()
}

/// The incident whose recreate keeps a container of this name: `INC-7`.
pub fn kept_for(name: &str) -> Option<&str> {
    let (_, incident) = name.rsplit_once(KEPT).filter(|(of, _)| !of.is_empty())?;
    let number = incident.strip_prefix("INC-")?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(incident)
}

/// One container, as the Engine describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Container {
    /// Its full id.
    pub id: String,
    /// Its name, without the slash that the Engine writes before it.
    pub name: String,
    /// `State.StartedAt` as the Engine writes it; a container that never started has the year 1.
    pub started_at: String,
    /// `State.FinishedAt` as the Engine writes it.
    pub finished_at: String,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    pub state: String,
    /// `starting`, `healthy` or `unhealthy`; empty where there is no health check.
    pub health: String,
    /// How often the Engine has restarted it by itself since it was last started by hand.
    pub restarts: i64,
    /// The code with which it last exited; 0 while it runs.
    pub exit_code: i64,
    /// The kernel killed one of its processes for want of memory in the last run; it may have lived on without that one.
    pub oom_killed: bool,
    /// Why the Engine could not start it, when it last tried; empty where it could.
    pub start_error: String,
    /// The restart policy: `no`, `always`, `unless-stopped` or `on-failure`.
    pub policy: String,
    /// Exited, and its policy would have started it again: somebody stopped it.
    pub stopped_by_person: bool,
    /// Why it may be down on purpose, in words to be read after its name; none where it is up or broke. Wider than
    /// [`Container::stopped_by_person`]: work that ended well, and an end that is as likely somebody's as its own.
    pub at_rest: Option<String>,
    /// Its number within the service.
    pub number: Option<u32>,
    /// The version of Compose that made it; empty where the label is missing.
    pub compose: String,
    /// The incident it was made for, where it is one of ours.
    pub incident: Option<String>,
    /// We made it as a clone of another.
    pub clone: bool,
    /// The full id of the container that it is a clone of.
    pub clone_of: Option<String>,
    /// The full id of the container it replaces, where we made it to replace one.
    pub replaces: Option<String>,
    /// A recreate keeps it in reserve.
    pub kept: bool,
    /// Why nothing may be done to it, if so.
    pub refused: Option<String>,
    /// Why it may not be cloned, if so; whatever may not be touched may not be cloned either.
    pub no_clone: Option<String>,
}

impl Container {
    /// Reads the Engine's answer. `own` is the id of the container that this process runs in, where it does ([`own_id`]).
    /// Nothing for an answer without id or state, which no Engine gives.
    pub fn read(inspected: &ContainerInspectResponse, own: Option<&str>) -> Option<Container> {
        let id = inspected.id.clone()?;
        let state = inspected.state.as_ref()?;
        let name = inspected.name.as_deref().unwrap_or("").trim_start_matches('/').to_owned();
        let labels = inspected.config.as_ref().and_then(|config| config.labels.as_ref());
        let said = |name: &str| labels.and_then(|labels| labels.get(name)).filter(|value| !value.is_empty()).cloned();
        let health = state.health.as_ref().and_then(|health| health.status).map(|health| health.to_string());
        let refused = refusal::to_touch(inspected, &id, own);
        Some(Container {
            started_at: state.started_at.clone().unwrap_or_default(),
            finished_at: state.finished_at.clone().unwrap_or_default(),
            state: state.status.map(|status| status.to_string()).unwrap_or_default(),
            health: health.filter(|health| health != "none").unwrap_or_default(),
            restarts: inspected.restart_count.unwrap_or(0),
            exit_code: state.exit_code.unwrap_or(0),
            oom_killed: state.oom_killed == Some(true),
            start_error: state.error.clone().unwrap_or_default(),
            policy: policy(inspected).0.to_string(),
            stopped_by_person: rest(inspected) == Some(Rest::Person),
            at_rest: rest(inspected).map(|rest| rest.words(inspected)),
            number: said(label::NUMBER).and_then(|number| number.parse().ok()),
            compose: said(label::VERSION).unwrap_or_default(),
            incident: said(label::INCIDENT),
            clone: said(label::CLONE_OF).is_some(),
            clone_of: said(label::CLONE_OF),
            replaces: said(label::REPLACES),
            kept: is_kept(&name),
            no_clone: refused.clone().or_else(|| refusal::to_clone(inspected)),
            refused,
            id,
            name,
        })
    }

    /// Whether it runs; a paused or restarting one does not.
    pub fn runs(&self) -> bool {
        self.state == "running"
    }

    /// Whether it has come to its end; one that was only created has not begun.
    pub fn exited(&self) -> bool {
        matches!(self.state.as_str(), "exited" | "dead")
    }

    /// A person would call it broken: it runs and its check fails, or it is down and nothing says that it is meant to be. A clone
    /// that was never started serves nobody and is taken away by its incident.
    pub fn failing(&self) -> bool {
        let down = self.exited() || (self.state == "created" && !self.clone);
        (self.runs() && self.health == "unhealthy") || (down && self.at_rest.is_none())
    }

    /// It went down for want of memory, as far as the Engine tells: its mark stays on what lost a child and lives on, so it counts
    /// where the container is down, or where the Engine had to start it again.
    pub fn down_for_memory(&self) -> bool {
        self.oom_killed && (self.exited() || self.state == "restarting" || self.restarts > 0)
    }
}

/// The restart policy and its limit of attempts; 0 is none.
fn policy(inspected: &ContainerInspectResponse) -> (Policy, i64) {
    let policy = inspected.host_config.as_ref().and_then(|host| host.restart_policy.as_ref());
    match policy.and_then(|policy| policy.name) {
        None | Some(Policy::EMPTY) => (Policy::NO, 0),
        Some(name) => (name, policy.and_then(|policy| policy.maximum_retry_count).unwrap_or(0)),
    }
}

/// Why a container may be down on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rest {
    /// Its policy would have started it: somebody stopped it.
    Person,
    /// It ended well, and its policy leaves it at that: its work is done, or somebody stopped it.
    Done,
    /// It ended as what is stopped ends, and its policy leaves it at that.
    Ended,
    /// It was made and never started.
    Unstarted,
}

impl Rest {
    fn words(self, inspected: &ContainerInspectResponse) -> String {
        let state = inspected.state.as_ref();
        let code = state.and_then(|state| state.exit_code).unwrap_or(0);
        match self {
            Rest::Person => "stays exited although its restart policy would start it: somebody stopped it".to_owned(),
            Rest::Done => "ended well (exit code 0): its work may be done, or somebody stopped it".to_owned(),
            Rest::Ended => {
                let memory =
                    if state.and_then(|state| state.oom_killed) == Some(true) { " or one for want of memory" } else { "" };
                format!("ended with exit code {code}, which is that of a stop{memory}: somebody may have stopped it")
            }
            Rest::Unstarted => "was made and never started: somebody may want it so".to_owned(),
        }
    }
}

/// What the signals leave by which a stop ends a container: SIGKILL and SIGTERM.
const OF_A_STOP: [i64; 2] = [137, 143];

/// Whether a container is down because somebody wanted it to be, or may have.
///
/// The Engine starts again whatever exits under `always` and `unless-stopped`, and what fails under `on-failure`; it leaves a
/// container exited only when it was told to stop it (moby, `restartmanager.go` and `monitor.go`), when the attempts of
/// `on-failure:N` are used up, or when it could not start it, and then `State.Error` says so. One in a crash loop is therefore
/// never found exited, unless its attempts are used up (no person) or somebody ended the loop (a person, although the last
/// exit was a crash). `OOMKilled` says nothing against a person: it stays true when a child was killed and the container lived on.
/// Where the policy leaves an end alone, an end with 0 or by a stop's signal may be somebody's, or that of a job: nothing
/// that may be started unasked. Any other code is a crash.
fn rest(inspected: &ContainerInspectResponse) -> Option<Rest> {
    let state = inspected.state.as_ref()?;
    if state.error.as_deref().is_some_and(|error| !error.is_empty()) {
        return None;
    }
    match state.status {
        Some(Status::CREATED) => return Some(Rest::Unstarted),
        Some(Status::EXITED | Status::DEAD) => {}
        _ => return None,
    }
    let code = state.exit_code.unwrap_or(0);
    let left_alone = match policy(inspected) {
        (Policy::ALWAYS | Policy::UNLESS_STOPPED, _) => return Some(Rest::Person),
        (Policy::ON_FAILURE, attempts) => code == 0 || (attempts > 0 && inspected.restart_count.unwrap_or(0) >= attempts),
        (Policy::NO | Policy::EMPTY, _) => true,
    };
    match code {
        _ if !left_alone => Some(Rest::Person),
        0 => Some(Rest::Done),
        code if OF_A_STOP.contains(&code) => Some(Rest::Ended),
        _ => None,
    }
}

/// All containers of a Compose service, in order of name: replicas, clones, and those that a recreate keeps, in any state, but not
/// what `docker-compose run` started. They are found by the labels that every Compose version sets, never by name.
/// At most one more than [`MOST_REPLICAS`] are read, so that a caller sees that there were too many.
///
/// # Errors
/// When the Engine does not answer or refuses. A container that goes away meanwhile is left out.
pub async fn of_service(
    docker: &Docker,
    project: &str,
    service: &str,
) -> Result<Vec<ContainerInspectResponse>, bollard::errors::Error> {
    let labels = vec![
        format!("{}={project}", label::PROJECT),
        format!("{}={service}", label::SERVICE),
        format!("{}=False", label::ONEOFF),
    ];
    let options = ListContainersOptionsBuilder::default().all(true).filters(&HashMap::from([("label", labels)])).build();
    let listed = docker.list_containers(Some(options)).await?;
    inspect_each(docker, listed.into_iter().filter_map(|container| container.id)).await
}

/// Whether [`of_service`] would list this container: the same labels, for whoever has the list of all already.
pub fn is_of(listed: &ContainerSummary, project: &str, service: &str) -> bool {
    let says = |name: &str, value: &str| listed.labels.as_ref().and_then(|labels| labels.get(name)).is_some_and(|v| v == value);
    says(label::PROJECT, project) && says(label::SERVICE, service) && says(label::ONEOFF, "False")
}

/// The Engine's description of each of these containers, in order of name; at most one more than [`MOST_REPLICAS`] are read.
///
/// # Errors
/// When the Engine does not answer or refuses. A container that is gone is left out.
pub async fn inspect_each(
    docker: &Docker,
    ids: impl IntoIterator<Item = String>,
) -> Result<Vec<ContainerInspectResponse>, bollard::errors::Error> {
    // Collected first: an iterator inside the stream would tie it to one lifetime, and no task could carry the look.
    let ids: Vec<String> = ids.into_iter().take(MOST_REPLICAS + 1).collect();
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

/// The full id of the container that this process runs in; nothing outside of one. Read once: it cannot change.
pub fn own_id() -> Option<String> {
    static OWN: OnceLock<Option<String>> = OnceLock::new();
    OWN.get_or_init(|| std::fs::read_to_string("/proc/self/mountinfo").ok().and_then(|mounts| id_in(&mounts))).clone()
}

/// The Engine gives each container files of its own for these, from a folder that is named by the container's id.
const GIVEN: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

fn id_in(mounts: &str) -> Option<String> {
    mounts.lines().find_map(|mount| {
        let mut fields = mount.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        let (_, rest) = root.rsplit_once("/containers/").filter(|_| GIVEN.contains(&place))?;
        let id = rest.split('/').next()?;
        is_id(id).then(|| id.to_owned())
    })
}

/// Whether this is a full id: 64 hexadecimal digits. Anonymous volumes have such names too.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
