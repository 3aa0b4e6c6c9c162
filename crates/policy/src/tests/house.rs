//! Each rule of the house closes its own gate, with its numbers in the reason, and what it does instead is what it should.

use std::time::Duration;

use runbook::action::DockerAction;
use runbook::action::{Patience, Restart};
use runbook::finding::{Attribute, Attributes, Subject};
use runbook::identity::Identity;
use runbook::identity::Selection;
use runbook::order::{Order, Purpose};
use runbook::rules::Quiet;

use super::*;
use crate::{Counted, Streak};

fn ago(seconds: u64) -> Stamp {
    NOW.minus(Duration::from_secs(seconds))
}

fn upstream() -> TargetId {
    "rehearsal/below".parse().unwrap()
}

/// A scene whose target rests on another.
fn resting() -> Scene {
    let mut scene = Scene::new(Mode::Auto);
    let of = |id: TargetId, depends_on| {
        let traits = Traits { depends_on, stateful: false, may_be_cloned: false, class: Class::P2, owner: String::new() };
        Target { id, traits, place: Place::Rehearsal { ledger: String::new() }, known_as: vec![] }
    };
    scene.current.inventory = Inventory::new([of(target(), vec![upstream()]), of(upstream(), vec![])]);
    scene
}

fn beside(scene: &mut Scene, broken: Value) {
    let seen = findings(broken, scene.now).looks.remove("ledger").unwrap();
    scene.findings.beside.insert(upstream(), seen);
}

/// A window that is full, with room again in a minute.
fn full(acts: u32) -> Counted {
    Counted { acts, room: Some(NOW.plus(Duration::from_secs(60))) }
}

fn why(ruling: &Ruling) -> &str {
    &ruling.gates.last().unwrap().why
}

#[test]
fn every_rule_of_the_house_closes_its_own_gate() {
    type Turn = fn(&mut Scene);
    let failed = |times: usize| Streak { failures: vec![ago(60); times], tried_by: None };
    let table: [(&str, &str, Turn); 7] = [
        ("storm", "7 new incidents within 5m", |s| s.history.burst.unexplained = 7),
        ("storm", "3 of 5 open incidents", |s| (s.history.burst.blind, s.history.burst.looked) = (3, 5)),
        ("target rate", "8 acts of all runbooks on this target within 1h", |s| s.history.on_target = vec![full(8), full(8)]),
        ("overall rate", "10 acts of all runbooks anywhere within 1h", |s| s.history.overall = vec![full(10), full(10)]),
        ("overall rate", "(`rules.overall.rate`; room again at 2027-01-15T08:01:00", |s| s.history.overall = vec![full(10)]),
        ("disruption", "it costs 1, and 10 of 10 were spent within 1h", |s| s.history.spent = 10),
        ("turn", "2 incidents are at work", |s| s.history.at_work = 2),
    ];
    for (gate, words, turn) in table {
        let mut scene = Scene::new(Mode::Auto);
        turn(&mut scene);
        assert_eq!(scene.closed_gate(), gate);
        assert!(why(&scene.rule()).contains(words), "{}", why(&scene.rule()));
    }
    let mut scene = Scene::new(Mode::Auto);
    scene.history.failed = failed(3);
    assert_eq!(scene.closed_gate(), "breaker");
    scene.history = History { failed_overall: failed(6), ..History::default() };
    assert_eq!(scene.closed_gate(), "breaker");
    scene.history = History { failed: failed(2), failed_overall: failed(5), ..History::default() };
    assert!(matches!(scene.rule().decision, Decision::Act(_)));
}

#[test]
fn a_cause_that_is_ill_unseen_or_worked_on_holds_until_a_person_is_due() {
    for broken in [Value::Flag(true), Value::Unknown("no answer".to_owned())] {
        let mut scene = resting();
        beside(&mut scene, Value::Flag(false));
        assert!(matches!(scene.rule().decision, Decision::Act(_)), "what it rests on is well");
        beside(&mut scene, broken);
        let Decision::Wait { on, .. } = scene.rule().decision else { panic!("{:?}", scene.rule()) };
        assert_eq!(on, Waiting::Cause { of: upstream(), by: None });
        // P2 is left alone for a quarter of an hour, however often it is looked at in between.
        scene.incident.kept_since = Some(ago(899));
        assert!(matches!(scene.rule().decision, Decision::Wait { .. }));
        scene.incident.kept_since = Some(ago(900));
        assert!(matches!(scene.rule().decision, Decision::End { how: How::HandedOver, .. }));
        assert_eq!(scene.closed_gate(), "cause");
    }
    let mut scene = resting();
    beside(&mut scene, Value::Flag(false));
    scene.history.upstream.insert(upstream(), IncidentId(3));
    let Decision::Wait { on, .. } = scene.rule().decision else { panic!("{:?}", scene.rule()) };
    assert_eq!(on, Waiting::Cause { of: upstream(), by: Some(IncidentId(3)) });
}

