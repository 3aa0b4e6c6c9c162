//! May this person agree to this question, by the configuration of this moment? Asked when somebody answers and again before
//! what was agreed to is done, so that who was struck off the list in between agreed to nothing. Deliberately nothing about a
//! no: saying it is anybody's who may see the question, because a no never acts.

use runbook::approval::About;
use runbook::book::Configuration;
use runbook::incident::{Ask, Incident, Proof, Trigger};
use runbook::text::inert;

/// Why somebody may not agree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MayNot {
    /// Of what sort, for metrics.
    pub sort: Sort,
    /// In words, for them.
    pub why: String,
}

/// The sorts of reasons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Sort {
    /// The configuration names people, and nothing proves that this is one of them.
    Unproved,
    /// They are not among those who may agree to this.
    NotAllowed,
    /// They started it themselves.
    Own,
    /// What was asked for is no longer in the configuration.
    Configuration,
}

/// Whether they may agree.
///
/// # Errors
/// [`MayNot`], with the reason.
pub fn may_agree(current: &Configuration, incident: &Incident, ask: &Ask, by: &str, proof: Proof) -> Result<(), MayNot> {
    let no = |sort, why| Err(MayNot { sort, why });
    let runbook = &incident.runbook.name;
    if let Err(why) = current.still_has(runbook, &incident.target, &ask.order) {
        return no(Sort::Configuration, format!("{why}, so nobody can agree to it any more"));
    }
    if let Some(runs) = ask.order.runs(current.inventory.get(&ask.order.target))
        && !ask.shown.values().all(|line| line.ends_with(&runs))
    {
        let why = format!("what {} runs on {} is no longer what was shown", ask.order.action, ask.order.target);
        return no(Sort::Configuration, format!("{why}, so nobody can agree to it any more"));
    }
    let approval = &current.approval;
    let Some(may) = approval.may_agree(&current.inventory, &About::order(runbook, &incident.target, &ask.order)) else {
        return Ok(());
    };
    if !proof.holds() {
        return no(Sort::Unproved, format!("nothing proves that this is {}, and only {} may agree", inert(by, 80), list(&may)));
    }
    if !may.contains(by) {
        return no(
            Sort::NotAllowed,
            format!("{} may not agree to {} on {}: {} may", inert(by, 80), ask.order.action, ask.order.target, list(&may)),
        );
    }
    match &incident.trigger {
        Trigger::Person { by: starter, .. } if starter == by && !approval.self_approval => no(
            Sort::Own,
            format!("{} started it, and who starts something does not agree to it: somebody else has to", inert(by, 80)),
        ),
        _ => Ok(()),
    }
}

fn list<'a>(names: impl IntoIterator<Item = &'a &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().copied().collect();
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}
