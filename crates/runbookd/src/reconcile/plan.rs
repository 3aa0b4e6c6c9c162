//! What follows from what Alertmanagers say, given what the journal knows. Pure: the table below is the specification.
//! Deliberately no opinion on runbooks; whether one is for an alert is routing's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use runbook::alert::{Alert, Fingerprint};
use runbook::incident::IncidentId;
use runbook::time::Stamp;

use crate::wire::{Listed, State};

/// An Alertmanager keeps no alerts over a restart and hears of them again within minutes; before that its lacking one says
/// nothing.
pub const UP_FOR: Duration = Duration::from_secs(600);
/// A younger alert may still be in its `group_wait`, where an inhibition or its own end can keep it from being sent.
pub const OLD_ENOUGH: Duration = Duration::from_secs(60);

/// What one Alertmanager said.
#[derive(Clone, PartialEq, Debug)]
pub struct Said {
    /// Which.
    pub url: String,
    /// How long it has been up, as far as it says so.
    pub up: Option<Duration>,
    /// Whether its cluster has settled, or it stands alone.
    pub settled: bool,
    /// What fires for our receiver; or why it could not be asked.
    pub listed: Result<Vec<Listed>, String>,
}

/// An alert that an open incident has, and that fires as far as we know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// Which incident.
    pub incident: IncidentId,
    /// Which alert.
    pub fingerprint: Fingerprint,
}

/// An alert of an open incident is silenced; by whom is still to be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stop {
    /// Which incident.
    pub incident: IncidentId,
    /// Which alert.
    pub fingerprint: Fingerprint,
    /// The ids of the silences that cover it there.
    pub silences: Vec<String>,
    /// Where it is.
    pub url: String,
}

/// What follows.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// Alerts that fire and that no open incident has.
    pub hear: Vec<Alert>,
    /// Incidents that a person stopped, unless all of these silences are our own.
    pub stop: Vec<Stop>,
    /// Alerts that are over, where their incident has not acted.
    pub over: Vec<Known>,
    /// Alerts that are absent; over when they are absent in the next round too.
    pub missing: BTreeSet<Fingerprint>,
}

/// Plans one round.
pub fn plan(said: &[Said], known: &[Known], missing_before: &BTreeSet<Fingerprint>, now: Stamp) -> Plan {
    let mut plan = Plan::default();
    let answered: Vec<(&Said, &Vec<Listed>)> = said.iter().filter_map(|one| Some((one, one.listed.as_ref().ok()?))).collect();
    let by_fingerprint = gather(&answered);
    let ours: BTreeSet<Fingerprint> = known.iter().map(|known| known.fingerprint).collect();

    for (fingerprint, listed) in &by_fingerprint {
        // Only what every one that has it calls active: silenced or inhibited anywhere is enough to start nothing.
        let all_active = listed.iter().all(|(_, one)| is_active(one));
        let earliest = listed.iter().map(|(_, one)| one).min_by_key(|one| one.alert.starts_at);
        if let Some(one) = earliest
            && all_active
            && !ours.contains(fingerprint)
            && now.since(one.alert.starts_at) >= OLD_ENOUGH
        {
            plan.hear.push(one.alert.clone());
        }
    }
    // One that has been up long enough has to lack it; the others must at least not have it.
    let absence_counts = answered.iter().any(|(one, _)| one.settled && one.up.is_some_and(|up| up >= UP_FOR));
    for known in known {
        match by_fingerprint.get(&known.fingerprint) {
            Some(listed) => {
                for (said, one) in listed.iter().filter(|(_, one)| !one.silenced_by.is_empty()) {
                    let (silences, url) = (one.silenced_by.clone(), said.url.clone());
                    plan.stop.push(Stop { incident: known.incident, fingerprint: known.fingerprint, silences, url });
                }
            }
            None if absence_counts => {
                plan.missing.insert(known.fingerprint);
                if missing_before.contains(&known.fingerprint) {
                    plan.over.push(*known);
                }
            }
            None => {}
        }
    }
    plan
}

fn gather<'a>(answered: &[(&'a Said, &'a Vec<Listed>)]) -> BTreeMap<Fingerprint, Vec<(&'a Said, &'a Listed)>> {
    let mut gathered: BTreeMap<Fingerprint, Vec<(&Said, &Listed)>> = BTreeMap::new();
    for (said, listed) in answered {
        for one in *listed {
            gathered.entry(one.alert.fingerprint).or_default().push((said, one));
        }
    }
    gathered
}

fn is_active(one: &Listed) -> bool {
    one.state == State::Active && one.silenced_by.is_empty() && one.inhibited_by.is_empty() && one.muted_by.is_empty()
}

#[cfg(test)]
mod tests {
    use runbook::alert::{AlertStatus, Labels};

    use super::*;

    const NOW: i64 = 1_800_000_000_000;
    const HOUR: Duration = Duration::from_secs(3600);

    fn listed(name: &str, state: State, age: Duration) -> Listed {
        let labels = Labels::from([("alertname".to_owned(), name.to_owned())]);
        let starts_at = Stamp::from_millis(NOW).minus(age);
        let fingerprint = Fingerprint::of(&labels);
        let alert = Alert {
            fingerprint,
            status: AlertStatus::Firing,
            labels,
            annotations: Labels::new(),
            starts_at,
            generator_url: String::new(),
        };
        Listed {
            alert,
            state,
            silenced_by: Vec::new(),
            inhibited_by: Vec::new(),
            muted_by: Vec::new(),
            receivers: Vec::new(),
            updated_at: starts_at,
        }
    }

    fn silenced(name: &str) -> Listed {
        Listed { silenced_by: vec!["s1".to_owned()], ..listed(name, State::Suppressed, HOUR) }
    }

