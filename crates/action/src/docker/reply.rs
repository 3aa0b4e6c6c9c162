//! What trouble with an Engine means. In one place, because the difference that matters is easily lost: whether a call was answered,
//! whether it may have been carried out all the same, and whether anything was sent at all. Deliberately no retry.

use std::time::Duration;

use bollard::errors::Error;
use runbook::incident::Reply;
use runbook::text::{humanize_duration, inert};

/// What sort of trouble.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// There is no such thing (404).
    Gone,
    /// Something of that name is there, or its state does not allow it (409).
    Conflict,
    /// Whatever stands before the Engine does not let the call through (403): nothing reached it.
    Denied,
    /// Nobody could be reached, so nothing was sent.
    Unsent,
    /// No answer, or one that cannot be read: it may have been carried out, and may still be.
    Silent,
    /// The Engine answered that it did not do it.
    Answered,
}

/// Trouble with one call, in words for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Trouble {
    /// To branch on.
    pub(super) kind: Kind,
    /// What was said about it.
    pub(super) words: String,
}

impl Trouble {
    /// No answer came within this time.
    pub(super) fn no_answer(within: Duration) -> Self {
        Self { kind: Kind::Silent, words: format!("no answer within {}", humanize_duration(within)) }
    }

    /// Whether the call certainly never reached the Engine.
    pub(super) fn never_sent(&self) -> bool {
        matches!(self.kind, Kind::Denied | Kind::Unsent)
    }

    /// The reply of an act that ends with this trouble. `so_far` says how far it had come, and `changed` whether anything that
    /// changes was sent before: only without it may an act be called refused.
    pub(super) fn reply(self, so_far: &str, changed: bool) -> Reply {
        let words = format!("{so_far}: {}", self.words);
        match self.kind {
            Kind::Silent => Reply::NoAnswer(words),
            Kind::Denied | Kind::Unsent if !changed => Reply::Refused(words),
            _ => Reply::Failed(words),
        }
    }
}

/// What the proxy of `deploy/docker-proxy` says when it did not reach the Engine.
const NOTHING_SENT: &str = "nothing was sent";

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let (kind, words) = match &error {
            Error::DockerResponseServerError { status_code, message } => {
                let said = inert(message, 300);
                match status_code {
                    403 => (Kind::Denied, format!("the filtering proxy does not let this call through: {said}")),
                    404 => (Kind::Gone, said),
                    409 => (Kind::Conflict, said),
                    503 if message.contains(NOTHING_SENT) => (Kind::Unsent, said),
                    // Of the proxy, which cannot know what became of the call behind it.
                    502 | 504 => (Kind::Silent, said),
                    _ => (Kind::Answered, format!("{said} ({status_code})")),
                }
            }
            Error::RequestTimeoutError => (Kind::Silent, "no answer in time".to_owned()),
            Error::HyperLegacyError { err } if err.is_connect() => {
                (Kind::Unsent, format!("cannot connect: {}", inert(&with_causes(err), 200)))
            }
            Error::HyperLegacyError { err } => (Kind::Silent, inert(&with_causes(err), 200)),
            other => (Kind::Silent, inert(&other.to_string(), 200)),
        };
        Self { kind, words }
    }
}

/// The words of an error and of what is behind it; its own alone say only that something went wrong.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        words.push_str(&format!(": {deeper}"));
        cause = deeper.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status_code: u16, message: &str) -> Trouble {
        Trouble::from(Error::DockerResponseServerError { status_code, message: message.to_owned() })
    }

    #[test]
    fn answers_are_told_apart_by_what_can_have_happened() {
        let table = [
            (answer(404, "No such container: x"), Kind::Gone),
            (answer(409, "Conflict. The container name \"/x\" is already in use"), Kind::Conflict),
            (answer(403, "the Docker proxy does not let this call through its front look"), Kind::Denied),
            (answer(503, "the Docker proxy cannot reach the Docker Engine: nothing was sent"), Kind::Unsent),
            (answer(503, "something of the Engine's own"), Kind::Answered),
            (answer(502, "the Docker Engine broke off"), Kind::Silent),
            (answer(500, "no space left on device"), Kind::Answered),
            (Trouble::from(Error::RequestTimeoutError), Kind::Silent),
            (Trouble::from(Error::HttpHeaderNotFoundError("x".into())), Kind::Silent),
            (Trouble::no_answer(Duration::from_secs(3)), Kind::Silent),
        ];
        for (trouble, kind) in table {
            assert_eq!(trouble.kind, kind, "{trouble:?}");
        }
    }

    #[test]
    fn refused_is_only_said_where_nothing_was_sent() {
        let denied = || answer(403, "no");
        assert!(matches!(denied().reply("restarting x", false), Reply::Refused(words) if words.contains("filtering proxy")));
        assert!(matches!(denied().reply("starting x", true), Reply::Failed(_)));
        let unsent = || answer(503, NOTHING_SENT);
        assert!(matches!(unsent().reply("x", false), Reply::Refused(_)) && matches!(unsent().reply("x", true), Reply::Failed(_)));
        for trouble in [answer(404, "gone"), answer(409, "conflict"), answer(500, "full")] {
            assert!(matches!(trouble.clone().reply("x", false), Reply::Failed(_)), "{trouble:?}");
        }
        assert!(matches!(answer(504, "late").reply("x", false), Reply::NoAnswer(_)));
    }

    #[tokio::test]
    async fn who_cannot_be_reached_was_sent_nothing() {
        // A port that was free a moment ago, and that nobody listens on.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let docker =
            bollard::Docker::connect_with_http(&format!("http://127.0.0.1:{port}"), 5, bollard::API_DEFAULT_VERSION).unwrap();
        let trouble = Trouble::from(docker.version().await.unwrap_err());
        assert_eq!(trouble.kind, Kind::Unsent, "{trouble:?}");
        assert!(trouble.words.contains("refused"), "{trouble:?}");
    }
}
