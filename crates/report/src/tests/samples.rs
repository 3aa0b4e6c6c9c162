//! Incidents for tests, made by the state machine from events that it accepts.

use std::collections::BTreeMap;
use std::sync::Arc;

use runbook::action::{Action, IdleState, PostgresAction, RehearsalAction, TerminateIdle};
use runbook::alert::{Alert, AlertStatus, Fingerprint, Labels};
use runbook::book::{Guard, Limits, Look, Mode, ModeByTime, Rate, Recurrence, Remedy, Runbook, Step, Verify};
use runbook::condition::{Condition, Value};
use runbook::finding::{Attributes, Finding, Findings, Seen, Subject};
use runbook::identity::{Identity, Selection};
use runbook::incident::*;
use runbook::order::{Order, Purpose, Verdict};
use runbook::probe::{PostgresProbe, Probe, RehearsalProbe, Sessions};
use runbook::target::{Kind, TargetId, TargetSelector};
use runbook::time::{Span, Stamp};

/// 02:11:00 UTC on a day in June.
pub(super) const NIGHT: i64 = 1_750_039_860_000;

/// An incident, and what happened to it.
#[derive(Clone)]
pub(super) struct Sample {
    pub(super) incident: Incident,
    pub(super) events: Vec<(Stamp, Event)>,
}

impl Sample {
    /// One more event, this many milliseconds after the opening.
    pub(super) fn then(mut self, after: i64, event: Event) -> Self {
        let at = Stamp::from_millis(NIGHT + after);
        self.incident.apply(at, &event).unwrap();
        self.events.push((at, event));
        self
    }
}

fn target() -> TargetId {
    TargetId { kind: Kind::Postgres, name: "main".into() }
}

fn close_idle(at_most: u32) -> Action {
    Action::Postgres(PostgresAction::TerminateIdle(TerminateIdle {
        idle_for: Span::secs(600),
        at_most,
        keep: 5,
        states: vec![IdleState::Idle, IdleState::IdleInTransaction],
        never: vec!["backup".into()],
    }))
}

fn remedy(name: &str, at_most: u32) -> Remedy {
    Remedy {
        name: name.into(),
        when: None,
        mode: None,
        steps: vec![Step {
            action: close_idle(at_most),
            target: None,
            until: None,
            at_most_for: None,
            only_while: None,
            silence: vec![],
        }],
        verify: Verify {
            until: Condition::parse("sessions.used_ratio < 0.7").unwrap(),
            within: Span::secs(60),
            hold: Span::secs(15),
        },
        guard: None,
    }
}

/// A runbook as it ships, with foreign words where a stranger could put some.
pub(super) fn runbook(words: &str) -> Arc<Runbook> {
    let probe = Probe::Postgres(PostgresProbe::Sessions(Sessions { idle_for: Span::secs(600) }));
    Arc::new(Runbook {
        name: format!("postgres-too-many-connections{words}"),
        summary: format!("Close sessions that sit idle until connections are below 80 %{words}"),
        matches: None,
        target: TargetSelector::Named(target()),
        priority: 10,
        mode: ModeByTime::always(Mode::Auto),
        limits: Limits {
            cooldown: Span::secs(600),
            rate: vec![Rate { count: 3, per: Span::secs(3600) }],
            recurrence: Some(Recurrence { times: 2, within: Span::secs(6 * 3600) }),
        },
        look: BTreeMap::from([("sessions".to_owned(), Look { probe, target: None })]),
        require: Condition::parse("sessions.used_ratio > 0.8 && sessions.idle > 0").unwrap(),
        remedies: vec![
            remedy(&format!("close idle sessions{words}"), 20),
            remedy(&format!("close more idle sessions{words}"), 40),
        ],
    })
}

/// The alert that opened it.
pub(super) fn opened(words: &str) -> Sample {
    let name = format!("HighDatabaseConnections{words}");
    let labels: Labels = [("alertname".to_owned(), name), ("instance".to_owned(), format!("db{words}"))].into();
    let alert = Alert {
        fingerprint: Fingerprint::of(&labels),
        status: AlertStatus::Firing,
        labels,
        annotations: [("summary".to_owned(), format!("93 of 100 connections are in use{words}"))].into(),
        starts_at: Stamp::from_millis(NIGHT - 120_000),
        generator_url: format!("http://prometheus.example:9090/graph?g0.expr=x{words}"),
    };
    let runbook = runbook(words);
    let opening =
        Opening { runbook: runbook.name.clone(), target: target(), trigger: Trigger::Alert(alert), config: "c0ffee".into() };
    let at = Stamp::from_millis(NIGHT);
    let incident = Incident::open(IncidentId(42), runbook, at, &opening);
    Sample { incident, events: vec![(at, Event::Opened(opening))] }
}

