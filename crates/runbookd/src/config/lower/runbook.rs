//! One file of `runbooks/`: its head, what it matches, its target, modes and limits; looks and ladder have files of their
//! own. Why matchers that match everything are refused: an alert that nobody thought of would start a cure.

use std::collections::{BTreeMap, BTreeSet};

use runbook::Span;
use runbook::book::{Earned, Limits, Mode, ModeByTime, Recurrence, Runbook};
use runbook::matcher::{Matcher, Matchers};
use runbook::target::{Kind as TargetKind, TargetId, TargetSelector};
use runbook::text::inert;

use super::conditions::condition;
use super::ladder::Ground;
use super::looks::{Looks, looks};
use super::rules::{rate, window};
use super::targets::Targets;
use super::{may, need, need_text};
use crate::config::complaint::Severity;
use crate::config::written::runbook::{WrittenEarned, WrittenLimits, WrittenLookup, WrittenMode, WrittenRunbook};
use crate::config::yaml::{Bytes, Document, Entries, Kind, NodeId, Placed, Raw, Reader};

/// The waiting time between two incidents' acts, where nothing is said.
const USUAL_COOLDOWN: Span = Span::secs(600);

/// So many in a row earn a level, where nothing is said.
const USUAL_TRUST: Earned = Earned { after: 5 };
/// A longer row than this would never come about.
const MOST_TRUST: u32 = 100;

/// What runbooks are checked against.
pub struct Known<'a> {
    /// The inventory.
    pub targets: &'a Targets,
    /// Names of time intervals; none where that file could not be read, and then nothing is said about them.
    pub intervals: Option<&'a BTreeSet<String>>,
}

/// A runbook and the places that later complaints need.
pub struct Found {
    /// The name, also of a runbook that is wrong.
    pub name: String,
    /// Where the name stands.
    pub name_at: Bytes,
    /// Where the matchers stand; the name's place where there are none.
    pub match_at: Bytes,
    /// The runbook, where nothing is wrong with it.
    pub runbook: Option<Runbook>,
}

/// Reads a file.
pub fn runbook(document: &Document, known: &Known<'_>) -> Option<Found> {
    let placed: Placed<WrittenRunbook> = Reader::new(document, document.root()?).read()?;
    let written = placed.get()?;
    let name = name(document, &placed, written);
    let summary = need_text(document, placed.at(), &written.summary, "summary");
    let matches = written.matches.as_ref().map(|placed| matchers(document, placed));
    let (target, own_kind) = match need(document, placed.at(), &written.target, "target") {
        Some(raw) => selector(document, known.targets, written.target.at(), *raw),
        None => (None, None),
    };
    let mode = need(document, placed.at(), &written.mode, "mode").and_then(|raw| mode(document, known, written.mode.at(), *raw));
    let limits = limits(document, written.limits.as_ref());
    let found = match need(document, placed.at(), &written.look, "look") {
        Some(written_looks) => looks(document, known.targets, own_kind, written_looks),
        None => Looks::default(),
    };
    need(document, placed.at(), &written.require, "require");
    // Without any look every field would be unknown, and the missing looks were complained about.
    let require = match written.look.get() {
        Some(_) => condition(document, &written.require, &found.fields),
        None => None,
    };
    let own = match &target {
        Some(TargetSelector::Named(id)) => Some(id),
        _ => None,
    };
    let looked_up_by = match &target {
        Some(TargetSelector::Lookup { label, .. }) => Some(label.as_str()),
        _ => None,
    };
    let ground = Ground {
        document,
        targets: known.targets,
        looks: &found,
        own,
        own_kind,
        looked_up_by,
        freest: mode.as_ref().map(freest),
        limited: may(&written.limits)
            .is_some_and(|limits| may(&limits.rate).is_none_or(|rate| !rate.is_empty()) && limits.rate.is_some()),
    };
    let remedies = need(document, placed.at(), &written.remedies, "remedies").and_then(|remedies| ground.ladder(remedies));
    let head = name.clone();
    let whole = || {
        Some(Runbook {
            name: head?,
            summary: summary?.to_owned(),
            matches: match matches {
                Some(matches) => Some(matches?),
                None => None,
            },
            target: target.clone()?,
            priority: may(&written.priority).copied().unwrap_or(0),
            mode: mode?,
            limits: limits?,
            look: found.looks.clone(),
            require: require?,
            remedies: remedies?,
        })
    };
    let match_at = written.matches.as_ref().map_or(written.runbook.at(), Placed::at);
    let runbook = whole();
    Some(Found { name: name?, name_at: written.runbook.at(), match_at, runbook })
}

