//! Who may agree, as decisions see it: the question names them, what somebody agreed to counts only as long as they may agree, and
//! where nobody may, or the step is gone, a person goes on without being asked.

use std::collections::BTreeSet;
use std::time::Duration;

use runbook::approval::Who;
use runbook::incident::Ask;

use super::*;
use crate::answer::{Sort, may_agree};

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn scene() -> Scene {
    let mut scene = Scene::new(Mode::Ask);
    scene.current.approval.people = names(&["dba", "on-call"]);
    scene.current.approval.who = vec![Who { classes: vec![Class::P3], people: names(&["dba"]), ..Who::default() }];
    scene
}

fn asks(scene: &Scene) -> (Ask, String) {
    match scene.rule().decision {
        Decision::Wait { on: Waiting::Person(ask), why, .. } => (ask, why),
        other => panic!("it does not ask: {other:?}"),
    }
}

fn hands_over(scene: &Scene) -> String {
    match scene.rule().decision {
        Decision::End { how: How::HandedOver, why } => why,
        other => panic!("it does not hand over: {other:?}"),
    }
}

#[test]
fn a_question_says_who_may_agree_and_when_it_is_told_again() {
    let (ask, _) = asks(&scene());
    assert_eq!(ask.who, ["dba"]);
    let after: Vec<u64> = ask.remind.iter().map(|at| at.since(NOW).as_secs()).collect();
    assert_eq!((after, ask.expires.since(NOW).as_secs()), (vec![600, 1_500], 1_800));
    let mut scene = Scene::new(Mode::Ask);
    scene.current.approval.remind = Some(Span::secs(300));
    let (ask, _) = asks(&scene);
    assert!(ask.who.is_empty(), "nobody is named, so it is anybody's");
    assert_eq!(ask.remind.len(), 5);
}

#[test]
fn what_somebody_agreed_to_counts_while_they_may() {
    let mut scene = scene();
    let (ask, why) = asks(&scene);
    scene.happens(Event::Waits { until: ask.expires, on: Waiting::Person(ask.clone()), why, gates: vec![] });
    let answer = Answer::Granted { by: "dba".to_owned(), proof: Proof::Token };
    scene.happens(Event::Answered { ask: ask.id.clone(), answer });
    scene.happens(Event::Looked { findings: scene.findings.clone() });
    assert!(matches!(scene.rule().decision, Decision::Act(_)));
    let granted = scene.incident.grant.clone();
    // Struck off the list before the act: asked anew, with the reason.
    scene.current.approval.people = names(&["on-call", "lead"]);
    scene.current.approval.who[0].people = names(&["lead"]);
    let (_, why) = asks(&scene);
    assert!(why.contains("dba had agreed, which does not count: dba may not agree"), "{why}");
    // A name that nothing proved counts for nothing once people are named.
    scene.current.approval.who[0].people = names(&["dba"]);
    scene.current.approval.people = names(&["dba"]);
    scene.incident.grant.as_mut().unwrap().proof = Proof::Unproved;
    assert!(asks(&scene).1.contains("nothing proves that this is dba"));
    // Too long ago.
    scene.incident.grant = granted;
    scene.incident.grant.as_mut().unwrap().at = NOW.minus(Duration::from_secs(301));
    assert!(asks(&scene).1.contains("which does not count: that is"));
}

#[test]
fn nobody_is_asked_what_nobody_may_answer() {
    let mut scene = scene();
    scene.current.approval.who.push(Who { targets: vec![target()], people: names(&["on-call"]), ..Who::default() });
    assert!(hands_over(&scene).ends_with("and the rules of approval let nobody"));
}

#[test]
fn the_reasons_are_told_apart() {
    let mut scene = scene();
    let (ask, _) = asks(&scene);
    let sort =
        |scene: &Scene, by: &str, proof| may_agree(&scene.current, &scene.incident, &ask, by, proof).err().map(|no| no.sort);
    assert_eq!(sort(&scene, "dba", Proof::Token), None);
    assert_eq!(sort(&scene, "dba", Proof::Unproved), Some(Sort::Unproved));
    assert_eq!(sort(&scene, "on-call", Proof::Token), Some(Sort::NotAllowed));
    assert_eq!(sort(&scene, "a stranger", Proof::Token), Some(Sort::NotAllowed));
    scene.incident.trigger = Trigger::Person { by: "dba".to_owned(), words: String::new() };
    assert_eq!(sort(&scene, "dba", Proof::Token), Some(Sort::Own));
    scene.current.approval.self_approval = true;
    assert_eq!(sort(&scene, "dba", Proof::Token), None);
    scene.current.runbooks.edit().clear();
    assert_eq!(sort(&scene, "dba", Proof::Token), Some(Sort::Configuration));
    // Nobody is named: any name counts, also the starter's, because it proves nothing.
    scene.current = configuration(super::runbook(Mode::Ask));
    assert_eq!(sort(&scene, "dba", Proof::Unproved), None);
}

#[test]
fn a_command_that_is_another_by_now_is_not_what_was_shown() {
    let web: TargetId = "service/web".parse().unwrap();
    let target = |argv: &str| {
        let commands = BTreeMap::from([("flush".to_owned(), vec!["flush".to_owned(), argv.to_owned()])]);
        let place = Place::Service {
            engine: "engine/main".parse().unwrap(),
            project: "shop".to_owned(),
            service: "web".to_owned(),
            scope: Scope { commands, ..Scope::default() },
        };
        let traits =
            Traits { depends_on: vec![], stateful: false, may_be_cloned: false, class: Class::P3, owner: "team".to_owned() };
        Target { id: web.clone(), traits, place, known_as: vec![] }
    };
    let mut scene = Scene::new(Mode::Ask);
    let (mut ask, _) = asks(&scene);
    let exec = runbook::action::Exec { run: "flush".to_owned(), within: Span::secs(10) };
    ask.order.action = Action::Docker(DockerAction::Exec(exec));
    ask.order.target = web.clone();
    let mut books = scene.current.runbooks.edit();
    let step = &mut books.get_mut("cure").unwrap().remedies[0].steps[0];
    (step.action, step.target) = (ask.order.action.clone(), Some(web.clone()));
    drop(books);
    scene.current.inventory = Inventory::new([target("--cache")]);
    let shown = ask.order.describe_on(&scene.findings, scene.current.inventory.get(&web));
    ask.shown = Ask::show(shown);
    let may = |scene: &Scene, ask: &Ask| may_agree(&scene.current, &scene.incident, ask, "dba", Proof::Unproved);
    assert_eq!(may(&scene, &ask), Ok(()));
    scene.current.inventory = Inventory::new([target("--all")]);
    let no = may(&scene, &ask).unwrap_err();
    assert_eq!(no.sort, Sort::Configuration);
    assert!(no.why.contains("no longer what was shown"), "{}", no.why);
}