    fn said(url: &str, up: Duration, alerts: &[Listed]) -> Said {
        Said { url: url.to_owned(), up: Some(up), settled: true, listed: Ok(alerts.to_vec()) }
    }

    fn away(url: &str) -> Said {
        Said { url: url.to_owned(), up: None, settled: true, listed: Err("no answer".to_owned()) }
    }

    fn print(name: &str) -> Fingerprint {
        listed(name, State::Active, HOUR).alert.fingerprint
    }

    fn known(id: u64, name: &str) -> Known {
        Known { incident: IncidentId(id), fingerprint: print(name) }
    }

    /// Names heard, incidents stopped, incidents over, and how many are missing.
    fn words(said: &[Said], known: &[Known], before: &[&str]) -> (Vec<String>, Vec<u64>, Vec<u64>, usize) {
        let before = before.iter().map(|name| print(name)).collect();
        let plan = plan(said, known, &before, Stamp::from_millis(NOW));
        (
            plan.hear.iter().map(|alert| alert.name().to_owned()).collect(),
            plan.stop.iter().map(|stop| stop.incident.0).collect::<BTreeSet<_>>().into_iter().collect(),
            plan.over.iter().map(|known| known.incident.0).collect(),
            plan.missing.len(),
        )
    }

    #[test]
    fn what_fires_and_nobody_brought_is_heard() {
        let active = listed("A", State::Active, HOUR);
        let inhibited = Listed { inhibited_by: vec!["x".to_owned()], ..listed("A", State::Suppressed, HOUR) };
        let muted = Listed { muted_by: vec!["night".to_owned()], ..active.clone() };
        let young = listed("A", State::Active, Duration::from_secs(59));
        let table: [(&str, Vec<Said>, &[Known], bool); 10] = [
            ("active and unknown", vec![said("a", HOUR, std::slice::from_ref(&active))], &[], true),
            ("from an Alertmanager that just started", vec![said("a", Duration::ZERO, std::slice::from_ref(&active))], &[], true),
            ("the other is away", vec![said("a", HOUR, std::slice::from_ref(&active)), away("b")], &[], true),
            ("known already", vec![said("a", HOUR, std::slice::from_ref(&active))], &[known(1, "A")], false),
            ("silenced", vec![said("a", HOUR, &[silenced("A")])], &[], false),
            ("inhibited", vec![said("a", HOUR, &[inhibited])], &[], false),
            ("muted", vec![said("a", HOUR, &[muted])], &[], false),
            ("active here, silenced there", vec![said("a", HOUR, &[active]), said("b", HOUR, &[silenced("A")])], &[], false),
            ("younger than any group_wait", vec![said("a", HOUR, &[young])], &[], false),
            ("in a state that nobody knows", vec![said("a", HOUR, &[listed("A", State::Other, HOUR)])], &[], false),
        ];
        for (what, said, known, heard) in table {
            assert_eq!(words(&said, known, &[]).0 == ["A"], heard, "{what}");
        }
        let both =
            [said("a", HOUR, &[listed("A", State::Active, HOUR)]), said("b", HOUR, &[listed("A", State::Active, 2 * HOUR)])];
        let plan = plan(&both, &[], &BTreeSet::new(), Stamp::from_millis(NOW));
        assert_eq!(plan.hear.len(), 1, "two Alertmanagers, one alert");
        assert_eq!(plan.hear[0].starts_at, Stamp::from_millis(NOW).minus(2 * HOUR), "the earlier start is the episode's");
    }

    #[test]
    fn a_silence_stops_its_incident() {
        let everywhere = [said("a", HOUR, &[silenced("A"), silenced("B")]), said("b", HOUR, &[silenced("A")])];
        assert_eq!(words(&everywhere, &[known(1, "A"), known(1, "B"), known(2, "C")], &[]).1, [1]);
        assert_eq!(
            words(&[said("a", Duration::ZERO, &[silenced("A")])], &[known(1, "A")], &[]).1,
            [1],
            "however young the Alertmanager"
        );
        assert!(words(&[away("a")], &[known(1, "A")], &[]).1.is_empty());
    }

    #[test]
    fn absence_counts_only_from_one_that_has_been_up_and_only_the_second_time() {
        let has_it = listed("A", State::Active, HOUR);
        let unsettled = Said { settled: false, ..said("a", HOUR, &[]) };
        let unaware = Said { up: None, ..said("a", HOUR, &[]) };
        type Case<'a> = (&'a str, Vec<Said>, &'a [&'a str], usize, bool);
        let table: [Case<'_>; 9] = [
            ("for the first time", vec![said("a", HOUR, &[])], &[], 1, false),
            ("for the second time", vec![said("a", HOUR, &[])], &["A"], 1, true),
            ("just started", vec![said("a", Duration::from_secs(599), &[])], &["A"], 0, false),
            ("does not say how long it is up", vec![unaware], &["A"], 0, false),
            ("its cluster has not settled", vec![unsettled], &["A"], 0, false),
            ("unreachable", vec![away("a")], &["A"], 0, false),
            ("none is configured", vec![], &["A"], 0, false),
            (
                "another still has it",
                vec![said("a", HOUR, &[]), said("b", HOUR, std::slice::from_ref(&has_it))],
                &["A"],
                0,
                false,
            ),
            ("the other is away", vec![said("a", HOUR, &[]), away("b")], &["A"], 1, true),
        ];
        for (what, said, before, missing, over) in table {
            let (heard, stopped, found, count) = words(&said, &[known(1, "A")], before);
            assert_eq!((found == [1], count), (over, missing), "{what}");
            assert!(heard.is_empty() && stopped.is_empty(), "{what}");
        }
    }
}
