//! The rules of the house on the estate: what one runbook alone would have done, and what is done instead because of what is
//! around it. The real alerts, the real servers, the shipped runbooks; only the measures are small, so that a test reaches them.

use std::time::Duration;

use super::night::{Night, closed, closed_after, count, question, story, told};
use super::{PATIENCE, of, times};
use crate::support::daemon::{binary, until};
use crate::support::watch::Watch;

#[test]
fn an_unhealthy_backend_waits_for_its_database_and_is_cured_after_it() {
    let night = Night::begin();
    let watch = Watch::start(&night.estate);
    let home = night.home();
    let daemon = home.start(binary(), &[]);
    let (backend, postgres) = (night.identity("backend"), night.identity("postgres"));
    let frozen = night.breaks("postgres-frozen");
    let unhealthy = night.breaks("unhealthy");
    let of_backend = || daemon.incidents().into_iter().find(|incident| incident["target"] == "service/backend");
    let held = || of_backend().filter(|incident| incident["stage"] == "held");
    let incident = until("the backend's incident is held", PATIENCE, held, || told(&daemon, &home));
    let waits = story(&daemon, &incident).into_iter().rfind(|(kind, _)| kind == "waits").unwrap().1;
    assert!(waits["why"].as_str().unwrap().contains("postgres/main, which this rests on"), "{waits}");
    assert_eq!(waits["gates"].as_array().unwrap().last().unwrap()["name"], "cause", "{waits}");
    assert_eq!(night.identity("backend"), backend, "the symptom is left alone");
    drop(frozen);

    // Let go by itself, once what it rests on is well.
    let cured = closed(&daemon, &home, "service-unhealthy", PATIENCE);
    assert_eq!((&cured["how"], &cured["target"]), (&"cured".into(), &"service/backend".into()), "{}", told(&daemon, &home));
    assert_ne!(night.identity("backend"), backend);
    assert_eq!(night.identity("postgres"), postgres, "what keeps data is nobody's to restart");
    assert_eq!(times(&of(&watch.touches(), "backend"), "start"), 1);
    night.only_touched(&watch, &["backend"]);
    drop(unhealthy);
}

#[test]
fn what_breaks_all_at_once_is_left_to_people() {
    let night = Night::begin();
    let watch = Watch::start(&night.estate);
    let home = night.home_with("storm: {incidents: 1, within: 10m}", &[]);
    let daemon = home.start(binary(), &[]);
    // Nothing is done before both are there: the first would otherwise be cured on a night on which the second comes late.
    let command = |words: &[&str]| {
        let done = home.command(binary(), words).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    command(&["pause", "all", "--reason", "drill", "--by", "a person"]);
    let (hung, unhealthy) = (night.breaks("worker-hung"), night.breaks("unhealthy"));
    let runbooks = ["service-unhealthy", "workers-not-processing"];
    let open = |runbook: &str| daemon.incidents().iter().any(|incident| incident["runbook"] == *runbook);
    let both = || runbooks.iter().all(|runbook| open(runbook)).then_some(());
    until("both incidents are open", PATIENCE, both, || told(&daemon, &home));
    command(&["resume", "all", "--by", "a person"]);
    for runbook in runbooks {
        let incident = closed(&daemon, &home, runbook, PATIENCE);
        assert_eq!(incident["how"], "handed_over", "{}", told(&daemon, &home));
        assert!(incident["why"].as_str().unwrap().starts_with("a storm: "), "{incident}");
        assert_eq!(count(&daemon, &incident, "action_started"), 0, "{}", told(&daemon, &home));
    }
    night.only_touched(&watch, &[]);
    drop((hung, unhealthy));
}

#[test]
fn a_cure_that_comes_back_is_asked_about_and_a_spent_budget_touches_nothing_else() {
    let night = Night::begin();
    let watch = Watch::start(&night.estate);
    // One disturbance in all; and a leak may be cured as often as that, were it not the same leak again.
    let home = night.home_with(
        "storm: {incidents: 40, within: 5m}, disruption: {budget: 1, per: 1h}",
        &[("cooldown: 10m, rate: [1/1h, 2/24h]", "cooldown: 1s, rate: [9/1h]")],
    );
    let daemon = home.start(binary(), &[]);
    let worker = night.identity("celery-worker");
    let leak = night.breaks("leak-memory");
    let first = closed(&daemon, &home, "backend-memory", PATIENCE);
    assert_eq!(first["how"], "cured", "{}", told(&daemon, &home));
    let restarted = night.identity("backend");
    drop(leak);

    // The budget is spent: another service's cure, needed and seen to be, is a person's.
    let hung = night.breaks("worker-hung");
    let refused = closed(&daemon, &home, "workers-not-processing", PATIENCE);
    assert_eq!(refused["how"], "handed_over", "{}", told(&daemon, &home));
    let ending = story(&daemon, &refused).into_iter().rfind(|(kind, _)| kind == "ending").unwrap().1;
    assert_eq!(ending["gates"].as_array().unwrap().last().unwrap()["name"], "disruption", "{ending}");
    assert_eq!(night.identity("celery-worker"), worker);
    drop(hung);

    // With room in the budget again, the leak that comes back is asked about, as the mask that it is.
    let text = std::fs::read_to_string(home.config().join("runbookd.yaml")).unwrap();
    home.write("runbookd.yaml", &text.replace("budget: 1,", "budget: 10,"));
    assert!(home.command(binary(), &["reload"]).output().unwrap().status.success());
    let over = || night.estate.alerts().unwrap().iter().all(|alert| alert["labels"]["alertname"] != "HighMemoryUsage");
    until("the alert is over", Duration::from_secs(30), || over().then_some(()), String::new);
    let again = night.breaks("leak-memory");
    let ask = until("somebody is asked", PATIENCE, || question(&daemon), || told(&daemon, &home));
    assert_eq!(night.identity("backend"), restarted, "nothing before the answer");
    let denied =
        home.command(binary(), &["deny", &ask, "--by", "a person", "--why", "the leak is to be found"]).output().unwrap();
    assert!(denied.status.success(), "{}", String::from_utf8_lossy(&denied.stderr));
    let second = closed_after(&daemon, &home, "backend-memory", Some(&first), PATIENCE);
    assert_eq!(second["how"], "denied", "{}", told(&daemon, &home));
    let asked = story(&daemon, &second).into_iter().rfind(|(kind, _)| kind == "waits").unwrap().1;
    assert!(asked["why"].as_str().unwrap().contains("masks a cause"), "{asked}");
    assert_eq!(night.identity("backend"), restarted);
    night.only_touched(&watch, &["backend"]);
    drop(again);
}
