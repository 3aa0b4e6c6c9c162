//! A restart whose call gave no answer and which a look found done by half: stopped, and not started again. What stands in the way of
//! a new act does not stand in the way of the other half, for it is a service that we stopped.

use std::sync::Arc;

use runbook::action::{Restart, Start};
use runbook::incident::{Captured, GateName, Reply};

use super::*;

fn service() -> TargetId {
    "service/web".parse().unwrap()
}

/// What is seen of a replica that started then.
fn seen(state: &str, failing: f64, started_at: &str) -> Findings {
    let identity = Identity::Container { id: "c".repeat(64), started_at: started_at.to_owned() };
    let text = |attribute: Attribute, text: &str| (attribute, Value::Text(text.to_owned()));
    let attributes = Attributes::from([
        text(Attribute::Name, "shop_web_1"),
        text(Attribute::State, state),
        text(Attribute::Health, "unhealthy"),
    ]);
    let subjects = vec![Subject { identity, words: String::new(), attributes }];
    let fields = BTreeMap::from([("failing".to_owned(), Value::Number(failing))]);
    let finding = Finding { probe: "docker.service".to_owned(), at: NOW, seen: Seen::Known { fields, subjects } };
    Findings { looks: BTreeMap::from([("web".to_owned(), finding)]), ..Findings::default() }
}

/// An incident about a service whose remedy is this.
fn scene_of(action: DockerAction) -> Scene {
    let mut scene = Scene::new(Mode::Auto);
    let mut book = runbook(Mode::Auto);
    book.remedies[0].steps[0].action = Action::Docker(action);
    book.remedies[0].when = Some(Condition::parse("web.failing == 1.0").unwrap());
    book.require = Condition::parse("web.failing > 0.0").unwrap();
    let second = runbook::book::Remedy { name: "second".to_owned(), ..book.remedies[0].clone() };
    book.remedies.push(second);
    book.target = TargetSelector::Named(service());
    book.look = BTreeMap::from([("web".to_owned(), Look { probe: Probe::Docker(DockerProbe::Service), target: None })]);
    let traits = Traits { depends_on: vec![], stateful: false, may_be_cloned: false, class: Class::P3, owner: String::new() };
    let place = Place::Service {
        engine: "engine/main".parse().unwrap(),
        project: "shop".to_owned(),
        service: "web".to_owned(),
        scope: Scope::default(),
    };
    scene.current = configuration(book.clone());
    scene.current.inventory = Inventory::new([Target { id: service(), traits, place, known_as: vec![] }]);
    scene.incident.runbook = Arc::new(book);
    scene.incident.target = service();
    scene
}

/// The incident after its first try, seen once more.
fn after_a_try(reply: Option<Reply>, found: Findings) -> Scene {
    after_a_try_on(seen("running", 1.0, "T0"), reply, found)
}

/// The same, where this was seen before the try.
fn after_a_try_on(before: Findings, reply: Option<Reply>, found: Findings) -> Scene {
    let restart = Restart { min_healthy: 0, stop_timeout: Span::secs(10), patience: Patience::default() };
    let mut scene = scene_of(DockerAction::Restart(restart));
    scene.happens(Event::Stale { why: "for the test".to_owned() });
    scene.happens(Event::Looked { findings: before });
    let step = scene.incident.runbook.remedies[0].steps[0].action.clone();
    let named = Identity::Container { id: "c".repeat(64), started_at: "T0".to_owned() };
    let selection = runbook::identity::Selection::of([named]).unwrap();
    let order = runbook::order::Order { purpose: runbook::order::Purpose::Do, action: step, target: service(), selection };
    scene.happens(Event::ActionStarted { order, deadline: NOW, settles_from: NOW, gates: vec![] });
    if let Some(reply) = reply {
        scene.happens(Event::ActionReplied { reply });
    }
    // An order is settled by a look that sees.
    let unseen = found.looks["web"].unknown().is_some();
    let finding = if unseen { seen("exited", 0.0, "T0").looks["web"].clone() } else { found.looks["web"].clone() };
    scene.happens(Event::Settled { verdict: Verdict::NotLanded("it has not started anew".to_owned()), finding });
    scene.happens(Event::Looked { findings: found.clone() });
    let captured = Captured { evidence: vec![], missing: vec![] };
    scene.happens(Event::EvidenceCaptured { at: scene.incident.at, captured });
    scene.findings = found;
    // Everything that stands in the way of a new act.
    scene.history.attempts = (0..3).map(|_| Attempted { at: NOW, incident: IncidentId(7) }).collect();
    scene.incident.alerts.values_mut().for_each(|alert| alert.status = AlertStatus::Resolved);
    scene
}

