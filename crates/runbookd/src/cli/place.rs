//! Where the configuration and the state are, and who types. Deliberately reads the configuration for the state directory only
//! where nobody named one, and silently: a client must work beside a wrong configuration.

use std::path::PathBuf;

use clap::Args;

use crate::{config, serve};

#[derive(Args, Clone, Debug)]
pub(super) struct Place {
    /// The configuration folder.
    #[arg(long, global = true, env = "RUNBOOKD_CONFIG", default_value = serve::CONFIG, value_name = "DIR")]
    pub(super) config: PathBuf,
    /// The state directory: the journal and the socket [default: the configuration's, else /var/lib/runbookd].
    #[arg(long, global = true, env = "RUNBOOKD_STATE", value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// A file with your own token, which proves your name where the configuration names people; `-` reads it from standard input.
    #[arg(long, global = true, env = "RUNBOOKD_TOKEN_FILE", value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
}

impl Place {
    /// The state directory that counts.
    pub(super) fn state_directory(&self) -> PathBuf {
        if let Some(state) = &self.state {
            return state.clone();
        }
        let loaded = config::load(&self.config).ok();
        serve::state_directory(None, loaded.as_ref().map(|loaded| &loaded.daemon))
    }
}

/// Who types, as the machine knows them: used where they give no name and no token proves one.
pub(super) fn login() -> String {
    who(None)
}

/// Who types: what they say, else their login and this machine.
pub(super) fn who(by: Option<String>) -> String {
    if let Some(by) = by.filter(|by| !by.trim().is_empty()) {
        return short(by.trim());
    }
    let named = |name: &str| std::env::var(name).ok().filter(|user| !user.is_empty());
    // Behind sudo the person is still the person.
    let user = named("SUDO_USER").or_else(|| named("USER")).or_else(|| named("LOGNAME"));
    let user = user.unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    short(&format!("{user}@{host}"))
}

/// No longer than the daemon takes of a name: nothing is refused for who does it, least of all a stop.
fn short(name: &str) -> String {
    const LONGEST: usize = 80;
    let name = runbook::text::inert(name, usize::MAX);
    if name.chars().count() <= LONGEST {
        return name;
    }
    name.chars().take(LONGEST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::who;

    #[test]
    fn a_name_is_never_too_long_and_steers_no_terminal() {
        for name in ["x".repeat(81), "é".repeat(500), format!("{}\u{1b}[2J\n", "y".repeat(79))] {
            let who = who(Some(name));
            assert!(who.chars().count() <= 80 && !who.chars().any(char::is_control), "{who:?}");
        }
        assert_eq!(who(Some(" Ana ".to_owned())), "Ana");
    }
}
