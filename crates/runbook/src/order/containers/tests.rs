//! Tables over what is chosen among replicas and how an order about them is judged.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::action::{Action, Exec, Recreate, Start};
use crate::finding::{Attributes, Seen};
use crate::incident::{Attempt, Reply, StepRef};
use crate::probe::{DockerProbe, Probe};
use crate::target::{Class, Target, Traits};
use crate::time::{Span, Stamp};

/// A replica as the look at it has it: `running`, healthy, up for a minute, and nothing special about it.
fn replica(id: &str, changed: &[(Attribute, Value)]) -> Subject {
    let mut attributes = Attributes::from([
        (Attribute::Name, Value::Text(format!("shop_{id}"))),
        (Attribute::Number, Value::Number(1.0)),
        (Attribute::State, Value::Text("running".to_owned())),
        (Attribute::Health, Value::Text("healthy".to_owned())),
        (Attribute::RunningSeconds, Value::Number(60.0)),
        (Attribute::Refused, Value::Text(String::new())),
        (Attribute::NoClone, Value::Text(String::new())),
        (Attribute::Compose, Value::Text("1.29.2".to_owned())),
    ]);
    attributes.extend(changed.iter().cloned());
    let identity = Identity::Container { id: id.to_owned(), started_at: "T0".to_owned() };
    Subject { identity, words: id.to_owned(), attributes }
}

fn text(attribute: Attribute, value: &str) -> (Attribute, Value) {
    (attribute, Value::Text(value.to_owned()))
}

fn flag(attribute: Attribute) -> (Attribute, Value) {
    (attribute, Value::Flag(true))
}

fn seen(subjects: Vec<Subject>) -> Finding {
    let seen = crate::finding::Seen::Known { fields: BTreeMap::new(), subjects };
    Finding { probe: "docker.service".to_owned(), at: Stamp::from_millis(0), seen }
}

fn target(at_most: u32, cloneable: bool, stateful: bool) -> Target {
    let traits = Traits { depends_on: vec![], stateful, may_be_cloned: cloneable, class: Class::P3, owner: "team".to_owned() };
    let commands = BTreeMap::from([("reload".to_owned(), vec!["reload".to_owned()])]);
    let place = Place::Service {
        engine: "engine/main".parse().unwrap(),
        project: "shop".to_owned(),
        service: "worker".to_owned(),
        scope: Scope { replicas: 1, at_most, env_file: None, commands },
    };
    Target { id: "service/worker".parse().unwrap(), traits, place, known_as: vec![] }
}

fn restart(min_healthy: u32) -> Restart {
    Restart { min_healthy, stop_timeout: Span::secs(10), patience: Patience::default() }
}

fn scale(to: u32) -> DockerAction {
    DockerAction::Scale(Scale { to, stop_timeout: Span::secs(300), patience: Patience::default() })
}

fn choose(action: DockerAction, finding: &Finding, target: &Target, done: &[&str]) -> Result<Vec<String>, String> {
    let of = |id: &&str| Identity::Container { id: (*id).to_owned(), started_at: "T0".to_owned() };
    let done: BTreeSet<_> = done.iter().map(of).collect();
    let ground = Ground { finding: Some(finding), target, done: &done, tried: &done };
    match Action::Docker(action).select(&ground) {
        Ok(selection) => Ok(selection
            .iter()
            .map(|identity| match identity {
                Identity::Container { id, .. } => id.clone(),
                Identity::Clone { name, .. } => name.clone(),
                other => other.to_string(),
            })
            .collect()),
        Err(NoSelection::Nothing(why)) => Err(why),
        Err(NoSelection::Unseen(why)) => Err(format!("unseen: {why}")),
    }
}

#[test]
fn a_rolling_restart_goes_one_by_one_and_never_below_the_floor() {
    let service = target(3, false, false);
    let rolling = |min| DockerAction::RollingRestart(restart(min));
    let three = seen(vec![replica("a", &[]), replica("b", &[text(Attribute::Health, "unhealthy")]), replica("c", &[])]);
    assert_eq!(choose(rolling(2), &three, &service, &[]), Ok(vec!["b".into()]), "the failing one first");
    assert_eq!(
        choose(rolling(1), &three, &service, &["b"]).unwrap_err(),
        "shop_b did not come back, so no further one is restarted"
    );
    let well = seen(vec![replica("a", &[]), replica("b", &[]), replica("c", &[])]);
    assert_eq!(choose(rolling(2), &well, &service, &["b"]), Ok(vec!["a".into()]));
    assert_eq!(choose(rolling(2), &well, &service, &["a", "b"]), Ok(vec!["c".into()]));
    assert!(choose(rolling(2), &well, &service, &["a", "b", "c"]).unwrap_err().contains("has been"));
    assert!(choose(rolling(3), &well, &service, &[]).unwrap_err().contains("fewer than 3"));
    let two = seen(vec![replica("a", &[]), replica("b", &[text(Attribute::Health, "unhealthy")])]);
    assert_eq!(choose(rolling(1), &two, &service, &[]), Ok(vec!["b".into()]), "a failing one costs no healthy one");
}

