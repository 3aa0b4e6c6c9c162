//! Tables and properties over decisions. The permit's private fields make it impossible to forge one here; what can be tried is
//! whether `decide` gives one where it must not.

mod earned;
mod half;
mod harm;

use std::collections::BTreeMap;

use proptest::prelude::*;
use runbook::action::{Action, DockerAction, Patience, RehearsalAction, Start};
use runbook::alert::{ALERTNAME, Alert, AlertStatus, Fingerprint, Labels};
use runbook::book::{Configuration, Limits, Look, Mode, ModeByTime, Rate, Recurrence, Remedy, Runbook, Runbooks, Step, Verify};
use runbook::condition::{Condition, Value};
use runbook::finding::{Attribute, Attributes, Finding, Findings, Seen, Subject};
use runbook::identity::Identity;
use runbook::incident::{Aim, Answer, Event, How, Incident, IncidentId, Opening, Proof, Trigger, Waiting};
use runbook::matcher::Matchers;
use runbook::order::Verdict;
use runbook::probe::{DockerProbe, Probe, RehearsalProbe};
use runbook::target::{Class, Inventory, Kind, Place, Scope, Target, TargetId, TargetSelector, Traits};
use runbook::time::{Span, Stamp};

use crate::{Attempted, Case, Decision, History, Pause, Ruling, decide, route};

mod answers;
mod house;
mod nights;
mod refused;
mod rungs;
mod schedules;
mod unsettled;

const NOW: Stamp = Stamp::from_millis(1_800_000_000_000);

fn target() -> TargetId {
    "rehearsal/ledger".parse().unwrap()
}

fn runbook(mode: Mode) -> Runbook {
    let action = RehearsalAction { key: "a1".to_owned(), undo: true, ..RehearsalAction::default() };
    let step = Step {
        action: Action::Rehearsal(action),
        target: None,
        until: None,
        at_most_for: None,
        only_while: None,
        silence: vec![],
    };
    let verify = Verify { until: "!ledger.broken".parse().unwrap(), within: Span::secs(60), hold: Span::secs(5) };
    Runbook {
        name: "cure".to_owned(),
        summary: String::new(),
        matches: None,
        target: TargetSelector::Named(target()),
        priority: 0,
        mode: ModeByTime::always(mode),
        limits: Limits {
            cooldown: Span::secs(600),
            rate: vec![Rate { count: 3, per: Span::secs(3_600) }, Rate { count: 7, per: Span::secs(86_400) }],
            recurrence: Some(Recurrence { times: 2, within: Span::secs(6 * 3_600) }),
        },
        look: BTreeMap::from([("ledger".to_owned(), Look { probe: Probe::Rehearsal(RehearsalProbe::Ledger), target: None })]),
        require: Condition::parse("ledger.broken").unwrap(),
        remedies: vec![Remedy { name: "first".to_owned(), when: None, mode: None, steps: vec![step], verify, guard: None }],
    }
}

fn configuration(runbook: Runbook) -> Configuration {
    let traits = Traits { depends_on: vec![], stateful: false, may_be_cloned: false, class: Class::P3, owner: String::new() };
    let place = Place::Rehearsal { ledger: String::new() };
    let inventory = Inventory::new([Target { id: target(), traits, place, known_as: vec!["known".to_owned()] }]);
    Configuration { runbooks: Runbooks::from_iter([(runbook.name.clone(), runbook)]), inventory, ..Configuration::default() }
}

fn findings(broken: Value, at: Stamp) -> Findings {
    let fields = BTreeMap::from([("broken".to_owned(), broken), ("effects".to_owned(), Value::Number(0.0))]);
    let finding = Finding { probe: "rehearsal.ledger".to_owned(), at, seen: Seen::Known { fields, subjects: vec![] } };
    Findings { looks: BTreeMap::from([("ledger".to_owned(), finding)]), ..Findings::default() }
}

fn alert(status: AlertStatus) -> Alert {
    let labels = Labels::from([("alertname".to_owned(), "Rehearsed".to_owned())]);
    Alert {
        fingerprint: Fingerprint::of(&labels),
        status,
        labels,
        annotations: Labels::new(),
        starts_at: NOW,
        generator_url: String::new(),
    }
}

