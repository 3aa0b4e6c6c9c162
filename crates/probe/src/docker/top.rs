//! `docker.top`: the processes of the running replicas, by state and size. Why: one that somebody stopped, or that hangs in the
//! kernel, leaves its container running and healthy. The Engine runs `ps` on its host; nothing is run inside.
//! Deliberately no arguments of processes: passwords stand in them.

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ContainerTopResponse;
use bollard::query_parameters::TopOptionsBuilder;
use connect::Looking;
use runbook::condition::Value;
use runbook::finding::Seen;
use runbook::target::{Inventory, Target};

use super::Service;
use crate::seen::Fields;

/// How many replicas are asked about at the same time: the Engine starts a process for each.
const AT_ONCE: usize = 8;

pub(crate) async fn look(looking: &Looking, inventory: &Inventory, target: &Target, within: Duration) -> Result<Seen, String> {
    let service = Service::of(looking, inventory, target, within)?;
    let replicas = service.running().await?;
    let read = service.about_each(&replicas, AT_ONCE, |replica| read(&service.docker, &replica.container.id, "comm"));
    let answers = read.await?;
    let mut processes = Vec::new();
    for (_, answer) in &answers {
        processes.extend(listed(answer)?);
    }
    let count = |state: char| processes.iter().filter(|process| process.state == state).count() as f64;
    let mut fields = Fields::new();
    fields.number("processes", processes.len() as f64);
    fields.number("stopped", count('T')).number("zombies", count('Z')).number("blocked", count('D'));
    let largest = processes.iter().map(|process| process.bytes).reduce(f64::max);
    fields.put("largest_bytes", largest.map_or_else(|| Value::Unknown("there is no process".to_owned()), Value::number));
    Ok(fields.seen())
}

/// The processes of one container: number, state, resident set, and the column that names them (`comm` or `args`).
pub(super) async fn read(docker: &Docker, id: &str, named_by: &str) -> Result<ContainerTopResponse, Error> {
    let options = TopOptionsBuilder::default().ps_args(&format!("-eo pid,stat,rss,{named_by}")).build();
    docker.top_processes(id, Some(options)).await
}

struct Process {
    state: char,
    bytes: f64,
}

fn listed(answer: &ContainerTopResponse) -> Result<Vec<Process>, String> {
    let titles = answer.titles.as_deref().unwrap_or_default();
    let column = |name: &str| {
        let at = titles.iter().position(|title| title.eq_ignore_ascii_case(name));
        at.ok_or_else(|| format!("the Engine's list of processes has no column {name}"))
    };
    let (stat, rss) = (column("STAT")?, column("RSS")?);
    let read = |row: &Vec<String>| {
        let state = row.get(stat).and_then(|state| state.chars().next());
        let kib = row.get(rss).and_then(|kib| kib.parse::<f64>().ok());
        match (state, kib) {
            (Some(state), Some(kib)) => Ok(Process { state, bytes: kib * 1024.0 }),
            _ => Err("the Engine's list of processes cannot be read".to_owned()),
        }
    };
    answer.processes.iter().flatten().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_by_its_titles_and_never_guessed() {
        let list = |titles: &[&str], row: &[&str]| ContainerTopResponse {
            titles: Some(titles.iter().map(|title| (*title).to_owned()).collect()),
            processes: Some(vec![row.iter().map(|cell| (*cell).to_owned()).collect()]),
        };
        let read = listed(&list(&["PID", "STAT", "RSS", "COMMAND"], &["7", "Ts+", "1448", "sleep"])).unwrap();
        assert_eq!((read.len(), read[0].state, read[0].bytes), (1, 'T', 1448.0 * 1024.0));
        assert!(listed(&list(&["PID", "COMMAND"], &["7", "sleep"])).is_err());
        assert!(listed(&list(&["PID", "STAT", "RSS"], &["7", "S", "?"])).is_err());
        assert!(listed(&ContainerTopResponse::default()).is_err());
    }
}