#[test]
fn a_restart_done_by_half_is_finished_whatever_the_alert_the_requirement_and_the_limits_say() {
    for reply in [None, Some(Reply::NoAnswer("the Engine broke off".to_owned()))] {
        // The Engine calls it stopped by somebody, so it is not failing.
        let scene = after_a_try(reply, seen("exited", 0.0, "T0"));
        let ruling = scene.rule();
        let Decision::Act(permit) = ruling.decision else { panic!("{:?}", ruling.gates) };
        assert!(permit.continues() && permit.reservations().is_empty(), "it was counted when it began");
        assert!(
            ruling
                .gates
                .iter()
                .any(|gate| gate.name == GateName::Failing && gate.why.contains("shop_web_1 was stopped for a restart"))
        );
    }
}

#[test]
fn a_pause_and_a_persons_stop_hold_the_other_half_too() {
    let half = || after_a_try(None, seen("exited", 0.0, "T0"));
    let mut paused = half();
    paused.pause.reason = Some("somebody paused it".to_owned());
    assert_eq!(paused.closed_gate(), "pause");
    let mut stopped = half();
    stopped.incident.stopped = Some("a silence".to_owned());
    assert_eq!(stopped.closed_gate(), "stop");
}

#[test]
fn without_a_half_there_is_nothing_to_finish() {
    let down = || seen("exited", 0.0, "T0");
    for found in [seen("running", 0.0, "T0"), seen("running", 0.0, "T1"), seen("exited", 0.0, "T1")] {
        assert_eq!(after_a_try(None, found).closed_gate(), "alert");
    }
    // Of one that landed, somebody stopped it afterwards; that is theirs.
    let mut landed = after_a_try(None, down());
    landed.incident.attempts[0].verdict = Some(Verdict::Landed(String::new()));
    assert_eq!(landed.closed_gate(), "alert");
    // Of one at an earlier step.
    let mut earlier = after_a_try(None, down());
    earlier.incident.attempts[0].at.rung = 1;
    assert_eq!(earlier.closed_gate(), "alert");
}

#[test]
fn a_doubted_clock_gives_a_half_up_only_after_the_doubt_and_names_it() {
    let mut half = after_a_try(None, seen("exited", 0.0, "T0"));
    half.doubt = Some(NOW.plus(std::time::Duration::from_secs(3_600)));
    half.incident.kept_since = Some(NOW.minus(std::time::Duration::from_secs(899)));
    assert!(
        matches!(half.rule().decision, Decision::Wait { on: Waiting::Clock, until, .. } if until == NOW.plus(std::time::Duration::from_secs(1)))
    );
    half.incident.kept_since = Some(NOW.minus(std::time::Duration::from_secs(900)));
    let Decision::End { how: How::Stuck, why } = half.rule().decision else { panic!("{:?}", half.rule()) };
    assert!(why.starts_with("the clock jumped") && why.contains("shop_web_1 was stopped for a restart"), "{why}");
}

#[test]
fn an_alert_that_is_over_closes_nothing_as_good_while_our_own_stop_may_be_why() {
    let unseen = || {
        let mut findings = seen("exited", 0.0, "T0");
        findings.looks.get_mut("web").unwrap().seen = Seen::Unknown("the Engine does not answer".to_owned());
        findings
    };
    let unanswered = || Some(Reply::NoAnswer("the Engine broke off".to_owned()));
    let blind = after_a_try(unanswered(), unseen());
    assert!(matches!(blind.rule().decision, Decision::Wait { on: Waiting::Sight, .. }), "{:?}", blind.rule());
    let mut blind = blind;
    blind.incident.unseen_since = Some(NOW.minus(std::time::Duration::from_secs(600)));
    assert!(
        matches!(blind.rule().decision, Decision::End { how: How::Stuck, .. }),
        "no alert's end mends that: {:?}",
        blind.rule()
    );
    // Where it is no longer this step's to finish, a person has it.
    for reply in [unanswered(), Some(Reply::Failed("500".to_owned()))] {
        let mut later = after_a_try(reply, seen("exited", 0.0, "T0"));
        later.incident.at.rung = 1;
        let Decision::End { how: How::Stuck, why } = later.rule().decision else { panic!("{:?}", later.rule()) };
        assert!(why.contains("shop_web_1 was stopped for a restart"), "{why}");
    }
    // What was refused was never stopped by us, and what runs again is well.
    for (reply, found) in [(Some(Reply::Refused("403".to_owned())), unseen()), (unanswered(), seen("running", 0.0, "T1"))] {
        let over = after_a_try(reply, found);
        assert!(matches!(over.rule().decision, Decision::End { how: How::Subsided, .. }), "{:?}", over.rule());
    }
}

