//! Another container like one that is there: a clone beside it, or a replacement in its stead. Pure: from what the Engine says of
//! the source to what it is asked to create.
//!
//! Why not from the Compose file: runbookd need not have it, it may have changed since, and a clone must be what is running now.
//! Everything under `HostConfig` is kept as it is; what the Engine made up for the source alone (its short id as host name and
//! alias, addresses, hardware addresses) is not. The image is named by its digest: the tag may have moved meanwhile.
//! Deliberately no refusals: what must not be cloned is seen by the look, and checked again before this is asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::{
    ContainerConfig, ContainerCreateBody, ContainerInspectResponse, EndpointSettings, HostConfig, MountPoint, MountType,
    NetworkingConfig,
};
use connect::container::label;
use runbook::incident::IncidentId;

/// What the copy is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Likeness<'a> {
    /// Another replica beside the source, sharing nothing that only the source has.
    Clone {
        /// The name it will have.
        name: &'a str,
        /// Its number within the service.
        number: u32,
        /// Whose it is.
        incident: IncidentId,
    },
    /// The same container over again, under the source's own name and on the same data.
    Replacement {
        /// Whose it is.
        incident: IncidentId,
        /// Variables and their new values.
        set: &'a BTreeMap<String, String>,
    },
}

/// What the Engine is asked for: create, connect to each further network, and only then start.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Blueprint {
    /// The name of the new container, without a slash.
    pub(super) name: String,
    /// The body of `create`, with the first network only: before API 1.44 an Engine takes no more.
    pub(super) body: ContainerCreateBody,
    /// The other networks.
    pub(super) further: Vec<Network>,
}

/// A network that the new container is connected to.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Network {
    /// Its name, under which the container knows it.
    pub(super) name: String,
    /// Its full id, by which the Engine is asked: names of networks need not be unique.
    pub(super) id: String,
    /// How it is connected.
    pub(super) endpoint: EndpointSettings,
}

impl Blueprint {
    /// A blueprint of a container like this one.
    ///
    /// # Errors
    /// Which part of the Engine's answer is missing, so that a like one cannot be made.
    pub(super) fn of(source: &ContainerInspectResponse, likeness: Likeness<'_>) -> Result<Self, String> {
        let missing = |what: &str| format!("the Engine did not say the container's {what}");
        let id = source.id.as_deref().ok_or_else(|| missing("id"))?;
        let short = id.get(..12).unwrap_or(id);
        let old_name = source.name.as_deref().map(|name| name.trim_start_matches('/')).ok_or_else(|| missing("name"))?;
        let image = source.image.clone().ok_or_else(|| missing("image"))?;
        let config = source.config.clone().ok_or_else(|| missing("configuration"))?;
        let mut host = source.host_config.clone().ok_or_else(|| missing("host configuration"))?;
        let mounts = source.mounts.as_deref().unwrap_or_default();
        let name = match likeness {
            Likeness::Clone { name, .. } => name,
            Likeness::Replacement { .. } => old_name,
        };
        let mut volumes: BTreeSet<String> = config.volumes.clone().unwrap_or_default().into_iter().collect();
        match likeness {
            Likeness::Clone { .. } => part_from_anonymous(&mut host, &mut volumes),
            Likeness::Replacement { .. } => keep_anonymous(&mut host, mounts),
        }
        let service = config.labels.as_ref().and_then(|all| all.get(label::SERVICE)).map(String::as_str);
        let names = Names { short, old: old_name, new: name, service };
        let networks = networks(source, &host, &names, matches!(likeness, Likeness::Replacement { .. }));
        let mut networks = networks.into_iter();
        let first = networks.next().map(|network| (network.name, network.endpoint));
        let further: Vec<Network> = networks.collect();
        if let Some(nameless) = further.iter().find(|network| network.id.is_empty()) {
            return Err(missing(&format!("network's id ({})", nameless.name)));
        }
        let own_host_name = config.hostname.clone().filter(|hostname| hostname != short);
        let body = ContainerCreateBody {
            hostname: own_host_name,
            image: Some(image),
            env: environment(config.env.clone(), likeness),
            labels: Some(labelled(config.labels.clone().unwrap_or_default(), id, likeness)),
            volumes: Some(volumes.into_iter().collect()),
            host_config: Some(host),
            networking_config: Some(NetworkingConfig { endpoints_config: Some(first.into_iter().collect()) }),
            ..as_it_is(config)
        };
        Ok(Self { name: name.to_owned(), body, further })
    }
}