/// Everything a decision depends on, with a case that acts; each test turns one thing.
struct Scene {
    incident: Incident,
    findings: Findings,
    current: Configuration,
    pause: Pause,
    history: History,
    doubt: Option<Stamp>,
    held_by: Option<IncidentId>,
    now: Stamp,
}

impl Scene {
    fn new(mode: Mode) -> Self {
        let runbook = runbook(mode);
        let opening = Opening {
            runbook: runbook.name.clone(),
            target: target(),
            trigger: Trigger::Alert(alert(AlertStatus::Firing)),
            config: String::new(),
        };
        let incident = Incident::open(IncidentId(7), std::sync::Arc::new(runbook.clone()), NOW, &opening);
        let mut scene = Self {
            incident,
            findings: findings(Value::Flag(true), NOW),
            current: configuration(runbook),
            pause: Pause::default(),
            history: History::default(),
            doubt: None,
            held_by: None,
            now: NOW,
        };
        scene.happens(Event::Looked { findings: scene.findings.clone() });
        scene
    }

    fn happens(&mut self, event: Event) {
        self.incident.apply(self.now, &event).unwrap();
    }

    fn case(&self) -> Case<'_> {
        Case {
            incident: &self.incident,
            aim: Aim::Do,
            findings: &self.findings,
            now: self.now,
            current: &self.current,
            pause: &self.pause,
            history: &self.history,
            clock_doubted_until: self.doubt,
            held_by: self.held_by,
            ask_id: "ask-1",
        }
    }

    fn rule(&self) -> Ruling {
        decide(&self.case())
    }

    fn closed_gate(&self) -> String {
        let ruling = self.rule();
        assert!(!matches!(ruling.decision, Decision::Act(_)), "it acts: {:?}", ruling.gates);
        let closed: Vec<_> = ruling.gates.iter().filter(|gate| !gate.open).collect();
        assert_eq!(closed.len(), 1, "exactly one gate is closed, the last one asked: {:?}", ruling.gates);
        assert!(!closed[0].why.is_empty(), "every no has its reason");
        closed[0].name.to_string()
    }
}

#[test]
fn with_nothing_in_the_way_it_acts_and_says_why_at_every_gate() {
    let ruling = Scene::new(Mode::Auto).rule();
    let Decision::Act(permit) = &ruling.decision else { panic!("{:?}", ruling.gates) };
    assert_eq!(permit.order().selection.count(), 1);
    // Two rates each of this runbook here, of the target and of everything, the cooldown, the budget, and its turn.
    assert_eq!(permit.reservations().len(), 9, "{:?}", permit.reservations());
    assert_eq!(permit.cost(), 1);
    assert!(ruling.gates.iter().all(|gate| gate.open && !gate.why.is_empty()));
}

#[test]
fn every_guard_closes_its_own_gate() {
    type Turn = fn(&mut Scene);
    let table: [(&str, Turn); 12] = [
        ("stop", |s| s.happens(Event::Stopped { why: "silenced".to_owned() })),
        ("alert", |s| {
            let alert = alert(AlertStatus::Resolved);
            s.happens(Event::AlertHeard {
                fingerprint: alert.fingerprint,
                name: alert.name().to_owned(),
                status: alert.status,
                starts_at: alert.starts_at,
            });
        }),
        ("pause", |s| s.pause.reason = Some("a person said so".to_owned())),
        ("clock", |s| s.doubt = Some(NOW.plus(std::time::Duration::from_secs(60)))),
        ("fresh", |s| s.now = NOW.plus(std::time::Duration::from_secs(16))),
        ("runbook", |s| s.current.runbooks.edit().clear()),
        ("inventory", |s| s.current.inventory = Inventory::default()),
        ("require", |s| s.findings = findings(Value::Flag(false), NOW)),
        ("require", |s| s.findings = findings(Value::Unknown("cannot see".to_owned()), NOW)),
        ("rate", |s| {
            s.history.attempts = vec![Attempted { at: NOW.minus(std::time::Duration::from_secs(60)), incident: IncidentId(7) }; 3]
        }),
        ("cooldown", |s| {
            s.history.attempts = vec![Attempted { at: NOW.minus(std::time::Duration::from_secs(60)), incident: IncidentId(6) }]
        }),
        ("hold", |s| s.held_by = Some(IncidentId(6))),
    ];
    for (gate, turn) in table {
        let mut scene = Scene::new(Mode::Auto);
        turn(&mut scene);
        assert_eq!(scene.closed_gate(), gate);
    }
    for mode in [Mode::Observe, Mode::Ask] {
        assert_eq!(Scene::new(mode).closed_gate(), "mode");
    }
}

