//! The images of the estate: built when what they are made from has changed, or when they are missing.
//!
//! Deliberately no registry: the base is pulled where possible and made where not, everything else comes from
//! Debian's packages.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::Path;

use anyhow::{Context, Result};

use super::{DEFAULT, Estate};
use crate::engine::{BASE, Engine, ensure_base};
use crate::{command, paths, progress};

/// Sees to it that an Engine has the estate's images, as their sources are now.
///
/// # Errors
/// When the base image can be neither pulled nor made, or a build fails.
pub fn ensure_images(engine: &Engine) -> Result<()> {
    let note = paths::memory()?.join(format!("images{}", engine.socket().display().to_string().replace('/', "-")));
    let now = fingerprint()?;
    let estate = Estate::prepare(DEFAULT, engine.clone())?;
    let images = images()?;
    let built = std::fs::read_to_string(&note).unwrap_or_default() == now;
    if built && images.iter().all(|image| engine.has_image(image)) {
        return Ok(());
    }
    ensure_base(engine)?;
    let step = format!("building the estate's images ({} of them, minutes when new)", images.len());
    let log = paths::memory()?.join("build.log");
    progress::step_with_log(&step, &log, || {
        command::logged(estate.compose().arg("build"), &log)
            .with_context(|| format!("on {BASE}; all of it is in {}", log.display()))
    })?;
    std::fs::write(&note, now)?;
    Ok(())
}

/// The images that the Compose file builds, those of profiles left out.
fn images() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(paths::root().join("docker-compose.yml")).context("cannot read docker-compose.yml")?;
    Ok(text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("image: runbookd-estate-"))
        .map(|name| format!("runbookd-estate-{name}"))
        .collect())
}

/// Changes whenever the Compose file or anything that it builds from or mounts changes.
pub(super) fn fingerprint() -> Result<String> {
    let mut hasher = DefaultHasher::new();
    paths::root().hash(&mut hasher);
    for part in ["docker-compose.yml", "deploy"] {
        add(&paths::root().join(part), &mut hasher)?;
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// Changes whenever a file changes that Prometheus or Alertmanager reads once, at its start.
pub(super) fn mounted() -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for part in ["deploy/prometheus", "deploy/alertmanager", "deploy/estate/monitoring/prometheus.yml"] {
        add(&paths::root().join(part), &mut hasher)?;
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn add(path: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    if path.is_dir() {
        let mut entries: Vec<_> = std::fs::read_dir(path)?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.file_name().is_none_or(|name| name != "__pycache__"))
            .collect();
        entries.sort();
        for entry in entries {
            add(&entry, hasher)?;
        }
        return Ok(());
    }
    path.hash(hasher);
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?.hash(hasher);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_are_read_from_the_compose_file() {
        let images = images().unwrap();
        assert!(images.contains(&"runbookd-estate-postgres".to_owned()), "{images:?}");
        assert_eq!(fingerprint().unwrap(), fingerprint().unwrap());
        assert_eq!(mounted().unwrap(), mounted().unwrap());
    }
}
