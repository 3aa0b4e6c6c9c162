//! The two images that no registry is needed for: Debian's base, and a tiny one for tests.
//!
//! Why: the estate's images are built on Debian's slim base. Where that cannot be pulled it is made from Debian's
//! packages with `debootstrap` under the same name. Tests that need *some* container take the tiny image, a static
//! BusyBox, which loads in an instant.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Engine;
use crate::{command, packages, paths, progress, servers::Scratch};

/// The base image of the estate.
pub const BASE: &str = "debian:bookworm-slim";

/// The tiny image: `sh`, `sleep`, `nc`, `httpd` and the like; sleeps unless told otherwise.
pub const TINY: &str = "runbookd-tiny";

/// Sees to it that the Engine has [`BASE`]: pulled where that is possible, else made.
///
/// # Errors
/// When it can be neither pulled nor made.
pub fn ensure_base(engine: &Engine) -> Result<()> {
    if engine.has_image(BASE) {
        return Ok(());
    }
    let pulled = progress::step(&format!("pulling {BASE}"), || {
        let mut pull = Command::new("timeout");
        pull.arg("180").arg(engine.docker().get_program()).args(["pull", "--quiet", BASE]).env("DOCKER_HOST", engine.host());
        Ok(command::succeeds(&mut pull))
    })?;
    if pulled {
        return Ok(());
    }
    progress::say("it cannot be pulled: making it from Debian's packages");
    packages::ensure(&["debootstrap"])?;
    if !paths::is_root() {
        bail!("{BASE} cannot be pulled; making it needs root: run this once as root, or load the image");
    }
    let scratch = Scratch::new("debootstrap")?;
    let tree = scratch.join("root");
    let log = paths::memory()?.join("debootstrap.log");
    progress::step_with_log("debootstrap (about 40 s)", &log, || {
        command::logged(Command::new("debootstrap").args(["--variant=minbase", "bookworm"]).arg(&tree), &log)
    })?;
    progress::step(&format!("importing {BASE}"), || import(engine, &tree, BASE, "CMD [\"bash\"]"))
}

/// Sees to it that the Engine has [`TINY`].
///
/// # Errors
/// When BusyBox cannot be installed or the Engine does not take the image.
pub fn ensure_tiny(engine: &Engine) -> Result<()> {
    if engine.has_image(TINY) {
        return Ok(());
    }
    packages::ensure(&["busybox-static"])?;
    let scratch = Scratch::new("tiny")?;
    let tree = scratch.join("root");
    for directory in ["bin", "tmp", "etc"] {
        paths::make(tree.join(directory))?;
    }
    let program = tree.join("bin/busybox");
    std::fs::copy("/bin/busybox", &program).context("cannot copy /bin/busybox")?;
    for name in command::output(Command::new(&program).arg("--list"))?.lines() {
        let link = tree.join("bin").join(name);
        if !link.exists() {
            std::os::unix::fs::symlink("busybox", link)?;
        }
    }
    import(engine, &tree, TINY, "CMD [\"/bin/sleep\", \"86400\"]")
}

fn import(engine: &Engine, tree: &Path, name: &str, change: &str) -> Result<()> {
    let mut tar = Command::new("tar")
        .arg("--directory")
        .arg(tree)
        .args(["--create", "--file=-", "."])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start tar")?;
    let stream = tar.stdout.take().context("tar has no output")?;
    let done =
        engine.docker().args(["import", "--change", change, "-", name]).stdin(stream).output().context("cannot start docker")?;
    let packed = tar.wait()?;
    if !packed.success() || !done.status.success() {
        bail!("cannot import {name}: {}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}