#[test]
fn what_a_person_has_changed_since_is_not_done_by_the_text_of_before() {
    type Change = fn(&mut runbook::book::Runbook);
    let changes: [Change; 5] = [
        |book| book.require = Condition::parse("ledger.broken && ledger.broken").unwrap(),
        |book| book.look.clear(),
        |book| book.remedies[0].when = Some(Condition::parse("ledger.broken").unwrap()),
        |book| book.remedies[0].verify.within = "1h".parse().unwrap(),
        |book| book.remedies.clear(),
    ];
    for change in changes {
        for mode in [Mode::Auto, Mode::Ask, Mode::Observe] {
            let mut scene = Scene::new(mode);
            change(scene.current.runbooks.edit().get_mut("cure").unwrap());
            assert_eq!(scene.closed_gate(), "runbook");
            let Decision::End { how: How::HandedOver, why } = scene.rule().decision else { panic!("{:?}", scene.rule()) };
            assert!(why.contains("was changed after this was opened"), "{why}");
        }
    }
    // How often, when and by whose word it may is always asked of what is in force.
    let mut scene = Scene::new(Mode::Auto);
    scene.current.runbooks.edit().entry("cure".to_owned()).and_modify(|book| {
        (book.priority, book.remedies[0].mode, book.summary) = (7, Some(Mode::Ask), "Other words.".to_owned());
    });
    assert_eq!(scene.closed_gate(), "mode");
}

#[test]
fn another_at_the_target_is_waited_for_until_a_person_is_due() {
    let mut scene = Scene::new(Mode::Auto);
    scene.held_by = Some(IncidentId(6));
    let Decision::Wait { on: Waiting::Held { by: IncidentId(6) }, .. } = scene.rule().decision else {
        panic!("{:?}", scene.rule())
    };
    let response = scene.current.inventory.get(&target()).unwrap().traits.class.response();
    scene.incident.kept_since = Some(NOW.minus(response - std::time::Duration::from_millis(1)));
    assert!(
        matches!(scene.rule().decision, Decision::Wait { until, .. } if until == NOW.plus(std::time::Duration::from_millis(1)))
    );
    scene.incident.kept_since = Some(NOW.minus(response));
    let Decision::End { how: How::HandedOver, why } = scene.rule().decision else { panic!("{:?}", scene.rule()) };
    assert!(why.starts_with("INC-6 is working on the target; that has lasted for"), "{why}");
}

#[test]
fn a_clock_that_is_doubted_for_long_is_no_reason_to_leave_anybody_alone() {
    let mut scene = Scene::new(Mode::Auto);
    let trusted = NOW.plus(std::time::Duration::from_secs(4));
    scene.doubt = Some(trusted);
    assert!(matches!(scene.rule().decision, Decision::Wait { on: Waiting::Clock, until, .. } if until == trusted));
    scene.incident.kept_since = Some(NOW.minus(class_of_target(&scene).response()));
    let Decision::End { how: How::HandedOver, why } = scene.rule().decision else { panic!("{:?}", scene.rule()) };
    assert!(why.starts_with("the clock jumped"), "{why}");
}

fn class_of_target(scene: &Scene) -> runbook::target::Class {
    scene.current.inventory.get(&target()).unwrap().traits.class
}

