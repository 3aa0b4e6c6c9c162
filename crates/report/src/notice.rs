//! What is said about the daemon itself and belongs to no incident, as one message of its own. Why number 0: incidents count from
//! 1, so what is looked for after a lost answer is never another's.

use runbook::incident::IncidentId;
use runbook::text::inert;
use runbook::time::Stamp;

use crate::message::Draft;
use crate::outgoing::{Kind, Outgoing};
use crate::prose::Prose;

/// A message about the daemon itself. `name` and `at` name it for ever; `attempted` says that it may have arrived already.
pub fn notice(name: &str, at: Stamp, words: &str, attempted: bool) -> Outgoing {
    let words = inert(words, 1_000);
    let line = Prose::of(&words);
    let mut draft = Draft::new(None, &line, &Prose::new(), Prose::new());
    draft.line(&line);
    Outgoing {
        incident: IncidentId(0),
        opened: at,
        kind: Kind::Headline,
        key: format!("notice {name}"),
        seq: 0,
        message: draft.finish(),
        channel: None,
        ts: None,
        loud: true,
        doubtful: attempted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_mentions_nobody_and_has_a_fallback() {
        let made = notice("watchdog", Stamp::from_millis(0), "<!channel> it is *silent* & dead\u{1b}[0m", false);
        assert!(!made.message.text.contains("<!channel>") && made.message.text.contains("silent"), "{:?}", made.message);
        assert_eq!(made.message.blocks.len(), 1);
        assert!(!made.doubtful && made.channel.is_none());
    }
}
