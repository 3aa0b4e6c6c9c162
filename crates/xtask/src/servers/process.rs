//! One server process that never outlives the test, whichever way the test ends.
//!
//! The kernel kills it when *the thread that started it* ends (`PR_SET_PDEATHSIG`, set by `setpriv`), and test
//! threads come and go: so one thread that lives as long as the process starts them all. Deliberately no process
//! groups: a Ctrl-C at the terminal reaches servers and test alike.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{clock, command, paths};

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its name in messages.
    pub name: String,
    /// The program file.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables added to its environment.
    pub environment: Vec<(String, String)>,
    /// The user (and group of the same name) it runs as where we are root.
    pub user: Option<String>,
    /// Its working directory.
    pub directory: PathBuf,
    /// Where its output goes; appended to.
    pub log: PathBuf,
}

/// A running server; killed on drop.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

type Order = (Command, Sender<std::io::Result<Child>>);

impl Process {
    /// Starts it; does not wait for it to be of use.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &Program) -> Result<Process> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&program.log)
            .with_context(|| format!("cannot write {}", program.log.display()))?;
        let mut command = as_user(program.user.as_deref());
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&program.path)
            .args(&program.arguments)
            .envs(program.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&program.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let (answer, answered) = channel();
        keeper().send((command, answer)).ok().context("the thread that starts servers is gone")?;
        let child = answered
            .recv()
            .context("the thread that starts servers is gone")?
            .with_context(|| format!("cannot start {} (setpriv)", program.name))?;
        Ok(Process { name: program.name.clone(), child, log: program.log.clone() })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// All that it has printed.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until `ready` answers without error, while it lives.
    ///
    /// # Errors
    /// When it ends before that or `limit` is over: with the end of its log.
    pub fn wait_ready(&mut self, limit: Duration, ready: impl FnMut() -> Result<()>) -> Result<()> {
        let mut ready = ready;
        let mut last = None;
        let name = self.name.clone();
        let answer = clock::wait_for(&format!("{name} to be ready"), limit, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("{name} ended with {status}");
            }
            match ready() {
                Ok(()) => Ok(Some(())),
                Err(error) => {
                    last = Some(error);
                    Ok(None)
                }
            }
        });
        answer.with_context(|| {
            let last = last.map(|error| format!("{error:#}")).unwrap_or_default();
            format!("{last}\n{}", command::last_lines(&self.log(), 20))
        })
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Stops it and all its children where they stand (SIGSTOP): they hold their sockets and answer nothing.
    ///
    /// # Errors
    /// When it is gone.
    pub fn stop(&self) -> Result<()> {
        self.signal_all(Signal::STOP)
    }

    /// Lets it and all its children go on (SIGCONT).
    ///
    /// # Errors
    /// When it is gone.
    pub fn cont(&self) -> Result<()> {
        self.signal_all(Signal::CONT)
    }

    /// Sends one signal to the process itself.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        send(self.pid(), signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Asks it to end by `signal`, waits at most `limit`, then kills it.
    pub fn end(&mut self, signal: Signal, limit: Duration) {
        let _ = self.cont();
        let _ = self.signal(signal);
        let _ = clock::wait_for("its end", limit, || Ok(self.child.try_wait()?));
        self.kill();
    }

    /// Kills it at once (SIGKILL) and waits for its end; its children see to themselves.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn signal_all(&self, signal: Signal) -> Result<()> {
        self.signal(signal)?;
        // The parent was stopped first, so no child is born while its children are walked.
        for pid in descendants(self.pid()) {
            let _ = send(pid, signal);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `setpriv`, changing to that user, and the group of the same name, where we are root.
pub(crate) fn as_user(user: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(user) = user.filter(|_| paths::is_root()) {
        command.arg(format!("--reuid={user}")).arg(format!("--regid={user}")).arg("--init-groups");
    }
    command
}

fn send(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no such process id")?;
    kill_process(pid, signal)?;
    Ok(())
}

/// All living descendants of a process, nearest first.
fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(children(parent));
        at += 1;
    }
    found.split_off(1)
}

/// The children of a process, whichever of its threads started them.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|text| {
            let words = text.split_whitespace().filter_map(|word| word.parse().ok());
            words.collect::<Vec<u32>>()
        })
        .collect()
}

/// The thread that starts all servers and lives as long as this process.
fn keeper() -> &'static Sender<Order> {
    static KEEPER: OnceLock<Sender<Order>> = OnceLock::new();
    KEEPER.get_or_init(|| {
        let (orders, received) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in received {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;
    use crate::servers::Scratch;

    fn sleeper(scratch: &Scratch) -> Program {
        Program {
            name: "sleep".into(),
            path: "/bin/sleep".into(),
            arguments: vec!["600".into()],
            environment: vec![],
            user: None,
            directory: scratch.path().into(),
            log: scratch.join("log"),
        }
    }

    fn state(pid: u32) -> Option<char> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        text.rsplit(") ").next()?.chars().next()
    }

    #[test]
    fn it_outlives_the_thread_that_asked_for_it_and_ends_on_drop() {
        let scratch = Scratch::new("process").unwrap();
        let program = sleeper(&scratch);
        let mut process = std::thread::spawn(move || Process::start(&program)).join().unwrap().unwrap();
        let pid = process.pid();
        assert!(process.is_running());
        process.stop().unwrap();
        clock::wait_for("the stop", Duration::from_secs(5), || Ok((state(pid) == Some('T')).then_some(()))).unwrap();
        process.cont().unwrap();
        assert!(process.is_running());
        drop(process);
        assert_eq!(state(pid), None);
    }

    /// Half of the next test: does something only when that test starts it as a process of its own.
    #[test]
    fn the_process_that_will_be_killed() {
        if std::env::var_os("XTASK_TEST_WILL_BE_KILLED").is_none() {
            return;
        }
        let scratch = Scratch::new("killed").unwrap();
        let mut program = sleeper(&scratch);
        program.user = Some("daemon".into());
        let process = Process::start(&program).unwrap();
        println!("started {}", process.pid());
        std::thread::sleep(Duration::from_secs(60));
    }

    #[test]
    fn it_ends_when_its_owner_is_killed() {
        let mut owner = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "servers::process::tests::the_process_that_will_be_killed", "--nocapture"])
            .env("XTASK_TEST_WILL_BE_KILLED", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let reader = BufReader::new(owner.stdout.take().unwrap());
        let pid: u32 = reader
            .lines()
            .map_while(std::result::Result::ok)
            .find_map(|line| line.rsplit_once("started ")?.1.parse().ok())
            .unwrap();
        // It is ours to wait for only once setpriv has become the program and asked the kernel for its death.
        clock::wait_for("the program", Duration::from_secs(5), || {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"))?;
            Ok((name.trim() == "sleep").then_some(()))
        })
        .unwrap();
        owner.kill().unwrap();
        owner.wait().unwrap();
        clock::wait_for("its end", Duration::from_secs(5), || Ok(matches!(state(pid), None | Some('Z')).then_some(()))).unwrap();
    }

    #[test]
    fn a_start_that_fails_shows_the_log() {
        let scratch = Scratch::new("process").unwrap();
        let mut program = sleeper(&scratch);
        program.path = "/bin/ls".into();
        program.arguments = vec!["/there/is/no/such/place".into()];
        let mut process = Process::start(&program).unwrap();
        let error = process.wait_ready(Duration::from_secs(5), || bail!("not yet")).unwrap_err();
        assert!(format!("{error:#}").contains("/there/is/no/such/place"), "{error:#}");
    }
}