#[test]
fn unknown_waits_and_then_calls_a_person() {
    let mut scene = Scene::new(Mode::Auto);
    scene.findings = findings(Value::Unknown("cannot see".to_owned()), NOW);
    assert!(matches!(scene.rule().decision, Decision::Wait { on: Waiting::Sight, .. }));
    scene.incident.unseen_since = Some(NOW.minus(std::time::Duration::from_secs(601)));
    assert!(matches!(scene.rule().decision, Decision::End { how: How::HandedOver, .. }));
}

#[test]
fn a_cure_that_is_not_needed_yet_is_looked_at_again_while_the_alert_fires_and_then_refused() {
    let mut scene = Scene::new(Mode::Auto);
    scene.findings = findings(Value::Flag(false), NOW);
    assert!(matches!(scene.rule().decision, Decision::Wait { on: Waiting::Time, .. }));
    scene.now = NOW.plus(std::time::Duration::from_secs(900));
    scene.findings = findings(Value::Flag(false), scene.now);
    let Decision::End { how: How::Refused, why } = scene.rule().decision else { panic!("it is not refused") };
    assert_eq!(why, "not needed: ledger.broken does not hold (ledger.broken false)");
}

#[test]
fn what_a_step_has_mended_so_far_is_no_reason_to_leave_the_rest() {
    let mut scene = Scene::new(Mode::Auto);
    let mut book = runbook(Mode::Auto);
    let rolling = RehearsalAction { key: "r1".to_owned(), then: vec!["r2".to_owned()], ..RehearsalAction::default() };
    book.remedies[0].steps[0].action = Action::Rehearsal(rolling);
    book.remedies[0].when = Some(Condition::parse("ledger.broken").unwrap());
    scene.current.runbooks.edit().insert(book.name.clone(), book.clone());
    scene.incident.runbook = std::sync::Arc::new(book);
    let Decision::Act(permit) = scene.rule().decision else { panic!("it does not begin") };
    let order = permit.order().clone();
    scene.happens(Event::ActionStarted { order, deadline: NOW, settles_from: NOW, gates: vec![] });
    scene.happens(Event::Settled { verdict: Verdict::Landed(String::new()), finding: scene.findings.looks["ledger"].clone() });
    scene.findings = findings(Value::Flag(false), NOW);
    scene.happens(Event::Looked { findings: scene.findings.clone() });
    let Decision::Act(permit) = scene.rule().decision else { panic!("{:?}", scene.rule().gates) };
    assert!(permit.order().selection.contains(&Identity::Rehearsal("r2".to_owned())));
}

#[test]
fn a_service_that_keeps_data_and_that_a_label_chose_is_asked_about() {
    for (stateful, by_label, asks) in [(true, true, true), (true, false, false), (false, true, false)] {
        let mut scene = Scene::new(Mode::Auto);
        let id: TargetId = "service/any".parse().unwrap();
        let mut book = runbook(Mode::Auto);
        book.target = match by_label {
            true => TargetSelector::Lookup { kind: Kind::Service, label: "service".to_owned() },
            false => TargetSelector::Named(id.clone()),
        };
        let start = DockerAction::Start(Start { patience: Patience::default() });
        book.remedies[0].steps[0].action = Action::Docker(start);
        let probe = Probe::Docker(DockerProbe::Service);
        book.look.insert("service".to_owned(), Look { probe, target: None });
        let exited = Attributes::from([(Attribute::State, Value::Text("exited".to_owned()))]);
        let identity = Identity::Container { id: "c".repeat(64), started_at: String::new() };
        let subjects = vec![Subject { identity, words: String::new(), attributes: exited }];
        let seen = Seen::Known { fields: BTreeMap::new(), subjects };
        scene.findings.looks.insert("service".to_owned(), Finding { probe: "docker.service".to_owned(), at: NOW, seen });
        let traits = Traits { depends_on: vec![], stateful, may_be_cloned: false, class: Class::P3, owner: String::new() };
        let place = Place::Service {
            engine: "engine/any".parse().unwrap(),
            project: "any".to_owned(),
            service: "any".to_owned(),
            scope: Scope::default(),
        };
        scene.current.inventory = Inventory::new([Target { id: id.clone(), traits, place, known_as: vec![] }]);
        // Only what the runbook still has is asked about.
        scene.current.runbooks.edit().insert(book.name.clone(), book.clone());
        scene.incident.runbook = std::sync::Arc::new(book);
        scene.incident.target = id;
        let ruling = scene.rule();
        match ruling.decision {
            Decision::Act(_) => assert!(!asks, "it does not ask"),
            Decision::Wait { on: Waiting::Person(_), why, .. } => assert!(asks && why.contains("keeps data"), "{why}"),
            _ => panic!("{:?}", ruling.gates),
        }
    }
}

