//! What became of each session of an order, in numbers and words. Why apart: a part of an order being left out is told with its
//! reason, above all superusers' sessions, which nothing but the function can end.

use runbook::incident::Reply;
use runbook::target::TerminateBy;

/// How many sessions came out how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outcomes {
    signalled: usize,
    gone: usize,
    busy: usize,
    excluded: usize,
    superuser: usize,
    declined: usize,
    late: usize,
}

impl Outcomes {
    /// Counts the words that the server answered.
    pub(crate) fn of(words: &[String]) -> Self {
        let mut counted = Self::default();
        for word in words {
            let count = match word.as_str() {
                "signalled" => &mut counted.signalled,
                "gone" => &mut counted.gone,
                "busy" => &mut counted.busy,
                "excluded" => &mut counted.excluded,
                "superuser" => &mut counted.superuser,
                "late" => &mut counted.late,
                _ => &mut counted.declined,
            };
            *count += 1;
        }
        counted
    }

    /// What is told for the record.
    pub(crate) fn reply(self, by: TerminateBy) -> Reply {
        let all = self.signalled + self.gone + self.busy + self.excluded + self.superuser + self.declined + self.late;
        let mut words = format!("{} of {all} sessions were signalled", self.signalled);
        let parts = [
            (self.gone, "gone already"),
            (self.busy, "no longer idle"),
            (self.excluded, "excluded"),
            (self.superuser, "a superuser's, which pg_signal_backend cannot end"),
            (self.declined, "declined by the function"),
            (self.late, "reached only after the deadline"),
        ];
        for (count, what) in parts.into_iter().filter(|(count, _)| *count > 0) {
            words.push_str(&format!(", {count} {what}"));
        }
        if self.superuser > 0 && by == TerminateBy::SignalBackend {
            words.push_str("; for those see deploy/sql/terminate-as-superuser-function.sql");
        }
        match self {
            Outcomes { signalled: 0, superuser: 1.., .. } => Reply::Refused(words),
            Outcomes { signalled: 0, gone, .. } if gone < all => Reply::Failed(words),
            _ => Reply::Done(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_say_what_was_left_out_and_why() {
        let reply = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            Outcomes::of(&words).reply(TerminateBy::SignalBackend)
        };
        assert_eq!(reply(&["signalled", "signalled"]), Reply::Done("2 of 2 sessions were signalled".into()));
        assert_eq!(
            reply(&["signalled", "gone", "busy", "busy"]),
            Reply::Done("1 of 4 sessions were signalled, 1 gone already, 2 no longer idle".into())
        );
        assert!(matches!(reply(&["gone", "gone"]), Reply::Done(_)));
        assert!(matches!(reply(&["busy", "gone"]), Reply::Failed(_)));
        assert!(matches!(reply(&["superuser", "gone"]), Reply::Refused(words) if words.contains("function.sql")));
        assert!(matches!(reply(&["superuser", "signalled"]), Reply::Done(words) if words.contains("1 a superuser's")));
    }
}
