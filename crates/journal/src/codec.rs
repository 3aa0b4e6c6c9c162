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
    // There is one version so far; the next one adds its upgrade here, and a fixture of this one in tests/fixtures/journal.
    serde_json::from_str(body).with_context(|| format!("reading the stored event {kind} (version {version})"))
}
