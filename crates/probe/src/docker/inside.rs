//! `docker.exec_look`: a command from a list closed in code, run inside a running replica, because some things are seen only from
//! there: how full its file system is, whether it reaches its broker.
//!
//! Why an address of its own (`inside`): whoever may run commands in containers is as good as root on the host. The argument
//! vectors stand here, no shell reads them, nothing of them comes from a label, and none changes anything. What they say is
//! bounded, and what hangs inside is not piled up: as long as one still runs there, no further one is started.

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::exec::StartExecResults;
use bollard::models::{ExecConfig, ExecInspectResponse};
use connect::Looking;
use futures_util::TryStreamExt;
use runbook::condition::Value;
use runbook::finding::{Seen, Subject};
use runbook::identity::Identity;
use runbook::probe::Inside;
use runbook::target::{Inventory, Target};
use runbook::text::inert;

use super::{Replica, Service};
use crate::seen::Fields;

/// More than any of the commands says.
const MOST_BYTES: usize = 64 * 1024;

/// So many commands that still run in the container are looked at for one of ours.
const MOST_RUNNING: usize = 16;

/// How often it is asked whether a command whose output has ended has ended too.
const ENDED_POLL: Duration = Duration::from_millis(20);

/// With these codes a shell and the Engine say that the program cannot be run, or is not there.
const NOT_RUN: [i64; 2] = [126, 127];

const BROKER: &str = include_str!("broker.py");

pub(crate) async fn look(
    looking: &Looking,
    inventory: &Inventory,
    target: &Target,
    inside: &Inside,
    within: Duration,
) -> Result<Seen, String> {
    let command = command(inside)?;
    let service = Service::of(looking, inventory, target, within)?;
    // Before anything is asked, so that what is not configured is said at once.
    let docker = looking.docker_inside(service.engine, within).map_err(|error| format!("{error:#}"))?;
    let replicas = service.running().await?;
    let able = replicas.iter().find(|replica| replica.container.refused.is_none());
    let replica = able.ok_or_else(|| {
        let refused = replicas.iter().find_map(|replica| replica.container.refused.as_deref());
        format!("no container of {} that runs may be touched: {}", target.id, refused.unwrap_or("it is refused"))
    })?;
    let name = inert(&replica.container.name, 80);
    if let Some(true) = service.answer(&name, still_runs(&docker, replica, &command)).await? {
        return Err(format!("in {name} an earlier look of this kind has not ended, so no further one is started"));
    }
    let ran = service.answer(&name, run(&docker, &replica.container.id, &command)).await?;
    let ran = ran.ok_or_else(|| format!("{name} stopped while it was looked into"))?;
    let Some(code) = ran.code else { return Err(format!("in {name} the command did not end")) };
    if NOT_RUN.contains(&code) {
        let program = command.first().map_or("", String::as_str);
        return Err(format!("{name} has no {program} that can be run: {}", inert(ran.said.trim(), 200)));
    }
    let mut fields = Fields::new();
    fields.number("exit_code", code as f64);
    let words = match inside {
        Inside::DiskFree(path) => disk_free(&mut fields, path, code, &ran.said),
        Inside::BrokerReachable(variable) => {
            let (ok, words) = broker(variable, code, ran.said.trim()).map_err(|why| format!("{name}: {why}"))?;
            fields.flag("ok", ok).unknown(&["used_ratio", "free_bytes"], "the look is not at a file system");
            words
        }
    };
    let (id, started_at) = (replica.container.id.clone(), replica.container.started_at.clone());
    let identity = Identity::Container { id, started_at };
    Ok(fields.seen_with(vec![Subject { identity, words: format!("{name}: {words}"), attributes: Default::default() }]))
}

/// The argument vector; the whole list.
fn command(inside: &Inside) -> Result<Vec<String>, String> {
    let words: &[&str] = match inside {
        Inside::DiskFree(path) if path.starts_with('/') && path.len() <= 4096 && !path.contains('\0') => &["df", "-P", path],
        Inside::DiskFree(path) => return Err(format!("`{}` is no absolute path", inert(path, 80))),
        Inside::BrokerReachable(variable) if is_variable(variable) => &["python3", "-I", "-c", BROKER, variable],
        Inside::BrokerReachable(variable) => return Err(format!("`{}` is no name of a variable", inert(variable, 80))),
    };
    Ok(words.iter().map(|word| (*word).to_owned()).collect())
}