fn name(document: &Document, placed: &Placed<WrittenRunbook>, written: &WrittenRunbook) -> Option<String> {
    let name = need_text(document, placed.at(), &written.runbook, "runbook")?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.len() > 63 || !name.chars().all(plain) {
        let message = format!("`{}` is no name for a runbook", inert(name, 80));
        document.complain(written.runbook.at(), message, "write at most 63 small letters, digits and dashes");
        return None;
    }
    Some(name.to_owned())
}

fn matchers(document: &Document, placed: &Placed<Vec<Placed<String>>>) -> Option<Matchers> {
    let mut all = Vec::new();
    let mut right = true;
    for entry in placed.get()? {
        let Some(text) = entry.get() else {
            right = false;
            continue;
        };
        match Matcher::read(text) {
            Ok(reading) => {
                if let Some(warning) = reading.warning {
                    let (message, mend) = warning.split_once("; ").unwrap_or((&warning, ""));
                    document.say(Severity::Warning, entry.at(), message, mend);
                }
                all.extend(reading.matchers);
            }
            Err(error) => {
                let at = matcher_place(document, entry.at(), text, error.offset);
                document.complain(at, error.message, error.mend);
                right = false;
            }
        }
    }
    if !right {
        return None;
    }
    if all.iter().all(Matcher::matches_absence) {
        let message = match all.is_empty() {
            true => "an empty `match` matches every alert there is",
            false => "every one of these matchers also holds for alerts without the label, so together they match nearly all",
        };
        let mend =
            "name the alert, as in 'alertname=\"HighQueueDepth\"'; without `match` only a person or the calendar starts it";
        document.complain(placed.at(), message, mend);
        return None;
    }
    Some(Matchers::of(all))
}

/// The byte of a matcher that an error means, where the entry stands in the file as it is.
fn matcher_place(document: &Document, at: Bytes, text: &str, offset: usize) -> Bytes {
    let stands = |start: usize| document.text().get(start..).is_some_and(|rest| rest.starts_with(text));
    match [at.start, at.start + 1].into_iter().find(|start| stands(*start)) {
        Some(start) if offset < text.len() => start + offset..start + offset + 1,
        _ => at,
    }
}

fn selector(document: &Document, targets: &Targets, at: Bytes, Raw(node): Raw) -> (Option<TargetSelector>, Option<TargetKind>) {
    let reader = Reader::new(document, node);
    if !matches!(document.kind(node), Kind::Map(_)) {
        let Some(id) = reader.read::<TargetId>() else { return (None, None) };
        let kind = id.kind;
        let there = targets.demand(document, at, &id);
        return (there.then_some(TargetSelector::Named(id)), Some(kind));
    }
    let Some(written) = reader.read::<WrittenLookup>() else { return (None, None) };
    let kind = need(document, at.clone(), &written.kind, "kind").copied();
    let label = need(document, at.clone(), &written.from, "from").and_then(|from| {
        let label = from.strip_prefix("labels.").filter(|label| !label.is_empty());
        if label.is_none() {
            let message = format!("`{}` names no label", inert(from, 60));
            document.complain(written.from.at(), message, "write labels.NAME, for example labels.queue");
        }
        label
    });
    if let Some(kind) = kind
        && targets.known
        && !targets.names.keys().any(|id| id.kind == kind)
    {
        let message = format!("the inventory has no {}, so no label can find one", kind.word());
        document.complain(written.kind.at(), message, "add one to targets.yaml");
    }
    let lookup = match (kind, label) {
        (Some(kind), Some(label)) => Some(TargetSelector::Lookup { kind, label: label.to_owned() }),
        _ => None,
    };
    (lookup, kind)
}

