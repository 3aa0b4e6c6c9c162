//! Whatever a stranger writes into labels, names, replies and notes: no limit of Slack's is broken, nothing foreign is markup, and
//! nothing steers a terminal.

use proptest::prelude::*;

use super::samples::{self, Sample};
use crate::message::{BUDGET_JSON, BUDGET_TEXT, Block, MAX_BLOCKS, MAX_HEADER, MAX_TEXT, Message, TextObject, weight};
use crate::prose::width;
use crate::words::Manner;
use crate::{final_report, headline, outgoing, story, terminal};

// As Slack may count it, were everything but ASCII escaped.
fn ascii_json(message: &Message) -> usize {
    serde_json::to_string(message).unwrap().chars().map(|c| if c.is_ascii() { 1 } else { 6 * c.len_utf16() }).sum()
}

fn within_limits(message: &Message) {
    assert!(!message.text.is_empty());
    assert!(message.blocks.len() <= MAX_BLOCKS);
    assert!(!message.blocks.is_empty());
    let mut total = width(&message.text);
    let mut check = |object: &TextObject, most: usize| {
        let text = match object {
            TextObject::PlainText { text, emoji } => {
                assert!(!emoji && !text.contains(['<', '>', '&', '\n']));
                text
            }
            TextObject::Mrkdwn { text, verbatim } => {
                assert!(verbatim);
                only_our_markup(text);
                text
            }
        };
        assert!(!text.is_empty());
        assert!(width(text) <= most, "{} > {most}", width(text));
        total += width(text);
    };
    for block in &message.blocks {
        match block {
            Block::Header { text } => check(text, MAX_HEADER),
            Block::Section { text } => check(text, MAX_TEXT),
            Block::Context { elements } => {
                assert!(elements.len() <= 10);
                elements.iter().for_each(|element| check(element, MAX_TEXT));
            }
        }
    }
    only_our_markup(&message.text);
    assert!(total <= BUDGET_TEXT, "{total} characters");
    assert!(ascii_json(message) <= BUDGET_JSON, "{} characters of JSON", ascii_json(message));
}

// Every `<` opens a link to an address that we vouch for.
fn only_our_markup(text: &str) {
    for (at, _) in text.match_indices('<') {
        let rest = &text[at..];
        let ours = rest.starts_with("<https://runbookd.example/incidents/42|its page>");
        assert!(ours, "{rest}");
    }
    for line in text.lines() {
        assert_eq!(line.matches('`').count() % 2, 0, "{line}");
        assert_eq!(line.matches('*').count() % 2, 0, "{line}");
    }
    assert!(!text.contains(['\u{202e}', '\u{1b}', '\u{2066}', '\u{200b}', '\r', '\0']));
}

fn all_is_well(sample: &Sample) {
    let manner = Manner { page: Some("https://runbookd.example".into()), ..Manner::default() };
    let (incident, events) = (&sample.incident, &sample.events);
    let head = headline(incident, events, &manner);
    within_limits(&head);
    if incident.word() == "asking" {
        let said = serde_json::to_string(&head).unwrap();
        assert!(said.contains("`runbookd approve q7f3k9`") && said.contains("`runbookd deny q7f3k9`"), "{said}");
    }
    for entry in story(incident, events, &manner) {
        within_limits(&entry.message(incident, &manner));
    }
    let report = final_report(incident, events, &manner);
    within_limits(&report.message(&manner));
    let json = report.json().unwrap().to_string();
    let texts = [
        report.text(),
        terminal::show(incident, events, &manner),
        terminal::explain(incident, events, &Default::default(), &manner),
        json,
    ];
    for text in texts {
        let steers = |c: char| {
            (c.is_control() && c != '\n')
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        };
        assert!(!text.contains(steers), "{text:?}");
    }
    let list = terminal::list(&[terminal::Summary::of(incident)]);
    assert_eq!(list.lines().count(), 2);
}

#[test]
fn nothing_breaks_on_a_megabyte_or_on_what_escapes_to_more() {
    for piece in ["x", "&", "<!channel>", "`", "\n", "\u{202e}", "🙂", "ü", "\\", "\"", "*", " ", "<https://evil|a>", "\u{1b}[2J"]
    {
        let words = piece.repeat(3_000 / piece.len());
        for sample in samples::all(&words) {
            all_is_well(&sample);
        }
    }
    all_is_well(&samples::cured(&"&".repeat(1 << 20)));
}

#[test]
fn many_sessions_and_many_alerts_are_counted_not_listed() {
    use runbook::alert::{AlertStatus, Fingerprint};
    use runbook::incident::Event;
    let mut sample = samples::acting("");
    for number in 0..500 {
        let name = format!("Other{number}");
        let starts_at = sample.incident.last;
        let heard = Event::AlertHeard { fingerprint: Fingerprint(number), name, status: AlertStatus::Firing, starts_at };
        sample = sample.then(160 + i64::try_from(number).unwrap(), heard);
    }
    all_is_well(&sample);
    let head = headline(&sample.incident, &sample.events, &Manner::default());
    let text = serde_json::to_string(&head).unwrap();
    assert!(text.contains("and 496 more alerts"), "{text}");
    assert!(text.contains("14 sessions"), "{text}");
    let report = final_report(&sample.incident, &sample.events, &Manner::default());
    assert_eq!(report.alerts.len(), 501);
    let message = serde_json::to_string(&report.message(&Manner::default())).unwrap();
    assert!(message.contains("more lines; all of it"), "what does not fit is counted: {message}");
    assert!(message.contains("What a person must do now"), "what matters stands first");
}

#[test]
fn the_weight_is_what_escaped_json_costs() {
    for text in ["plain", "\"\\\n", "ü", "🙂", "日本"] {
        let json = serde_json::to_string(text).unwrap();
        let escaped: usize = json.chars().map(|c| if c.is_ascii() { 1 } else { 6 * c.len_utf16() }).sum();
        assert_eq!(weight(text) + 2, escaped, "{text}");
    }
}

#[test]
fn rendering_is_a_function_of_the_events() {
    for sample in samples::all("") {
        let say = || {
            serde_json::to_string(&outgoing(&sample.incident, &sample.events, &crate::Sent::default(), &Manner::default()))
                .unwrap()
        };
        assert_eq!(say(), say());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn no_foreign_text_breaks_a_limit_or_becomes_markup(
        words in prop_oneof![
            "(<!here>|<@U1>|&|`|\\*|~|<https://e.vil\\|x>|\n|\u{202e}|\u{1b}\\[31m|🙂|ü|word | ){0,300}",
            any::<String>(),
            "\\PC{0,1500}",
        ]
    ) {
        for sample in samples::all(&words) {
            all_is_well(&sample);
        }
    }
}