fn session(pid: i32, words: &str) -> Subject {
    let identity = Identity::Session { pid, backend_start: (NIGHT - 7_200_000) * 1000 + i64::from(pid) };
    let words = format!("pid {pid} of backend{words}, idle for {}m", pid % 60 + 10);
    Subject { identity, words, attributes: Attributes::default() }
}

/// What `postgres.sessions` sees.
pub(super) fn sessions(at: i64, used: f64, pids: std::ops::Range<i32>, words: &str) -> Findings {
    let idle = f64::from(pids.end - pids.start);
    let fields = [
        ("used_ratio", Value::Number(used)),
        ("idle", Value::Number(idle)),
        ("top_application", Value::Text(format!("backend{words}"))),
    ];
    let seen = Seen::Known {
        fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        subjects: pids.map(|pid| session(pid, words)).collect(),
    };
    let finding = Finding { probe: "postgres.sessions".into(), at: Stamp::from_millis(NIGHT + at), seen };
    Findings { looks: BTreeMap::from([("sessions".to_owned(), finding)]), ..Findings::default() }
}

/// A look that could not see.
pub(super) fn unseen(at: i64, why: &str) -> Findings {
    let finding =
        Finding { probe: "postgres.sessions".into(), at: Stamp::from_millis(NIGHT + at), seen: Seen::Unknown(why.into()) };
    Findings { looks: BTreeMap::from([("sessions".to_owned(), finding)]), ..Findings::default() }
}

pub(super) fn order(pids: std::ops::Range<i32>, at_most: u32) -> Order {
    let selection = Selection::of(pids.map(|pid| session(pid, "").identity)).unwrap();
    Order { purpose: Purpose::Do, action: close_idle(at_most), target: target(), selection }
}

fn gates(closed: &[(GateName, &str)]) -> Vec<Gate> {
    use GateName::{Fresh, Mode, Pause, Rate};
    let open = [(Pause, "nothing is paused"), (Fresh, "seen 0.1s ago"), (Mode, "auto"), (Rate, "0 of 3 acts in 1h")];
    let all = open.iter().map(|(name, why)| (name, why, true)).chain(closed.iter().map(|(name, why)| (name, why, false)));
    all.map(|(name, why, open)| Gate { name: *name, open, why: (*why).to_owned().into() }).collect()
}

fn started(at: i64, order: Order) -> Event {
    let deadline = Stamp::from_millis(NIGHT + at + 10_000);
    Event::ActionStarted { order, deadline, settles_from: Stamp::from_millis(NIGHT + at + 15_000), gates: gates(&[]) }
}

pub(super) fn settled(at: i64, verdict: Verdict) -> Event {
    let fields = BTreeMap::from([("alive".to_owned(), Value::Number(0.0))]);
    let seen = Seen::Known { fields, subjects: vec![] };
    Event::Settled { verdict, finding: Finding { probe: "postgres.alive".into(), at: Stamp::from_millis(NIGHT + at), seen } }
}

/// Looked, saw too many, and closes fourteen.
pub(super) fn acting(words: &str) -> Sample {
    let captured = Captured { evidence: vec!["9f2c".into(), "77ab".into()], missing: vec![] };
    opened(words)
        .then(90, Event::Looked { findings: sessions(80, 0.93, 100..119, words) })
        .then(120, Event::EvidenceCaptured { at: StepRef { rung: 0, step: 0 }, captured })
        .then(150, started(150, order(100..114, 20)))
}

/// Closed fourteen sessions, and it helped.
pub(super) fn cured(words: &str) -> Sample {
    acting(words)
        .then(210, Event::ActionReplied { reply: Reply::Done("14 of 14 signalled".into()) })
        .then(300, settled(290, Verdict::Landed("14 of 14 sessions are gone".into())))
        .then(
            15_400,
            Event::Verified { findings: sessions(15_390, 0.41, 100..105, words), since: Stamp::from_millis(NIGHT + 350) },
        )
        .then(15_410, Event::Closed { how: How::Cured, why: "the remedy's own condition held for its time".into() })
}

