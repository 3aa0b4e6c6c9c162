//! Harm, fault first: nothing further is begun while something watched has come to hold or cannot be seen, one look is no harm, what was
//! bad already is none, and what was stopped stays stopped.

use std::time::Duration;

use runbook::book::Guard;
use runbook::incident::{Gate, GateName, Judged, Next, Reply, Stage};
use runbook::order::Purpose;

use super::*;

/// `effects` stands for what is watched: above 5 is harm.
fn seen(effects: Value, at: Stamp) -> Findings {
    let mut findings = findings(Value::Flag(true), at);
    if let Seen::Known { fields, .. } = &mut findings.looks.get_mut("ledger").unwrap().seen {
        fields.insert("effects".to_owned(), effects);
    }
    findings
}

fn bad(at: Stamp) -> Findings {
    seen(Value::Number(9.0), at)
}

fn good(at: Stamp) -> Findings {
    seen(Value::Number(1.0), at)
}

fn blind(at: Stamp) -> Findings {
    seen(Value::Unknown("no data".to_owned()), at)
}

/// A remedy of several keys, one after the other, under a guard of two looks five seconds apart.
fn guarded(undo: bool) -> Scene {
    let mut scene = Scene::new(Mode::Auto);
    let mut book = runbook(Mode::Auto);
    let then = (2..9).map(|number| format!("a{number}")).collect();
    let rolling = RehearsalAction { key: "a1".to_owned(), then, undo, ..RehearsalAction::default() };
    book.remedies[0].steps[0].action = Action::Rehearsal(rolling);
    book.remedies[0].guard =
        Some(Guard { stop_if: vec!["ledger.effects > 5.0".parse().unwrap()], looks: 2, apart: Span::secs(5) });
    // A ladder with another rung, which must never be climbed to after harm.
    book.remedies.push(Remedy { name: "second".to_owned(), ..book.remedies[0].clone() });
    scene.current = configuration(book.clone());
    scene.incident.runbook = std::sync::Arc::new(book);
    scene
}

