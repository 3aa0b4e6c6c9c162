//! A rehearsed effect: one line in a ledger file, on disk before the reply. Why: crashes, undo and ends are rehearsed with an effect
//! that outlives the process. Default builds refuse.

use runbook::action::RehearsalAction;
use runbook::incident::Reply;
use runbook::order::Purpose;
use runbook::target::Target;

/// Does, undoes or ends the effect, or fails as the rehearsal was told to.
#[cfg(feature = "rehearsal")]
pub(crate) async fn effect(target: &Target, action: &RehearsalAction, key: &str, purpose: Purpose) -> Reply {
    let runbook::target::Place::Rehearsal { ledger } = &target.place else {
        return Reply::Refused(format!("{} is no rehearsal", target.id));
    };
    let (word, fails) = match purpose {
        Purpose::Do => ("do", action.fails),
        Purpose::Undo => ("undo", action.undo_fails),
        Purpose::End => ("end", action.undo_fails),
    };
    if fails {
        return Reply::Failed(format!("{word} {key} was rehearsed to fail"));
    }
    if key.contains(char::is_control) {
        return Reply::Refused("a ledger key has no control characters".to_owned());
    }
    match append(ledger, &format!("{word} {key}\n")).await {
        Ok(()) => Reply::Done(format!("{word} {key}")),
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
pub(crate) async fn effect(target: &Target, _: &RehearsalAction, _: &str, _: Purpose) -> Reply {
    Reply::Refused(format!("{} is a rehearsal, and rehearsals are not part of this build", target.id))
}

#[cfg(all(test, feature = "rehearsal"))]
mod tests {
    use super::*;
    use runbook::target::{Class, Place, Traits};

    #[tokio::test]
    async fn effects_are_lines_and_failures_leave_none() {
        let ledger = std::env::temp_dir().join(format!("runbookd-ledger-{}", std::process::id()));
        let _ = std::fs::remove_file(&ledger);
        let traits = Traits { depends_on: vec![], stateful: false, may_be_cloned: false, class: Class::P4, owner: "team".into() };
        let place = Place::Rehearsal { ledger: ledger.display().to_string() };
        let target = Target { id: "rehearsal/stage".parse().unwrap(), traits, place, known_as: vec![] };
        let action = |key: &str, fails, undo_fails| RehearsalAction {
            key: key.into(),
            undo: true,
            lasting: true,
            fails,
            undo_fails,
            ..RehearsalAction::default()
        };
        let table = [
            (action("a", false, true), Purpose::Do, true),
            (action("a", false, true), Purpose::Undo, false),
            (action("b", true, false), Purpose::Do, false),
            (action("a", true, false), Purpose::End, true),
            (action("a\ndo c", false, false), Purpose::Do, false),
        ];
        for (action, purpose, done) in table {
            let reply = effect(&target, &action, &action.key, purpose).await;
            assert_eq!(matches!(reply, Reply::Done(_)), done, "{reply:?}");
        }
        assert_eq!(std::fs::read_to_string(&ledger).unwrap(), "do a\nend a\n");
        std::fs::remove_file(&ledger).unwrap();
    }
}