/// Closed fourteen sessions, and the server has not answered since.
pub(super) fn unsettled(words: &str) -> Sample {
    let why = format!("postgres/main gave no answer within 5s{words}");
    acting(words)
        .then(10_150, Event::ActionReplied { reply: Reply::NoAnswer("no answer within 10s".into()) })
        .then(135_200, Event::Unsettled { since: Stamp::from_millis(NIGHT + 15_160), why })
}

/// Asks before it closes anything.
pub(super) fn asking(words: &str) -> Sample {
    let order = order(100..114, 20);
    let shown = order.describe(&sessions(80, 0.93, 100..119, words));
    let expires = Stamp::from_millis(NIGHT + 1_800_000);
    let remind = [600_000, 1_500_000].map(|after| Stamp::from_millis(NIGHT + after)).to_vec();
    let ask = Ask { id: "q7f3k9".into(), order, at_most: 20, shown: Ask::show(shown), expires, remind, who: Vec::new() };
    let mode = [(GateName::Mode, "ask, until 07:00")];
    let waits = Event::Waits {
        until: expires,
        on: Waiting::Person(ask),
        why: "The runbook's mode is ask now.".into(),
        gates: gates(&mode),
    };
    opened(words).then(90, Event::Looked { findings: sessions(80, 0.93, 100..119, words) }).then(130, waits)
}

/// Nobody answered.
pub(super) fn unanswered(words: &str) -> Sample {
    let why = "nobody answered in time, which is a no";
    asking(words)
        .then(1_800_000, Event::Answered { ask: "q7f3k9".into(), answer: Answer::Expired })
        .then(1_800_010, Event::Closed { how: How::HandedOver, why: why.into() })
}

/// Blind for a while, two remedies that did not help, then a person.
pub(super) fn handed_over(words: &str) -> Sample {
    let blind = |at: i64| Event::Looked { findings: unseen(at, &format!("connection refused{words}")) };
    let waits = |at: i64, tries: u32| Event::Waits {
        until: Stamp::from_millis(NIGHT + at),
        on: Waiting::Sight,
        why: format!("sessions is unknown: connection refused{words} ({tries} looks so far)"),
        gates: gates(&[(GateName::Sight, "sessions is unknown")]),
    };
    let no = |at: i64| Event::NotVerified {
        findings: sessions(at, 0.91, 100..105, words),
        why: format!("`sessions.used_ratio < 0.7` did not hold within 1m{words}"),
        unseen: false,
    };
    opened(words)
        .then(10, blind(9))
        .then(20, waits(5_000, 1))
        .then(5_000, Event::Woke { why: "it is time to look again".into() })
        .then(5_010, blind(5_009))
        .then(5_020, waits(10_000, 2))
        .then(10_000, Event::Woke { why: "it is time to look again".into() })
        .then(10_100, Event::Looked { findings: sessions(10_090, 0.93, 100..119, words) })
        .then(10_150, started(10_150, order(100..114, 20)))
        .then(10_250, Event::ActionReplied { reply: Reply::NoAnswer(format!("the connection was cut{words}")) })
        .then(30_000, settled(29_900, Verdict::Partly(format!("9 of 14 sessions are gone, 5 are still there{words}"))))
        .then(90_000, no(89_900))
        .then(90_100, Event::Looked { findings: sessions(90_090, 0.91, 100..105, words) })
        .then(
            90_150,
            Event::RungSkipped { why: format!("it does not apply{words}"), gates: gates(&[(GateName::When, "does not hold")]) },
        )
        .then(90_200, Event::Noted { by: format!("ann{words}"), words: format!("I am on it{words}") })
        .then(
            90_300,
            Event::Closed { how: How::HandedOver, why: "no remedy is left; the last one: it does not apply".to_owned() + words },
        )
}