#[test]
fn a_restart_is_for_failing_replicas_that_may_be_touched() {
    let service = target(3, false, false);
    let choose = |subjects| choose(DockerAction::Restart(restart(0)), &seen(subjects), &service, &[]);
    assert_eq!(choose(vec![replica("a", &[])]).unwrap_err(), "no replica is failing");
    let person = replica("a", &[text(Attribute::State, "exited"), flag(Attribute::StoppedByPerson)]);
    assert_eq!(choose(vec![person]).unwrap_err(), "no replica is failing", "a person's stop is no failure");
    assert_eq!(choose(vec![replica("a", &[text(Attribute::State, "exited")])]), Ok(vec!["a".into()]));
    let privileged = replica("a", &[text(Attribute::Health, "unhealthy"), text(Attribute::Refused, "it is privileged")]);
    assert_eq!(choose(vec![privileged]).unwrap_err(), "shop_a: it is privileged");
    let kept = replica("a", &[text(Attribute::State, "exited"), flag(Attribute::Kept)]);
    assert_eq!(choose(vec![kept]).unwrap_err(), "no replica is failing", "what a recreate keeps is no replica");
    let clone = replica("a", &[text(Attribute::Health, "unhealthy"), flag(Attribute::Clone)]);
    assert_eq!(choose(vec![clone]).unwrap_err(), "no replica is failing", "clones are taken away, not restarted");
}

#[test]
fn one_that_the_engine_is_restarting_is_why_nothing_is_restarted() {
    let service = target(3, false, false);
    let why = "the Engine is restarting it already";
    let looping = seen(vec![replica("a", &[text(Attribute::State, "restarting"), text(Attribute::Refused, why)])]);
    for action in [DockerAction::Restart(restart(0)), DockerAction::RollingRestart(restart(0))] {
        assert_eq!(choose(action, &looping, &service, &[]).unwrap_err(), format!("shop_a: {why}"));
    }
    let beside =
        seen(vec![replica("a", &[text(Attribute::State, "restarting"), text(Attribute::Refused, why)]), replica("b", &[])]);
    assert_eq!(choose(DockerAction::RollingRestart(restart(0)), &beside, &service, &[]), Ok(vec!["b".into()]));
}

#[test]
fn what_an_earlier_try_left_stopped_is_finished_before_another_is_begun() {
    let service = target(3, false, false);
    let named = || Identity::Container { id: "b".to_owned(), started_at: "T0".to_owned() };
    let stopped = || replica("b", &[text(Attribute::State, "exited"), flag(Attribute::StoppedByPerson)]);
    let finding = seen(vec![replica("a", &[]), stopped(), replica("c", &[text(Attribute::Health, "unhealthy")])]);
    let tried = BTreeSet::from([named()]);
    let ground = Ground { finding: Some(&finding), target: &service, done: &BTreeSet::new(), tried: &tried };
    for action in [DockerAction::Restart(restart(0)), DockerAction::RollingRestart(restart(1))] {
        let order = order(action, Purpose::Do, named());
        assert_eq!(order.action.select(&ground), Ok(order.selection.clone()));
        assert_eq!(order.left_down(&finding).as_deref(), Some("shop_b"));
        for other in [replica("b", &[]), started(stopped(), "T2"), replica("a", &[text(Attribute::State, "exited")])] {
            assert_eq!(order.left_down(&seen(vec![other])), None);
        }
    }
    let start = order(DockerAction::Start(Start { patience: Patience::default() }), Purpose::Do, named());
    assert_eq!(start.left_down(&finding), None, "a start stops nothing");
}