#[test]
fn what_is_down_after_an_act_whose_end_nobody_saw_may_be_our_own_late_stop() {
    let mut scene = scene_of(DockerAction::Start(Start { patience: Patience::default() }));
    let mut found = seen("exited", 1.0, "T0");
    let finding = found.looks.get_mut("web").unwrap();
    if let Seen::Known { subjects, .. } = &mut finding.seen {
        let stopped = "stays exited although its restart policy would start it: somebody stopped it";
        subjects[0].attributes.set(Attribute::AtRest, Value::Text(stopped.to_owned()));
    }
    scene.findings = found;
    for (doubtful, said) in [(None, false), (Some(IncidentId(9)), true)] {
        scene.history.doubtful = doubtful;
        let ruling = scene.rule();
        let Decision::Wait { why, .. } = ruling.decision else { panic!("{:?}", ruling.gates) };
        assert!(why.contains("somebody stopped it"), "{why}");
        assert_eq!(why.contains("runbookd's own stop of INC-9 came late"), said, "{why}");
    }
}

/// How it ends when no later rung applies by what is seen then.
fn when_no_rung_is_left(mut scene: Scene, found: Findings) -> (How, String) {
    let why = || "it does not apply".to_owned();
    scene.incident.at.rung = 1;
    scene.happens(Event::Stale { why: why() });
    scene.happens(Event::Looked { findings: found });
    scene.happens(Event::RungSkipped { why: why(), gates: vec![] });
    let runbook::incident::Stage::Closing { how, why } = scene.incident.stage else { panic!("{:?}", scene.incident.stage) };
    (how, why)
}

#[test]
fn what_our_own_restart_left_down_at_the_end_of_the_ladder_is_stuck_and_nothing_else_is() {
    let down = || seen("exited", 0.0, "T0");
    let (how, why) = when_no_rung_is_left(after_a_try(failed(), down()), down());
    assert!(how == How::Stuck && why.ends_with(WORDS), "{how:?} {why}");
    // Nobody can say that it runs.
    let mut unseen = down();
    unseen.looks.get_mut("web").unwrap().seen = Seen::Unknown("the Engine does not answer".to_owned());
    assert_eq!(when_no_rung_is_left(after_a_try(failed(), down()), unseen).0, How::Stuck);
    // It runs again by now, nothing was ever sent, or it had been down before us.
    let refused = Some(Reply::Refused("403".to_owned()));
    let others = [
        (after_a_try(failed(), down()), seen("running", 0.0, "T1")),
        (after_a_try(refused, down()), down()),
        (after_a_try_on(down(), failed(), down()), down()),
    ];
    for (scene, found) in others {
        let (how, why) = when_no_rung_is_left(scene, found);
        assert!(how == How::HandedOver && !why.contains("was stopped"), "{how:?} {why}");
    }
}

#[test]
fn a_restart_that_is_settled_as_left_down_is_stuck_where_no_rung_is_left() {
    let mut scene =
        scene_of(DockerAction::Restart(Restart { min_healthy: 0, stop_timeout: Span::secs(10), patience: Patience::default() }));
    Arc::make_mut(&mut scene.incident.runbook).remedies.truncate(1);
    let step = scene.incident.runbook.remedies[0].steps[0].action.clone();
    let named = Identity::Container { id: "c".repeat(64), started_at: "T0".to_owned() };
    let selection = runbook::identity::Selection::of([named]).unwrap();
    let order = runbook::order::Order { purpose: runbook::order::Purpose::Do, action: step, target: service(), selection };
    scene.happens(Event::ActionStarted { order, deadline: NOW, settles_from: NOW, gates: vec![] });
    scene.happens(Event::ActionReplied { reply: Reply::Failed("500".to_owned()) });
    let finding = seen("exited", 0.0, "T0").looks["web"].clone();
    scene.happens(Event::Settled { verdict: Verdict::NotLanded("it has not started anew".to_owned()), finding });
    let runbook::incident::Stage::Closing { how: How::Stuck, why } = &scene.incident.stage else {
        panic!("{:?}", scene.incident.stage)
    };
    assert!(why.contains("shop_web_1 was stopped for a restart"), "{why}");
}