/// What passes unchanged. By name and without a rest, so that a field that a later library knows is not forgotten.
fn as_it_is(config: ContainerConfig) -> ContainerCreateBody {
    let ContainerConfig {
        hostname,
        domainname,
        user,
        attach_stdin,
        attach_stdout,
        attach_stderr,
        exposed_ports,
        tty,
        open_stdin,
        stdin_once,
        env,
        cmd,
        healthcheck,
        args_escaped,
        image,
        volumes,
        working_dir,
        entrypoint,
        network_disabled,
        on_build,
        labels,
        stop_signal,
        stop_timeout,
        shell,
    } = config;
    ContainerCreateBody {
        hostname,
        domainname,
        user,
        attach_stdin,
        attach_stdout,
        attach_stderr,
        exposed_ports,
        tty,
        open_stdin,
        stdin_once,
        env,
        cmd,
        healthcheck,
        args_escaped,
        image,
        volumes,
        working_dir,
        entrypoint,
        network_disabled,
        on_build,
        labels,
        stop_signal,
        stop_timeout,
        shell,
        host_config: None,
        networking_config: None,
    }
}

fn environment(old: Option<Vec<String>>, likeness: Likeness<'_>) -> Option<Vec<String>> {
    let Likeness::Replacement { set, .. } = likeness else { return old };
    let key = |line: &str| line.split_once('=').map_or(line, |(key, _)| key).to_owned();
    let mut lines = old.unwrap_or_default();
    lines.retain(|line| !set.contains_key(&key(line)));
    lines.extend(set.iter().map(|(key, value)| format!("{key}={value}")));
    Some(lines)
}

fn labelled(mut all: HashMap<String, String>, source: &str, likeness: Likeness<'_>) -> HashMap<String, String> {
    // What the source itself came from says nothing of the copy.
    for own in [label::INCIDENT, label::CLONE_OF, label::REPLACES] {
        all.remove(own);
    }
    let mut put = |label: &str, value: String| all.insert(label.to_owned(), value);
    match likeness {
        Likeness::Clone { number, incident, .. } => {
            put(label::NUMBER, number.to_string());
            put(label::INCIDENT, incident.to_string());
            put(label::CLONE_OF, source.to_owned());
        }
        Likeness::Replacement { incident, .. } => {
            put(label::INCIDENT, incident.to_string());
            put(label::REPLACES, source.to_owned());
        }
    }
    all
}

