//! Properties of earned autonomy over random histories: a bad outcome never raises a level, a level rises by one at a time and only
//! on persons' marks, and runbooks do not touch each other. And what the mode gate says of it.

use runbook::book::Earned;
use runbook::incident::GateName;

use super::*;
use crate::{Ledger, Record, Standing, Weight};

const RULE: Option<Earned> = Some(Earned { after: 3 });

fn weights() -> impl Strategy<Value = Weight> {
    prop_oneof![
        4 => Just(Weight::Right),
        4 => Just(Weight::Confirmed),
        1 => Just(Weight::RightInVain),
        1 => any::<(bool, bool)>().prop_map(|(corrects, counted)| Weight::Wrong { corrects, counted }),
        2 => Just(Weight::Cured),
        1 => Just(Weight::Failed),
        1 => Just(Weight::CameBack),
    ]
}

fn at(second: u64) -> Stamp {
    NOW.plus(std::time::Duration::from_secs(second))
}

fn is_bad(weight: Weight) -> bool {
    matches!(weight, Weight::Wrong { counted: false, .. } | Weight::Failed | Weight::CameBack)
}

/// What a level is worth as a number.
fn rank(level: Mode) -> i32 {
    [Mode::Observe, Mode::Ask, Mode::Auto].iter().position(|mode| *mode == level).unwrap() as i32
}

proptest! {
    #[test]
    fn levels_rise_by_one_on_a_persons_word_and_fall_at_once(
        history in prop::collection::vec((weights(), 0_u64..40, any::<bool>()), 0..80),
    ) {
        let mut record = Record::default();
        for (second, (weight, ago, ruled)) in (100_u64..).zip(history) {
            let before = record.clone();
            let rule = if ruled { RULE } else { None };
            record.weigh(weight, "INC-1", at(second - ago), at(second), rule);
            let rise = rank(record.level) - rank(before.level);
            prop_assert!((-1..=1).contains(&rise), "by one at a time");
            if is_bad(weight) {
                prop_assert_eq!(rise, if before.level == Mode::Observe { 0 } else { -1 }, "down at once");
                prop_assert_eq!(record.streak, 0);
            }
            if rise > 0 {
                prop_assert!(ruled, "nothing rises where nothing is to be earned");
                prop_assert!(matches!(weight, Weight::Right | Weight::Confirmed), "{weight:?} lifts");
                prop_assert!(before.level == Mode::Observe || weight == Weight::Confirmed, "auto wants agreed cures");
                prop_assert!(before.streak >= 2, "the third in a row, or later where nothing was to be earned by then");
            }
            if rise < 0 {
                prop_assert!(is_bad(weight));
            }
        }
    }

    #[test]
    fn without_a_persons_marks_nothing_rises(history in prop::collection::vec(weights(), 0..80)) {
        let mut record = Record::default();
        for (second, weight) in (0_u64..).zip(history.into_iter().filter(|weight| !matches!(weight, Weight::Right | Weight::Confirmed))) {
            record.weigh(weight, "INC-1", at(second), at(second), RULE);
            prop_assert_eq!(record.level, Mode::Observe);
        }
    }

    /// A bad outcome put anywhere into a history never leaves the level higher than it is without.
    #[test]
    fn one_more_bad_outcome_never_helps(
        history in prop::collection::vec(weights(), 0..40), place in 0_usize..40, bad in weights().prop_filter("bad", |weight| is_bad(*weight)),
    ) {
        let tell = |history: &[Weight]| {
            let mut record = Record::default();
            for (second, weight) in (0_u64..).zip(history) {
                record.weigh(*weight, "INC-1", at(second), at(second), RULE);
            }
            record
        };
        let without = tell(&history);
        let mut worse = history;
        worse.insert(place.min(worse.len()), bad);
        let with = tell(&worse);
        prop_assert!((rank(with.level), with.streak) <= (rank(without.level), without.streak), "{with:?} is more than {without:?}");
    }
}

#[test]
fn what_was_opened_before_a_fall_earns_nothing_after_it() {
    let mut record = Record { level: Mode::Auto, ..Record::default() };
    record.weigh(Weight::Failed, "INC-9", at(0), at(10), RULE);
    assert_eq!((record.level, record.why.as_str()), (Mode::Ask, "INC-9 acted, and a person had to go on"));
    for _ in 0..5 {
        record.weigh(Weight::Confirmed, "INC-1", at(9), at(20), RULE);
    }
    assert_eq!((record.level, record.streak, record.confirmed), (Mode::Ask, 0, 5));
    for second in 21..24 {
        record.weigh(Weight::Confirmed, "INC-1", at(second), at(second), RULE);
    }
    assert_eq!(record.level, Mode::Auto);
}

