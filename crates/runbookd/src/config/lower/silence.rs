//! What a step raises by itself, as it is written: labels, each with the value that it must be equal to. Why a label's value may be
//! taken from the alert only where the target is looked up by that very label: of every other nobody has checked what it names, and
//! whoever can raise an alert could have another one silenced.

use runbook::alert::Labels;
use runbook::silence::SideEffect;
use runbook::text::inert;

use crate::config::written::steps::{WrittenLabels, WrittenSilence};
use crate::config::yaml::{Document, Entries, Placed};

/// A step that raises more than this has other troubles.
const MOST: usize = 8;

/// Reads them; none where any is wrong. `looked_up_by` is the label by which the runbook's target is found, where it is.
pub fn silence(document: &Document, placed: &WrittenSilence, looked_up_by: Option<&str>) -> Option<Vec<SideEffect>> {
    let written = placed.get()?;
    if written.is_empty() || written.len() > MOST {
        let message = format!("{} alerts are named here, which are none or too many to be a side effect", written.len());
        document.complain(placed.at(), message, format!("name 1 to {MOST}, or remove `silence`"));
        return None;
    }
    let all: Vec<Option<SideEffect>> = written.iter().map(|one| side_effect(document, one, looked_up_by)).collect();
    all.into_iter().collect()
}

fn side_effect(document: &Document, placed: &Placed<WrittenLabels>, looked_up_by: Option<&str>) -> Option<SideEffect> {
    let Entries(entries) = placed.get()?;
    let mut labels = Labels::new();
    for (label, value) in entries {
        labels.insert(label.get()?.clone(), value.get()?.clone());
    }
    let place = |label: &str| entries.iter().find(|(name, _)| name.get().is_some_and(|name| name == label));
    match SideEffect::new(labels) {
        Ok(effect) => {
            let unchecked = effect.taken().find(|(_, from)| Some(*from) != looked_up_by);
            let Some((label, from)) = unchecked else { return Some(effect) };
            let message = format!("nobody has checked what `labels.{}` of an alert names", inert(from, 60));
            let mend = match looked_up_by {
                Some(label) => format!("write the value, or labels.{label}, by which the target is found"),
                None => "write the value; only a label by which the runbook's target is looked up can be taken".to_owned(),
            };
            document.complain(place(label).map_or(placed.at(), |(_, value)| value.at()), message, mend);
            None
        }
        Err(flaw) => {
            let at = flaw.label.as_deref().and_then(place).map_or(placed.at(), |(label, _)| label.at());
            document.complain(at, flaw.message, flaw.mend);
            None
        }
    }
}