#[test]
fn what_the_remedy_touches_itself_is_no_cause_to_wait_for() {
    let mut scene = resting();
    let mut book = (*scene.incident.runbook).clone();
    book.remedies[0].steps[0].target = Some(upstream());
    scene.incident.runbook = std::sync::Arc::new(book);
    assert!(scene.incident.beside(&scene.current.inventory).is_empty());
    let mut plain = resting();
    assert_eq!(plain.incident.beside(&plain.current.inventory), [upstream()].into());
    // What was needed and not looked at is looked at first.
    assert!(matches!(plain.rule().decision, Decision::LookAgain(_)));
    // A target that is looked at for another reason, such as a backup, is no cause either.
    plain.current.inventory = Scene::new(Mode::Auto).current.inventory;
    beside(&mut plain, Value::Flag(true));
    assert!(matches!(plain.rule().decision, Decision::Act(_)));
}

#[test]
fn a_person_who_starts_a_run_in_a_storm_is_there_already() {
    let mut scene = Scene::new(Mode::Auto);
    scene.history.burst.unexplained = 100;
    assert!(matches!(scene.rule().decision, Decision::End { how: How::HandedOver, .. }));
    scene.incident.trigger = Trigger::Person { by: "a person".to_owned(), words: String::new() };
    assert!(matches!(scene.rule().decision, Decision::Act(_)));
}

#[test]
fn a_cure_that_came_back_asks_from_then_on_and_says_that_it_masks() {
    let mut scene = Scene::new(Mode::Auto);
    scene.history.cured = vec![ago(60); 2];
    assert_eq!(scene.closed_gate(), "mode");
    let ruling = scene.rule();
    assert!(why(&ruling).contains("masks a cause"), "{}", why(&ruling));
    assert!(matches!(ruling.decision, Decision::Wait { on: Waiting::Person(_), .. }));
    let mut careful = Scene::new(Mode::Observe);
    careful.history.cured = vec![ago(60); 2];
    assert!(matches!(careful.rule().decision, Decision::End { how: How::Refused, .. }), "it never makes a mode freer");
}

#[test]
fn an_open_breaker_lets_one_trial_through_after_a_while() {
    let mut scene = Scene::new(Mode::Auto);
    scene.history.failed.failures = vec![ago(3_599); 3];
    let Decision::End { how: How::HandedOver, why } = scene.rule().decision else { panic!("{:?}", scene.rule()) };
    assert!(why.contains("the breaker is open until"), "{why}");
    scene.history.failed.failures = vec![ago(3_600); 3];
    let Decision::Act(permit) = scene.rule().decision else { panic!("{:?}", scene.rule()) };
    let trial = crate::Reservation::Trial { scope: crate::Scope::Runbook, since: ago(3_600) };
    assert!(permit.reservations().contains(&trial), "a second trial is refused at the start, too");
    scene.history.failed.tried_by = Some(IncidentId(3));
    let Decision::Wait { on: Waiting::Trial { by: IncidentId(3) }, .. } = scene.rule().decision else {
        panic!("{:?}", scene.rule())
    };
    // The other may keep up an effect for hours, or be a person's by now: whoever waits for it is not left alone for longer.
    scene.incident.kept_since = Some(ago(3_600));
    let Decision::End { how: How::HandedOver, why } = scene.rule().decision else { panic!("{:?}", scene.rule()) };
    assert!(why.starts_with("INC-3 is the trial after"), "{why}");
    scene.incident.kept_since = None;
    // Failures that lie further apart than the breaker's time are no row.
    scene.history.failed = Streak { failures: vec![ago(60), ago(120), ago(6 * 3_600 + 60)], tried_by: None };
    assert!(matches!(scene.rule().decision, Decision::Act(_)));
}

/// A restart of a service that a database rests on.
struct Restarting(Scene, Order);

impl Restarting {
    fn new(replicas: &[(&str, bool)]) -> Self {
        let mut scene = Scene::new(Mode::Auto);
        let service: TargetId = "service/db".parse().unwrap();
        let of = |id: &str, depends_on| {
            let traits = Traits { depends_on, stateful: true, may_be_cloned: false, class: Class::P1, owner: String::new() };
            Target { id: id.parse().unwrap(), traits, place: Place::Rehearsal { ledger: String::new() }, known_as: vec![] }
        };
        scene.current.inventory =
            Inventory::new([of("service/db", vec![]), of("postgres/main", vec![service.clone()]), of("service/web", vec![])]);
        let restart = Restart { min_healthy: 0, stop_timeout: Span::secs(10), patience: Patience::default() };
        let identity = |id: &str| Identity::Container { id: id.to_owned(), started_at: "then".to_owned() };
        let selection = Selection::of([identity(replicas[0].0)]).unwrap();
        let action = Action::Docker(DockerAction::Restart(restart));
        let subjects = replicas.iter().map(|(id, healthy)| Subject {
            identity: identity(id),
            words: String::new(),
            attributes: Attributes::from([
                (Attribute::State, Value::Text("running".to_owned())),
                (Attribute::Health, Value::Text(if *healthy { "healthy" } else { "unhealthy" }.to_owned())),
            ]),
        });
        let seen = Seen::Known { fields: BTreeMap::new(), subjects: subjects.collect() };
        scene.findings.looks.insert("replicas".to_owned(), Finding { probe: "docker.service".to_owned(), at: NOW, seen });
        let mut book = (*scene.incident.runbook).clone();
        let look = Look { probe: Probe::usual(Kind::Service), target: Some(service.clone()) };
        book.look.insert("replicas".to_owned(), look);
        scene.incident.runbook = std::sync::Arc::new(book);
        Self(scene, Order { purpose: Purpose::Do, action, target: service, selection })
    }

