//! Looks at a Docker Engine and at Compose services on it. Services are found by the labels that every Compose version sets, never
//! by name: names differ between versions and are used again. Deliberately nothing is changed, and commands inside containers are
//! those of a list closed in code.

pub(crate) mod engine;
pub(crate) mod evidence;
pub(crate) mod inside;
pub(crate) mod leftovers;
pub(crate) mod logs;
pub(crate) mod rights;
pub(crate) mod round;
pub(crate) mod service;
pub(crate) mod settings;
pub(crate) mod stats;
pub(crate) mod top;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerSummary};
use bollard::query_parameters::ListContainersOptionsBuilder;
use connect::Looking;
use connect::container::{self, Container, MOST_REPLICAS};
use futures_util::{StreamExt, stream};
use runbook::target::{Inventory, Place, Target};
use runbook::text::{humanize_duration, inert};
use tokio::time::Instant;

use self::round::Round;
use crate::nearly;

/// What is asked first, in the words of a reason.
const LIST: &str = "the list of its containers";

/// A service on its Engine, for one look.
pub(crate) struct Service<'a> {
    target: &'a Target,
    pub(crate) engine: &'a Target,
    project: &'a str,
    service: &'a str,
    pub(crate) docker: Docker,
    /// The round that this look is one of, if any: then what all of its looks ask alike is asked once.
    round: Option<&'a Round>,
    /// When its answers are waited for no longer, a moment before the look itself ends.
    until: Instant,
    within: Duration,
}

/// A container of a service, as it was just read.
pub(crate) struct Replica {
    pub(crate) container: Container,
    pub(crate) inspected: ContainerInspectResponse,
}

