//! Which rung is taken: the first that holds, and none is passed over on what one look did not show.

use super::*;

#[test]
fn a_rung_is_passed_over_only_for_one_that_holds_or_after_a_second_look() {
    let scene_of = |whens: [&str; 2]| {
        let mut scene = Scene::new(Mode::Auto);
        let mut book = runbook(Mode::Auto);
        book.remedies = vec![book.remedies[0].clone(), book.remedies[0].clone()];
        for (remedy, when) in book.remedies.iter_mut().zip(whens) {
            remedy.when = Some(Condition::parse(when).unwrap());
        }
        scene.current.runbooks.edit().insert(book.name.clone(), book.clone());
        scene.incident.runbook = std::sync::Arc::new(book);
        scene
    };
    let (no, yes, unseen) = ("ledger.effects > 100.0", "ledger.broken", "ledger.gone");
    let first = scene_of([no, yes]).rule().decision;
    assert!(matches!(&first, Decision::SkipRung(why) if why.starts_with("`first` does not apply")), "{first:?}");
    let blind = scene_of([no, unseen]).rule().decision;
    assert!(
        matches!(blind, Decision::Wait { on: Waiting::Sight, .. }),
        "the first may hold when the second can be seen: {blind:?}"
    );

    let mut none = scene_of([no, no]);
    let again = NOW.plus(std::time::Duration::from_secs(15));
    let ruled = none.rule().decision;
    let Decision::Wait { until, on: Waiting::Remedy, why } = ruled else { panic!("once more: {ruled:?}") };
    assert_eq!(until, again);
    none.happens(Event::Waits { until, on: Waiting::Remedy, why, gates: vec![] });
    none.now = again;
    none.findings = findings(Value::Flag(true), again);
    none.happens(Event::Woke { why: "the time is over".to_owned() });
    none.happens(Event::Looked { findings: none.findings.clone() });
    assert!(matches!(none.rule().decision, Decision::SkipRung(_)), "{:?}", none.rule());
    // What one look between the two showed begins the count anew.
    let mut flapping = scene_of([no, yes]);
    flapping.incident.none_applies_since = Some(NOW.minus(std::time::Duration::from_secs(60)));
    flapping.happens(Event::RungSkipped { why: "the second holds".to_owned(), gates: vec![] });
    assert_eq!(flapping.incident.none_applies_since, None);

    let mut by_a_person = scene_of([no, no]);
    by_a_person.incident.alerts.clear();
    assert!(matches!(by_a_person.rule().decision, Decision::SkipRung(_)), "who asked for it is told at once");
}