/// How it ends when these come to pass one after another.
fn in_the_end(mut scene: Scene, events: Vec<Event>) -> (How, String) {
    events.into_iter().for_each(|event| scene.happens(event));
    let runbook::incident::Stage::Closing { how, why } = scene.incident.stage else { panic!("{:?}", scene.incident.stage) };
    (how, why)
}

fn failed() -> Option<Reply> {
    Some(Reply::Failed("500".to_owned()))
}

const WORDS: &str = "shop_web_1 was stopped for a restart and has not started again";

#[test]
fn a_persons_no_no_answer_and_a_silence_do_not_hide_what_our_own_restart_left_down() {
    type Ends = fn(&Scene) -> Vec<Event>;
    let ends: [(How, Ends); 3] = [
        (How::Denied, |scene| asked_and(scene, Answer::Denied { by: "ann".to_owned(), why: String::new(), proof: Proof::Token })),
        (How::HandedOver, |scene| asked_and(scene, Answer::Expired)),
        (How::Stopped, |_| vec![Event::Stopped { why: "a silence".to_owned() }, Event::Stale { why: String::new() }]),
    ];
    let (down, up) = (|| seen("exited", 0.0, "T0"), || seen("running", 0.0, "T1"));
    for (otherwise, events) in ends {
        // What is looked at before the word, and after it: whoever says no may have brought it up by hand.
        for (before, after, how) in [(down(), down(), How::Stuck), (down(), up(), otherwise)] {
            let mut scene = after_a_try(failed(), before);
            for event in events(&scene).into_iter().chain([Event::Looked { findings: after.clone() }]) {
                scene.happens(event);
            }
            scene.findings = after;
            let Decision::End { how: ended, why } = scene.rule().decision else { panic!("{:?}", scene.rule().gates) };
            assert!(ended == how && why.contains(WORDS) == (how == How::Stuck), "{otherwise:?}: {ended:?} {why}");
        }
    }
    // Where nothing was left down, a no ends it as ever.
    let scene = after_a_try(failed(), up());
    let events = asked_and(&scene, Answer::Expired);
    assert_eq!(in_the_end(scene, events).0, How::HandedOver);
}

/// The restart is asked about once more, and this comes of it.
fn asked_and(scene: &Scene, answer: Answer) -> Vec<Event> {
    let order = scene.incident.attempts[0].order.clone();
    let id = "ask-1".to_owned();
    let ask = runbook::incident::Ask {
        id: id.clone(),
        order,
        at_most: 1,
        shown: BTreeMap::new(),
        expires: NOW,
        remind: vec![],
        who: vec![],
    };
    let waits = Event::Waits { until: NOW, on: Waiting::Person(ask), why: String::new(), gates: vec![] };
    vec![waits, Event::Answered { ask: id, answer }]
}

/// A second rung that is tried after the restart and landed: one key of the rehearsal's ledger, which can be undone.
fn after_a_second_rung(found: Findings) -> (Scene, runbook::order::Order) {
    after_a_second_rung_of(RehearsalAction { key: "a1".to_owned(), undo: true, ..RehearsalAction::default() }, found)
}

/// The same with another act in the ledger.
fn after_a_second_rung_of(action: RehearsalAction, found: Findings) -> (Scene, runbook::order::Order) {
    let mut scene =
        scene_of(DockerAction::Restart(Restart { min_healthy: 0, stop_timeout: Span::secs(10), patience: Patience::default() }));
    let action = Action::Rehearsal(action);
    let book = Arc::make_mut(&mut scene.incident.runbook);
    book.remedies[1].steps[0].action = action.clone();
    book.remedies[1].verify.hold = Span::secs(0);
    let step = book.remedies[0].steps[0].action.clone();
    let selected = |identity| runbook::identity::Selection::of([identity]).unwrap();
    let purpose = runbook::order::Purpose::Do;
    let named = Identity::Container { id: "c".repeat(64), started_at: "T0".to_owned() };
    let restart = runbook::order::Order { purpose, action: step, target: service(), selection: selected(named) };
    let second =
        runbook::order::Order { purpose, action, target: target(), selection: selected(Identity::Rehearsal("a1".to_owned())) };
    let finding = found.looks["web"].clone();
    for event in [
        Event::ActionStarted { order: restart, deadline: NOW, settles_from: NOW, gates: vec![] },
        Event::ActionReplied { reply: Reply::Failed("500".to_owned()) },
        Event::Settled { verdict: Verdict::NotLanded("it has not started anew".to_owned()), finding },
        Event::Looked { findings: found },
        Event::ActionStarted { order: second.clone(), deadline: NOW, settles_from: NOW, gates: vec![] },
        settled(Verdict::Landed(String::new())),
    ] {
        scene.happens(event);
    }
    (scene, second)
}

