//! The demo's configuration: the shipped example (`config/`) with this estate's ports and a demo's impatience.
//!
//! Every change is made to the text of a copy and said aloud, so that the demo shows the example that is shipped and
//! not one of its own. Deliberately no YAML library: whole words are replaced, and what is not found is an error.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::SLACK_TOKEN;
use crate::estate::{DEFAULT, Estate};
use crate::{paths, progress, slack};

/// How long a session must have been idle before the demo calls it leaked.
const IDLE_FOR: &str = "3s";

/// How long the demo watches that a cure holds.
const HOLD: &str = "3s";

/// How soon the demo may act again, so that the next fault to try need not be waited for.
const COOLDOWN: &str = "5s";

/// Writes the copy and answers its directory.
pub(super) fn derive(estate: &Estate, slack: &slack::StandIn, observe_only: bool) -> Result<PathBuf> {
    let to = estate.directory().join("config");
    if to.exists() {
        std::fs::remove_dir_all(&to)?;
    }
    let secret = estate.directory().join("slack.token");
    std::fs::write(&secret, SLACK_TOKEN)?;
    let mode = if observe_only { "observe" } else { "auto" };
    let from = paths::root().join("config");
    let mut files = Vec::new();
    collect(&from, &mut files)?;
    for file in &files {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut text = as_in(estate, &text)?;
        let name = file.strip_prefix(&from)?;
        if name.starts_with("runbooks") {
            text = set(&text, "idle_for", IDLE_FOR);
            text = set(&text, "hold", HOLD);
            text = set(&text, "cooldown", COOLDOWN);
            text = set_line(&text, "mode", mode);
        } else if name == Path::new("runbookd.yaml") {
            text = set_block(
                &text,
                "slack",
                &[
                    format!("token: {{file: {:?}}}", secret.display().to_string()),
                    "channel: \"#voiceai-incidents\"".to_owned(),
                    format!("base_url: {}", slack.url()),
                ],
            );
            text = set_block(
                &text,
                "alertmanager",
                &[format!("- url: {}", estate.url("PORT_ALERTMANAGER")?), "  receiver: runbookd".to_owned()],
            );
        }
        let path = to.join(name);
        if let Some(directory) = path.parent() {
            paths::make(directory.to_path_buf())?;
        }
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if files.is_empty() {
        bail!("there is no example configuration in {}", from.display());
    }
    progress::say(format_args!(
        "configuration: config/ copied to {} with this estate's ports, Slack's stand-in, mode {mode}, \
         idle_for {IDLE_FOR}, hold {HOLD}, cooldown {COOLDOWN}",
        to.display()
    ));
    Ok(to)
}

/// A text of the example with an estate's own ports and project.
///
/// # Errors
/// When the Compose file cannot be read.
pub fn as_in(estate: &Estate, text: &str) -> Result<String> {
    let text = with_ports(text, &ports(estate)?);
    Ok(text.replace(&format!("project: {DEFAULT}"), &format!("project: {}", estate.name())))
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

/// The usual port of each variable, and the one that this estate has.
fn ports(estate: &Estate) -> Result<Vec<(u16, u16)>> {
    let text = std::fs::read_to_string(paths::root().join("docker-compose.yml"))?;
    let usual = crate::estate::port_variables(&text);
    usual.into_iter().map(|(variable, usual)| Ok((usual, estate.port(&variable)?))).collect()
}

/// Every usual port that stands as a number of its own behind a colon (`host:5433`, `port: 5433`) becomes the estate's.
fn with_ports(text: &str, ports: &[(u16, u16)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(':') {
        let (head, tail) = rest.split_at(at + 1);
        out.push_str(head);
        let blank = tail.len() - tail.trim_start_matches(' ').len();
        let digits = tail[blank..].bytes().take_while(u8::is_ascii_digit).count();
        let number = tail.get(blank..blank + digits).and_then(|word| word.parse::<u16>().ok());
        let ends = !tail[blank + digits..].starts_with(|c: char| c.is_alphanumeric() || c == '.');
        match number.and_then(|number| ports.iter().find(|(usual, _)| *usual == number)) {
            Some((_, own)) if ends => {
                out.push_str(&tail[..blank]);
                out.push_str(&own.to_string());
                rest = &tail[blank + digits..];
            }
            _ => rest = tail,
        }
    }
    out.push_str(rest);
    out
}

/// Gives every `key: value` within a line, in braces or not, another value.
fn set(text: &str, key: &str, value: &str) -> String {
    let mark = format!("{key}: ");
    let mut parts = text.split(&mark);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(&mark);
        // A comment or a longer key that ends the same way is left alone.
        let end = part.find([',', '}', '\n', ' ']).unwrap_or(part.len());
        let is_time = part[..end].ends_with(['s', 'm', 'h']) && part.starts_with(|c: char| c.is_ascii_digit());
        out.push_str(if is_time { value } else { &part[..end] });
        out.push_str(&part[end..]);
    }
    out
}

/// Gives a key at the beginning of a line another value.
fn set_line(text: &str, key: &str, value: &str) -> String {
    let mark = format!("{key}:");
    text.lines().map(|line| if line.starts_with(&mark) { format!("{key}: {value}\n") } else { format!("{line}\n") }).collect()
}

/// Replaces a block at the beginning of a line, or adds it at the end.
fn set_block(text: &str, key: &str, lines: &[String]) -> String {
    let mark = format!("{key}:");
    let mut out = String::new();
    let mut within = false;
    for line in text.lines() {
        if line.starts_with(&mark) {
            within = true;
            continue;
        }
        within = within && (line.starts_with([' ', '-', '#']) || line.is_empty());
        if !within {
            out.push_str(line);
            out.push('\n');
        }
    }
    out.push_str(&mark);
    out.push('\n');
    for line in lines {
        out.push_str(&format!("  {line}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_replaced_as_whole_numbers_only() {
        let ports = [(5433, 1111), (8000, 2222)];
        for (text, expected) in [
            ("host: 127.0.0.1, port: 5433", "host: 127.0.0.1, port: 1111"),
            ("url: http://127.0.0.1:8000/health", "url: http://127.0.0.1:2222/health"),
            ("size: 80000 age: 5433d x: 8000.5", "size: 80000 age: 5433d x: 8000.5"),
            ("no port at all", "no port at all"),
        ] {
            assert_eq!(with_ports(text, &ports), expected);
        }
    }

    #[test]
    fn times_and_blocks_are_set() {
        let text = "look: {postgres.sessions: {idle_for: 10m}}\nmode: {default: ask}\nhold: 15s\n";
        assert_eq!(
            set_line(&set(&set(text, "idle_for", "3s"), "hold", "2s"), "mode", "auto"),
            "look: {postgres.sessions: {idle_for: 3s}}\nmode: auto\nhold: 2s\n"
        );
        let text = "a: 1\nslack:\n  channel: x\n\n# note\nb: 2\n";
        assert_eq!(set_block(text, "slack", &["channel: y".into()]), "a: 1\nb: 2\nslack:\n  channel: y\n");
        assert_eq!(set_block("a: 1\n", "slack", &["c: y".into()]), "a: 1\nslack:\n  c: y\n");
    }
}
