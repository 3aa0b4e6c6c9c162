//! Who is woken, and who is told that nobody watches: the estate's own Prometheus with the shipped rules, its own Alertmanager with the
//! shipped routes, and a pager behind the receiver `humans`. Of the routes only the long holds and the heartbeat's waits are made short.

use std::time::Duration;

use xtask::http::Request;

use super::night::{Night, closed, told};
use super::{PATIENCE, of, times};
use crate::support::daemon::{binary, rehearsal_binary, until};
use crate::support::people::People;
use crate::support::slack_standin::{CHANNEL, SlackStandin};
use crate::support::watch::Watch;

/// The hold of a page, shortened: long enough for a cure on a busy machine.
const HOLD: Duration = Duration::from_secs(60);
/// The shipped `group_interval` of held pages, and what a busy machine adds.
const LATER: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(45);
/// Alertmanager lets go of groups without alerts every 30 seconds (`dispatch.go`).
const FORGOTTEN: Duration = Duration::from_secs(35);
/// Where the estate's Alertmanager has its configuration.
const FILE: &str = "/alertmanager/alertmanager.yml";

/// The shipped routes in the estate's Alertmanager, until this is dropped.
struct Routes<'a> {
    night: &'a Night,
    before: String,
}

impl<'a> Routes<'a> {
    fn lead_to(night: &'a Night, people: &People) -> Self {
        let before = night.estate.exec("alertmanager", &["cat", FILE]).unwrap();
        // Where runbookd is reached from inside is the estate's own matter.
        let own = |key: &str| before.lines().find_map(|line| line.trim().trim_start_matches("- ").strip_prefix(key)).unwrap();
        let mut text = std::fs::read_to_string(xtask::paths::root().join("deploy/alertmanager/alertmanager.yml")).unwrap();
        let pager = format!("webhook_configs: [{{url: 'http://host.docker.internal:{}/'}}]", people.port());
        for (from, to) in [
            ("group_wait: 4m", format!("group_wait: {}s", HOLD.as_secs())),
            ("group_wait: 10m", format!("group_wait: {}s", HOLD.as_secs())),
            ("group_interval: 30s\n      repeat_interval: 1m\n", "group_interval: 1s\n      repeat_interval: 5s\n".to_owned()),
            ("http://runbookd:9095/webhook/alertmanager", own("url: ").to_owned()),
            ("/etc/alertmanager/runbookd-token", own("credentials_file: ").to_owned()),
            ("  - name: humans\n", format!("  - name: humans\n    {pager}\n")),
        ] {
            assert!(text.contains(from), "the shipped file has no `{from}` any more");
            text = text.replace(from, &to);
        }
        // A Prometheus goes on telling for 15 minutes that an alert is over (`rules/alerting.go`), and each time Alertmanager makes a group
        // whose hold is over at once: an alert that comes again meanwhile joins it and is told of at its next interval. So a Prometheus
        // that remembers no earlier test, and then an Alertmanager that has let go of its own groups; empty ones show nowhere.
        night.estate.engine().run(&["restart", &night.estate.container("prometheus")]).unwrap();
        let routes = Self { night, before };
        routes.load(&text);
        let loaded = xtask::clock::now();
        until("what was is forgotten", 2 * FORGOTTEN, || (loaded.elapsed() > FORGOTTEN).then_some(()), String::new);
        routes
    }

    fn load(&self, text: &str) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("alertmanager.yml");
        std::fs::write(&file, text).unwrap();
        let inside = format!("{}:{FILE}", self.night.estate.container("alertmanager"));
        self.night.estate.engine().run(&["cp", file.to_str().unwrap(), &inside]).unwrap();
        let reload = format!("{}/-/reload", self.night.estate.url("PORT_ALERTMANAGER").unwrap());
        Request::post(&reload).send().unwrap().ok().unwrap();
    }
}

impl Drop for Routes<'_> {
    fn drop(&mut self) {
        self.load(&self.before);
    }
}

/// A service that stands still, until this is dropped.
struct Still<'a>(&'a Night, &'static str);