/// What a look at the ledger says of an order there, which says nothing of the service.
fn settled(verdict: Verdict) -> Event {
    Event::Settled { verdict, finding: findings(Value::Flag(true), NOW).looks["ledger"].clone() }
}

#[test]
fn a_later_rung_that_is_undone_does_not_hide_what_the_restart_before_it_left_down() {
    let undone = |found: Findings| {
        let (scene, second) = after_a_second_rung(seen("exited", 0.0, "T0"));
        let order = runbook::order::Order { purpose: runbook::order::Purpose::Undo, ..second };
        let not = Event::NotVerified { findings: found.clone(), why: "it did not help".to_owned(), unseen: false };
        let started = Event::ActionStarted { order, deadline: NOW, settles_from: NOW, gates: vec![] };
        in_the_end(scene, vec![not, Event::Looked { findings: found }, started, settled(Verdict::Landed(String::new()))])
    };
    let (how, why) = undone(seen("exited", 0.0, "T0"));
    assert!(how == How::Stuck && why.ends_with(WORDS), "{how:?} {why}");
    assert_eq!(undone(seen("running", 0.0, "T1")).0, How::HandedOver);
}

#[test]
fn a_later_rung_that_helped_is_no_cure_while_what_the_restart_stopped_is_down() {
    for (found, how) in [(seen("exited", 0.0, "T0"), How::Stuck), (seen("running", 0.0, "T1"), How::Cured)] {
        let (scene, _) = after_a_second_rung(seen("exited", 0.0, "T0"));
        let (ended, why) = in_the_end(scene, vec![Event::Verified { since: NOW, findings: found }]);
        assert!(ended == how && why.contains(WORDS) == (how == How::Stuck), "{ended:?} {why}");
    }
}

#[test]
fn what_an_earlier_release_recorded_of_it_is_read_and_nothing_else() {
    let closed = |how: How| Event::Closed { how, why: String::new() };
    let read = |scene: &mut Scene, event: &Event| scene.incident.follow(NOW, event).unwrap();
    // Closed without the look after a no, which there was not then: as it was said, or as stuck for an effect in force.
    for recorded in [How::HandedOver, How::Stuck] {
        let mut declined = after_a_try(failed(), seen("exited", 0.0, "T0"));
        for event in asked_and(&declined, Answer::Expired) {
            declined.happens(event);
        }
        assert!(declined.incident.apply(NOW, &closed(How::Cured)).is_err());
        read(&mut declined, &closed(recorded));
    }
    // By other rules for what is stuck. What is new is closed as it was planned.
    for (found, recorded) in [("exited", How::HandedOver), ("running", How::Stuck)] {
        let mut scene = after_a_try(failed(), seen(found, 0.0, "T0"));
        scene.happens(Event::Ending { how: How::HandedOver, why: String::new(), gates: vec![] });
        assert!(scene.incident.apply(NOW, &closed(recorded)).is_err());
        assert!(scene.incident.clone().follow(NOW, &closed(How::Cured)).is_err() || found == "exited");
        read(&mut scene, &closed(recorded));
    }
    // A proof with something down, under which a lasting effect was kept up until its end.
    let lasting = RehearsalAction { key: "a1".to_owned(), lasting: true, ..RehearsalAction::default() };
    let (mut scene, second) = after_a_second_rung_of(lasting, seen("exited", 0.0, "T0"));
    let found = || seen("exited", 0.0, "T0");
    let end = runbook::order::Order { purpose: runbook::order::Purpose::End, ..second };
    for event in [
        Event::Verified { since: NOW, findings: found() },
        Event::EndDue { why: String::new(), findings: found(), outlasted: false, of: None },
        Event::Looked { findings: found() },
        Event::ActionStarted { order: end, deadline: NOW, settles_from: NOW, gates: vec![] },
        settled(Verdict::Landed(String::new())),
        closed(How::Cured),
    ] {
        read(&mut scene, &event);
    }
}