fn is_variable(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// Whether the same command still runs there.
async fn still_runs(docker: &Docker, replica: &Replica, command: &[String]) -> Result<bool, Error> {
    for id in replica.inspected.exec_ids.iter().flatten().take(MOST_RUNNING) {
        match docker.inspect_exec(id).await {
            Ok(exec) if exec.running == Some(true) && is_command(&exec, command) => return Ok(true),
            Ok(_) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn is_command(exec: &ExecInspectResponse, command: &[String]) -> bool {
    let Some(process) = &exec.process_config else { return false };
    let words = process.entrypoint.iter().chain(process.arguments.iter().flatten());
    words.eq(command.iter())
}

/// What a command said, and how it ended.
struct Ran {
    said: String,
    /// Nothing where it said more than is read, or goes on without saying anything.
    code: Option<i64>,
}

async fn run(docker: &Docker, id: &str, command: &[String]) -> Result<Ran, Error> {
    let config =
        ExecConfig { attach_stdout: Some(true), attach_stderr: Some(true), cmd: Some(command.to_vec()), ..ExecConfig::default() };
    let exec = docker.create_exec(id, config).await?.id;
    let mut said = Vec::new();
    if let StartExecResults::Attached { mut output, .. } = docker.start_exec(&exec, None).await? {
        while let Some(part) = output.try_next().await? {
            said.extend_from_slice(part.as_ref());
            if said.len() > MOST_BYTES {
                return Ok(Ran { said: String::new(), code: None });
            }
        }
    }
    // Its output ends a moment before the Engine knows how it ended.
    loop {
        let ended = docker.inspect_exec(&exec).await?;
        if ended.running != Some(true) {
            return Ok(Ran { said: String::from_utf8_lossy(&said).into_owned(), code: ended.exit_code });
        }
        tokio::time::sleep(ENDED_POLL).await;
    }
}

/// Reads what `df -P` said, and gives the words for it.
fn disk_free(fields: &mut Fields, path: &str, code: i64, said: &str) -> String {
    let path = inert(path, 80);
    let read =
        if code == 0 { free(said).ok_or_else(|| "what df said cannot be read".to_owned()) } else { Err(inert(said.trim(), 200)) };
    match read {
        Ok((ratio, bytes)) => {
            fields.flag("ok", true).number("used_ratio", ratio).number("free_bytes", bytes);
            format!("the file system of {path} is {:.0} % full", ratio * 100.0)
        }
        Err(why) => {
            fields.put("ok", Value::Flag(false)).unknown(&["used_ratio", "free_bytes"], &why);
            format!("the file system of {path} could not be seen: {why}")
        }
    }
}

/// The used share and the free bytes, from the line with a percentage and three numbers before it: names before and after may
/// have blanks in them. Of what is reserved for root nothing counts, as df itself has it.
fn free(said: &str) -> Option<(f64, f64)> {
    let mut lines = said.lines();
    let unit: f64 = match lines.next()?.split_whitespace().find_map(|word| word.strip_suffix("-blocks"))? {
        "1K" => 1024.0,
        unit => unit.parse().ok()?,
    };
    let words: Vec<&str> = lines.next()?.split_whitespace().collect();
    let percent = words.iter().position(|word| word.strip_suffix('%').is_some_and(|number| number.parse::<u32>().is_ok()))?;
    let number = |back: usize| percent.checked_sub(back).and_then(|at| words.get(at)).and_then(|word| word.parse::<f64>().ok());
    let (used, available) = (number(2)?, number(1)?);
    (used + available > 0.0).then(|| (used / (used + available), available * unit))
}

/// What the word of `broker.py` means. Its kill by the alarm of its own is an answer: the broker gave none in time. That is what it comes
/// to where the network is cut, because the name cannot even be looked up.
fn broker(variable: &str, code: i64, word: &str) -> Result<(bool, String), String> {
    let by_alarm = 128 + 14;
    let why = match (code, word) {
        (0, "reachable") => return Ok((true, "it reaches its broker".to_owned())),
        (3, "unset") => return Err(format!("it has no variable {variable}")),
        (3, _) => return Err(format!("its variable {variable} is no address of an AMQP broker")),
        (1, "name") => "the name cannot be resolved there",
        (1, "refused") => "the connection is refused",
        (1, "silent") => "there is no answer within 2 seconds",
        (1, "tls") => "TLS does not come about",
        (1, "closed") => "the connection is closed at once",
        (1, "other") => "something answers that is no AMQP 0-9-1 broker",
        (1, "unreachable") => "it cannot be reached",
        (code, _) if code == by_alarm => "there is no answer within 3 seconds",
        (code, said) => return Err(format!("the question broke off with code {code}: {}", inert(said, 200))),
    };
    Ok((false, format!("it does not reach its broker: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_closed_and_take_only_plain_arguments() {
        assert_eq!(command(&Inside::DiskFree("/data".into())).unwrap(), ["df", "-P", "/data"]);
        let asked = command(&Inside::BrokerReachable("BROKER_URL".into())).unwrap();
        assert_eq!((asked.len(), asked[4].as_str()), (5, "BROKER_URL"));
        for path in ["data", "", "--help", "/a\0b"] {
            assert!(command(&Inside::DiskFree(path.into())).is_err(), "{path}");
        }
        for name in ["", "1A", "A B", "A=B", "-c", "Ä"] {
            assert!(command(&Inside::BrokerReachable(name.into())).is_err(), "{name}");
        }
    }

    #[test]
    fn df_is_read_whatever_it_calls_its_columns() {
        let gnu = "Filesystem     1024-blocks     Used Available Capacity Mounted on\noverlay          1000    600       200      75% /\n";
        assert_eq!(free(gnu), Some((0.75, 200.0 * 1024.0)));
        let blanks = "Filesystem 512-blocks Used Available Capacity Mounted on\nmy host:/a b 10 5 5 50% /c d\n";
        assert_eq!(free(blanks), Some((0.5, 5.0 * 512.0)));
        for nothing in [
            "",
            "Filesystem 1024-blocks",
            "a\nb",
            "Filesystem 1024-blocks\nproc 0 0 0 - /proc",
            "Filesystem 1024-blocks\nx 0 0 0 0% /",
        ] {
            assert_eq!(free(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn what_cannot_tell_is_not_an_unreachable_broker() {
        assert!(broker("B", 0, "reachable").unwrap().0);
        for (code, word) in [(1, "refused"), (1, "name"), (1, "closed"), (1, "silent"), (142, "")] {
            assert!(!broker("B", code, word).unwrap().0, "{code} {word}");
        }
        for (code, word) in [(3, "unset"), (3, "unreadable"), (1, "Traceback"), (137, ""), (0, "")] {
            assert!(broker("B", code, word).is_err(), "{code} {word}");
        }
    }
}