#[test]
fn clones_get_free_numbers_up_to_the_ceiling_and_only_where_they_may() {
    let one = seen(vec![replica("a", &[(Attribute::Number, Value::Number(4.0))])]);
    assert_eq!(choose(scale(9), &one, &target(3, true, false), &[]), Ok(vec!["shop_worker_5".into(), "shop_worker_6".into()]));
    let newer = seen(vec![replica("a", &[text(Attribute::Compose, "2.27.0")])]);
    assert_eq!(choose(scale(2), &newer, &target(3, true, false), &[]), Ok(vec!["shop-worker-2".into()]));
    assert!(choose(scale(3), &one, &target(1, true, false), &[]).unwrap_err().contains("there may be 1"));
    assert!(choose(scale(3), &one, &target(3, false, false), &[]).unwrap_err().contains("may_be_cloned"));
    assert!(choose(scale(3), &one, &target(3, true, true), &[]).unwrap_err().contains("keeps data"));
    let fixed = seen(vec![replica("a", &[text(Attribute::NoClone, "it publishes the fixed port 80")])]);
    assert!(choose(scale(3), &fixed, &target(3, true, false), &[]).unwrap_err().contains("fixed port"));
    let ill = seen(vec![replica("a", &[text(Attribute::Health, "unhealthy")])]);
    assert!(choose(scale(3), &ill, &target(3, true, false), &[]).unwrap_err().contains("no healthy replica"));
}

#[test]
fn what_somebody_stopped_is_asked_about() {
    let start = Action::Docker(DockerAction::Start(Start { patience: Patience::default() }));
    let finding = seen(vec![replica("a", &[text(Attribute::State, "exited"), flag(Attribute::StoppedByPerson)])]);
    let (none, service) = (BTreeSet::new(), target(1, false, false));
    let ground = Ground { finding: Some(&finding), target: &service, done: &none, tried: &none };
    let selection = start.select(&ground).unwrap();
    assert!(start.wants_a_person(&selection, &finding).unwrap().contains("somebody stopped it"));
    let ended = "ended well (exit code 0): its work may be done, or somebody stopped it";
    let job = || replica("a", &[text(Attribute::State, "exited"), text(Attribute::AtRest, ended)]);
    assert_eq!(start.wants_a_person(&selection, &seen(vec![job()])), Some(format!("shop_a {ended}")));
    let restarted = choose(DockerAction::Restart(restart(0)), &seen(vec![job()]), &service, &[]);
    assert_eq!(restarted.unwrap_err(), "no replica is failing", "a job that ended well is not run again");
    let crashed = seen(vec![replica("a", &[text(Attribute::State, "exited")])]);
    assert_eq!(start.wants_a_person(&selection, &crashed), None);
    assert!(
        choose(DockerAction::Start(Start { patience: Patience::default() }), &seen(vec![replica("a", &[])]), &service, &[])
            .is_err()
    );
    let exec = |run: &str| DockerAction::Exec(Exec { run: run.to_owned(), within: Span::secs(10) });
    assert_eq!(choose(exec("reload"), &seen(vec![replica("a", &[])]), &service, &[]), Ok(vec!["a".into()]));
    assert!(choose(exec("rm"), &seen(vec![replica("a", &[])]), &service, &[]).unwrap_err().contains("allows no command"));
}

fn order(action: DockerAction, purpose: Purpose, identity: Identity) -> Order {
    Order {
        purpose,
        action: Action::Docker(action),
        target: "service/worker".parse().unwrap(),
        selection: Selection::of([identity]).unwrap(),
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Landed(_) => "landed",
        Verdict::Partly(_) => "partly",
        Verdict::NotLanded(_) => "not landed",
        Verdict::Unknowable(_) => "unknowable",
    }
}

fn started(subject: Subject, at: &str) -> Subject {
    let Identity::Container { id, .. } = &subject.identity else { unreachable!() };
    Subject { identity: Identity::Container { id: id.clone(), started_at: at.to_owned() }, ..subject }
}

#[test]
fn a_restart_landed_when_the_replica_started_anew_and_is_well() {
    let asked = || Identity::Container { id: "a".to_owned(), started_at: "T0".to_owned() };
    let order = order(DockerAction::Restart(restart(0)), Purpose::Do, asked());
    let unchecked =
        |seconds: f64| replica("a", &[text(Attribute::Health, ""), (Attribute::RunningSeconds, Value::Number(seconds))]);
    let table = [
        (vec![replica("a", &[])], "not landed"),
        (vec![started(replica("a", &[]), "T1")], "landed"),
        (vec![started(replica("a", &[text(Attribute::Health, "starting")]), "T1")], "partly"),
        (vec![started(unchecked(3.0), "T1")], "partly"),
        (vec![started(unchecked(11.0), "T1")], "landed"),
        (vec![started(replica("a", &[text(Attribute::State, "exited")]), "T1")], "partly"),
        (vec![replica("b", &[])], "not landed"),
    ];
    for (subjects, wanted) in table {
        let finding = seen(subjects);
        assert_eq!(word(order.verdict(&finding)), wanted, "{finding:?}");
    }
}

