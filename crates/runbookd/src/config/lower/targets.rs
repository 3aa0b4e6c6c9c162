//! `targets.yaml`: the inventory. Checks what one target says and what they say of each other: names, kinds, cycles, and
//! labels that would find two. Where a target is, is read in `places`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use runbook::target::{Inventory, Kind, Place, Target, TargetId, Traits};
use runbook::text::inert;

use super::{may, need, need_text, places};
use crate::config::written::targets::WrittenTraits;
use crate::config::yaml::{Bytes, Document, Entries, Placed, Raw, Reader};

/// The inventory, as far as it could be read.
#[derive(Default)]
pub struct Targets {
    /// The targets that are right.
    pub inventory: Inventory,
    /// The names of all of them, the wrong ones too, and where they stand.
    pub names: BTreeMap<TargetId, Bytes>,
    /// The file could be read at all; where not, nothing is said about names that are not in it.
    pub known: bool,
}

impl Targets {
    /// Whether runbooks may name this target; complains where not.
    pub fn demand(&self, document: &Document, at: Bytes, id: &TargetId) -> bool {
        let there = !self.known || self.names.contains_key(id);
        if !there {
            let names: Vec<String> = self.names.keys().map(TargetId::to_string).collect();
            let mend = match runbook::text::closest(&id.to_string(), names.iter().map(String::as_str)) {
                Some(name) => format!("write `{name}`, if that was meant, or add it to targets.yaml"),
                None => "add it to targets.yaml; nothing outside the inventory is touched".to_owned(),
            };
            document.complain(at, format!("`{id}` is not in the inventory"), mend);
        }
        there
    }
}

/// Reads the file.
pub fn targets(document: &Document, base: &Path) -> Targets {
    let mut all = Targets { known: document.root().is_some(), ..Targets::default() };
    let Some(root) = document.root() else { return all };
    let Some(Entries(entries)) = Reader::new(document, root).read::<Entries<Placed<Raw>>>() else {
        all.known = false;
        return all;
    };
    let mut named = Vec::new();
    for (key, value) in &entries {
        let Some(name) = key.get() else { continue };
        match name.parse::<TargetId>() {
            Ok(id) if id.kind == Kind::Rehearsal && !cfg!(feature = "rehearsal") => document.complain(
                key.at(),
                "targets of kind `rehearsal` are for rehearsals only, and this build has none",
                "remove it, or build with --features rehearsal",
            ),
            Ok(id) => {
                all.names.insert(id.clone(), key.at());
                named.push((id, key, value));
            }
            Err(sentence) => {
                let (message, mend) = sentence.split_once("; ").unwrap_or((&sentence, "write kind/name"));
                document.complain(key.at(), message, mend);
            }
        }
    }
    let targets: Vec<Target> =
        named.into_iter().filter_map(|(id, key, value)| target(document, base, &all, id, key.at(), value)).collect();
    two_for_one_label(document, &all.names, &targets);
    two_for_one_service(document, &all.names, &targets);
    all.inventory = Inventory::new(targets);
    cycles(document, &all);
    all
}

fn target(document: &Document, base: &Path, all: &Targets, id: TargetId, key: Bytes, value: &Placed<Raw>) -> Option<Target> {
    let Raw(node) = value.get()?;
    let place = places::place(document, base, all, &id, &key, *node);
    // Unknown keys were complained about with the place, which knows all of them.
    let written: WrittenTraits = Reader::new(document, *node).lenient().read()?;
    let mut depends_on = Vec::new();
    for other in may(&written.depends_on).into_iter().flatten() {
        let Some(found) = other.get() else { continue };
        if *found == id {
            document.complain(other.at(), format!("`{id}` cannot depend on itself"), "remove it");
        } else if all.demand(document, other.at(), found) {
            depends_on.push(found.clone());
        }
    }
    let keeps_data = matches!(id.kind, Kind::Postgres | Kind::Redis | Kind::Rabbitmq | Kind::Queue);
    let stateful = may(&written.stateful).copied().unwrap_or(keeps_data);
    let may_be_cloned = may(&written.may_be_cloned).copied().unwrap_or(false);
    if stateful
        && may_be_cloned
        && let Some(cloned) = &written.may_be_cloned
    {
        let message = format!("`{id}` keeps data and may be cloned: its clones would not have the data");
        document.complain(cloned.at(), message, "write `stateful: false`, if it keeps none, or remove `may_be_cloned`");
    }
    let class = need(document, key.clone(), &written.class, "class").copied();
    let owner = need_text(document, key, &written.owner, "owner").map(str::to_owned);
    let known_as: Vec<String> = may(&written.known_as).into_iter().flatten().filter_map(|placed| placed.get().cloned()).collect();
    let traits = Traits { depends_on, stateful, may_be_cloned, class: class?, owner: owner? };
    Some(Target { id, traits, place: place?, known_as })
}

