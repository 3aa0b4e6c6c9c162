//! The examination: at the start, once a day, after a reload and on request, changing nothing. It asks what a cure will need at
//! night while there is still time to mend it: rights per action, held connections, every target, Slack, Alertmanager's way
//! to us, space, clock; and says of each runbook whether it could act now, or why it would be refused. Deliberately no test
//! message and no test act: nobody wants one a day.

mod house;
mod leftovers;
mod neighbours;
mod readiness;

use std::sync::Arc;
use std::time::Duration;

use runbook::text::inert;
use runbook::time::Stamp;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::daemon::Daemon;

/// From one examination to the next.
const EVERY: Duration = Duration::from_secs(86_400);
/// After a reload the new connections get this long before they are judged.
const AFTER_RELOAD: Duration = Duration::from_secs(6);
/// More characters than one line of an examination needs.
const LONGEST: usize = 500;

/// How it stands with one thing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Well,
    /// It could not be seen: neither well nor wrong.
    Unknown,
    /// Something is wrong, and would hurt at night.
    Wrong,
}

/// One thing that was examined.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// What.
    pub about: String,
    /// How it stands.
    pub state: State,
    /// What was found, with the mend where something is wrong.
    pub says: String,
}

impl Line {
    fn new(about: impl AsRef<str>, state: State, says: impl AsRef<str>) -> Self {
        Self { about: inert(about.as_ref(), 100), state, says: inert(says.as_ref(), LONGEST) }
    }

    fn well(about: impl AsRef<str>, says: impl AsRef<str>) -> Self {
        Self::new(about, State::Well, says)
    }

    fn unknown(about: impl AsRef<str>, says: impl AsRef<str>) -> Self {
        Self::new(about, State::Unknown, says)
    }

    fn wrong(about: impl AsRef<str>, says: impl AsRef<str>) -> Self {
        Self::new(about, State::Wrong, says)
    }
}

/// Whether one runbook could act now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Readiness {
    /// The runbook's name.
    pub runbook: String,
    /// Nothing stands in its way.
    pub ready: bool,
    /// `ready`, or `would be refused because …`.
    pub says: String,
}

/// What an examination found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Examination {
    /// When it was over.
    pub at: Stamp,
    /// One line per thing.
    pub lines: Vec<Line>,
    /// One line per runbook.
    pub runbooks: Vec<Readiness>,
}

impl Examination {
    /// How many things are wrong, runbooks that would be refused among them.
    pub fn problems(&self) -> usize {
        self.lines.iter().filter(|line| line.state == State::Wrong).count()
            + self.runbooks.iter().filter(|book| !book.ready).count()
    }

    /// For a terminal: what is wrong cannot be overlooked, and nothing in it steers.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let word = match line.state {
                State::Well => "ok     ",
                State::Unknown => "UNKNOWN",
                State::Wrong => "WRONG  ",
            };
            text.push_str(&format!("{word}  {}: {}\n", line.about, line.says));
        }
        text.push_str("\nRunbooks\n");
        for book in &self.runbooks {
            text.push_str(&format!("  {}: {}\n", book.runbook, book.says));
        }
        if self.runbooks.is_empty() {
            text.push_str("  none: nothing is ever done\n");
        }
        match self.problems() {
            0 => text.push_str("\nNothing is wrong.\n"),
            1 => text.push_str("\n1 thing is wrong.\n"),
            count => text.push_str(&format!("\n{count} things are wrong.\n")),
        }
        text
    }
}

/// Examines at the start, once the held connections were tried (`held`), daily, and after each reload, until the daemon stops.
pub async fn run(daemon: Arc<Daemon>, held: JoinHandle<()>) {
    let mut current = daemon.follow();
    current.borrow_and_update();
    tokio::select! {
        () = daemon.stop.cancelled() => return,
        _ = held => {}
    }
    loop {
        let examination = tokio::select! {
            () = daemon.stop.cancelled() => return,
            examination = examine(&daemon) => examination,
        };
        tell(&examination);
        tokio::select! {
            () = daemon.stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
            _ = current.changed() => {
                current.borrow_and_update();
                tokio::select! {
                    () = daemon.stop.cancelled() => return,
                    () = tokio::time::sleep(AFTER_RELOAD) => {}
                }
            }
        }
    }
}

fn tell(examination: &Examination) {
    for line in examination.lines.iter().filter(|line| line.state == State::Wrong) {
        tracing::error!(about = line.about, "doctor: {}", line.says);
    }
    for line in examination.lines.iter().filter(|line| line.state == State::Unknown) {
        tracing::info!(about = line.about, "doctor: {}", line.says);
    }
    for book in &examination.runbooks {
        match book.ready {
            true => tracing::info!(runbook = book.runbook, "doctor: {}", book.says),
            false => tracing::error!(runbook = book.runbook, "doctor: {}", book.says),
        }
    }
}

/// Examines everything now, side by side, and counts what is wrong in the metrics. Takes some seconds where something does not
/// answer.
pub async fn examine(daemon: &Daemon) -> Examination {
    let current = daemon.current();
    let (targets, slack, alertmanagers, runbooks, house, leftovers) = tokio::join!(
        neighbours::targets(daemon),
        neighbours::slack(daemon),
        neighbours::alertmanagers(daemon, &current),
        readiness::all(daemon, &current),
        house::all(daemon, &current),
        leftovers::all(daemon, &current),
    );
    let lines = house
        .into_iter()
        .chain(neighbours::held(&current))
        .chain(targets)
        .chain(leftovers)
        .chain(alertmanagers)
        .chain(slack)
        .collect();
    let examination = Examination { at: daemon.clock.now(), lines, runbooks };
    let ready = examination.runbooks.iter().map(|book| (book.runbook.clone(), book.ready));
    daemon.metrics.examined(ready, examination.problems());
    examination
}
