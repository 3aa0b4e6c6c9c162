//! How long each test took, and which took too long without being listed.
//!
//! The times come from the runner's JUnit file; the list, with a reason for each test, is `tests/slow.txt`.

use std::path::Path;

use anyhow::{Context, Result};

use crate::paths;

/// A test that takes longer than this must be listed (seconds).
pub(super) const LIMIT: f64 = 30.0;

/// Where such tests are listed: one name a line, then `#` and the reason.
pub(super) const LIST: &str = "tests/slow.txt";

/// The tests that took longer than [`LIMIT`] and are not listed, each with its time.
pub(super) fn unlisted(report: &Path) -> Result<Vec<String>> {
    let xml = std::fs::read_to_string(report).with_context(|| format!("cannot read {}", report.display()))?;
    let list = std::fs::read_to_string(paths::root().join(LIST)).unwrap_or_default();
    Ok(too_long(&xml, &list))
}

fn too_long(xml: &str, list: &str) -> Vec<String> {
    // A line without a reason lists nothing.
    let listed: Vec<&str> = list
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split_once('#'))
        .filter(|(_, reason)| !reason.trim().is_empty())
        .map(|(name, _)| name.trim())
        .collect();
    xml.split("<testcase ")
        .skip(1)
        .filter_map(|case| {
            let head = case.split('>').next()?;
            let name = attribute(head, "name")?;
            let seconds: f64 = attribute(head, "time")?.parse().ok()?;
            (seconds > LIMIT && !listed.contains(&name)).then(|| format!("{seconds:.1} s  {name}"))
        })
        .collect()
}

fn attribute<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let start = format!("{name}=\"");
    // The blank keeps "name" from being found within "classname".
    let padded = head.find(&format!(" {start}")).map(|at| at + 1);
    let at = if head.starts_with(&start) { Some(0) } else { padded }?;
    head.get(at + start.len()..)?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = r#"<testsuite name="it" tests="3">
        <testcase name="a::fast" classname="it" timestamp="t" time="1.5"></testcase>
        <testcase name="a::listed" classname="it" time="31.0"/>
        <testcase classname="it" name="a::slow" time="45.25"><system-out>x</system-out></testcase>
    </testsuite>"#;

    #[test]
    fn a_slow_test_must_be_listed_with_a_reason() {
        let list = "# name  # reason\na::listed  # waits for two scrapes\na::slow\n";
        assert_eq!(too_long(XML, list), ["45.2 s  a::slow"]);
        assert_eq!(too_long(XML, "").len(), 2);
    }
}