#[test]
fn a_replacement_is_whole_or_half_or_not_there() {
    let recreate =
        || DockerAction::Recreate(Recreate { set: BTreeMap::new(), stop_timeout: Span::secs(10), patience: Patience::default() });
    let asked = || Identity::Container { id: "old".to_owned(), started_at: "T0".to_owned() };
    let kept = || replica("old", &[text(Attribute::State, "exited"), flag(Attribute::Kept)]);
    let new = |health: &str| replica("new", &[text(Attribute::Replaces, "old"), text(Attribute::Health, health)]);
    let changed = |state: &str| {
        replica("new", &[text(Attribute::Replaces, "old"), text(Attribute::State, state), flag(Attribute::Changed)])
    };
    let table = [
        (Purpose::Do, vec![replica("old", &[])], "not landed"),
        (Purpose::Do, vec![started(replica("old", &[]), "T2")], "not landed"),
        (Purpose::Do, vec![replica("old", &[text(Attribute::State, "exited")])], "partly"),
        (Purpose::Do, vec![kept()], "partly"),
        (Purpose::Do, vec![kept(), new("starting")], "partly"),
        (Purpose::Do, vec![kept(), new("healthy")], "landed"),
        (Purpose::Do, vec![new("healthy")], "landed"),
        (Purpose::Undo, vec![kept(), new("healthy")], "not landed"),
        (Purpose::Undo, vec![kept()], "not landed"),
        (Purpose::Undo, vec![replica("old", &[]), new("healthy")], "not landed"),
        (Purpose::Undo, vec![new("healthy")], "not landed"),
        (Purpose::Undo, vec![replica("old", &[text(Attribute::Health, "starting")])], "not landed"),
        (Purpose::Undo, vec![replica("old", &[text(Attribute::State, "restarting")])], "not landed"),
        (Purpose::Undo, vec![started(replica("old", &[]), "T2")], "landed"),
        (Purpose::Undo, vec![started(replica("old", &[text(Attribute::Health, "unhealthy")]), "T2")], "landed"),
    ];
    for (purpose, subjects, wanted) in table {
        let finding = seen(subjects);
        assert_eq!(word(order(recreate(), purpose, asked()).verdict(&finding)), wanted, "{purpose:?} {finding:?}");
    }
    let unknown = || Value::Unknown("it cannot be read".to_owned());
    let table = [
        (Value::Flag(true), vec![kept(), changed("running")], "not landed"),
        (Value::Flag(true), vec![changed("running")], "landed"),
        (Value::Flag(true), vec![replica("of a person", &[flag(Attribute::Changed)])], "landed"),
        (Value::Flag(true), vec![replica("of a person", &[])], "not landed"),
        (Value::Flag(true), vec![changed("exited")], "not landed"),
        (Value::Flag(true), vec![], "not landed"),
        // Somebody's Compose took the old one away before the file was written.
        (Value::Flag(false), vec![changed("running")], "not landed"),
        (unknown(), vec![changed("running")], "partly"),
    ];
    let end = order(recreate(), Purpose::End, asked());
    for (in_file, subjects, wanted) in table {
        let seen = Seen::Known { fields: [("in_file".to_owned(), in_file)].into(), subjects };
        let finding = Finding { probe: "docker.settings".to_owned(), at: Stamp::from_millis(0), seen };
        assert_eq!(word(end.verdict(&finding)), wanted, "{finding:?}");
    }
    assert!(matches!(end.settling_look(), Probe::Docker(DockerProbe::Settings(_))));
}

#[test]
fn only_a_single_running_container_is_replaced() {
    let recreate =
        || DockerAction::Recreate(Recreate { set: BTreeMap::new(), stop_timeout: Span::secs(10), patience: Patience::default() });
    let service = target(1, false, true);
    let table: [(Vec<Subject>, Result<&str, &str>); 5] = [
        (
            vec![
                replica("a", &[]),
                replica("kept", &[text(Attribute::State, "exited"), flag(Attribute::Kept)]),
                replica("clone", &[flag(Attribute::Clone)]),
            ],
            Ok("a"),
        ),
        (vec![replica("a", &[]), replica("b", &[])], Err("2 containers")),
        (vec![replica("a", &[text(Attribute::State, "exited"), flag(Attribute::StoppedByPerson)])], Err("only a running one")),
        (vec![replica("a", &[text(Attribute::Refused, "it is privileged")])], Err("privileged")),
        (vec![], Err("no container")),
    ];
    for (subjects, wanted) in table {
        match (choose(recreate(), &seen(subjects), &service, &[]), wanted) {
            (Ok(chosen), Ok(wanted)) => assert_eq!(chosen, [wanted]),
            (Err(why), Err(wanted)) => assert!(why.contains(wanted), "{why}"),
            (chosen, wanted) => panic!("{chosen:?} instead of {wanted:?}"),
        }
    }
}