#[test]
fn what_goes_down_long_after_a_proof_is_not_its_doing() {
    let lasting = RehearsalAction { key: "a1".to_owned(), lasting: true, ..RehearsalAction::default() };
    let (mut scene, second) = after_a_second_rung_of(lasting, seen("running", 0.0, "T1"));
    let down = || seen("exited", 1.0, "T1");
    let end = runbook::order::Order { purpose: runbook::order::Purpose::End, ..second };
    scene.happens(Event::Verified { since: NOW, findings: seen("running", 0.0, "T1") });
    let events = vec![
        Event::EndDue { why: String::new(), findings: down(), outlasted: false, of: None },
        Event::Looked { findings: down() },
        Event::ActionStarted { order: end, deadline: NOW, settles_from: NOW, gates: vec![] },
        settled(Verdict::Landed(String::new())),
    ];
    assert_eq!(in_the_end(scene, events).0, How::Cured);
}

#[test]
fn a_look_that_does_not_see_leaves_it_as_it_was_seen() {
    let unseen = || {
        let mut findings = seen("exited", 0.0, "T0");
        findings.looks.get_mut("web").unwrap().seen = Seen::Unknown("the Engine does not answer".to_owned());
        findings
    };
    // The restart did not even stop it; a later rung is proved by what is seen elsewhere.
    let (scene, _) = after_a_second_rung(seen("running", 0.0, "T0"));
    assert_eq!(in_the_end(scene, vec![Event::Verified { since: NOW, findings: unseen() }]).0, How::Cured);
    let (scene, _) = after_a_second_rung(seen("exited", 0.0, "T0"));
    assert_eq!(in_the_end(scene, vec![Event::Verified { since: NOW, findings: unseen() }]).0, How::Stuck);
}

#[test]
fn what_was_not_sent_stopped_nothing_and_is_not_gone_on_with() {
    let down = || seen("exited", 0.0, "T0");
    let unsent = after_a_try(Some(Reply::unsent("the process stood still")), down());
    // Somebody stopped it meanwhile, and that is theirs.
    assert_eq!(unsent.closed_gate(), "alert");
    assert!(matches!(unsent.rule().decision, Decision::End { how: How::Subsided, .. }), "{:?}", unsent.rule());
}

#[test]
fn what_came_up_and_went_down_again_is_no_cure_and_nobody_is_called_off() {
    let restarted = |verdict: Verdict, found: Findings| {
        let restart = Restart { min_healthy: 0, stop_timeout: Span::secs(10), patience: Patience::default() };
        let mut scene = scene_of(DockerAction::Restart(restart));
        Arc::make_mut(&mut scene.incident.runbook).remedies.truncate(1);
        Arc::make_mut(&mut scene.incident.runbook).remedies[0].verify.hold = Span::secs(0);
        let named = Identity::Container { id: "c".repeat(64), started_at: "T0".to_owned() };
        let selection = runbook::identity::Selection::of([named]).unwrap();
        let action = scene.incident.runbook.remedies[0].steps[0].action.clone();
        let order = runbook::order::Order { purpose: runbook::order::Purpose::Do, action, target: service(), selection };
        scene.happens(Event::ActionStarted { order, deadline: NOW, settles_from: NOW, gates: vec![] });
        scene.happens(Event::ActionReplied { reply: Reply::Done(String::new()) });
        let finding = found.looks["web"].clone();
        scene.happens(Event::Settled { verdict, finding });
        scene.happens(Event::Looked { findings: found });
        scene.happens(Event::Enough { why: String::new() });
        scene
    };
    let again = seen("exited", 1.0, "T1");
    let landed = || restarted(Verdict::Landed(String::new()), seen("running", 0.0, "T1"));
    let not = Event::NotVerified { findings: again.clone(), why: "it did not help".to_owned(), unseen: false };
    for event in [Event::Verified { since: NOW, findings: again }, not] {
        let (how, why) = in_the_end(landed(), vec![event]);
        assert!(how == How::Stuck && why.ends_with("shop_web_1 was restarted and is down again"), "{how:?} {why}");
    }
    // It runs, or it ended as it may, or somebody stopped it.
    let mut at_rest = seen("exited", 0.0, "T1");
    if let Seen::Known { subjects, .. } = &mut at_rest.looks.get_mut("web").unwrap().seen {
        subjects[0].attributes.set(Attribute::AtRest, Value::Text("somebody stopped it".to_owned()));
    }
    for found in [seen("running", 0.0, "T1"), at_rest] {
        assert_eq!(in_the_end(landed(), vec![Event::Verified { since: NOW, findings: found }]).0, How::Cured);
    }
}