fn mode(document: &Document, known: &Known<'_>, at: Bytes, Raw(node): Raw) -> Option<ModeByTime> {
    let reader = Reader::new(document, node);
    if !matches!(document.kind(node), Kind::Map(_)) {
        return Some(match reader.read::<WrittenMode>()? {
            WrittenMode::Earned => ModeByTime { earned: Some(USUAL_TRUST), ..ModeByTime::always(Mode::Auto) },
            WrittenMode::Observe => ModeByTime::always(Mode::Observe),
            WrittenMode::Ask => ModeByTime::always(Mode::Ask),
            WrittenMode::Auto => ModeByTime::always(Mode::Auto),
        });
    }
    let Entries(entries) = reader.read::<Entries<Placed<Raw>>>()?;
    let mut default = None;
    let mut during = BTreeMap::new();
    let mut trust = None;
    let mut right = true;
    for (key, value) in &entries {
        let (Some(name), Some(Raw(node))) = (key.get(), value.get()) else { continue };
        if name == "earned" {
            trust = earned(document, *node);
            right &= trust.is_some();
            continue;
        }
        let mode = Reader::new(document, *node).read::<Mode>();
        right &= mode.is_some();
        if name == "default" {
            default = Some(mode);
            continue;
        }
        if let Some(intervals) = known.intervals
            && !intervals.contains(name)
        {
            let message = format!("there is no time interval `{}`", inert(name, 60));
            let mend = match runbook::text::closest(name, intervals.iter().map(String::as_str).chain(["default", "earned"])) {
                Some(word) => format!("write `{word}`, if that was meant"),
                None => "add it to `time_intervals` in runbookd.yaml".to_owned(),
            };
            document.complain(key.at(), message, mend);
            right = false;
        }
        during.extend(mode.map(|mode| (name.clone(), mode)));
    }
    if default.is_none() {
        document.complain(at.clone(), "`default` is missing: the mode at all other times", "add `default: ask`");
    }
    let mode = ModeByTime { default: default??, during, earned: trust };
    if trust.is_some() && freest(&mode) == Mode::Observe {
        let message = "a runbook that only ever observes cannot earn anything";
        document.complain(at, message, "write the most that it may earn as `default`, for example `default: auto`");
    }
    right.then_some(mode)
}

/// How autonomy is earned: a map, so that nobody takes it for a mode in a time interval of that name.
fn earned(document: &Document, node: NodeId) -> Option<Earned> {
    let written = Reader::new(document, node).read::<WrittenEarned>()?;
    let Some(after) = &written.after else { return Some(USUAL_TRUST) };
    let count = *after.get()?;
    if !(1..=MOST_TRUST).contains(&count) {
        let message = format!("a level is earned by 1 to {MOST_TRUST} in a row, not by {count}");
        document.complain(after.at(), message, "write `earned: {after: 5}`");
        return None;
    }
    Some(Earned { after: count })
}

fn freest(mode: &ModeByTime) -> Mode {
    mode.during.values().copied().chain([mode.default]).max().unwrap_or(mode.default)
}

fn limits(document: &Document, placed: Option<&Placed<WrittenLimits>>) -> Option<Limits> {
    let Some(placed) = placed else {
        return Some(Limits { cooldown: USUAL_COOLDOWN, rate: Vec::new(), recurrence: None });
    };
    let written = placed.get()?;
    let rates = may(&written.rate).into_iter().flatten().filter_map(|entry| rate(document, entry)).collect();
    let recurrence = match &written.recurrence {
        None => None,
        Some(placed) => {
            let recurrence = placed.get()?;
            let times = need(document, placed.at(), &recurrence.times, "times");
            let within = need(document, placed.at(), &recurrence.within, "within");
            if times == Some(&0) || within.is_some_and(|within| within.duration().is_zero()) {
                document.complain(
                    placed.at(),
                    "with a 0 here the first cure would already count as one too many",
                    "write 1 or more, within 1h or more",
                );
            }
            Some(Recurrence { times: *times?, within: *within? })
        }
    };
    let cooldown = match &written.cooldown {
        None => USUAL_COOLDOWN,
        Some(placed) => placed.get().copied().filter(|span| window(document, placed, *span))?,
    };
    Some(Limits { cooldown, rate: rates, recurrence })
}