#[test]
fn an_agreement_is_for_what_was_shown_and_for_a_while() {
    let mut scene = Scene::new(Mode::Ask);
    let Decision::Wait { until, on: Waiting::Person(ask), why } = scene.rule().decision else { panic!("it does not ask") };
    scene.happens(Event::Waits { until, on: Waiting::Person(ask.clone()), why, gates: vec![] });
    scene.happens(Event::Answered {
        ask: ask.id.clone(),
        answer: Answer::Granted { by: "a person".to_owned(), proof: Proof::Unproved },
    });
    scene.happens(Event::Looked { findings: scene.findings.clone() });
    assert!(matches!(scene.rule().decision, Decision::Act(_)));
    // Another cap, another target, or too late: asked anew.
    let granted = scene.incident.grant.clone();
    for spoil in [0, 1, 2] {
        scene.incident.grant = granted.clone();
        let grant = scene.incident.grant.as_mut().unwrap();
        match spoil {
            0 => grant.ask.at_most += 1,
            1 => grant.ask.order.target = "rehearsal/other".parse().unwrap(),
            _ => grant.at = NOW.minus(std::time::Duration::from_secs(301)),
        }
        assert!(matches!(scene.rule().decision, Decision::Wait { on: Waiting::Person(_), .. }), "spoilt {spoil}");
    }
}

#[test]
fn the_most_careful_mode_wins() {
    let always = |name: &str| {
        let written =
            serde_json::json!({"name": name, "time_intervals": [{"times": [{"start_time": "00:00", "end_time": "24:00"}]}]});
        serde_json::from_value(written).unwrap()
    };
    let mut scene = Scene::new(Mode::Auto);
    scene.current.intervals = BTreeMap::from([("free".to_owned(), always("free")), ("careful".to_owned(), always("careful"))]);
    let during = BTreeMap::from([("free".to_owned(), Mode::Auto), ("careful".to_owned(), Mode::Observe)]);
    scene.current.runbooks.edit().get_mut("cure").unwrap().mode.during = during;
    assert_eq!(scene.closed_gate(), "mode");
    let Decision::End { how, .. } = scene.rule().decision else { panic!("observe does not wait") };
    assert_eq!(how, How::Refused);
}

