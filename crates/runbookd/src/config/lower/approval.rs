//! `approval:` of `runbookd.yaml`: how a person is waited for, who there is, and who may agree to what. Deliberately no guess: a
//! name that nobody has, or a list that names nothing, is an error, because it would let the wrong people agree, or nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use runbook::Span;
use runbook::approval::{Approval, Who};
use runbook::text::{closest, inert};

use super::rules::action_names;
use super::runbook::Known;
use super::{may, need, secrets};
use crate::config::settings::PersonToken;
use crate::config::written::approval::{WrittenApproval, WrittenPerson, WrittenWho};
use crate::config::yaml::{Document, Entries, Placed};

/// What was read.
#[derive(Default)]
pub struct Lowered {
    /// How long an approval is waited for.
    pub expires: Option<Span>,
    /// Who may agree to what.
    pub approval: Approval,
    /// What proves their names.
    pub people: BTreeMap<String, PersonToken>,
}

/// More people than anybody asks; each token is compared with what is shown.
const MOST_PEOPLE: usize = 100;
/// A question is told again no more often than this.
const LEAST_REMIND: Span = Span::secs(5);

/// Reads it. `runbooks` are the names of all runbooks; none where one of their files cannot be read.
pub fn approval(
    document: &Document,
    base: &Path,
    placed: &Placed<WrittenApproval>,
    known: &Known<'_>,
    runbooks: Option<&BTreeSet<&str>>,
) -> Lowered {
    let mut lowered = Lowered::default();
    let Some(written) = placed.get() else { return lowered };
    lowered.expires = written.expires.as_ref().and_then(|expires| waited(document, expires));
    let stands = lowered.expires.unwrap_or(Span::secs(30 * 60));
    if let Some(remind) = &written.remind
        && let Some(span) = remind.get()
    {
        if *span < LEAST_REMIND || *span >= stands {
            document.complain(
                remind.at(),
                format!("a question that stands for {stands} cannot be told again every {span}"),
                "write 5s or more, and less than `expires`, for example 10m",
            );
        }
        lowered.approval.remind = Some(*span);
    }
    if let Some(people) = &written.people {
        lowered.people = everybody(document, base, people);
    }
    lowered.approval.people = lowered.people.keys().cloned().collect();
    lowered.approval.self_approval = may(&written.self_approval).copied().unwrap_or(false);
    // A list of people that could not be read says nothing of who is on it.
    let names = written.people.as_ref().and_then(|people| people.get()).map(|Entries(entries)| {
        entries.iter().filter_map(|(name, _)| name.get().map(String::as_str)).collect::<BTreeSet<&str>>()
    });
    if let Some(who) = &written.who {
        if written.people.is_none() {
            let message = "`who` says who may agree, and `people` names nobody: any name could be given";
            document.complain(who.at(), message, "add `people:`, each with a token of their own");
        }
        for rule in who.get().into_iter().flatten() {
            lowered.approval.who.extend(who_may(document, rule, known, names.as_ref(), runbooks));
        }
    }
    if let Some(own) = &written.self_approval
        && written.people.is_none()
    {
        let message =
            "`self_approval` counts only where `people` are named: a name that nothing proves says nothing about who it is";
        document.complain(own.at(), message, "add `people:`, or leave `self_approval` out");
    }
    lowered
}

fn waited(document: &Document, expires: &Placed<Span>) -> Option<Span> {
    let span = expires.get()?;
    if *span < Span::secs(60) || *span > Span::secs(7 * 86_400) {
        document.complain(
            expires.at(),
            format!("an approval cannot be waited for {span}"),
            "write between 1m, so that a person can answer, and 7d; what is approved must still be what was seen",
        );
    }
    Some(*span)
}

fn everybody(document: &Document, base: &Path, placed: &Placed<Entries<Placed<WrittenPerson>>>) -> BTreeMap<String, PersonToken> {
    let mut people = BTreeMap::new();
    let Some(Entries(entries)) = placed.get() else { return people };
    if entries.is_empty() || entries.len() > MOST_PEOPLE {
        let message = format!("{} people are named here", entries.len());
        document.complain(placed.at(), message, format!("name 1 to {MOST_PEOPLE}, or leave `people` out to let any name count"));
    }
    for (key, value) in entries {
        let Some(name) = key.get() else { continue };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        if name.is_empty() || name.len() > 80 || !name.chars().all(fits) {
            let message = format!("`{}` is no name for the record", inert(name, 60));
            document.complain(key.at(), message, "write up to 80 letters, digits, `-`, `_`, `.` or `@`, for example on-call");
        }
        let Some(token) = person(document, base, value) else { continue };
        if token == PersonToken::Api && people.values().any(|other| *other == PersonToken::Api) {
            let message = "`api_token` stands for two people, and nothing would tell them apart";
            document.complain(value.at(), message, "leave it with one of them, and give the other a token");
        }
        people.insert(name.clone(), token);
    }
    people
}