impl Scene {
    fn passes(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    fn looks(&mut self, findings: fn(Stamp) -> Findings) {
        self.findings = findings(self.now);
        self.happens(Event::Looked { findings: self.findings.clone() });
    }

    fn waits(&mut self) {
        let Decision::Wait { until, on, why } = self.rule().decision else { panic!("{:?}", self.rule().gates) };
        self.happens(Event::Waits { until, on, why, gates: vec![] });
        self.now = self.now.max(until);
        self.happens(Event::Woke { why: String::new() });
    }

    fn acts(&mut self) {
        let Decision::Act(permit) = self.rule().decision else { panic!("{:?}", self.rule().gates) };
        let order = permit.order().clone();
        self.happens(Event::ActionStarted { order, deadline: self.now, settles_from: self.now, gates: vec![] });
    }

    fn lands(&mut self) {
        let finding = self.findings.looks["ledger"].clone();
        self.happens(Event::Settled { verdict: Verdict::Landed(String::new()), finding });
    }

    fn harm(&self, findings: Findings, unseen: bool) -> Event {
        let gates = vec![Gate { name: GateName::Harm, open: false, why: "harm".into() }];
        Event::Harmed { condition: "ledger.effects > 5.0".to_owned(), findings, why: "harm: it rose".to_owned(), unseen, gates }
    }

    fn refuses(&self, event: &Event) {
        let mut incident = self.incident.clone();
        assert!(incident.apply(self.now, event).is_err(), "{} is taken in while {}", event.kind(), incident.word());
    }
}

/// One key landed, and nothing was harmed so far.
fn begun(undo: bool) -> Scene {
    let mut scene = guarded(undo);
    scene.incident.stage = Stage::Looking(Aim::Do);
    scene.looks(good);
    scene.acts();
    scene.lands();
    scene
}

#[test]
fn what_comes_to_hold_is_looked_at_again_and_then_it_is_harm() {
    let mut scene = begun(false);
    scene.looks(bad);
    assert_eq!(scene.closed_gate(), "harm");
    scene.waits();
    assert!(scene.now >= NOW.plus(Duration::from_secs(5)), "some seconds apart");
    scene.looks(bad);
    let ruling = scene.rule();
    let Decision::Harm { condition, why } = ruling.decision else { panic!("{:?}", ruling.gates) };
    assert_eq!(condition, "ledger.effects > 5.0");
    assert_eq!(why, "harm: `ledger.effects > 5.0` came to hold, seen in 2 looks over 5s (ledger.effects 9)");
    let gate = ruling.gates.last().unwrap();
    assert!(gate.name == GateName::Harm && !gate.open);
    scene.happens(Event::Harmed {
        condition,
        findings: scene.findings.clone(),
        why,
        unseen: false,
        gates: ruling.gates.to_vec(),
    });
    // What has no undo stays, and it says so; no other rung is tried.
    let Next::Close { how, why } = scene.incident.next() else { panic!("{:?}", scene.incident.stage) };
    assert_eq!(how, How::HandedOver);
    assert!(why.contains("nothing more is done, and rehearsal.effect cannot be undone"), "{why}");
}

#[test]
fn a_blip_and_a_look_that_comes_too_soon_are_no_harm() {
    let mut scene = begun(false);
    for _ in 0..3 {
        scene.looks(bad);
        assert_eq!(scene.closed_gate(), "harm");
        scene.waits();
        scene.looks(good);
        assert!(matches!(scene.rule().decision, Decision::Act(_)), "it was a blip: {:?}", scene.rule().gates);
        scene.acts();
        scene.lands();
    }
    // Two looks at once are one look.
    scene.looks(bad);
    scene.incident.stage = Stage::Looking(Aim::Do);
    scene.passes(1);
    scene.looks(bad);
    assert!(matches!(scene.rule().decision, Decision::Wait { on: Waiting::Time, .. }), "{:?}", scene.rule().gates);
}

#[test]
fn what_was_bad_already_is_no_harm_until_it_was_seen_to_be_good() {
    let mut scene = guarded(false);
    scene.incident.stage = Stage::Looking(Aim::Do);
    scene.looks(bad);
    let words = scene.rule().gates.iter().find(|gate| gate.name == GateName::Watched).unwrap().why.clone();
    assert!(words.contains("holds already and is no harm by this"), "{words}");
    for _ in 0..2 {
        scene.acts();
        scene.refuses(&scene.harm(bad(scene.now), false));
        scene.lands();
        scene.passes(60);
        scene.looks(bad);
    }
    scene.acts();
    scene.lands();
    scene.looks(good);
    scene.acts();
    scene.lands();
    scene.looks(bad);
    assert_eq!(scene.closed_gate(), "harm");
}

#[test]
fn what_cannot_be_seen_is_neither_harm_nor_fine() {
    // Not before the first step …
    let mut scene = guarded(false);
    scene.incident.stage = Stage::Looking(Aim::Do);
    scene.looks(blind);
    assert_eq!(scene.closed_gate(), "watched");
    assert!(matches!(scene.rule().decision, Decision::Wait { on: Waiting::Sight, .. }));
    // … and not between two: it waits, and calls a person when it has waited for long.
    let mut scene = begun(false);
    let began = scene.now;
    while scene.now.since(began) < Duration::from_secs(600) {
        scene.looks(blind);
        assert_eq!(scene.closed_gate(), "harm");
        scene.waits();
    }
    scene.looks(blind);
    let Decision::End { how: How::HandedOver, why } = scene.rule().decision else { panic!("{:?}", scene.rule().gates) };
    assert!(why.contains("cannot be seen"), "{why}");
}

#[test]
fn a_blind_look_is_no_harm_whatever_was_counted_before_it() {
    let mut scene = begun(false);
    scene.looks(bad);
    scene.waits();
    scene.looks(bad);
    // Counted often enough, but something else was decided: the alert is over, say.
    scene.happens(Event::Enough { why: "the alert resolved".to_owned() });
    let judged = |scene: &Scene, findings: Findings| {
        scene.incident.watch.as_ref().unwrap().judge(scene.incident.guard().unwrap(), &findings)
    };
    assert!(matches!(judged(&scene, blind(scene.now)), Judged::Unseen { .. }), "the fold would not take it for harm");
    scene.refuses(&scene.harm(blind(scene.now), false));
    assert!(matches!(judged(&scene, bad(scene.now)), Judged::Harm { .. }));
    assert_eq!(judged(&scene, good(scene.now)), Judged::Fine);
    // What is proved was seen not to do harm, so nothing that was counted before counts any longer.
    let since = scene.now;
    scene.passes(60);
    scene.happens(Event::Verified { since, findings: good(scene.now) });
    assert_eq!(judged(&scene, bad(scene.now)), Judged::Fine, "nothing is counted before a look is taken in");
}

#[test]
fn a_doubted_clock_does_not_give_up_what_was_begun() {
    let mut scene = begun(false);
    scene.looks(good);
    scene.doubt = Some(scene.now.plus(Duration::from_secs(86_400)));
    assert!(matches!(scene.rule().decision, Decision::Wait { on: Waiting::Clock, .. }));
    scene.incident.kept_since = Some(scene.now.minus(Duration::from_secs(86_400)));
    assert!(matches!(scene.rule().decision, Decision::Enough(_)), "it is verified: {:?}", scene.rule());
}

#[test]
fn what_is_seen_now_and_then_adds_up() {
    let mut scene = guarded(false);
    let mut book = (*scene.incident.runbook).clone();
    book.remedies[0].guard = None;
    book.remedies[0].steps[0].only_while = Some("ledger.effects > 5.0".parse().unwrap());
    scene.current = configuration(book.clone());
    scene.incident.runbook = std::sync::Arc::new(book);
    scene.incident.stage = Stage::Looking(Aim::Do);
    scene.looks(bad);
    scene.waits();
    scene.looks(blind);
    assert!(matches!(scene.rule().decision, Decision::Wait { on: Waiting::Sight, .. }));
    scene.waits();
    scene.looks(bad);
    assert!(matches!(scene.rule().decision, Decision::Act(_)), "seen twice, and not once seen otherwise");
    // But not over a time in which nobody could know.
    scene.incident.failing = None;
    scene.incident.stage = Stage::Looking(Aim::Do);
    scene.looks(bad);
    scene.passes(61);
    scene.incident.stage = Stage::Looking(Aim::Do);
    scene.looks(bad);
    assert!(matches!(scene.rule().decision, Decision::Wait { on: Waiting::Time, .. }));
}

#[test]
fn harm_while_an_order_is_in_doubt_waits_for_the_look_that_settles_it_and_then_undoes() {
    for (landed, unsettled) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut scene = begun(true);
        scene.looks(good);
        scene.acts();
        if unsettled {
            scene.happens(Event::Unsettled { since: scene.now, why: "it hangs".to_owned() });
        }
        scene.happens(scene.harm(bad(scene.now), false));
        assert_eq!(scene.incident.unsettled().is_some(), unsettled, "people stay called");
        assert_eq!(scene.incident.next(), Next::Settle, "an order that was sent is settled as always");
        scene.refuses(&scene.harm(bad(scene.now), false));
        scene.happens(Event::ActionReplied { reply: Reply::NoAnswer("it hung".to_owned()) });
        let verdict = if landed { Verdict::Landed(String::new()) } else { Verdict::NotLanded(String::new()) };
        scene.happens(Event::Settled { verdict, finding: scene.findings.looks["ledger"].clone() });
        let mut undone = 0;
        while let Next::Look(aim) = scene.incident.next() {
            assert_eq!(aim, Aim::Undo, "nothing further is done");
            scene.looks(bad);
            let ruling = decide(&Case { aim, ..scene.case() });
            let Decision::Act(permit) = ruling.decision else { panic!("{:?}", ruling.gates) };
            assert_eq!(permit.order().purpose, Purpose::Undo);
            let order = permit.order().clone();
            scene.happens(Event::ActionStarted { order, deadline: scene.now, settles_from: scene.now, gates: vec![] });
            scene.lands();
            undone += 1;
        }
        assert_eq!(undone, if landed { 2 } else { 1 });
        let Next::Close { how, why } = scene.incident.next() else { panic!("{:?}", scene.incident.stage) };
        assert_eq!((how, why.as_str()), (How::HandedOver, "harm: it rose; what was done is undone"));
    }
}

