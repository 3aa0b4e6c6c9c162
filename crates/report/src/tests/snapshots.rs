//! What people get to read, as files to look at. Re-made by `INSTA_UPDATE=always cargo test -p report`; a file that no test writes is
//! refused.

use super::samples::{self, Sample};
use crate::message::{Block, Message, TextObject};
use crate::words::Manner;
use crate::{final_report, headline, story, terminal};

fn manner() -> Manner {
    Manner {
        page: Some("https://runbookd.example".into()),
        linked: vec!["http://prometheus.example:9090".into()],
        ..Manner::default()
    }
}

fn shown(message: &Message) -> String {
    let text = |object: &TextObject| match object {
        TextObject::PlainText { text, .. } | TextObject::Mrkdwn { text, .. } => text.clone(),
    };
    let mut lines = vec![format!("[text] {}", message.text)];
    for block in &message.blocks {
        lines.push(match block {
            Block::Header { text: title } => format!("[header] {}", text(title)),
            Block::Section { text: body } => format!("[section] {}", text(body)),
            Block::Context { elements } => format!("[context] {}", elements.iter().map(text).collect::<Vec<_>>().join(" | ")),
        });
    }
    lines.join("\n")
}

/// Every snapshot, by its file's name; [`no_snapshot_is_dead`] compares.
const ALL: [&str; 27] = [
    "explain_handed_over",
    "explain_harmed",
    "headline_acting",
    "headline_asking",
    "headline_cured",
    "headline_denied",
    "headline_handed_over",
    "headline_held",
    "headline_hostile",
    "headline_paused",
    "headline_stuck",
    "headline_sustaining",
    "headline_unsettled",
    "list",
    "message_as_json",
    "report_cured",
    "report_handed_over",
    "report_held",
    "report_paused",
    "report_stopped",
    "report_stuck",
    "report_unsettled",
    "show_handed_over",
    "story_ended",
    "story_handed_over",
    "story_harmed",
    "story_unsettled",
];

fn check(name: &str, text: String) {
    assert!(ALL.contains(&name), "{name} is missing from the list of snapshots");
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "../snapshots"}, {
        insta::assert_snapshot!(name, text);
    });
}

fn head(sample: &Sample) -> String {
    shown(&headline(&sample.incident, &sample.events, &manner()))
}

#[test]
fn headlines() {
    check("headline_acting", head(&samples::acting("")));
    check("headline_asking", head(&samples::asking("")));
    check("headline_cured", head(&samples::cured("")));
    check("headline_handed_over", head(&samples::handed_over("")));
    check("headline_denied", head(&samples::denied("")));
    check("headline_held", head(&samples::held("")));
    check("headline_paused", head(&samples::paused("")));
    check("headline_stuck", head(&samples::stuck("")));
    check("headline_sustaining", head(&samples::sustaining("")));
    check("headline_unsettled", head(&samples::unsettled("")));
    check("headline_hostile", head(&samples::asking(" <!channel> <https://evil|Approve> `x` \u{202e}*b* & \n")));
}

#[test]
fn reports() {
    let cured = samples::cured("");
    let report = final_report(&cured.incident, &cured.events, &manner());
    check("report_cured", format!("{}\n\n{}", shown(&report.message(&manner())), report.text()));
    let others = [
        ("report_stuck", samples::stuck("")),
        ("report_held", samples::held("")),
        ("report_paused", samples::paused("")),
        ("report_stopped", samples::stopped("")),
        ("report_unsettled", samples::unsettled("")),
    ];
    for (name, sample) in others {
        check(name, final_report(&sample.incident, &sample.events, &manner()).text());
    }
    let over = samples::handed_over("");
    let report = final_report(&over.incident, &over.events, &manner());
    check(
        "report_handed_over",
        format!("{}\n\n{}", shown(&report.message(&manner())), serde_json::to_string_pretty(&report.json().unwrap()).unwrap()),
    );
}

#[test]
fn stories() {
    let samples = [
        ("story_handed_over", samples::handed_over("")),
        ("story_ended", samples::ended("")),
        ("story_harmed", samples::harmed("")),
        ("story_unsettled", samples::unsettled("")),
    ];
    for (name, sample) in samples {
        let entries = story(&sample.incident, &sample.events, &manner());
        let line = |entry: &crate::ThreadEntry| {
            format!("{}{} {}", entry.key, if entry.loud { "!" } else { "" }, shown(&entry.message(&sample.incident, &manner())))
        };
        check(name, entries.iter().map(line).collect::<Vec<_>>().join("\n"));
    }
}

#[test]
fn terminals() {
    let over = samples::handed_over("");
    check("show_handed_over", terminal::show(&over.incident, &over.events, &manner()));
    check("explain_handed_over", terminal::explain(&over.incident, &over.events, &Default::default(), &manner()));
    let harmed = samples::harmed("");
    check("explain_harmed", terminal::explain(&harmed.incident, &harmed.events, &Default::default(), &manner()));
    let summaries: Vec<_> = samples::all("").iter().map(|sample| terminal::Summary::of(&sample.incident)).collect();
    check("list", terminal::list(&summaries));
    assert_eq!(terminal::list(&[]), "No incidents.\n");
}

#[test]
fn the_wire_form_is_slacks() {
    let opened = samples::opened("");
    let message = headline(&opened.incident, &opened.events, &manner());
    check("message_as_json", serde_json::to_string_pretty(&message).unwrap());
}

#[test]
fn no_snapshot_is_dead() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/snapshots");
    let mut found: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".snap"))
        .map(|name| name.trim_end_matches(".snap").to_owned())
        .collect();
    found.sort();
    assert_eq!(found, ALL);
}
