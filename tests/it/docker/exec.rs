//! Commands inside a replica: only those of the inventory, as they stand there, and told how they ended.

use std::time::Duration;

use runbook::Span;
use runbook::action::{DockerAction, Exec};
use runbook::incident::Reply;

use super::orders::{Bench, assert_refused};

fn exec(run: &str, within: Span) -> DockerAction {
    DockerAction::Exec(Exec { run: run.to_owned(), within })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_as_it_is_listed_and_tells_how_it_ended() {
    let bench = Bench::start([
        ("who", &["id", "-u"][..]),
        // What a shell would take apart stays one argument.
        ("plain", &["echo", "$HOME; rm -rf /tmp", "\u{1b}[2J"]),
        ("fails", &["sh", "-c", "echo no >&2; exit 3"]),
        ("loud", &["sh", "-c", "yes | head -c 3000000; echo the end"]),
        ("slow", &["sleep", "600"]),
        ("missing", &["no-such-program"]),
    ]);
    bench.worker("run", "the-worker", "1", &["--detach", "--user", "1234"]);
    let seen = bench.seen().await;
    let run = |name: &'static str| bench.act(bench.order(&seen, exec(name, Span::secs(20))));
    assert_eq!(run("who").await, Reply::Done("`who` ended well in the-worker: 1234".into()));
    assert_eq!(run("plain").await, Reply::Done("`plain` ended well in the-worker: $HOME; rm -rf /tmp \\u{1b}[2J".into()));
    assert_eq!(run("fails").await, Reply::Failed("`fails` ended with 3 in the-worker: no".into()));
    let loud = run("loud").await;
    assert!(matches!(&loud, Reply::Done(said) if said.ends_with("the end") && said.len() < 1000), "{loud:?}");
    let missing = run("missing").await;
    assert!(matches!(&missing, Reply::Failed(said) if said.contains("ended with 12")), "{missing:?}");

    let seen = bench.seen().await;
    let slow = bench.order(&seen, exec("slow", Span::secs(1)));
    let answer = tokio::time::timeout(Duration::from_secs(10), bench.act(slow)).await.unwrap();
    assert!(matches!(&answer, Reply::NoAnswer(said) if said.contains("may go on")), "{answer:?}");

    // Restarted meanwhile: it is not the one that was chosen.
    let seen = bench.seen().await;
    let late = bench.order(&seen, exec("who", Span::secs(20)));
    bench.docker(&["restart", "--time", "1", "the-worker"]);
    assert_refused(&bench.act(late).await, "was started anew meanwhile");
}
