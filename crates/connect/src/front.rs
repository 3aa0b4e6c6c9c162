//! Whether an Engine's address for acting is one: no socket there, the proxy's front for looking, or its front for looking inside
//! are told before the night. Why here: the only client that could act is made and dropped in this file, and what it sends is two
//! calls that read. Deliberately no proof of every right: which calls the front lets through is in the proxy's own files.

use std::time::Duration;

use bollard::errors::Error;
use runbook::target::{Place, Target};
use runbook::text::{humanize_duration, inert};

use crate::docker::{Use, connect};

/// An exec that no Engine has: what may act is told that there is none, and what may not is told that it may not ask.
const NO_EXEC: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Nothing, or why nothing could be done over the address for acting, with the mend.
pub(crate) async fn acting(engine: &Target, within: Duration) -> Result<(), String> {
    let address = match &engine.place {
        Place::Engine { act: Some(act), .. } => act,
        _ => return Err(format!("{} has no address to act on: add `act` to it in targets.yaml", engine.id)),
    };
    let told = |what: String| format!("{} cannot be acted on over `act: {}`: {what}", engine.id, inert(address, 120));
    let docker = connect(engine, Use::Act, within)
        .map_err(|error| told(format!("{}; is the proxy up, and is its socket there?", inert(&format!("{error:#}"), 200))))?;
    let asking = async {
        match docker.info().await {
            Ok(_) => {}
            Err(error) if status(&error) == Some(403) => {
                return Err(
                    "it is the proxy's front for looking inside, or another that may not act; write its act front".to_owned()
                );
            }
            Err(error) => return Err(in_words(&error)),
        }
        match docker.inspect_exec(NO_EXEC).await {
            Ok(_) => Ok(()),
            Err(error) => match status(&error) {
                Some(404) => Ok(()),
                Some(403) => {
                    Err("it is the proxy's front for looking, which lets nothing be done; write its act front".to_owned())
                }
                _ => Err(in_words(&error)),
            },
        }
    };
    let answer = tokio::time::timeout(within, asking).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {}", humanize_duration(within)))).map_err(told)
}

fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

fn in_words(error: &Error) -> String {
    format!("{}; is the proxy up, and does it reach the Engine?", inert(&error.to_string(), 200))
}