/// Whether a volume has no name of its own: the Engine then takes 64 hexadecimal digits.
fn is_anonymous(volume: &str) -> bool {
    volume.len() == 64 && volume.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The source and the destination of a bind as the Engine writes it.
fn parts(bind: &str) -> (&str, &str) {
    let mut parts = bind.split(':');
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// A clone gets anonymous volumes of its own. Compose hands them on by name in `Binds` when it recreates a container.
fn part_from_anonymous(host: &mut HostConfig, volumes: &mut BTreeSet<String>) {
    if let Some(binds) = &mut host.binds {
        volumes.extend(binds.iter().map(|bind| parts(bind)).filter(|(from, _)| is_anonymous(from)).map(|(_, to)| to.to_owned()));
        binds.retain(|bind| !is_anonymous(parts(bind).0));
    }
    for mount in host.mounts.iter_mut().flatten() {
        if mount.typ == Some(MountType::VOLUME) && mount.source.as_deref().is_some_and(is_anonymous) {
            mount.source = None;
        }
    }
}

/// A replacement gets the source's anonymous volumes, by name: the data stays with the service.
fn keep_anonymous(host: &mut HostConfig, mounts: &[MountPoint]) {
    for mount in mounts.iter().filter(|mount| mount.typ.as_deref() == Some("volume")) {
        let (Some(volume), Some(at)) = (mount.name.as_deref(), mount.destination.as_deref()) else { continue };
        if let Some(asked) = host.mounts.iter_mut().flatten().find(|asked| asked.target.as_deref() == Some(at)) {
            if asked.source.as_deref().is_none_or(str::is_empty) {
                asked.source = Some(volume.to_owned());
            }
            continue;
        }
        let binds = host.binds.get_or_insert_default();
        if !binds.iter().any(|bind| parts(bind).1 == at) {
            let mode = if mount.rw == Some(false) { "ro" } else { "rw" };
            binds.push(format!("{volume}:{at}:{mode}"));
        }
    }
}

struct Names<'a> {
    short: &'a str,
    old: &'a str,
    new: &'a str,
    service: Option<&'a str>,
}

/// All networks of the source, the one to create with first: that is the one that `NetworkMode` names.
fn networks(source: &ContainerInspectResponse, host: &HostConfig, names: &Names<'_>, same_address: bool) -> Vec<Network> {
    let networks = source.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let mode = host.network_mode.as_deref().unwrap_or("default");
    if mode == "none" || mode == "host" || mode.starts_with("container:") {
        return Vec::new();
    }
    let is_first =
        |network: &Network| network.name == mode || network.id == mode || (mode == "default" && network.name == "bridge");
    let mut all: Vec<Network> = networks
        .into_iter()
        .flatten()
        .map(|(name, old)| Network {
            name: name.clone(),
            id: old.network_id.clone().unwrap_or_default(),
            endpoint: endpoint(old, names, same_address),
        })
        .collect();
    all.sort_by(|a, b| (!is_first(a), &a.name).cmp(&(!is_first(b), &b.name)));
    all
}

fn endpoint(old: &EndpointSettings, names: &Names<'_>, same_address: bool) -> EndpointSettings {
    // Where there was no alias there must be none: the default bridge refuses them.
    let aliases = old.aliases.as_ref().map(|aliases| {
        let unlike = |alias: &&String| {
            **alias != names.short && (**alias != names.old || names.service == Some(alias.as_str()) || names.old == names.new)
        };
        let mut kept: Vec<String> = aliases.iter().filter(unlike).cloned().collect();
        if !kept.is_empty() && !kept.iter().any(|alias| alias == names.new) {
            kept.push(names.new.to_owned());
        }
        kept
    });
    EndpointSettings {
        aliases: aliases.filter(|aliases| !aliases.is_empty()),
        links: old.links.clone(),
        driver_opts: old.driver_opts.clone(),
        gw_priority: old.gw_priority,
        ipam_config: if same_address { old.ipam_config.clone() } else { None },
        ..EndpointSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Engine 20.10 says it of a service of Compose 1.29 with a fixed name, two networks (one address is static), a named, an
    /// anonymous and a mounted volume, limits and a health check.
    fn worker() -> ContainerInspectResponse {
        serde_json::from_str(include_str!("recorded/worker.json")).unwrap()
    }

    fn clone_of(source: &ContainerInspectResponse) -> Blueprint {
        Blueprint::of(source, Likeness::Clone { name: "sample_celery-worker_2", number: 2, incident: IncidentId(7) }).unwrap()
    }

    fn replacement_of(source: &ContainerInspectResponse, set: &[(&str, &str)]) -> Blueprint {
        let set = set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Blueprint::of(source, Likeness::Replacement { incident: IncidentId(7), set: &set }).unwrap()
    }

    fn first(blueprint: &Blueprint) -> Vec<(String, EndpointSettings)> {
        let config = blueprint.body.networking_config.clone().unwrap().endpoints_config.unwrap();
        config.into_iter().collect()
    }

    #[test]
    fn everything_that_the_host_grants_is_kept() {
        let source = worker();
        let clone = clone_of(&source);
        let host = source.host_config.clone().unwrap();
        let copied = clone.body.host_config.clone().unwrap();
        assert_eq!(HostConfig { binds: host.binds.clone(), ..copied.clone() }, host);
        // That these are there at all.
        assert_eq!((copied.memory, copied.nano_cpus, copied.shm_size), (Some(67_108_864), Some(250_000_000), Some(8_388_608)));
        assert_eq!(copied.tmpfs.unwrap()["/run"], "size=1m");
        assert_eq!(copied.ulimits.unwrap().len(), 1);
        assert_eq!(copied.sysctls.unwrap().len(), 1);
        assert_eq!(copied.restart_policy, host.restart_policy);
        let config = source.config.unwrap();
        assert_eq!(clone.body.healthcheck, config.healthcheck);
        assert!(clone.body.healthcheck.is_some());
        assert_eq!(
            (clone.body.cmd, clone.body.stop_signal, clone.body.stop_timeout),
            (config.cmd, Some("SIGINT".into()), Some(3))
        );
        assert_eq!(clone.body.env, config.env);
        assert_eq!(clone.body.exposed_ports, Some(vec!["5555/tcp".to_owned()]));
        // The same bits, even when the tag has moved.
        assert_eq!(clone.body.image, source.image);
        assert!(clone.body.image.unwrap().starts_with("sha256:"));
    }

    #[test]
    fn a_clone_has_a_name_a_number_and_labels_of_its_own() {
        let clone = clone_of(&worker());
        assert_eq!(clone.name, "sample_celery-worker_2");
        assert_eq!(clone.body.hostname, None);
        let labels = clone.body.labels.unwrap();
        assert_eq!(labels["com.docker.compose.container-number"], "2");
        assert_eq!(labels[label::INCIDENT], "INC-7");
        assert_eq!(labels[label::CLONE_OF], worker().id.unwrap());
        for kept in ["project", "service", "oneoff", "config-hash", "version"] {
            let label = format!("com.docker.compose.{kept}");
            assert_eq!(labels.get(&label), worker().config.unwrap().labels.unwrap().get(&label), "{label}");
        }
    }

    #[test]
    fn a_clone_meets_the_same_networks_but_has_no_address_of_the_source() {
        let clone = clone_of(&worker());
        let [(network, endpoint)] = first(&clone).try_into().unwrap();
        assert_eq!(network, "sample_default");
        let aliases = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let plain = EndpointSettings {
            aliases: aliases(&["celery-worker", "tasks", "sample_celery-worker_2"]),
            ..EndpointSettings::default()
        };
        assert_eq!(endpoint, plain);
        let [further] = clone.further.try_into().unwrap();
        assert_eq!(further.name, "sample_inside");
        assert_eq!(further.id, "e10132544b8ad4e4252b6317703d9c5e4f4d8301068fda80a8a674ff5d26dc24");
        assert_eq!(
            further.endpoint,
            EndpointSettings { aliases: aliases(&["celery-worker", "sample_celery-worker_2"]), ..plain }
        );
    }

    #[test]
    fn a_clone_shares_named_volumes_and_no_anonymous_one() {
        let clone = clone_of(&worker());
        let host = clone.body.host_config.unwrap();
        assert_eq!(host.binds.unwrap(), ["/srv/sample:/config:ro", "sample_results:/results:rw"]);
        assert!(clone.body.volumes.unwrap().contains(&"/scratch".to_owned()));
    }

    #[test]
    fn a_replacement_keeps_name_data_and_addresses_and_changes_exactly_what_is_set() {
        let source = worker();
        let new = replacement_of(&source, &[("CONCURRENCY", "4"), ("CONCURRENCY_MODE", "threads")]);
        assert_eq!(new.name, "worker");
        let host = new.body.host_config.clone().unwrap();
        assert_eq!(Some(host), source.host_config);
        let env = new.body.env.clone().unwrap();
        assert!(env.contains(&"CONCURRENCY=4".to_owned()) && env.contains(&"CONCURRENCY_MODE=threads".to_owned()), "{env:?}");
        assert!(!env.contains(&"CONCURRENCY=2".to_owned()));
        assert_eq!(env.len(), source.config.clone().unwrap().env.unwrap().len() + 1);
        let labels = new.body.labels.clone().unwrap();
        assert_eq!(labels[label::REPLACES], source.id.unwrap());
        assert_eq!(labels["com.docker.compose.container-number"], "1");
        assert!(!labels.contains_key(label::CLONE_OF));
        let inside = &new.further[0].endpoint;
        assert_eq!(inside.ipam_config.as_ref().unwrap().ipv4_address.as_deref(), Some("10.77.3.9"));
        assert_eq!((&inside.mac_address, &inside.ip_address, &inside.network_id), (&None, &None, &None));
        assert_eq!(inside.aliases.as_deref().unwrap(), ["celery-worker", "worker"]);
    }

    #[test]
    fn an_anonymous_volume_that_only_the_mounts_name_stays_with_a_replacement() {
        let mut source = worker();
        let host = source.host_config.as_mut().unwrap();
        host.binds.as_mut().unwrap().retain(|bind| !bind.contains("/scratch"));
        let volume = source.mounts.as_ref().unwrap().iter().find(|mount| mount.destination.as_deref() == Some("/scratch"));
        let volume = volume.unwrap().name.clone().unwrap();
        let binds = |blueprint: Blueprint| blueprint.body.host_config.unwrap().binds.unwrap();
        assert!(binds(replacement_of(&source, &[])).contains(&format!("{volume}:/scratch:rw")));
        assert_eq!(binds(clone_of(&source)).len(), 2);
    }

    #[test]
    fn a_second_replacement_forgets_what_the_first_replaced() {
        let mut source = worker();
        let labels = source.config.as_mut().unwrap().labels.as_mut().unwrap();
        labels.insert(label::REPLACES.to_owned(), "older".to_owned());
        labels.insert(label::INCIDENT.to_owned(), "INC-1".to_owned());
        let clone = clone_of(&source).body.labels.unwrap();
        assert!(!clone.contains_key(label::REPLACES));
        assert_eq!(clone[label::INCIDENT], "INC-7");
        let new = replacement_of(&source, &[]).body.labels.unwrap();
        assert_eq!(new[label::REPLACES], source.id.unwrap());
    }

    #[test]
    fn on_the_default_bridge_there_are_no_aliases() {
        let mut source = worker();
        source.host_config.as_mut().unwrap().network_mode = Some("default".to_owned());
        let bridge = EndpointSettings { network_id: Some("b".into()), ..EndpointSettings::default() };
        source.network_settings.as_mut().unwrap().networks = Some(HashMap::from([("bridge".to_owned(), bridge)]));
        let clone = clone_of(&source);
        assert_eq!(first(&clone), vec![("bridge".to_owned(), EndpointSettings::default())]);
        source.host_config.as_mut().unwrap().network_mode = Some("none".to_owned());
        assert_eq!(first(&clone_of(&source)), vec![]);
    }

    #[test]
    fn a_name_that_is_also_the_services_stays_an_alias() {
        let mut source = worker();
        source.name = Some("/celery-worker".to_owned());
        assert!(first(&clone_of(&source))[0].1.aliases.as_ref().unwrap().contains(&"celery-worker".to_owned()));
        source.name = Some("/tasks".to_owned());
        assert!(!first(&clone_of(&source))[0].1.aliases.as_ref().unwrap().contains(&"tasks".to_owned()));
    }

    #[test]
    fn without_an_image_nothing_like_it_can_be_made() {
        let source = ContainerInspectResponse { image: None, ..worker() };
        let likeness = Likeness::Clone { name: "n", number: 2, incident: IncidentId(7) };
        assert!(Blueprint::of(&source, likeness).unwrap_err().contains("image"));
    }
}
