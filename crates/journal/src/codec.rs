//! How events and stages are written and read. Each stored event names its kind and version; what an earlier release wrote is
//! upgraded here on reading. Deliberately the only place that knows the stored form.

use anyhow::{Context, bail};
use runbook::incident::Event;

/// The stored body of an event.
pub(crate) fn write(event: &Event) -> anyhow::Result<String> {
    serde_json::to_string(event).with_context(|| format!("writing the event {}", event.kind()))
}

/// Reads a stored event of any version up to this release's.
pub(crate) fn read(kind: &str, version: i64, body: &str) -> anyhow::Result<Event> {
    if version > i64::from(Event::VERSION) {
        bail!("the event {kind} has version {version}, and this release reads up to {}; run the newer release", Event::VERSION);
    }
    // There is one version so far, whose fixtures are in tests/fixtures/journal; the next one adds its upgrade here.
    serde_json::from_str(body).with_context(|| format!("reading the stored event {kind} (version {version})"))
}

#[cfg(test)]
mod tests {
    use runbook::finding::Findings;

    use super::*;

    #[test]
    fn what_was_written_before_a_field_was_there_is_read() {
        let event =
            Event::EndDue { why: "its longest is over".to_owned(), findings: Findings::default(), outlasted: true, of: None };
        let mut body: serde_json::Value = serde_json::from_str(&write(&event).unwrap()).unwrap();
        assert_eq!(body["end_due"].as_object_mut().unwrap().remove("outlasted"), Some(true.into()));
        let Event::EndDue { outlasted, .. } = read(event.kind(), 1, &body.to_string()).unwrap() else { panic!("another kind") };
        assert!(!outlasted, "what was not asked then is taken for a cure, as it was then");
        let newer = read(event.kind(), 2, "{}").unwrap_err().to_string();
        assert!(newer.contains("run the newer release"), "{newer}");
    }
}