    fn asked(&self, guard: fn(&Case<'_>, &Order) -> crate::decide::Word) -> crate::decide::Word {
        guard(&self.0.case(), &self.1)
    }
}

#[test]
fn from_two_replicas_up_half_of_them_stay() {
    let floor = |replicas: &[(&str, bool)]| Restarting::new(replicas).asked(crate::house::above_floor);
    assert!(floor(&[("a", true)]).is_ok(), "a single replica counts against the budget alone");
    assert!(floor(&[("a", true), ("b", true)]).is_ok());
    let (why, decision) = *floor(&[("a", true), ("b", false)]).unwrap_err();
    assert!(why.contains("1 of 2 replicas are healthy, 0 meanwhile, and 1 have to be"), "{why}");
    assert!(matches!(decision, Decision::End { how: How::HandedOver, .. }));
    assert!(floor(&[("a", false), ("b", false)]).is_ok(), "one that is failing is no loss");
    assert!(floor(&[("a", true), ("b", true), ("c", false)]).is_err());
}

#[test]
fn nothing_is_restarted_under_a_database_that_is_left_alone() {
    let quiet = |seconds: i64| {
        let mut restarting = Restarting::new(&[("a", true)]);
        let written = serde_json::json!({"name": "backup", "time_intervals": [
            {"location": "Europe/Paris", "times": [{"start_time": "01:45", "end_time": "03:30"}]}]});
        restarting.0.current.intervals = BTreeMap::from([("backup".to_owned(), serde_json::from_value(written).unwrap())]);
        let actions = vec!["docker.restart".to_owned()];
        let quiet = Quiet { during: "backup".to_owned(), targets: vec![], kinds: vec![Kind::Postgres], actions };
        restarting.0.current.rules.quiet = vec![quiet];
        restarting.0.now = Stamp::from_millis(seconds * 1_000);
        restarting
    };
    let asked = |seconds: i64| quiet(seconds).asked(crate::house::not_quiet);
    let (why, decision) = *asked(1_768_438_800).unwrap_err();
    assert!(why.contains("`backup`") && why.contains("postgres/main"), "{why}");
    assert!(matches!(decision, Decision::Wait { on: Waiting::Quiet, .. }));
    assert!(asked(1_768_437_899).is_ok(), "01:44:59 in Paris");
    assert!(asked(1_768_444_200).is_ok(), "03:30 in Paris");
    // The clock goes forward at 02:00 and back at 03:00: quiet begins at 01:45 on both nights and ends at 03:30 by the wall.
    assert!(asked(1_774_745_400).is_err(), "01:50, ten minutes before the clock goes forward");
    assert!(asked(1_774_746_900).is_err(), "03:15, fifteen minutes after it went forward");
    assert!(asked(1_792_888_200).is_err(), "02:30 for the first time");
    assert!(asked(1_792_891_800).is_err(), "02:30 for the second time");
    assert!(asked(1_792_895_400).is_ok(), "03:30 that night");
    // Another service is nobody's ground.
    let mut other = quiet(1_768_438_800);
    other.1.target = "service/web".parse().unwrap();
    assert!(other.asked(crate::house::not_quiet).is_ok());
}

#[test]
fn a_backup_that_is_seen_running_is_not_cut() {
    let mut restarting = Restarting::new(&[("a", true)]);
    assert!(restarting.asked(crate::house::not_quiet).is_ok());
    for running in [Value::Flag(true), Value::Flag(false), Value::Unknown("down".to_owned())] {
        let seen = Seen::Known { fields: BTreeMap::from([("backup_running".to_owned(), running.clone())]), subjects: vec![] };
        let finding = Finding { probe: "postgres.sessions".to_owned(), at: NOW, seen };
        restarting.0.findings.beside.insert("postgres/main".parse().unwrap(), finding);
        let asked = restarting.asked(crate::house::not_quiet);
        assert_eq!(asked.is_err(), running == Value::Flag(true), "{running:?}: {asked:?}");
    }
}
