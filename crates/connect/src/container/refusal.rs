//! What speaks against touching a container, and what against cloning it. Why apart: an act must refuse for the same reasons
//! that a look gave, in the same words. What the Engine did not say is a reason too.

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum as Status, HostConfig, MountPoint};
use runbook::text::inert;

use super::is_id;

/// Why nothing may be done to it: the first reason.
pub(super) fn to_touch(inspected: &ContainerInspectResponse, id: &str, own: Option<&str>) -> Option<String> {
    let Some(host) = &inspected.host_config else {
        return Some("the Engine did not say how it is configured".to_owned());
    };
    let network = host.network_mode.as_deref().unwrap_or("");
    let state = inspected.state.as_ref().and_then(|state| state.status);
    let reason = if own == Some(id) {
        "it is runbookd's own container"
    } else if host.privileged == Some(true) {
        "it is privileged"
    } else if network == "host" {
        "it shares the host's network"
    } else if network.starts_with("container:") {
        "it shares another container's network"
    } else if host.auto_remove == Some(true) {
        "the Engine removes it as soon as it stops"
    } else {
        match state {
            Some(Status::RESTARTING) => "the Engine is restarting it already",
            Some(Status::PAUSED) => "somebody paused it",
            Some(Status::STOPPING) => "it is being stopped already",
            Some(Status::REMOVING) => "the Engine is removing it",
            Some(Status::DEAD) => "the Engine could not remove it and gave it up",
            None | Some(Status::EMPTY) => "the Engine did not say its state",
            Some(Status::CREATED | Status::RUNNING | Status::EXITED) => return None,
        }
    };
    Some(reason.to_owned())
}

/// Why it may not be cloned, although it may be touched: the first reason.
pub(super) fn to_clone(inspected: &ContainerInspectResponse) -> Option<String> {
    let host = inspected.host_config.as_ref()?;
    fixed_port(host)
        .or_else(|| static_address(inspected))
        .or_else(|| devices(host))
        .or_else(|| inspected.mounts.iter().flatten().find_map(shared))
}

/// A port of the host that only one container can have. No port is the Engine's choice, and so is one of a range.
fn fixed_port(host: &HostConfig) -> Option<String> {
    let bindings = host.port_bindings.iter().flatten().flat_map(|(_, bindings)| bindings.iter().flatten());
    let mut ports = bindings.filter_map(|binding| binding.host_port.as_deref());
    let port = ports.find(|port| match port.split_once('-') {
        Some((first, last)) => first == last,
        None => !port.is_empty() && *port != "0",
    })?;
    Some(format!("it has the host's port {}, which a second one cannot have", inert(port, 20)))
}

fn static_address(inspected: &ContainerInspectResponse) -> Option<String> {
    let networks = inspected.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    networks.into_iter().flatten().find_map(|(network, endpoint)| {
        let config = endpoint.ipam_config.as_ref()?;
        let single = [&config.ipv4_address, &config.ipv6_address].into_iter().flatten();
        let address = single.chain(config.link_local_ips.iter().flatten()).find(|address| !address.is_empty())?;
        Some(format!("it has the fixed address {} in the network {}", inert(address, 45), inert(network, 80)))
    })
}

fn devices(host: &HostConfig) -> Option<String> {
    if host.devices.as_ref().is_some_and(|devices| !devices.is_empty())
        || host.device_requests.as_ref().is_some_and(|devices| !devices.is_empty())
    {
        return Some("it has devices of the host".to_owned());
    }
    let from = host.volumes_from.as_ref().is_some_and(|from| !from.is_empty());
    from.then(|| "it has the volumes of another container".to_owned())
}

/// A place that both would write to. A volume without a name is a container's own: its clone gets another.
fn shared(mount: &MountPoint) -> Option<String> {
    let place = inert(mount.destination.as_deref().unwrap_or("?"), 80);
    let name = mount.name.as_deref().unwrap_or("");
    match (mount.rw, mount.typ.as_deref()) {
        (Some(false), _) | (_, Some("tmpfs" | "image")) => None,
        (_, Some("volume")) if is_id(name) => None,
        (_, Some("volume")) => Some(format!("it may write to the volume {} at {place}", inert(name, 80))),
        _ => Some(format!("it may write to the host's {} at {place}", inert(mount.source.as_deref().unwrap_or("?"), 80))),
    }
}