#[test]
fn clones_are_there_or_gone_and_a_stranger_of_that_name_is_neither() {
    let asked = || Identity::Clone { of: "a".to_owned(), name: "shop_b".to_owned(), number: 2 };
    let clone = |health: &str| replica("b", &[flag(Attribute::Clone), text(Attribute::Health, health)]);
    let table = [
        (Purpose::Do, vec![], "not landed"),
        (Purpose::Do, vec![clone("starting")], "partly"),
        (Purpose::Do, vec![clone("healthy")], "landed"),
        (Purpose::Do, vec![replica("b", &[])], "not landed"),
        (Purpose::End, vec![clone("healthy")], "not landed"),
        (Purpose::End, vec![replica("b", &[])], "landed"),
        (Purpose::Undo, vec![], "landed"),
    ];
    for (purpose, subjects, wanted) in table {
        let finding = seen(subjects);
        assert_eq!(word(order(scale(2), purpose, asked()).verdict(&finding)), wanted, "{purpose:?} {finding:?}");
    }
}

/// From when a look counts, in seconds after the start of a call that had 20 s and what it starts a minute.
fn counts_from(order: &Order, reply: Option<Reply>, subjects: Vec<Subject>) -> i64 {
    let seen = Seen::Known { fields: BTreeMap::new(), subjects };
    let finding = Finding { probe: "docker.service".to_owned(), at: Stamp::from_millis(0), seen };
    attempt(order, reply).counts_from(&order.verdict(&finding), &finding).unwrap().millis() / 1000
}

fn asked(id: &str) -> Identity {
    Identity::Container { id: id.to_owned(), started_at: "T0".to_owned() }
}

/// Of its call, 20 s long.
fn attempt(order: &Order, reply: Option<Reply>) -> Attempt {
    Attempt {
        number: 1,
        at: StepRef { rung: 0, step: 0 },
        order: order.clone(),
        started: Stamp::from_millis(0),
        deadline: Stamp::from_millis(20_000),
        settles_from: Stamp::from_millis(85_000),
        reply,
        unsettled: None,
        down_before: false,
        verdict: None,
        silences: Vec::new(),
    }
}

#[test]
fn what_somebody_else_did_is_not_said_to_be_ours() {
    let again = order(DockerAction::Restart(restart(0)), Purpose::Do, asked("a"));
    let finding = seen(vec![started(replica("a", &[text(Attribute::Health, "healthy")]), "T2")]);
    let said = |reply| attempt(&again, reply).verdict_on(&finding);
    let Verdict::Landed(ours) = said(Some(Reply::Done("restarted".to_owned()))) else { panic!("it was restarted") };
    assert_eq!(said(None), Verdict::Landed(ours.clone()), "an answer that was lost says nothing");
    let theirs = said(Some(Reply::Refused("403".to_owned())));
    assert_eq!(theirs, Verdict::Landed(format!("{ours}, though not by this call, which was refused")));
}

