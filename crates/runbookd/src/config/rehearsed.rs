//! What only a build with rehearsals can be asked, because no shipped action has it yet: effects that last, and actions that
//! destroy data. Runs with `--features rehearsal`.

use std::path::Path;

use super::load;

const LADDER: &str = "      - rehearsal.effect: {key: a, lasting: true, until: ledger.effects < 1, at_most_for: 1h}
      - rehearsal.effect: {key: b, undo: true, target: rehearsal/other}
";

fn folder(ladder: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    std::fs::create_dir(dir.path().join("runbooks")).unwrap();
    write("runbookd.yaml", "listen: 127.0.0.1:1\n");
    let target = |name: &str| format!("rehearsal/{name}: {{ledger: {name}.txt, class: P4, owner: nobody}}\n");
    write("targets.yaml", &(target("main") + &target("other")));
    let head = "runbook: rehearsal\nsummary: Rehearse\ntarget: rehearsal/main\nmode: auto\nlook:\n  ledger: rehearsal.ledger\n  other: {rehearsal.ledger: {target: rehearsal/other}}\nrequire: ledger.broken\nremedies:\n  - name: one\n    steps:\n";
    let tail = "    verify: {until: \"!ledger.broken\", within: 1s, hold: 0s}\n";
    write("runbooks/rehearsal.yaml", &format!("{head}{ladder}{tail}"));
    dir
}

fn complaints(dir: &Path) -> Vec<String> {
    load(dir).err().unwrap().iter().map(|complaint| complaint.message.clone()).collect()
}

#[test]
fn an_effect_that_lasts_has_two_ends() {
    let dir = folder(&LADDER.replace(", target: rehearsal/other", ""));
    let loaded = load(dir.path()).unwrap();
    let steps = &loaded.configuration.runbooks["rehearsal"].remedies[0].steps;
    assert!(steps[0].until.is_some() && steps[0].at_most_for.is_some());

    let dir = folder("      - rehearsal.effect: {key: a, lasting: true}\n");
    assert_eq!(complaints(dir.path()).len(), 2, "{:?}", complaints(dir.path()));
}

#[test]
fn a_step_chooses_among_what_was_seen_at_its_own_target() {
    let said = complaints(folder(LADDER).path());
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("at another target"), "{said:?}");
}

#[test]
fn what_destroys_data_has_a_limit() {
    let said = complaints(folder("      - rehearsal.effect: {key: a, destroys_data: true}\n").path());
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("no limit"), "{said:?}");
}
