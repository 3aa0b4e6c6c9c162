//! What matchers leave room for: whether any alert can satisfy them all. Why not by reasoning on patterns: the languages of
//! regular expressions are not needed, an example is. Labels are independent of each other, so each is judged by itself: where
//! the values that can satisfy it are spelt out, they are tried; otherwise a few likely ones are, and only a hit is certain.

use std::collections::BTreeMap;

use runbook::alert::Labels;
use runbook::matcher::{Matcher, Op};

/// A value that nobody means by name.
const ANY: &str = "anything";

/// Whether some alert satisfies all of these.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Room {
    /// This one does.
    For(Labels),
    /// None can: these matchers of one label contradict each other.
    None(Vec<String>),
    /// No example was found, and that none exists cannot be shown, because of these patterns on one label.
    Perhaps(Vec<String>),
}

/// Looks for an alert that satisfies all of these.
pub fn room<'a>(matchers: impl IntoIterator<Item = &'a Matcher>) -> Room {
    let mut by_label: BTreeMap<&str, Vec<&Matcher>> = BTreeMap::new();
    for matcher in matchers {
        by_label.entry(matcher.name()).or_default().push(matcher);
    }
    let mut example = Labels::new();
    let mut perhaps = None;
    for (label, together) in by_label {
        let fits = |value: &String| together.iter().all(|matcher| holds(matcher, value));
        let spelt: Vec<Vec<String>> = together.iter().filter_map(|matcher| spelt_out(matcher)).collect();
        // What one matcher spells out bounds them all; where none does, everything that is spelt out anywhere is a good guess.
        let found = match spelt.first() {
            Some(values) => values.iter().find(|value| fits(value)).cloned(),
            None => {
                let parts = together.iter().flat_map(|matcher| matcher.value().split('|')).map(literal);
                parts.chain([String::new(), ANY.to_owned()]).find(|value| fits(value))
            }
        };
        let written = || together.iter().map(ToString::to_string).collect();
        match found {
            Some(value) => drop(example.insert(label.to_owned(), value)),
            None if !spelt.is_empty() => return Room::None(written()),
            None => perhaps = perhaps.or_else(|| Some(written())),
        }
    }
    perhaps.map_or(Room::For(example), Room::Perhaps)
}

/// Whether whatever satisfies `these` surely satisfies `other` too.
pub fn implies(these: &[Matcher], other: &Matcher) -> bool {
    if these.contains(other) {
        return true;
    }
    let same_label = these.iter().filter(|matcher| matcher.name() == other.name());
    let spelt: Vec<String> = same_label.filter_map(spelt_out).next().unwrap_or_default();
    !spelt.is_empty() && spelt.iter().all(|value| holds(other, value))
}

fn holds(matcher: &Matcher, value: &str) -> bool {
    matcher.matches(&Labels::from([(matcher.name().to_owned(), value.to_owned())]))
}

/// All values that a matcher holds for, where it names them: `a`, or `a|b`.
pub fn spelt_out(matcher: &Matcher) -> Option<Vec<String>> {
    let plain = |text: &str| text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '-' | '/'));
    let value = matcher.value();
    match matcher.op() {
        Op::Equal => Some(vec![value.to_owned()]),
        Op::Matches if value.split('|').all(plain) => Some(value.split('|').map(str::to_owned).collect()),
        _ => None,
    }
}

/// A text that a simple pattern may hold for: its repetitions of any character left out.
fn literal(pattern: &str) -> String {
    pattern.replace(".*", "").replace(".+", "x").replace(['\\', '^', '$', '(', ')', '?'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entry: &str) -> Room {
        room(&Matcher::parse(entry).unwrap())
    }

    #[test]
    fn an_example_is_found_where_there_is_one() {
        for entry in [
            r#"a="x", b!="y""#,
            r#"a=~"x|y", a!="x""#,
            r#"a=~"Post.*", a=~".*gres""#,
            r#"a=~"Post.*", a!~".*Down""#,
            r#"a!="", a!~"x""#,
        ] {
            let matchers = Matcher::parse(entry).unwrap();
            match (entry, room(&matchers)) {
                (_, Room::For(labels)) => assert!(matchers.iter().all(|matcher| matcher.matches(&labels)), "{entry}: {labels:?}"),
                // Two patterns that only a text put together from both satisfies: not decided, and never called impossible.
                (r#"a=~"Post.*", a=~".*gres""#, Room::Perhaps(_)) => {}
                (_, other) => panic!("{entry}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_contradiction_is_certain_only_where_values_are_spelt_out() {
        for entry in [r#"a="x", a="y""#, r#"a="x", a=~"y.*""#, r#"a=~"x|y", a!~"x|y""#, r#"a="", a!="""#] {
            assert!(matches!(of(entry), Room::None(_)), "{entry}: {:?}", of(entry));
        }
        assert!(matches!(of(r#"a=~"x.*", a=~"y.*""#), Room::Perhaps(_)));
    }

    #[test]
    fn one_matcher_implies_another_where_all_its_values_do() {
        let these = Matcher::parse(r#"a=~"x|y", b!="z""#).unwrap();
        let one = |entry: &str| implies(&these, &Matcher::parse(entry).unwrap()[0]);
        assert!(one(r#"a=~"x|y|z""#) && one(r#"b!="z""#) && one(r#"a!="z""#));
        assert!(!one(r#"a="x""#) && !one(r#"c="x""#) && !one(r#"b!="y""#));
    }
}