fn person(document: &Document, base: &Path, placed: &Placed<WrittenPerson>) -> Option<PersonToken> {
    let written = placed.get()?;
    let token =
        written.token.as_ref().map(|token| secrets::secret(document, base, placed.at(), token, "token").map(PersonToken::Secret));
    let hash = written.sha256.as_ref().map(|hash| sha256(document, hash));
    let api = (may(&written.api_token) == Some(&true)).then_some(Some(PersonToken::Api));
    let mut given = [token, hash, api].into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(one), None) => one,
        (None, _) => {
            let mend = "add `token: {file: PATH}`, `sha256: HASH`, or for one person `api_token: true`";
            document.complain(placed.at(), "nothing proves that somebody is this person", mend);
            None
        }
        (Some(_), Some(_)) => {
            document.complain(
                placed.at(),
                "more than one thing would prove this person",
                "keep one of `token`, `sha256`, `api_token`",
            );
            None
        }
    }
}

fn sha256(document: &Document, placed: &Placed<String>) -> Option<PersonToken> {
    let text = placed.get()?;
    let digit = |at: usize| u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..32).map(digit).collect();
    let hash = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    match hash.filter(|_| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        Some(hash) => Some(PersonToken::Sha256(hash)),
        None => {
            // What is no hash may be the token.
            let mend = "write 64 hexadecimal digits, as `printf %s TOKEN | sha256sum` prints them";
            document.complain_hidden(placed.at(), "this is no SHA-256", mend);
            None
        }
    }
}

fn who_may(
    document: &Document,
    placed: &Placed<WrittenWho>,
    known: &Known<'_>,
    names: Option<&BTreeSet<&str>>,
    runbooks: Option<&BTreeSet<&str>>,
) -> Option<Who> {
    let written = placed.get()?;
    let classes = listed(document, &written.classes).into_iter().map(|entry| *entry.1).collect();
    let mut who = Who { classes, ..Who::default() };
    for (entry, id) in listed(document, &written.targets) {
        if known.targets.demand(document, entry.at(), id) {
            who.targets.push(id.clone());
        }
    }
    let actions = action_names();
    let actions: BTreeSet<&str> = actions.iter().map(String::as_str).collect();
    who.runbooks = named(document, &written.runbooks, runbooks, "runbook");
    who.actions = named(document, &written.actions, Some(&actions), "action");
    let people = need(document, placed.at(), &written.people, "people")?;
    if people.is_empty() {
        document.complain(written.people.at(), "an empty list lets nobody agree", "name somebody, or remove the rule");
    }
    for entry in people {
        let Some(name) = entry.get() else { continue };
        if is_there(document, entry, name, names, "person among `people`") {
            who.people.insert(name.clone());
        }
    }
    Some(who)
}

/// The entries of a list that may be left out, but not be empty: that would read as "everything" to one and "nothing" to another.
fn listed<'a, T>(document: &Document, placed: &'a Option<Placed<Vec<Placed<T>>>>) -> Vec<(&'a Placed<T>, &'a T)> {
    let Some(placed) = placed else { return Vec::new() };
    if placed.get().is_some_and(Vec::is_empty) {
        document.complain(placed.at(), "an empty list fits nothing", "name something, or leave the key out to mean everything");
    }
    placed.get().into_iter().flatten().filter_map(|entry| Some((entry, entry.get()?))).collect()
}

fn named(
    document: &Document,
    placed: &Option<Placed<Vec<Placed<String>>>>,
    there: Option<&BTreeSet<&str>>,
    what: &str,
) -> Vec<String> {
    let entries = listed(document, placed).into_iter();
    entries.filter(|(entry, name)| is_there(document, entry, name, there, what)).map(|(_, name)| name.clone()).collect()
}

fn is_there(document: &Document, entry: &Placed<String>, name: &str, there: Option<&BTreeSet<&str>>, what: &str) -> bool {
    let Some(there) = there.filter(|there| !there.contains(name)) else { return true };
    let mend = match closest(name, there.iter().copied()) {
        Some(word) => format!("write `{word}`, if that was meant"),
        None => format!("there are: {}", there.iter().take(20).copied().collect::<Vec<_>>().join(", ")),
    };
    document.complain(entry.at(), format!("there is no {what} `{}`", inert(name, 60)), mend);
    false
}