proptest! {
    #[test]
    fn every_runbook_whose_matchers_hold_hears_of_an_alert(
        entries in prop::collection::vec("(alertname|a)(=|!=|=~|!~)\"[ab|.]{0,4}\"", 0..5),
        alert in "[ab]{0,2}",
        other in "[ab]{0,1}",
    ) {
        let labels = Labels::from([(ALERTNAME.to_owned(), alert), ("a".to_owned(), other)]);
        let mut all: Vec<Runbook> = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            let matches = Some(Matchers::parse([entry.as_str(), "a!=\"b\""]).unwrap());
            all.push(Runbook { name: format!("cure-{number}"), matches, ..runbook(Mode::Auto) });
        }
        let holds = |runbook: &&Runbook| runbook.matches.as_ref().unwrap().matches(&labels);
        let expected: Vec<&str> = all.iter().filter(holds).map(|runbook| runbook.name.as_str()).collect();
        let runbooks: Runbooks = all.iter().map(|runbook| (runbook.name.clone(), runbook.clone())).collect();
        let configuration = Configuration { runbooks, ..configuration(runbook(Mode::Auto)) };
        let routing = route(&configuration, &labels);
        let chosen = routing.chosen.iter().map(|(runbook, _)| runbook.name.as_str());
        prop_assert_eq!(chosen.chain(routing.refused.iter().map(|(name, _)| *name)).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_runbook_that_was_given_other_matchers_hears_of_those_alerts() {
    let labels = |name: &str| Labels::from([("alertname".to_owned(), name.to_owned())]);
    let mut configuration = configuration(runbook(Mode::Auto));
    let chosen = |configuration: &Configuration, name: &str| route(configuration, &labels(name)).chosen.is_some();
    for name in ["First", "Second", "Third"] {
        let matchers = Matchers::parse([format!("alertname=\"{name}\"").as_str()]).unwrap();
        configuration.runbooks.edit().get_mut("cure").unwrap().matches = Some(matchers);
        let heard = ["First", "Second", "Third"].into_iter().filter(|other| chosen(&configuration, other));
        assert_eq!(heard.collect::<Vec<_>>(), [name]);
    }
    configuration.runbooks.edit().get_mut("cure").unwrap().matches = None;
    assert!(!chosen(&configuration, "Third"), "only a person starts it");
    let written = serde_json::to_string(&configuration).unwrap();
    assert_eq!(serde_json::from_str::<Configuration>(&written).unwrap(), configuration);
}

#[test]
fn a_label_chooses_only_what_the_inventory_knows() {
    let mut book = runbook(Mode::Auto);
    book.matches = Some(runbook::matcher::Matchers::parse(["alertname=\"Rehearsed\""]).unwrap());
    book.target = TargetSelector::Lookup { kind: Kind::Rehearsal, label: "ledger".to_owned() };
    let configuration = configuration(book);
    let labels =
        |value: &str| Labels::from([("alertname".to_owned(), "Rehearsed".to_owned()), ("ledger".to_owned(), value.to_owned())]);
    assert_eq!(route(&configuration, &labels("known")).chosen.map(|(_, id)| id), Some(target()));
    assert_eq!(route(&configuration, &labels("ledger")).chosen.map(|(_, id)| id), Some(target()));
    for value in ["", "other", "rehearsal/ledger", "'; DROP TABLE", "../ledger", "known\n"] {
        let labels = labels(value);
        let routing = route(&configuration, &labels);
        assert!(routing.chosen.is_none(), "{value:?}");
        assert_eq!(routing.refused.len(), 1, "the refusal is on record");
    }
}

proptest! {
    /// Adding attempts or cures never turns a refusal into an act.
    #[test]
    fn more_history_never_frees(
        attempts in prop::collection::vec((0_u64..100_000, 1_u64..12), 0..12),
        cured in prop::collection::vec(0_u64..100_000, 0..6),
        more in prop::collection::vec((0_u64..100_000, 1_u64..12), 0..6),
    ) {
        let past = |list: &[(u64, u64)]| -> Vec<Attempted> {
            let mut all: Vec<Attempted> = list
                .iter()
                .map(|(ago, id)| Attempted { at: NOW.minus(std::time::Duration::from_secs(*ago)), incident: IncidentId(*id) })
                .collect();
            all.sort_by_key(|attempted| attempted.at);
            all
        };
        let mut scene = Scene::new(Mode::Auto);
        scene.history.attempts = past(&attempts);
        scene.history.cured = cured.iter().map(|ago| NOW.minus(std::time::Duration::from_secs(*ago))).collect();
        let before = matches!(scene.rule().decision, Decision::Act(_));
        let mut longer = attempts.clone();
        longer.extend(more);
        scene.history.attempts = past(&longer);
        let after = matches!(scene.rule().decision, Decision::Act(_));
        prop_assert!(before || !after);
    }
}

#[test]
fn what_is_said_about_runbookd_starts_nothing_however_broadly_a_runbook_matches() {
    let matches = Some(runbook::matcher::Matchers::parse(["severity=\"critical\""]).unwrap());
    let configuration = configuration(Runbook { matches, ..runbook(Mode::Auto) });
    let mut labels = Labels::from([("severity".to_owned(), "critical".to_owned())]);
    assert!(route(&configuration, &labels).chosen.is_some(), "the label alone keeps it away");
    labels.insert("runbookd".to_owned(), "never".to_owned());
    let routing = route(&configuration, &labels);
    assert!(routing.chosen.is_none() && routing.refused[0].1.contains("for people"), "{routing:?}");
}
