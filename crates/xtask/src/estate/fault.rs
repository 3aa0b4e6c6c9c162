//! The faults that an estate can be given, as `deploy/estate/faults.json` lists them: how each alert is made to fire
//! and to resolve.
//!
//! Steps are HTTP requests to the estate's own switches, programs run inside a container, or commands of the Engine
//! on one container. Deliberately no shell, and nothing that is not in that file.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Estate;
use crate::http::Request;
use crate::paths;

/// One fault: the alert it leads to, and how it is switched on and off.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Its name, such as `leak-idle`.
    pub name: String,
    /// The alert that fires while it is on.
    pub alert: String,
    /// What it is, for people; may be empty.
    pub summary: String,
    breaking: Vec<Value>,
    mending: Vec<Value>,
}

/// Which way a fault is switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fire {
    /// On.
    Break,
    /// Off.
    Mend,
}

impl Fault {
    /// All faults, in the file's order.
    ///
    /// # Errors
    /// When the file is missing or is not as expected.
    pub fn all() -> Result<Vec<Fault>> {
        let path = paths::root().join("deploy/estate/faults.json");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        parse(&text).with_context(|| format!("in {}", path.display()))
    }

    /// The fault of that name, or the first one that leads to the alert of that name.
    ///
    /// # Errors
    /// When there is none: with the names there are.
    pub fn named(name: &str) -> Result<Fault> {
        let all = Fault::all()?;
        let found = all.iter().find(|fault| fault.name == name);
        found.or_else(|| all.iter().find(|fault| fault.alert == name)).cloned().with_context(|| {
            let names: Vec<&str> = all.iter().map(|fault| fault.name.as_str()).collect();
            format!("there is no fault {name:?}; there are: {}", names.join(", "))
        })
    }

    /// Switches it on or off in an estate.
    ///
    /// # Errors
    /// When a step is refused.
    pub fn switch(&self, estate: &Estate, fire: Fire) -> Result<()> {
        let steps = match fire {
            Fire::Break => &self.breaking,
            Fire::Mend => &self.mending,
        };
        for step in steps {
            run(estate, step).with_context(|| format!("fault {}, step {step}", self.name))?;
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Vec<Fault>> {
    let list: Value = serde_json::from_str(text)?;
    let list = list.get("faults").unwrap_or(&list).as_array().context("no list of faults")?.clone();
    list.iter()
        .map(|fault| {
            let word = |name: &str| fault[name].as_str().unwrap_or_default().to_owned();
            let steps = |name: &str| fault[name].as_array().cloned().with_context(|| format!("{fault} has no list {name:?}"));
            if word("name").is_empty() || word("alert").is_empty() {
                bail!("{fault} lacks \"name\" or \"alert\"");
            }
            Ok(Fault {
                name: word("name"),
                alert: word("alert"),
                summary: word("summary"),
                breaking: steps("break")?,
                mending: steps("mend")?,
            })
        })
        .collect()
}

fn run(estate: &Estate, step: &Value) -> Result<()> {
    if let Some(http) = step.get("http") {
        let word = |name: &str| http[name].as_str().with_context(|| format!("\"http\" lacks {name:?}"));
        let url = format!("{}{}", estate.url(word("port_var")?)?, word("path")?);
        let mut request = Request::new(http["method"].as_str().unwrap_or("POST"), &url).deadline(Duration::from_secs(30));
        if let Some(body) = http.get("body") {
            request = request.json(body);
        }
        request.send()?.ok()?;
        return Ok(());
    }
    if let Some(exec) = step.get("exec") {
        let service = exec["service"].as_str().context("\"exec\" lacks \"service\"")?;
        estate.exec(service, &words(&exec["argv"])?)?;
        return Ok(());
    }
    if let Some(docker) = step.get("docker") {
        // A command on one container, or between it and its network: {"docker": {"command": "stop", "service": "postgres"}}.
        let service = docker["service"].as_str().context("\"docker\" lacks \"service\"")?;
        let command = docker["command"].as_str().context("\"docker\" lacks \"command\"")?;
        let (container, network) = (estate.container(service), format!("{}_default", estate.name()));
        if command == "disconnect" {
            estate.engine().run(&["network", command, &network, &container])?;
            return Ok(());
        }
        if command == "connect" {
            // The service's name is an alias that Compose gave it; it has to be given again.
            estate.engine().run(&["network", command, "--alias", service, &network, &container])?;
            return Ok(());
        }
        if !["stop", "start", "restart", "pause", "unpause", "kill"].contains(&command) {
            bail!("{command:?} is no command that a fault may use");
        }
        estate.engine().run(&[command, &container])?;
        return Ok(());
    }
    bail!("a step is \"http\", \"exec\" or \"docker\"")
}

fn words(argv: &Value) -> Result<Vec<&str>> {
    let argv = argv.as_array().context("\"exec\" lacks \"argv\"")?;
    argv.iter().map(|word| word.as_str().context("\"argv\" holds words only")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_mistakes_are_named() {
        let one = r#"[{"name": "leak", "alert": "Leak", "break": [], "mend": []}]"#;
        assert_eq!(parse(one).unwrap()[0].alert, "Leak");
        let error = parse(r#"[{"name": "leak", "alert": "Leak", "mend": []}]"#).unwrap_err();
        assert!(error.to_string().contains("\"break\""), "{error}");
        assert!(parse(r#"[{"name": "leak"}]"#).is_err());
    }
}