#[test]
fn only_what_was_started_is_waited_for() {
    let recreate =
        || DockerAction::Recreate(Recreate { set: BTreeMap::new(), stop_timeout: Span::secs(10), patience: Patience::default() });
    let failed = || Some(Reply::Failed("answered".to_owned()));
    let silent = || Some(Reply::NoAnswer("no answer".to_owned()));
    let kept = || replica("old", &[text(Attribute::State, "exited"), flag(Attribute::Kept)]);
    let new = |state: &str, health: &str| {
        replica("new", &[text(Attribute::Replaces, "old"), text(Attribute::State, state), text(Attribute::Health, health)])
    };
    let put = order(recreate(), Purpose::Do, asked("old"));
    // Dead after the stop: nothing is there that could become well, so the call's own time is all that is waited for.
    assert_eq!(counts_from(&put, None, vec![kept()]), 35);
    assert_eq!(counts_from(&put, silent(), vec![replica("old", &[text(Attribute::State, "exited")])]), 35);
    assert_eq!(counts_from(&put, None, vec![kept(), new("created", "")]), 35);
    assert_eq!(counts_from(&put, failed(), vec![kept()]), 0);
    assert_eq!(counts_from(&put, None, vec![kept(), new("running", "starting")]), 85);
    let back = order(recreate(), Purpose::Undo, asked("old"));
    assert_eq!(counts_from(&back, None, vec![kept()]), 35);
    assert_eq!(counts_from(&back, None, vec![started(replica("old", &[text(Attribute::Health, "starting")]), "T2")]), 85);
    let more = order(scale(2), Purpose::Do, Identity::Clone { of: "a".to_owned(), name: "shop_b".to_owned(), number: 2 });
    let clone =
        |state: &str| replica("b", &[flag(Attribute::Clone), text(Attribute::Health, "starting"), text(Attribute::State, state)]);
    assert_eq!(counts_from(&more, failed(), vec![]), 0, "the Engine has answered");
    assert_eq!(counts_from(&more, failed(), vec![clone("created")]), 0);
    assert_eq!(counts_from(&more, failed(), vec![clone("running")]), 85);
    assert_eq!(counts_from(&more, silent(), vec![]), 25);
    let again = order(DockerAction::Restart(restart(0)), Purpose::Do, asked("a"));
    assert_eq!(counts_from(&again, silent(), vec![replica("a", &[text(Attribute::State, "exited")])]), 35);
    assert_eq!(counts_from(&again, silent(), vec![started(replica("a", &[text(Attribute::Health, "starting")]), "T2")]), 85);
    // The tries of an end keep their distance, unless there is nothing left to end.
    let end = order(recreate(), Purpose::End, asked("old"));
    assert_eq!(counts_from(&end, failed(), vec![kept(), new("running", "healthy")]), 85);
    assert_eq!(counts_from(&end, failed(), vec![replica("old", &[])]), 0);
}

#[test]
fn a_kept_one_that_runs_serves_and_is_neither_cloned_nor_replaced() {
    let kept = || replica("a", &[flag(Attribute::Kept), text(Attribute::Health, "unhealthy")]);
    let service = target(3, true, false);
    assert_eq!(choose(DockerAction::Restart(restart(0)), &seen(vec![kept()]), &service, &[]), Ok(vec!["a".into()]));
    let healthy = || replica("a", &[flag(Attribute::Kept)]);
    assert!(choose(scale(2), &seen(vec![healthy()]), &service, &[]).unwrap_err().contains("no healthy replica"));
    let recreate =
        DockerAction::Recreate(Recreate { set: BTreeMap::new(), stop_timeout: Span::secs(10), patience: Patience::default() });
    assert!(choose(recreate, &seen(vec![healthy()]), &service, &[]).unwrap_err().contains("its own name back"));
}

#[test]
fn a_number_that_is_taken_or_the_last_there_is_is_passed_over() {
    let service = target(9, true, false);
    let strangers = seen(vec![replica("a", &[text(Attribute::Taken, "2 4")])]);
    assert_eq!(choose(scale(3), &strangers, &service, &[]), Ok(vec!["shop_worker_3".into(), "shop_worker_5".into()]));
    let last = seen(vec![replica("a", &[(Attribute::Number, Value::Number(f64::from(u32::MAX)))])]);
    assert_eq!(choose(scale(3), &last, &service, &[]), Ok(vec!["shop_worker_1".into(), "shop_worker_2".into()]));
    let almost = seen(vec![replica("a", &[(Attribute::Number, Value::Number(f64::from(u32::MAX - 1)))])]);
    assert_eq!(choose(scale(2), &almost, &service, &[]), Ok(vec![format!("shop_worker_{}", u32::MAX)]));
}

#[test]
fn a_clone_that_somebody_renamed_is_theirs_and_said() {
    let asked = || Identity::Clone { of: "a".to_owned(), name: "shop_worker_2".to_owned(), number: 2 };
    let theirs =
        replica("theirs", &[flag(Attribute::Clone), text(Attribute::CloneOf, "a"), (Attribute::Number, Value::Number(2.0))]);
    let verdict = order(scale(2), Purpose::End, asked()).verdict(&seen(vec![replica("a", &[]), theirs]));
    let Verdict::Landed(words) = verdict else { panic!("{verdict:?}") };
    assert!(words.contains("shop_theirs, which somebody renamed, is left") && !words.contains("gone"), "{words}");
}
