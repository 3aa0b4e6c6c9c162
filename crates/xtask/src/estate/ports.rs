//! The ports of one estate, chosen once and remembered.
//!
//! Their names are read from `docker-compose.yml`, so that file stays the only place that lists them. The estate of
//! the default name takes the defaults that stand there, where they are free; every other one takes what is free.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{paths, servers};

/// Published ports by the name of their variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    by_variable: BTreeMap<String, u16>,
}

impl Ports {
    /// The remembered ports of an estate, or new ones, which are then remembered in its directory.
    ///
    /// # Errors
    /// When the Compose file cannot be read or the choice cannot be written.
    pub(super) fn remembered(name: &str, directory: &Path) -> Result<Ports> {
        Ports::choose(name, directory, |_| true)
    }

    /// The same where nothing of the estate runs: a remembered port that somebody has taken since is given up.
    ///
    /// # Errors
    /// As [`Ports::remembered`].
    pub(super) fn that_are_free(name: &str, directory: &Path) -> Result<Ports> {
        Ports::choose(name, directory, servers::is_free)
    }

    fn choose(name: &str, directory: &Path, keep: impl Fn(u16) -> bool) -> Result<Ports> {
        let file = directory.join("ports.json");
        let text = std::fs::read_to_string(paths::root().join("docker-compose.yml")).context("cannot read docker-compose.yml")?;
        let wanted = variables(&text);
        let mut known = BTreeMap::new();
        if let Ok(text) = std::fs::read_to_string(&file)
            && let Ok(Value::Object(map)) = serde_json::from_str::<Value>(&text)
        {
            for (variable, port) in map {
                if let Some(port) = port.as_u64().and_then(|port| u16::try_from(port).ok()) {
                    known.insert(variable, port);
                }
            }
        }
        let mut by_variable = BTreeMap::new();
        for (variable, usual) in wanted {
            let port = match known.get(&variable) {
                Some(port) if keep(*port) => *port,
                _ if name == super::DEFAULT && servers::is_free(usual) => usual,
                _ => servers::free_port()?,
            };
            by_variable.insert(variable, port);
        }
        let map: serde_json::Map<String, Value> =
            by_variable.iter().map(|(variable, port)| (variable.clone(), Value::from(*port))).collect();
        std::fs::write(&file, Value::Object(map).to_string()).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Ports { by_variable })
    }

    pub(super) fn get(&self, variable: &str) -> Result<u16> {
        self.by_variable.get(variable).copied().with_context(|| {
            let known: Vec<&str> = self.by_variable.keys().map(String::as_str).collect();
            format!("no port goes by {variable:?}; there are {}", known.join(", "))
        })
    }

    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = (&str, u16)> {
        self.by_variable.iter().map(|(name, port)| (name.as_str(), *port))
    }
}

/// All `${SOME_PORT:-1234}` of a Compose file: the variable, and the port without one.
#[must_use]
pub fn variables(text: &str) -> BTreeMap<String, u16> {
    text.split("${")
        .skip(1)
        .filter_map(|rest| {
            let (variable, rest) = rest.split_once(":-")?;
            let (usual, _) = rest.split_once('}')?;
            let is_port = variable.starts_with("PORT_") || variable.ends_with("_PORT");
            is_port.then_some(())?;
            Some((variable.to_owned(), usual.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::servers::Scratch;

    #[test]
    fn variables_are_read_from_the_compose_file() {
        let found = variables("ports: ['127.0.0.1:${PORT_A:-80}:80']\nx: ${ESTATE:-name} ${RUNBOOKD_PORT:-9095}");
        let expected = [("PORT_A".to_owned(), 80), ("RUNBOOKD_PORT".to_owned(), 9095)];
        assert_eq!(found, BTreeMap::from(expected));
    }

    #[test]
    fn two_estates_have_different_ports_and_keep_them() {
        let (first, second) = (Scratch::new("ports").unwrap(), Scratch::new("ports").unwrap());
        let one = Ports::remembered("one", first.path()).unwrap();
        let two = Ports::remembered("two", second.path()).unwrap();
        assert_ne!(one.get("PORT_POSTGRES").unwrap(), two.get("PORT_POSTGRES").unwrap());
        assert_eq!(Ports::remembered("one", first.path()).unwrap(), one);
        let taken = TcpListener::bind(("0.0.0.0", one.get("PORT_REDIS").unwrap())).unwrap();
        let other = Ports::that_are_free("one", first.path()).unwrap();
        assert_ne!(other.get("PORT_REDIS").unwrap(), taken.local_addr().unwrap().port());
        assert_eq!(other.get("PORT_POSTGRES").unwrap(), one.get("PORT_POSTGRES").unwrap());
        assert!(one.get("PORT_NONE").unwrap_err().to_string().contains("PORT_POSTGRES"));
    }
}