impl<'a> Still<'a> {
    fn stands(night: &'a Night, service: &'static str) -> Self {
        night.estate.engine().run(&["pause", &night.estate.container(service)]).unwrap();
        Self(night, service)
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        let _ = self.0.estate.engine().run(&["unpause", &self.0.estate.container(self.1)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cure_in_time_wakes_nobody_a_dead_runbookd_holds_no_page_back_and_a_cut_heartbeat_is_told() {
    let night = Night::begin();
    let watch = Watch::start(&night.estate);
    let (people, slack) = (People::start_for_containers().await, SlackStandin::start().await);
    let home = night.home();
    home.write("secrets/slack", "xoxb-first");
    let usual = std::fs::read_to_string(home.config().join("runbookd.yaml")).unwrap();
    let telling = format!("slack: {{token: {{file: secrets/slack}}, channel: {CHANNEL}, base_url: \"{}\"}}\n", slack.base());
    home.write("runbookd.yaml", &format!("{usual}{telling}watchdog: {{silence_after: 20s}}\n"));
    let routes = Routes::lead_to(&night, &people);
    let daemon = home.start(binary(), &[]);

    // Cured and over before the hold is: nobody is woken, which shows once the hold of the next one is over.
    let leaked = xtask::clock::now();
    let leak = night.breaks("leak-memory");
    let cured = closed(&daemon, &home, "backend-memory", PATIENCE);
    assert_eq!(cured["how"], "cured", "{}", told(&daemon, &home));
    drop(leak);

    // The heartbeat comes from Prometheus over Alertmanager. Without it people are told, by a way that leads through neither.
    let said = |words: &str| {
        until(
            &format!("Slack is told `{words}`"),
            SOON,
            || slack.messages().iter().any(|message| message.text.contains(words)).then_some(()),
            || format!("{:?}\n{}", slack.messages(), told(&daemon, &home)),
        );
    };
    assert!(!slack.messages().iter().any(|message| message.text.contains("has not reached runbookd")), "all links are whole");
    let still = Still::stands(&night, "alertmanager");
    said("has not reached runbookd for");
    drop(still);
    said("has reached runbookd again");
    drop(daemon);

    // Killed right before its act: the page comes when its hold is over, as if there were no runbookd.
    let mut daemon = home.start(rehearsal_binary(), &[("RUNBOOKD_KILL_AT", "before-effect")]);
    let unhealthy = night.breaks("unhealthy");
    let fires = || night.estate.alerts().unwrap().into_iter().any(|alert| alert["labels"]["alertname"] == "ServiceUnhealthy");
    until("the alert is there", SOON, || fires().then_some(()), || home.log());
    let fired = xtask::clock::now();
    until("it is killed right before its act", HOLD, || daemon.child.try_wait().unwrap(), || home.log());
    let page = people.wait("ServiceUnhealthy", "firing", HOLD + LATER, || home.log());
    let held = page.at.duration_since(fired);
    assert!(held + Duration::from_secs(10) >= HOLD, "the page was held for {held:?} only");
    // And that it is dead is told past every hold.
    people.wait("RunbookdDown", "firing", SOON, || home.log());
    until("the hold of the first page is over", HOLD + LATER, || (leaked.elapsed() > HOLD + LATER).then_some(()), String::new);
    assert!(people.page("HighMemoryUsage", "firing").is_none(), "what was cured in time woke somebody: {:?}", people.pages());
    drop(daemon);

    // Its next life looks, does what was not done, and whoever was woken hears of the end.
    let daemon = home.start(binary(), &[]);
    let cured = closed(&daemon, &home, "service-unhealthy", PATIENCE);
    assert_eq!(cured["how"], "cured", "{}", told(&daemon, &home));
    people.wait("ServiceUnhealthy", "resolved", LATER + SOON, || told(&daemon, &home));
    people.wait("RunbookdDown", "resolved", LATER + SOON, || told(&daemon, &home));
    let touches = watch.touches();
    assert_eq!(times(&of(&touches, "backend"), "start"), 2, "once for memory, once for health: {touches:?}");
    assert_eq!(slack.complaints(), Vec::<String>::new());
    drop((unhealthy, routes));
}

#[test]
fn a_restart_that_does_harm_is_no_cure_and_calls_a_person() {
    let night = Night::begin();
    let watch = Watch::start(&night.estate);
    // The shipped guard, looking more often, and a proof that takes longer than harm takes to show.
    let home = night.home_with(
        "storm: {incidents: 40, within: 5m}",
        &[("[1m]", "[10s]"), ("apart: 10s", "apart: 2s"), ("within: 2m, hold: 2s", "within: 2m, hold: 40s")],
    );
    let daemon = home.start(binary(), &[]);
    let before = night.identity("backend");
    let leak = night.breaks("leak-memory");
    let restarted = || (night.identity("backend") != before && night.identity("backend").ends_with("running")).then_some(());
    until("the backend is restarted", PATIENCE, restarted, || told(&daemon, &home));
    let well =
        || night.estate.containers().unwrap().iter().find(|one| one.service == "backend").is_some_and(|one| one.is_whole());
    until("it is well again", SOON, || well().then_some(()), || told(&daemon, &home));
    // Its memory is well, its health check too; its API is not.
    let errors = night.breaks("errors-500");
    let closed = closed(&daemon, &home, "backend-memory", PATIENCE);
    assert_eq!(closed["how"], "handed_over", "{}", told(&daemon, &home));
    let why = closed["why"].as_str().unwrap();
    assert!(why.starts_with("harm: `errors.value > 0.1` came to hold, seen in 2 looks"), "{why}");
    assert!(why.ends_with("nothing more is done, and docker.rolling_restart cannot be undone"), "{why}");
    assert_eq!(times(&of(&watch.touches(), "backend"), "start"), 1, "it is not restarted once more for what it did");
    night.only_touched(&watch, &["backend"]);
    drop((leak, errors));
}
