//! The hand of one act: the Engine that the service runs on, the order's last moment, and what is read again right before.
//!
//! Why it remembers whether anything that changes was sent: a refusal says that nothing was, and what is said must be true whatever
//! way an act ends. Calls that change go through [`Hand::change`] and no other way. Deliberately no choice of containers: the
//! order names them, and what is read here can only make it fewer.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, EndpointSettings, NetworkConnectRequest};
use bollard::query_parameters::CreateContainerOptionsBuilder;
use connect::Acting;
use connect::container::{self, Container, label};
use policy::Committed;
use runbook::identity::Identity;
use runbook::incident::{IncidentId, Reply};
use runbook::order::Order;
use runbook::target::{Inventory, Place, Scope, Target};
use runbook::text::{humanize_duration, inert};
use tokio::time::Instant;

use super::body::Blueprint;
use super::reply::{Kind, Trouble};

/// How long one look right before an act may take.
const LOOK: Duration = Duration::from_secs(5);

/// How much later than the order the client gives up: the order's own deadline says more.
const CLIENT_MARGIN: Duration = Duration::from_secs(5);

/// What one act works with.
pub(super) struct Hand<'a> {
    /// The Engine, on its acting front.
    pub(super) docker: Docker,
    /// The service.
    pub(super) target: &'a Target,
    /// What it says of itself beyond its labels.
    pub(super) scope: &'a Scope,
    committed: &'a Committed,
    project: &'a str,
    service: &'a str,
    until: Instant,
    changed: AtomicBool,
}

/// A container as the Engine describes it, and what is read of it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// All of it.
    pub(super) inspected: ContainerInspectResponse,
    /// What matters of it.
    pub(super) container: Container,
}

impl Seen {
    /// Its name, safe to show.
    pub(super) fn name(&self) -> String {
        inert(&self.container.name, 80)
    }

    /// Up, and no health check says otherwise.
    pub(super) fn healthy(&self) -> bool {
        self.container.runs() && matches!(self.container.health.as_str(), "" | "healthy")
    }

    /// One of its labels.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.inspected.config.as_ref()?.labels.as_ref()?.get(name).map(String::as_str)
    }
}

impl<'a> Hand<'a> {
    /// The hand for this order; nothing is sent yet.
    ///
    /// # Errors
    /// The reply, when the inventory or its files are in the way.
    pub(super) fn of(
        acting: &Acting,
        inventory: &Inventory,
        target: &'a Target,
        committed: &'a Committed,
    ) -> Result<Self, Reply> {
        let Place::Service { engine, project, service, scope } = &target.place else {
            return Err(Reply::Refused(format!("{} is no service", target.id)));
        };
        let Some(engine) = inventory.get(engine) else {
            return Err(Reply::Refused(format!("{engine}, on which {} runs, is not in the inventory", target.id)));
        };
        let deadline = committed.deadline();
        let docker = acting
            .docker(engine, deadline + CLIENT_MARGIN)
            .map_err(|error| Reply::Refused(format!("nothing was done: {error:#}")))?;
        let until = Instant::now() + deadline;
        Ok(Self { docker, target, scope, committed, project, service, until, changed: AtomicBool::new(false) })
    }

    /// For which incident.
    pub(super) fn incident(&self) -> IncidentId {
        self.committed.incident()
    }

