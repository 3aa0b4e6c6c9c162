//! A rehearsed effect: one line in a ledger file, on disk before the reply. Why: crashes, undo and ends are rehearsed with an effect
//! that outlives the process. Default builds refuse.

use runbook::action::RehearsalAction;
use runbook::incident::Reply;
use runbook::order::Purpose;
use runbook::target::Target;

/// Does, undoes or ends the effect, or fails as the rehearsal was told to.
#[cfg(feature = "rehearsal")]
pub(crate) async fn effect(target: &Target, action: &RehearsalAction, purpose: Purpose) -> Reply {
    let runbook::target::Place::Rehearsal { ledger } = &target.place else {
        return Reply::Refused(format!("{} is no rehearsal", target.id));
    };
    let (word, fails) = match purpose {
        Purpose::Do => ("do", action.fails),
        Purpose::Undo => ("undo", action.undo_fails),
        Purpose::End => ("end", action.undo_fails),
    };
    if fails {
        return Reply::Failed(format!("{word} {} was rehearsed to fail", action.key));
    }
    if action.key.contains(char::is_control) {
        return Reply::Refused("a ledger key has no control characters".to_owned());
    }
    match append(ledger, &format!("{word} {}\n", action.key)).await {
        Ok(()) => Reply::Done(format!("{word} {}", action.key)),
        Err(error) => Reply::Failed(format!("cannot write {ledger}: {error}")),
    }
}

#[cfg(feature = "rehearsal")]
async fn append(ledger: &str, line: &str) -> std::io::Result<()> {
    use tokio::io::AsyncWriteExt;
    let mut file = tokio::fs::OpenOptions::new().append(true).create(true).open(ledger).await?;
    file.write_all(line.as_bytes()).await?;
    file.flush().await?;
    file.sync_all().await
}

/// Refuses: rehearsals are not part of this build.
#[cfg(not(feature = "rehearsal"))]
pub(crate) async fn effect(target: &Target, _: &RehearsalAction, _: Purpose) -> Reply {
    Reply::Refused(format!("{} is a rehearsal, and rehearsals are not part of this build", target.id))
}
