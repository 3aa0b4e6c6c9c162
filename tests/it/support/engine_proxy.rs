//! A proxy in front of an Engine's socket, for faults in the middle of a call: it counts the calls that pass, and holds, cuts or
//! swallows the one that a test names. Why in front of the real Engine: everything else that it does stays real.
//!
//! Each connection carries one call (`Connection: close` is added to it), so that every call is seen; one that is handed over
//! whole, as `exec` is, passes as it is. Deliberately no answer of the proxy's own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A call as it came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    pub method: String,
    /// Path and query.
    pub path: String,
}

impl Call {
    /// Whether it is more than a look.
    pub fn changes(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD")
    }
}

/// What is done to a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It waits here, and never reaches the Engine when its client leaves before the proxy lets go.
    Hold,
    /// It waits here, and reaches the Engine when the proxy lets go, whether its client is still there or not.
    Delay,
    /// The Engine carries it out; its client waits for an answer until the proxy lets go, and then gets none.
    Swallow,
    /// The connection ends before the Engine hears of it.
    CutBefore,
    /// The Engine carries it out, and the connection ends instead of an answer.
    CutAfter,
}

type Matcher = Box<dyn Fn(&Call) -> bool + Send>;

struct Rule {
    matches: Matcher,
    /// How many matching calls pass before.
    pass: usize,
    fault: Fault,
    hit: watch::Sender<Option<Call>>,
    go: Arc<watch::Sender<bool>>,
}

#[derive(Default)]
struct Shared {
    calls: Mutex<Vec<Call>>,
    rules: Mutex<Vec<Rule>>,
}

/// Tells when the call that a test named has come as far as its fault lets it, and lets go of it.
pub struct Caught {
    hit: watch::Receiver<Option<Call>>,
    go: Arc<watch::Sender<bool>>,
}

impl Caught {
    /// Waits for the call: held, or carried out by the Engine where the fault lets that happen.
    pub async fn wait(&mut self) -> Call {
        let hit = tokio::time::timeout(Duration::from_secs(60), self.hit.wait_for(Option::is_some)).await;
        hit.expect("the call came").expect("the proxy is there").clone().unwrap()
    }

    /// Whether it has come.
    pub fn come(&self) -> bool {
        self.hit.borrow().is_some()
    }

    /// Lets go of this one call.
    pub fn let_go(&self) {
        self.go.send_replace(true);
    }
}

/// A socket that leads to an Engine's; gone on drop.
pub struct EngineProxy {
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for EngineProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl EngineProxy {
    /// A proxy in front of this socket, without any fault.
    pub fn before(engine: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("engine.sock")).unwrap();
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(serve(listener, engine.to_owned(), shared.clone()));
        Self { folder, shared, task }
    }

    /// Its address as an inventory has it.
    pub fn address(&self) -> String {
        format!("unix://{}", self.folder.path().join("engine.sock").display())
    }

    /// Does this to the `nth` call, counted from 1 and from now, that matches.
    pub fn on(&self, nth: usize, fault: Fault, matches: impl Fn(&Call) -> bool + Send + 'static) -> Caught {
        let (hit, caught) = watch::channel(None);
        let go = Arc::new(watch::Sender::new(false));
        let rule = Rule { matches: Box::new(matches), pass: nth - 1, fault, hit, go: go.clone() };
        self.shared.rules.lock().unwrap().push(rule);
        Caught { hit: caught, go }
    }

    /// Forgets every fault and lets go of what waits.
    pub fn let_go(&self) {
        for rule in self.shared.rules.lock().unwrap().drain(..) {
            rule.go.send_replace(true);
        }
    }

    /// Every call so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// The calls so far that were more than looks.
    pub fn changes(&self) -> Vec<Call> {
        self.calls().into_iter().filter(Call::changes).collect()
    }
}

async fn serve(listener: UnixListener, engine: PathBuf, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let (engine, shared) = (engine.clone(), shared.clone());
        tokio::spawn(async move {
            // Either side may leave at any time; that is what the tests are about.
            let _ = pass(client, &engine, &shared).await;
        });
    }
}

async fn pass(mut client: UnixStream, engine: &Path, shared: &Shared) -> std::io::Result<()> {
    let (head, mut rest) = head(&mut client).await?;
    let mut words = head.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let call = Call { method: word(), path: word() };
    shared.calls.lock().unwrap().push(call.clone());
    let fault = {
        let mut rules = shared.rules.lock().unwrap();
        let matching = rules.iter_mut().filter(|rule| (rule.matches)(&call) && !rule.hit.borrow().is_some());
        let mut due = None;
        for rule in matching {
            if rule.pass == 0 {
                due = due.or(Some((rule.fault, rule.hit.clone(), rule.go.clone())));
            } else {
                rule.pass -= 1;
            }
        }
        due
    };
    let tell = |hit: &watch::Sender<Option<Call>>| hit.send_replace(Some(call.clone()));
    let let_go = |go: &Arc<watch::Sender<bool>>| {
        let mut go = go.subscribe();
        async move {
            let _ = go.wait_for(|go| *go).await;
        }
    };
    match &fault {
        Some((Fault::CutBefore, hit, _)) => {
            tell(hit);
            return Ok(());
        }
        Some((Fault::Hold, hit, go)) => {
            tell(hit);
            let mut let_go = std::pin::pin!(let_go(go));
            loop {
                // What still comes of its body is kept; its end is the end of the client.
                tokio::select! {
                    read = client.read_buf(&mut rest) => if read? == 0 { return Ok(()) },
                    () = &mut let_go => break,
                }
            }
        }
        Some((Fault::Delay, hit, go)) => {
            tell(hit);
            let_go(go).await;
        }
        _ => {}
    }
    let mut server = UnixStream::connect(engine).await?;
    let upgrades = head.to_ascii_lowercase().contains("\r\nupgrade:");
    let close = if upgrades { "" } else { "Connection: close\r\n" };
    server.write_all(format!("{head}\r\n{close}\r\n").as_bytes()).await?;
    server.write_all(&rest).await?;
    match &fault {
        None | Some((Fault::Hold, ..)) => {
            copy_bidirectional(&mut client, &mut server).await?;
        }
        Some((fault, hit, go)) => {
            let (mut answers, mut asks) = server.split();
            let (mut reads, mut writes) = client.split();
            let mut answer = Vec::new();
            // The rest of a body may still come, and its client may leave; what ends this is the Engine's answer.
            tokio::select! {
                _ = answers.read_to_end(&mut answer) => {}
                _ = async { let _ = copy(&mut reads, &mut asks).await; std::future::pending::<()>().await } => {}
            }
            match fault {
                Fault::Delay => writes.write_all(&answer).await?,
                Fault::Swallow => {
                    tell(hit);
                    let_go(go).await;
                }
                _ => {
                    tell(hit);
                }
            }
        }
    }
    Ok(())
}

/// The first line and the headers, without the empty line and without a wish to keep the connection; and what came behind.
async fn head(client: &mut UnixStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if client.read_buf(&mut bytes).await? == 0 || bytes.len() > 1 << 16 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let rest = bytes.split_off(end + 4);
    bytes.truncate(end);
    Ok((String::from_utf8_lossy(&bytes).into_owned(), rest))
}