#[test]
fn no_cure_is_proved_while_harm_is_seen_or_nothing_is() {
    let mut scene = begun(false);
    scene.looks(good);
    scene.happens(Event::Enough { why: String::new() });
    let since = scene.now;
    scene.passes(60);
    for findings in [bad, blind] {
        scene.refuses(&Event::Verified { findings: findings(scene.now), since });
    }
    scene.refuses(&scene.harm(good(scene.now), false));
    scene.refuses(&scene.harm(blind(scene.now), true));
    let mut harmed = scene.incident.clone();
    harmed.apply(scene.now, &scene.harm(bad(scene.now), false)).unwrap();
    assert!(matches!(harmed.next(), Next::Close { how: How::HandedOver, .. }));
    scene.happens(Event::Verified { findings: good(scene.now), since });
}

proptest! {
    /// However looks, effects and time come, nothing is begun once harm is on record, nor at a look that sees something watched
    /// hold which did not before, nor at one that cannot see it.
    #[test]
    fn harm_never_leads_to_a_further_act(rounds in prop::collection::vec((0_u8..4, 0_u64..40, any::<bool>(), any::<bool>()), 1..40), undo in any::<bool>()) {
        let mut scene = guarded(undo);
        scene.incident.stage = Stage::Looking(Aim::Do);
        let (mut harmed, mut excused, mut rung) = (false, None, 0);
        for (look, seconds, in_between, lands) in rounds {
            let Next::Look(aim) = scene.incident.next() else { break };
            scene.passes(seconds);
            if std::mem::replace(&mut rung, scene.incident.at.rung) != scene.incident.at.rung {
                prop_assert!(!harmed, "no other rung is climbed to");
                excused = None;
            }
            let findings = [good, good, bad, blind][usize::from(look)];
            scene.looks(findings);
            if look < 2 {
                excused = excused.map(|_| false);
            }
            let ruling = decide(&Case { aim, ..scene.case() });
            match ruling.decision {
                Decision::Act(permit) => {
                    let order = permit.order().clone();
                    if order.purpose == Purpose::Do {
                        prop_assert!(!harmed, "an act after harm");
                        match excused {
                            None => prop_assert!(look != 3, "begun blindly"),
                            Some(excused) => prop_assert!(look < 2 || excused, "an act at look {look}"),
                        }
                        excused = excused.or(Some(look == 2));
                    }
                    let purpose = order.purpose;
                    scene.happens(Event::ActionStarted { order, deadline: scene.now, settles_from: scene.now, gates: vec![] });
                    if in_between && purpose == Purpose::Do {
                        // The engine's own looks, taken in or refused by the record.
                        let event = scene.harm(bad(scene.now), false);
                        let taken = scene.incident.apply(scene.now, &event).is_ok();
                        prop_assert_eq!(taken, excused == Some(false), "what was bad already is no harm");
                        harmed |= taken;
                    }
                    let verdict = if lands { Verdict::Landed(String::new()) } else { Verdict::NotLanded(String::new()) };
                    scene.happens(Event::Settled { verdict, finding: scene.findings.looks["ledger"].clone() });
                }
                Decision::Harm { condition, why } => {
                    prop_assert_eq!(excused, Some(false), "what was bad already is no harm");
                    harmed = true;
                    scene.happens(Event::Harmed { condition, findings: scene.findings.clone(), why, unseen: false, gates: vec![] });
                }
                Decision::Wait { until, on, why } => {
                    scene.happens(Event::Waits { until, on, why, gates: vec![] });
                    scene.now = scene.now.max(until);
                    scene.happens(Event::Woke { why: String::new() });
                }
                _ => break,
            }
        }
        if harmed {
            let rest = scene.incident.attempts.iter().rev().take_while(|attempt| attempt.order.purpose != Purpose::Do).count();
            prop_assert!(scene.incident.attempts.iter().skip(scene.incident.attempts.len() - rest).all(|a| a.order.purpose == Purpose::Undo));
        }
    }
}