/// A person said no.
pub(super) fn denied(words: &str) -> Sample {
    let answer =
        Answer::Denied { by: format!("ann{words}"), proof: Proof::Unproved, why: format!("not during the release{words}") };
    asking(words)
        .then(60_000, Event::Answered { ask: "q7f3k9".into(), answer })
        .then(60_010, Event::Closed { how: How::Denied, why: format!("ann{words} said no: not during the release{words}") })
}

fn rehearsal(words: &str, lasting: bool) -> Sample {
    let target = TargetId { kind: Kind::Rehearsal, name: "ledger".into() };
    let step = |key: &str| {
        let action = RehearsalAction { key: key.into(), undo: !lasting, lasting, ..RehearsalAction::default() };
        let until = lasting.then(|| Condition::parse("ledger.effects > 3").unwrap());
        Step { action: Action::Rehearsal(action), target: None, until, at_most_for: None, only_while: None, silence: vec![] }
    };
    let mut runbook = Runbook::clone(&runbook(words));
    runbook.name = format!("rehearsal{words}");
    runbook.target = TargetSelector::Named(target.clone());
    runbook.look =
        BTreeMap::from([("ledger".to_owned(), Look { probe: Probe::Rehearsal(RehearsalProbe::Ledger), target: None })]);
    runbook.require = Condition::parse("ledger.broken").unwrap();
    let verify = Verify { until: Condition::parse("!ledger.broken").unwrap(), within: Span::secs(60), hold: Span::secs(1) };
    let steps = if lasting { vec![step("a")] } else { vec![step("a"), step("b")] };
    runbook.remedies = vec![Remedy { name: format!("write{words}"), when: None, mode: None, steps, verify, guard: None }];
    let trigger = Trigger::Person { by: format!("ann{words}"), words: format!("the ledger is broken{words}") };
    let opening = Opening { runbook: runbook.name.clone(), target, trigger, config: "c0ffee".into() };
    let at = Stamp::from_millis(NIGHT);
    let incident = Incident::open(IncidentId(42), Arc::new(runbook), at, &opening);
    Sample { incident, events: vec![(at, Event::Opened(opening))] }
}

fn ledger(at: i64, broken: bool, effects: f64) -> Finding {
    let fields = BTreeMap::from([("broken".to_owned(), Value::Flag(broken)), ("effects".to_owned(), Value::Number(effects))]);
    let seen = Seen::Known { fields, subjects: vec![] };
    Finding { probe: "rehearsal.ledger".into(), at: Stamp::from_millis(NIGHT + at), seen }
}

fn ledgers(at: i64, broken: bool, effects: f64) -> Findings {
    Findings { looks: BTreeMap::from([("ledger".to_owned(), ledger(at, broken, effects))]), ..Findings::default() }
}

impl Sample {
    // A look, an order for the given step, and what a look said about it.
    fn does(self, at: i64, purpose: Purpose, step: usize, verdict: Verdict) -> Self {
        let action = self.incident.runbook.remedies[0].steps[step].action.clone();
        let Action::Rehearsal(rehearsal) = &action else { panic!("a rehearsal is wanted") };
        let selection = Selection::of([Identity::Rehearsal(rehearsal.key.clone())]).unwrap();
        let order = Order { purpose, action, target: self.incident.target.clone(), selection };
        self.then(at, Event::Looked { findings: ledgers(at, true, 0.0) })
            .then(at + 10, started(at + 10, order))
            .then(at + 20, Event::ActionReplied { reply: Reply::Done("one line written".into()) })
            .then(at + 30_000, Event::Settled { verdict, finding: ledger(at + 29_990, true, 1.0) })
    }
}

/// Two steps that did not help, and the first undo failed.
pub(super) fn stuck(words: &str) -> Sample {
    let no =
        Event::NotVerified { findings: ledgers(130_000, true, 2.0), why: format!("it is still broken{words}"), unseen: false };
    rehearsal(words, false)
        .does(100, Purpose::Do, 0, Verdict::Landed("a is in the ledger".into()))
        .does(40_000, Purpose::Do, 1, Verdict::Landed("b is in the ledger".into()))
        .then(130_000, no)
        .does(131_000, Purpose::Undo, 1, Verdict::NotLanded(format!("b is still in force{words}")))
        .then(
            170_000,
            Event::Closed { how: How::Stuck, why: format!("undoing rehearsal.effect failed: b is still in force{words}") },
        )
}

