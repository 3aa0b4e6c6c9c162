//! The Engine's own bridge, `docker0`: there it must be, because containers reach this machine through its address
//! (`host-gateway`), and an Engine that lost it goes on as if nothing had happened.
//!
//! Another daemon on the same machine can take it away: dockerd 20.10 removes `docker0` whenever it finds a network
//! "bridge" among its data and has address pools of its own, whatever its own bridge is called (initNetworkController).
//! Deliberately no restart of the Engine: an interface of the same name and address is all that it misses.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Engine;
use crate::{command, paths, progress};

/// Where the interfaces of this machine are listed.
const INTERFACES: &str = "/sys/class/net";

/// What an Engine says of its default network: the bridge's name, and its address with the length of the prefix.
#[derive(Debug, PartialEq, Eq)]
struct Bridge {
    name: String,
    address: String,
}

/// Puts the Engine's bridge back where it is gone. Only for an Engine whose daemon runs on this machine.
///
/// # Errors
/// When it is gone and we may not put it back: how to mend it.
pub(super) fn ensure(engine: &Engine) -> Result<()> {
    let format = "{{index .Options \"com.docker.network.bridge.name\"}} {{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}{{end}}";
    // An Engine without a default network (bridge: none) misses nothing.
    let Some(bridge) = engine.run(&["network", "inspect", "bridge", "--format", format]).ok().and_then(|text| read(&text)) else {
        return Ok(());
    };
    if Path::new(INTERFACES).join(&bridge.name).exists() {
        return Ok(());
    }
    let Bridge { name, address } = &bridge;
    if !paths::is_root() {
        bail!(
            "the Docker Engine has lost its bridge {name}, so no container reaches this machine: restart it \
             (`systemctl restart docker`), or run this as root to have the bridge put back"
        );
    }
    progress::step(&format!("putting back {name}, which the Engine has lost"), || {
        for arguments in [
            &["link", "add", name, "type", "bridge"][..],
            &["address", "add", address, "dev", name],
            &["link", "set", name, "up"],
        ] {
            command::output(Command::new("ip").args(arguments))
                .with_context(|| format!("cannot put {name} back; restart the Docker Engine instead"))?;
        }
        Ok(())
    })
}

/// `docker0 172.17.0.0/16 172.17.0.1`, as the template above prints it; without a gateway it is the first address.
fn read(text: &str) -> Option<Bridge> {
    let mut words = text.split_whitespace();
    let (name, subnet) = (words.next()?, words.next()?);
    let (network, length) = subnet.split_once('/')?;
    let network: Ipv4Addr = network.parse().ok()?;
    let gateway = match words.next() {
        Some(gateway) => gateway.parse().ok()?,
        None => Ipv4Addr::from_bits(network.to_bits().checked_add(1)?),
    };
    Some(Bridge { name: name.to_owned(), address: format!("{gateway}/{length}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bridge_is_read_from_what_the_engine_says() {
        let expect = |address: &str| Some(Bridge { name: "docker0".into(), address: address.into() });
        assert_eq!(read("docker0 172.17.0.0/16 \n"), expect("172.17.0.1/16"));
        assert_eq!(read("docker0 10.1.0.0/24 10.1.0.254"), expect("10.1.0.254/24"));
        assert_eq!(read(""), None);
        assert_eq!(read("docker0 "), None);
    }
}