/// A label's value that would find two targets of a kind finds none in the night, so it is refused now.
fn two_for_one_label(document: &Document, names: &BTreeMap<TargetId, Bytes>, targets: &[Target]) {
    let mut found: BTreeMap<(Kind, &str), &TargetId> = BTreeMap::new();
    for target in targets {
        let values: BTreeSet<&str> = std::iter::once(&target.id.name).chain(&target.known_as).map(String::as_str).collect();
        for value in values {
            match found.get(&(target.id.kind, value)) {
                Some(other) => {
                    let message = format!("the label value `{}` means both `{}` and `{other}`", inert(value, 60), target.id);
                    let at = names.get(&target.id).cloned().unwrap_or(0..0);
                    document.complain(at, message, "remove it from one `known_as`; a label must find exactly one target");
                }
                None => {
                    found.insert((target.id.kind, value), &target.id);
                }
            }
        }
    }
}

/// Holds, limits and budgets go by the name of a target: under two names the same containers would be restarted twice at once.
fn two_for_one_service(document: &Document, names: &BTreeMap<TargetId, Bytes>, targets: &[Target]) {
    let addresses = |engine: &TargetId| match targets.iter().find(|target| target.id == *engine).map(|target| &target.place) {
        Some(Place::Engine { look, act, .. }) => [Some(look.clone()), act.clone()],
        _ => [Some(engine.to_string()), None],
    };
    let mut found: BTreeMap<(String, &str, &str), &TargetId> = BTreeMap::new();
    for target in targets {
        let Place::Service { engine, project, service, .. } = &target.place else { continue };
        let at_them: Vec<_> = addresses(engine).into_iter().flatten().map(|address| (address, &**project, &**service)).collect();
        if let Some(other) = at_them.iter().find_map(|place| found.get(place)) {
            let message = format!("`{}` and `{other}` are the same containers", target.id);
            let at = names.get(&target.id).cloned().unwrap_or(0..0);
            document.complain(at, message, "keep one of them; other names that alerts use go into its `known_as`");
        }
        found.extend(at_them.into_iter().map(|place| (place, &target.id)));
    }
}

fn cycles(document: &Document, all: &Targets) {
    // Takes away what depends on nothing that is left; what stays over is in a cycle or needs one.
    let mut left: BTreeMap<&TargetId, BTreeSet<&TargetId>> =
        all.inventory.iter().map(|target| (&target.id, target.traits.depends_on.iter().collect())).collect();
    loop {
        let free: Vec<&TargetId> =
            left.iter().filter(|(_, needs)| !needs.iter().any(|id| left.contains_key(*id))).map(|(id, _)| *id).collect();
        if free.is_empty() {
            break;
        }
        for id in free {
            left.remove(id);
        }
    }
    // What nothing left needs is no part of a cycle itself.
    loop {
        let needed: BTreeSet<&TargetId> = left.values().flatten().copied().collect();
        let before = left.len();
        left.retain(|id, _| needed.contains(id));
        if left.len() == before {
            break;
        }
    }
    if let Some(id) = left.keys().next() {
        let names: Vec<String> = left.keys().map(|id| format!("`{id}`")).collect();
        let at = all.names.get(*id).cloned().unwrap_or(0..0);
        document.complain(
            at,
            format!("these targets depend on each other in a circle: {}", names.join(", ")),
            "remove one `depends_on`",
        );
    }
}