/// It helped, and the effect lasts.
pub(super) fn sustaining(words: &str) -> Sample {
    let since = Stamp::from_millis(NIGHT + 40_000);
    rehearsal(words, true)
        .does(100, Purpose::Do, 0, Verdict::Landed(format!("a is in the ledger{words}")))
        .then(42_000, Event::Verified { findings: ledgers(41_990, false, 1.0), since })
}

/// And was ended.
pub(super) fn ended(words: &str) -> Sample {
    sustaining(words)
        .then(
            100_000,
            Event::EndDue {
                why: format!("`ledger.effects > 3` holds{words}"),
                findings: ledgers(99_990, false, 4.0),
                outlasted: false,
                of: None,
            },
        )
        .does(100_100, Purpose::End, 0, Verdict::Landed(format!("a is no longer in force{words}")))
        .then(
            131_000,
            Event::Closed { how: How::Cured, why: format!("verified, and every lasting effect has been ended{words}") },
        )
}

/// It helped, and then did harm, and was taken back.
pub(super) fn harmed(words: &str) -> Sample {
    let mut sample = rehearsal(words, true);
    let mut runbook = Runbook::clone(&sample.incident.runbook);
    let stop_if = vec![Condition::parse("ledger.effects > 1").unwrap()];
    runbook.remedies[0].guard = Some(Guard { stop_if, looks: 2, apart: Span::secs(5) });
    sample.incident.runbook = Arc::new(runbook);
    let since = Stamp::from_millis(NIGHT + 40_000);
    let why = format!("harm: `ledger.effects > 1` came to hold, seen in 2 looks over 5s (ledger.effects 4){words}");
    sample
        .does(100, Purpose::Do, 0, Verdict::Landed("a is in the ledger".into()))
        .then(42_000, Event::Verified { findings: ledgers(41_990, false, 1.0), since })
        .then(
            100_000,
            Event::Harmed {
                condition: "ledger.effects > 1".into(),
                findings: ledgers(99_990, false, 4.0),
                why: why.clone(),
                unseen: false,
                gates: vec![Gate { name: GateName::Harm, open: false, why: why.clone().into() }],
            },
        )
        .does(100_100, Purpose::Undo, 0, Verdict::Landed(format!("a is no longer in force{words}")))
        .then(131_000, Event::Closed { how: How::HandedOver, why: format!("{why}; what was done is undone") })
}

/// Another incident holds the target, and then a silence stops it.
pub(super) fn held(words: &str) -> Sample {
    let until = Stamp::from_millis(NIGHT + 60_000);
    let on = Waiting::Held { by: IncidentId(41) };
    let why = format!("INC-41 is acting on postgres/main{words}");
    opened(words)
        .then(90, Event::Looked { findings: sessions(80, 0.93, 100..119, words) })
        .then(130, Event::Waits { until, on, why, gates: gates(&[(GateName::Hold, "INC-41 has it")]) })
}

/// A person's pause keeps it waiting.
pub(super) fn paused(words: &str) -> Sample {
    let (until, why) = (Stamp::from_millis(NIGHT + 5_130), format!("paused: the release{words}"));
    let gates = gates(&[(GateName::Pause, "the release")]);
    opened(words)
        .then(90, Event::Looked { findings: sessions(80, 0.93, 100..119, words) })
        .then(130, Event::Waits { until, on: Waiting::Pause, why, gates })
}

/// Stopped by a silence.
pub(super) fn stopped(words: &str) -> Sample {
    let why = format!("ann{words} silenced the alert{words}");
    held(words)
        .then(5_000, Event::Stopped { why: why.clone() })
        .then(5_010, Event::Looked { findings: sessions(5_005, 0.93, 100..119, words) })
        .then(
            5_020,
            Event::Ending { how: How::Stopped, why: why.clone(), gates: gates(&[(GateName::Stop, "a person stopped it")]) },
        )
        .then(5_030, Event::Closed { how: How::Stopped, why })
}

/// All of them.
pub(super) fn all(words: &str) -> Vec<Sample> {
    let makers = [
        opened,
        acting,
        unsettled,
        cured,
        asking,
        unanswered,
        denied,
        handed_over,
        stuck,
        sustaining,
        ended,
        held,
        paused,
        stopped,
        harmed,
    ];
    makers.iter().map(|make| make(words)).collect()
}