impl<'a> Service<'a> {
    /// A client of the Engine that the service runs on; nothing is sent yet.
    pub(crate) fn of(
        looking: &Looking,
        inventory: &'a Inventory,
        target: &'a Target,
        within: Duration,
    ) -> Result<Service<'a>, String> {
        let Place::Service { engine, project, service, .. } = &target.place else {
            return Err(format!("{} is no service", target.id));
        };
        let engine =
            inventory.get(engine).ok_or_else(|| format!("{engine}, on which {} runs, is not in the inventory", target.id))?;
        let docker = looking.docker(engine, within).map_err(|error| format!("{error:#}"))?;
        let within = nearly(within);
        Ok(Service { target, engine, project, service, docker, round: None, until: Instant::now() + within, within })
    }

    /// The same, as one look of a round.
    pub(crate) fn within_round(self, round: Option<&'a Round>) -> Self {
        Service { round, ..self }
    }

    /// All containers of the service, those that a recreate keeps included.
    pub(crate) async fn containers(&self) -> Result<Vec<Replica>, String> {
        let shared = match self.round {
            Some(round) => self.of_round(round).await?,
            None => None,
        };
        let found = match shared {
            Some(found) => found,
            None => {
                let found = container::of_service(&self.docker, self.project, self.service);
                self.answer(LIST, found).await?.ok_or_else(|| self.no_list())?
            }
        };
        if found.len() > MOST_REPLICAS {
            return Err(format!("{} has more than {MOST_REPLICAS} containers", self.target.id));
        }
        let own = container::own_id();
        let read = |inspected: ContainerInspectResponse| {
            let container = Container::read(&inspected, own.as_deref())?;
            Some(Replica { container, inspected })
        };
        Ok(found.into_iter().filter_map(read).collect())
    }

    /// Its containers out of the list that the round shares. Nothing where that has none of it, or one that is gone by now: it may
    /// have been made anew since, and "none" is said by a list of its own only.
    async fn of_round(&self, round: &Round) -> Result<Option<Vec<ContainerInspectResponse>>, String> {
        let all = self.listed(round).await?;
        let own = all.iter().filter(|listed| container::is_of(listed, self.project, self.service));
        let ids: Vec<String> = own.filter_map(|listed| listed.id.clone()).take(MOST_REPLICAS + 1).collect();
        let listed = ids.len();
        let found = self.answer("its containers", container::inspect_each(&self.docker, ids)).await?;
        Ok(found.filter(|found| listed > 0 && found.len() == listed))
    }

    /// Numbers of names that a clone of it would get, as far as containers of nobody's service have them: a name belongs to the
    /// whole Engine. Nothing where the Engine does not say; then it says so when the name is wanted.
    pub(crate) async fn numbers_taken(&self) -> Vec<u32> {
        if !self.target.traits.may_be_cloned {
            return Vec::new();
        }
        let numbers = |containers: &[ContainerSummary]| {
            let names = containers.iter().flat_map(|container| container.names.iter().flatten());
            names.filter_map(|name| number_in(name, self.project, self.service)).collect()
        };
        if let Some(round) = self.round {
            return self.listed(round).await.map(|all| numbers(&all)).unwrap_or_default();
        }
        let filters = HashMap::from([("name", vec![names_of(self.project, self.service)])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.answer("the names of its containers", self.docker.list_containers(Some(options))).await;
        listed.ok().flatten().map(|listed| numbers(&listed)).unwrap_or_default()
    }

    /// All containers of its Engine as the round's first look that wanted them was told, or why it was not.
    async fn listed(&self, round: &Round) -> Result<Arc<[ContainerSummary]>, String> {
        let asking = async {
            let options = ListContainersOptionsBuilder::default().all(true).build();
            let listed = self.answer(LIST, self.docker.list_containers(Some(options))).await?;
            listed.map(Arc::from).ok_or_else(|| self.no_list())
        };
        // The look that asks gives up in time by itself; one that waits for its answer must do so too.
        let listed = tokio::time::timeout_at(self.until, round.listed(&self.engine.id, asking)).await;
        listed.unwrap_or_else(|_| Err(self.silent(LIST)))
    }

    fn no_list(&self) -> String {
        format!("{} has no list of containers: is it a Docker Engine?", self.engine.id)
    }

    fn silent(&self, about: &str) -> String {
        format!("{}, {about}: no answer within {}", self.engine.id, humanize_duration(self.within))
    }

    /// Its replicas: whatever a recreate does not keep in reserve, or what somebody started of that. None is a reason to know nothing.
    pub(crate) async fn replicas(&self) -> Result<Vec<Replica>, String> {
        let mut all = self.containers().await?;
        all.retain(|replica| !replica.container.kept || replica.container.runs());
        if all.is_empty() { Err(format!("{} has no container", self.target.id)) } else { Ok(all) }
    }

    /// The replicas that run. None is a reason to know nothing.
    pub(crate) async fn running(&self) -> Result<Vec<Replica>, String> {
        let mut all = self.replicas().await?;
        all.retain(|replica| replica.container.runs());
        if all.is_empty() { Err(format!("no container of {} runs", self.target.id)) } else { Ok(all) }
    }

    /// What the Engine answers about each, so many at the same time; those that went away or stopped meanwhile are left out. One
    /// that cannot be had makes the whole unknown: the rest would look like all.
    pub(crate) async fn about_each<'r, T, F>(
        &self,
        replicas: &'r [Replica],
        at_once: usize,
        ask: impl Fn(&'r Replica) -> F,
    ) -> Result<Vec<(&'r Replica, T)>, String>
    where
        F: Future<Output = Result<T, Error>>,
    {
        // Collected first: a closure inside the stream would tie it to one lifetime, and no task could carry the look.
        let each = replicas.iter().map(|replica| {
            let answer = ask(replica);
            async move { (replica, self.answer(&inert(&replica.container.name, 80), answer).await) }
        });
        let asked = stream::iter(each.collect::<Vec<_>>());
        let mut answers = Vec::new();
        for (replica, answer) in asked.buffer_unordered(at_once.max(1)).collect::<Vec<_>>().await {
            if let Some(answer) = answer? {
                answers.push((replica, answer));
            }
        }
        if answers.is_empty() {
            return Err(format!("no container of {} was there any more when it was looked at", self.target.id));
        }
        answers.sort_by(|a, b| a.0.container.name.cmp(&b.0.container.name));
        Ok(answers)
    }

    /// An answer of the Engine, or why there is none; nothing where the container is not there, or stopped, any more.
    pub(crate) async fn answer<T>(
        &self,
        about: &str,
        asked: impl Future<Output = Result<T, Error>>,
    ) -> Result<Option<T>, String> {
        match tokio::time::timeout_at(self.until, asked).await {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(Error::DockerResponseServerError { status_code: 404 | 409, .. })) => Ok(None),
            Ok(Err(error)) => Err(format!("{}, {about}: {}", self.engine.id, words(&error))),
            Err(_) => Err(self.silent(about)),
        }
    }
}

/// What the Engine or the way to it said, safe to print.
pub(crate) fn words(error: &Error) -> String {
    let said = match error {
        Error::DockerResponseServerError { status_code, message } => format!("the Engine answered {status_code}: {message}"),
        other => {
            let mut words = other.to_string();
            let mut cause = std::error::Error::source(other);
            while let Some(why) = cause {
                let why_words = why.to_string();
                if !words.contains(&why_words) {
                    words = format!("{words}: {why_words}");
                }
                cause = why.source();
            }
            words
        }
    };
    inert(&said, 300)
}

/// What the Engine searches the names of all containers with, itself: it describes only those that it finds, and that is most of the
/// cost of a list. A little wider than [`number_in`], which has the last word.
fn names_of(project: &str, service: &str) -> String {
    format!("^/?{}[_-]{}[_-][0-9]+$", regex::escape(project), regex::escape(service))
}

/// The number in a name as either generation of Compose makes it: `shop_worker_2`, `shop-worker-2`.
fn number_in(name: &str, project: &str, service: &str) -> Option<u32> {
    let rest = name.trim_start_matches('/').strip_prefix(project)?;
    ['_', '-'].into_iter().find_map(|joint| rest.strip_prefix(joint)?.strip_prefix(service)?.strip_prefix(joint)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_from_a_name_as_compose_makes_it() {
        for (name, number) in [
            ("/shop_worker_2", Some(2)),
            ("/shop-worker-12", Some(12)),
            ("/shop_worker_", None),
            ("/shop_worker_2.runbookd-INC-7", None),
            ("/shop_workers_2", None),
            ("/my_shop_worker_2", None),
            ("/shop-worker_2", None),
        ] {
            assert_eq!(number_in(name, "shop", "worker"), number, "{name}");
            let found = regex::Regex::new(&names_of("shop", "worker")).unwrap().is_match(name);
            assert!(found || number.is_none(), "{name} would not be found");
        }
        assert_eq!(names_of("shop.eu", "a-b"), r"^/?shop\.eu[_-]a\-b[_-][0-9]+$");
    }
}
