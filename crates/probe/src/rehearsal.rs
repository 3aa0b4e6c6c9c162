//! Reads a rehearsal's ledger: lines `do KEY`, `undo KEY`, `end KEY`, and `broken` or `mended`. Why a file: a rehearsed effect has
//! to outlive the process that made it, so that a crash can be rehearsed too. Default builds refuse: nothing real is a rehearsal.

use runbook::finding::Seen;
use runbook::target::Target;

#[cfg(not(feature = "rehearsal"))]
const NOT_BUILT_IN: &str = "rehearsals are not part of this build";

/// The ledger as a finding; its subjects are the effects in force.
#[cfg(feature = "rehearsal")]
pub(crate) async fn ledger(target: &Target) -> Result<Seen, String> {
    let content = content(target).await?;
    Ok(ledger_of(&String::from_utf8_lossy(&content)))
}

#[cfg(not(feature = "rehearsal"))]
pub(crate) async fn ledger(_: &Target) -> Result<Seen, String> {
    Err(NOT_BUILT_IN.to_owned())
}

/// The ledger as it stands, for evidence. One that does not exist yet is empty.
#[cfg(feature = "rehearsal")]
pub(crate) async fn content(target: &Target) -> Result<Vec<u8>, String> {
    use tokio::io::AsyncReadExt;

    /// More lines than any rehearsal writes.
    const MOST_BYTES: u64 = 1024 * 1024;

    let runbook::target::Place::Rehearsal { ledger } = &target.place else {
        return Err(format!("{} is no rehearsal", target.id));
    };
    let file = match tokio::fs::File::open(ledger).await {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("cannot read {ledger}: {error}")),
    };
    let mut content = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut content).await.map_err(|error| format!("cannot read {ledger}: {error}"))?;
    if content.len() as u64 > MOST_BYTES { Err(format!("{ledger} is longer than any rehearsal")) } else { Ok(content) }
}

#[cfg(not(feature = "rehearsal"))]
pub(crate) async fn content(_: &Target) -> Result<Vec<u8>, String> {
    Err(NOT_BUILT_IN.to_owned())
}

/// Whether a rehearsed action could write its ledger.
#[cfg(feature = "rehearsal")]
pub(crate) async fn rights(target: &Target) -> Result<(), String> {
    content(target).await.map(|_| ())
}

#[cfg(not(feature = "rehearsal"))]
pub(crate) async fn rights(_: &Target) -> Result<(), String> {
    Err(NOT_BUILT_IN.to_owned())
}

#[cfg(feature = "rehearsal")]
fn ledger_of(content: &str) -> Seen {
    use runbook::finding::Subject;
    use runbook::identity::Identity;

    let mut in_force = std::collections::BTreeSet::new();
    let mut broken = false;
    for line in content.lines() {
        match line.split_once(' ') {
            Some(("do", key)) => {
                in_force.insert(key);
            }
            Some(("undo" | "end", key)) => {
                in_force.remove(key);
            }
            _ if line == "broken" => broken = true,
            _ if line == "mended" => broken = false,
            _ => {}
        }
    }
    let mut fields = crate::seen::Fields::new();
    fields.flag("broken", broken).number("effects", in_force.len() as f64);
    let subject = |key: &str| Subject {
        identity: Identity::Rehearsal(key.to_owned()),
        words: runbook::text::inert(key, 80),
        attributes: Default::default(),
    };
    fields.seen_with(in_force.into_iter().map(subject).collect())
}

#[cfg(all(test, feature = "rehearsal"))]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_says_what_is_in_force() {
        let seen = ledger_of("broken\ndo a\ndo b\nundo a\ndo c\nend c\nmended\nnonsense\n");
        let Seen::Known { fields, subjects } = seen else { panic!("the ledger was not read") };
        assert_eq!(fields["broken"], runbook::condition::Value::Flag(false));
        assert_eq!(fields["effects"], runbook::condition::Value::Number(1.0));
        assert_eq!(subjects[0].words, "b");
    }
}
