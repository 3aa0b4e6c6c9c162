//! Questions to people, and their answers: yes or no, to exactly what was shown. A second answer, one that comes too late, one to
//! a question that no longer stands, and a yes of somebody who may not agree are refused with the reason. A no is anybody's
//! who may see the question: it never acts. Deliberately no way to change what was asked.

use ::journal::{Became, NotAnswered};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use policy::{MayNot, Sort, may_agree};
use runbook::approval::About;
use runbook::incident::{Answer as Said, Ask, Incident, Proof};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::access::Recognised;
use super::super::answer::{Problem, json as answer};
use super::{Answer, Api, caller, parse, words};
use crate::killpoint;
use crate::world::Point;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Person {
    /// Their name; where a token proves one, it may be left out.
    by: Option<String>,
    /// What the machine knows them by, where they gave no name and nothing proves one.
    login: Option<String>,
    #[serde(default)]
    why: String,
}

pub(super) async fn list(State(api): State<Api>) -> Answer {
    let configuration = api.daemon.current().configuration.clone();
    let show = |(incident, ask): &(Incident, Ask)| -> Value {
        let about = About::order(&incident.runbook.name, &incident.target, &ask.order);
        let may = configuration.approval.may_agree(&configuration.inventory, &about);
        json!({
            "id": ask.id, "incident": incident.id, "runbook": incident.runbook.name, "target": ask.order.target,
            "action": ask.order.action.to_string(), "at_most": ask.at_most, "selected": ask.order.selection.count(), "shown": ask.shown,
            "disturbs": ask.order.action.facts().disturbs, "can_be_undone": ask.order.action.facts().undo,
            "expires": ask.expires, "told_again": incident.reminded,
            // Null where anybody may who holds the API's token.
            "may_agree": may,
            "gone": configuration.still_has(&incident.runbook.name, &incident.target, &ask.order).err(),
        })
    };
    let open = api.daemon.journal.questions().await?;
    Ok(answer(&json!({"asks": open.iter().map(show).collect::<Vec<_>>(), "now": api.daemon.clock.now()})))
}

pub(super) async fn approve(
    State(api): State<Api>,
    Extension(recognised): Extension<Recognised>,
    Path(ask): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let person: Person = parse(&body)?;
    let proved = caller::proved(&api, &recognised, &headers).await?;
    let (by, proof) = caller::named(proved, person.by.as_deref(), person.login.as_deref())?;
    said(&api, &ask, Said::Granted { by, proof }).await
}

pub(super) async fn deny(
    State(api): State<Api>,
    Extension(recognised): Extension<Recognised>,
    Path(ask): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let person: Person = parse(&body)?;
    let proved = caller::proved(&api, &recognised, &headers).await?;
    let (by, proof) = caller::named(proved, person.by.as_deref(), person.login.as_deref())?;
    said(&api, &ask, Said::Denied { by, proof, why: words("why", &person.why, true)? }).await
}

async fn said(api: &Api, ask: &str, said: Said) -> Answer {
    let daemon = &api.daemon;
    let configuration = daemon.current().configuration.clone();
    let (by, proof) = match &said {
        Said::Granted { by, proof } | Said::Denied { by, proof, .. } => (by.as_str(), *proof),
        Said::Expired => ("", Proof::Unproved),
    };
    let may =
        |incident: &Incident, ask: &Ask| may_agree(&configuration, incident, ask, by, proof).map_err(|no| (no.clone(), no.why));
    killpoint::pass(Point::BeforeAppend("answered"));
    let taken = daemon.journal.answer(ask, daemon.clock.now(), &said, may).await;
    killpoint::pass(Point::AfterAppend("answered"));
    match taken {
        Ok(after) => {
            daemon.metrics.answered(&said);
            tracing::info!(incident = %after.id, by, proved = proof.holds(), agreed = matches!(said, Said::Granted { .. }), "a question was answered");
            Ok(answer(&json!({"incident": after.id, "stage": after.word(), "by": by, "proved": proof.holds()})))
        }
        Err(no) => {
            let (reason, problem) = refusal(no, ask);
            daemon.metrics.answer_refused(reason);
            tracing::warn!(by, proved = proof.holds(), reason, "an answer was not taken");
            Err(problem)
        }
    }
}

/// The reason as metrics name it, and what the person hears.
fn refusal(no: NotAnswered<MayNot>, ask: &str) -> (&'static str, Problem) {
    match no {
        // An incident may ask anew, and a yes is to what was shown.
        NotAnswered::Unknown if ask.to_ascii_uppercase().starts_with("INC-") => {
            let mend = "`runbookd asks` shows the id of what it asks now";
            ("unknown", Problem::absent(format!("{ask} is an incident, and a question is answered by its own id"), mend))
        }
        NotAnswered::Unknown => {
            ("unknown", Problem::absent("there is no such question", "`runbookd asks` shows what is asked, and its id"))
        }
        NotAnswered::Stale { became, why } => {
            let reason = match became {
                Became::Answered => "answered",
                Became::Expired => "expired",
                Became::Superseded => "superseded",
                Became::MovedOn => "moved_on",
            };
            (reason, Problem::conflict(why, "`runbookd asks` shows what is asked now; `runbookd explain` says what became of it"))
        }
        NotAnswered::MayNot(MayNot { sort, why }) => {
            let (reason, status, mend) = match sort {
                Sort::Unproved => (
                    "unproved",
                    StatusCode::FORBIDDEN,
                    "show your own token: `--token-file FILE`, or the header X-Runbookd-Person",
                ),
                Sort::NotAllowed => ("not_allowed", StatusCode::FORBIDDEN, "ask one of those who may; anybody may say no"),
                Sort::Own => ("own", StatusCode::FORBIDDEN, "ask somebody else; `approval: self_approval: true` would allow it"),
                Sort::Configuration => {
                    ("configuration", StatusCode::CONFLICT, "say no to it, or put back what was taken out of the configuration")
                }
            };
            (reason, Problem::new(status, why, mend))
        }
        NotAnswered::Store(error) => ("journal", Problem::from(error)),
    }
}