#[test]
fn each_text_of_a_runbook_has_its_own_record_and_others_have_theirs() {
    let mut ledger = Ledger::default();
    let auto = Record { level: Mode::Auto, ..Record::default() };
    ledger.earns("cure", "one text", auto.clone());
    assert_eq!(ledger.standing("cure", "one text"), Standing { record: auto, before: None });
    let changed = ledger.standing("cure", "another text");
    assert_eq!((changed.record.level, changed.before), (Mode::Observe, Some(Mode::Auto)));
    assert_eq!(changed.words(), "what it does has changed since it earned auto, and begins anew at observe");
    assert_eq!(ledger.standing("other", "one text"), Standing::default());
}

#[test]
fn a_deed_is_what_is_done_and_not_by_whose_word_or_how_often() {
    let book = runbook(Mode::Auto);
    let mut same = Runbook { name: "other".to_owned(), summary: "x".to_owned(), priority: 7, ..runbook(Mode::Ask) };
    same.limits.cooldown = Span::secs(1);
    same.remedies[0].mode = Some(Mode::Ask);
    assert_eq!(book.deed(), same.deed());
    type Change = fn(&mut Runbook);
    let changes: [Change; 5] = [
        |book| book.target = TargetSelector::Lookup { kind: Kind::Rehearsal, label: "x".to_owned() },
        |book| book.require = Condition::parse("!ledger.broken").unwrap(),
        |book| book.remedies[0].verify.hold = Span::secs(4),
        |book| book.matches = Some(runbook::matcher::Matchers::parse(["alertname=\"X\""]).unwrap()),
        |book| book.remedies[0].steps.clear(),
    ];
    for change in changes {
        let mut other = runbook(Mode::Auto);
        change(&mut other);
        assert_ne!(book.deed(), other.deed());
    }
}

/// A scene whose runbook has to earn its autonomy, and has earned this.
fn earned(ceiling: Mode, level: Mode) -> Scene {
    let mut scene = Scene::new(ceiling);
    scene.current.runbooks.edit().get_mut("cure").unwrap().mode.earned = RULE;
    scene.history.earned.record = Record { level, ..Record::default() };
    scene
}

#[test]
fn the_lowest_of_ceiling_and_record_is_in_force_and_the_gate_names_who_lifts_it() {
    let gate = |scene: &Scene| scene.rule().gates.iter().find(|gate| gate.name == GateName::Mode).unwrap().clone();
    assert!(matches!(earned(Mode::Auto, Mode::Auto).rule().decision, Decision::Act(_)));
    let asks = earned(Mode::Auto, Mode::Ask);
    assert!(matches!(asks.rule().decision, Decision::Wait { on: Waiting::Person(_), .. }));
    let why = gate(&asks).why;
    assert!(why.contains("earned ask") && why.contains("3 more cures in a row") && why.contains("lift it to auto"), "{why}");
    assert!(!why.contains("default"), "what does not bind is not named: {why}");
    let observes = earned(Mode::Auto, Mode::Observe);
    let Decision::End { how: How::Refused, why } = observes.rule().decision else { panic!("it does not observe") };
    assert!(why.contains("would have done rehearsal.effect") && why.ends_with("on rehearsal/ledger"), "{why}");
    assert!(gate(&observes).why.contains("3 more that a person marks right in a row (`runbookd mark ID right`) lift it to ask"));
    // The ceiling binds where it is lower, and both where they are the same.
    let ceiling = earned(Mode::Ask, Mode::Auto);
    assert!(gate(&ceiling).why.ends_with("(default); the runbook's `mode` lifts it"), "{}", gate(&ceiling).why);
    let both = gate(&earned(Mode::Ask, Mode::Ask)).why;
    assert!(both.contains("(default; earned ask") && both.contains("`mode` lifts it; and 3 more cures"), "{both}");
    // Opt-in only: the same record counts for nothing where nothing is to be earned.
    let mut free = earned(Mode::Auto, Mode::Observe);
    free.current.runbooks.edit().get_mut("cure").unwrap().mode.earned = None;
    assert!(matches!(free.rule().decision, Decision::Act(_)));
}

#[test]
fn the_start_checks_the_level_again() {
    let Decision::Act(permit) = earned(Mode::Auto, Mode::Auto).rule().decision else { panic!("it does not act") };
    let deed = runbook(Mode::Auto).deed();
    let wanted = crate::Reservation::Earned { deed, at_least: Mode::Auto };
    assert!(permit.reservations().contains(&wanted), "{:?}", permit.reservations());
}