    /// Exactly what is to be done.
    pub(super) fn order(&self) -> &'a Order {
        self.committed.order()
    }

    /// The order's last moment.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Nothing is to be done, for this reason: refused where nothing that changes was sent, else failed.
    pub(super) fn no(&self, why: impl Into<String>) -> Reply {
        if self.changed.load(Ordering::Relaxed) { Reply::Failed(why.into()) } else { Reply::Refused(why.into()) }
    }

    /// The reply of an act that this trouble ended; `so_far` says how far it had come.
    pub(super) fn ended(&self, so_far: &str, trouble: Trouble) -> Reply {
        trouble.reply(so_far, self.changed.load(Ordering::Relaxed))
    }

    /// A call that only reads.
    ///
    /// # Errors
    /// The trouble with it; no answer within a look's time is one.
    pub(super) async fn look<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Trouble> {
        let within = LOOK.min(self.until.saturating_duration_since(Instant::now()));
        match tokio::time::timeout(within, call).await {
            Ok(answer) => answer.map_err(Trouble::from),
            Err(_) => Err(Trouble::no_answer(within)),
        }
    }

    /// A call that changes something. It is let go at the order's last moment, and then nobody knows what becomes of it.
    ///
    /// # Errors
    /// The trouble with it.
    pub(super) async fn change<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Trouble> {
        self.change_until(self.until, call).await
    }

    /// The same with a last moment of its own.
    ///
    /// # Errors
    /// The trouble with it.
    pub(super) async fn change_until<T>(
        &self,
        until: Instant,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Trouble> {
        let within = until.saturating_duration_since(Instant::now());
        let answer = match tokio::time::timeout(within, call).await {
            Ok(answer) => answer.map_err(Trouble::from),
            Err(_) => Err(Trouble::no_answer(within)),
        };
        if !answer.as_ref().is_err_and(Trouble::never_sent) {
            self.changed.store(true, Ordering::Relaxed);
        }
        answer
    }

    /// Sees that what is sent now can be over before the order's last moment.
    ///
    /// # Errors
    /// The reply, when too little time is left: what is sent too late lands when nobody expects it any more.
    pub(super) fn in_time_for(&self, longest: Duration) -> Result<(), Reply> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left < longest {
            let words = format!("of the order's time {} is left, too little; nothing more was ordered", humanize_duration(left));
            return Err(Reply::NoAnswer(words));
        }
        Ok(())
    }

    /// The one container that the order names, read again right before the act: still the same start, still the service's, and
    /// nothing speaks against touching it.
    ///
    /// # Errors
    /// The reply, when somebody was faster or anything is in the way.
    pub(super) async fn ordered(&self) -> Result<Seen, Reply> {
        let named: Vec<_> = self.order().selection.iter().collect();
        let [Identity::Container { id, started_at }] = named.as_slice() else {
            return Err(self.no("the order does not name exactly one container"));
        };
        let short = id.get(..12).unwrap_or(id);
        let inspected = match self.look(self.docker.inspect_container(id, None)).await {
            Ok(inspected) => inspected,
            Err(Trouble { kind: Kind::Gone, .. }) => {
                return Err(self.no(format!("container {short} went away meanwhile; nothing was done")));
            }
            Err(trouble) => return Err(self.ended(&format!("nothing was ordered yet, looking at container {short}"), trouble)),
        };
        let seen = self.read(inspected)?;
        let name = seen.name();
        let ours = seen.label(label::PROJECT) == Some(self.project)
            && seen.label(label::SERVICE) == Some(self.service)
            && seen.label(label::ONEOFF) != Some("True");
        if seen.container.id != *id || !ours {
            return Err(self.no(format!("{name} is no container of {}", self.target.id)));
        }
        if seen.container.started_at != *started_at {
            return Err(self.no(format!("{name} was started anew meanwhile, at {}; nothing was done", seen.container.started_at)));
        }
        if let Some(why) = &seen.container.refused {
            return Err(self.no(format!("{name}: {why}")));
        }
        Ok(seen)
    }

    /// All containers of the service, clones and kept ones too, as they are now.
    ///
    /// # Errors
    /// The reply, when they cannot be seen.
    pub(super) async fn service(&self) -> Result<Vec<Seen>, Reply> {
        let all = self.look(container::of_service(&self.docker, self.project, self.service)).await;
        let all = all.map_err(|trouble| self.ended("nothing was ordered yet, looking at the service", trouble))?;
        if all.len() > container::MOST_REPLICAS {
            return Err(self.no(format!("{} has more than {} containers", self.target.id, container::MOST_REPLICAS)));
        }
        all.into_iter().map(|inspected| self.read(inspected)).collect()
    }

    fn read(&self, inspected: ContainerInspectResponse) -> Result<Seen, Reply> {
        match Container::read(&inspected, container::own_id().as_deref()) {
            Some(container) => Ok(Seen { inspected, container }),
            None => Err(self.no("the Engine described a container without its id or state")),
        }
    }

    /// Creates a container by a blueprint and connects it to all its networks; it is not started. The id is the new one's.
    ///
    /// # Errors
    /// The trouble, of creating or of connecting.
    pub(super) async fn create(&self, blueprint: &Blueprint) -> Result<String, Trouble> {
        let options = CreateContainerOptionsBuilder::default().name(&blueprint.name).build();
        let created = self.change(self.docker.create_container(Some(options), blueprint.body.clone())).await?;
        self.connect(&created.id, blueprint, |_| true).await?;
        Ok(created.id)
    }

    /// Connects a container to those further networks of a blueprint that are wanted, by name.
    ///
    /// # Errors
    /// The trouble with the first that could not be connected.
    pub(super) async fn connect(&self, id: &str, blueprint: &Blueprint, wanted: impl Fn(&str) -> bool) -> Result<(), Trouble> {
        for network in blueprint.further.iter().filter(|network| wanted(&network.name)) {
            let endpoint_config: Option<EndpointSettings> = Some(network.endpoint.clone());
            let request = NetworkConnectRequest { container: id.to_owned(), endpoint_config };
            self.change(self.docker.connect_network(&network.id, request)).await.map_err(|trouble| Trouble {
                words: format!("connecting it to {}: {}", inert(&network.name, 80), trouble.words),
                ..trouble
            })?;
        }
        Ok(())
    }
}
