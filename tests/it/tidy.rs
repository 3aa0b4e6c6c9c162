//! The rules of the house that a program can check: the arrows between crates, what the pure crates may reach, the sizes and
//! heads of files, who may commit a permit, and an architecture page that names only what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All Rust files of the project, by path from its root.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("crates"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                files.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(files.len() > 50, "the sources were found");
    files.sort();
    files
}

/// What cargo knows: names of packages by id, and the normal dependencies of each, resolved.
fn resolved() -> (BTreeMap<String, String>, BTreeMap<String, BTreeSet<String>>) {
    let output =
        Command::new(env!("CARGO")).args(["metadata", "--format-version", "1", "--locked"]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    let names = packages.iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let to = node["deps"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dep| dep["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null()));
        edges.insert(text(&node["id"]), to.map(|dep| text(&dep["pkg"])).collect());
    }
    (names, edges)
}

#[test]
fn the_arrows_are_those_of_the_architecture() {
    let (names, edges) = resolved();
    let ours = ["action", "connect", "journal", "policy", "probe", "report", "runbook", "runbookd", "xtask"];
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("runbook", [].as_slice()),
        ("policy", &["runbook"]),
        ("connect", &["runbook"]),
        ("probe", &["connect", "runbook"]),
        ("action", &["connect", "policy", "runbook"]),
        ("journal", &["policy", "runbook"]),
        ("report", &["runbook"]),
        ("runbookd", &["action", "connect", "journal", "policy", "probe", "report", "runbook"]),
        ("xtask", &[]),
    ]);
    for (id, name) in names.iter().filter(|(id, name)| ours.contains(&name.as_str()) && id.contains("crates/")) {
        let found: BTreeSet<&str> = edges[id].iter().map(|to| names[to].as_str()).filter(|to| ours.contains(to)).collect();
        let wanted: BTreeSet<&str> = allowed[name.as_str()].iter().copied().collect();
        assert!(found.is_subset(&wanted), "{name} uses {found:?}, and may use {wanted:?}");
    }
}

#[test]
fn the_pure_crates_reach_no_runtime_client_or_store() {
    let (names, edges) = resolved();
    let forbidden = [
        "tokio",
        "async-std",
        "smol",
        "hyper",
        "reqwest",
        "sqlx",
        "sqlx-core",
        "redis",
        "lapin",
        "bollard",
        "axum",
        "mio",
        "socket2",
        "rustls",
        "libsqlite3-sys",
    ];
    for pure in ["runbook", "policy"] {
        let start = names.iter().find(|(id, name)| *name == pure && id.contains("crates/")).unwrap().0;
        let mut reached = BTreeSet::new();
        let mut todo = vec![start.clone()];
        while let Some(id) = todo.pop() {
            if reached.insert(id.clone()) {
                todo.extend(edges[&id].iter().cloned());
            }
        }
        let found: Vec<&str> = reached.iter().map(|id| names[id].as_str()).filter(|name| forbidden.contains(name)).collect();
        assert!(found.is_empty(), "{pure} reaches {found:?}");
    }
}

#[test]
fn clients_are_used_only_where_they_belong() {
    let (names, edges) = resolved();
    let users: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("bollard", ["connect", "probe", "action"].as_slice()),
        ("redis", &["connect", "probe", "action"]),
        ("lapin", &["connect", "probe", "action"]),
        ("axum", &["runbookd"]),
        ("cel", &["runbook"]),
    ]);
    for (id, name) in names.iter().filter(|(id, _)| id.contains("crates/")) {
        for to in &edges[id] {
            if let Some(allowed) = users.get(names[to].as_str()) {
                assert!(allowed.contains(&name.as_str()), "{name} uses {}, which belongs to {allowed:?}", names[to]);
            }
        }
    }
}

#[test]
fn no_openssl_no_second_executor_no_git_sources() {
    let (names, _) = resolved();
    for banned in ["openssl-sys", "native-tls", "aws-lc-sys", "async-std", "smol"] {
        assert!(!names.values().any(|name| name == banned), "{banned} is in the tree");
    }
    assert!(names.keys().all(|id| !id.starts_with("git+")), "a dependency comes from a git repository");
}

#[test]
fn every_file_says_what_it_is_for_and_holds_one_thing() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        if !text.starts_with("//!") {
            wrong.push(format!("{name} does not open with //!"));
        }
        let lines = text.lines().count();
        if lines > 500 {
            wrong.push(format!("{name} has {lines} lines: it holds two things"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_ignored_stubbed_or_allowed_without_a_reason() {
    let mut wrong = Vec::new();
    // Put together here, so that this file does not find itself.
    let banned = [["#[ign", "ore"].concat(), ["todo", "!("].concat(), ["unimple", "mented!("].concat(), ["FIX", "ME"].concat()];
    for (name, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            for banned in &banned {
                if line.contains(banned.as_str()) {
                    wrong.push(format!("{name}:{}: {banned}", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_start_transaction_commits_a_permit() {
    let places: Vec<String> = sources()
        .into_iter()
        .filter(|(name, text)| !name.starts_with("tests/") && text.contains("permit.commit("))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(places, ["crates/journal/src/start.rs"]);
}

#[test]
fn only_looks_that_people_read_share_a_list_of_containers() {
    let places: Vec<String> = sources()
        .into_iter()
        .filter(|(name, text)| name.starts_with("crates/") && text.contains("look_in_round("))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(places, ["crates/probe/src/lib.rs", "crates/runbookd/src/commands/eyes.rs"]);
}

#[test]
fn the_architecture_names_only_what_is_there() {
    let page = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let mut named = 0;
    for word in page.split('`').skip(1).step_by(2) {
        let is_path = ["crates/", "config/", "deploy/", "tests/", "docs/"].iter().any(|folder| word.starts_with(folder));
        if is_path && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)) {
            assert!(root().join(word).exists(), "docs/ARCHITECTURE.md names {word}, which is not there");
            named += 1;
        }
    }
    assert!(named > 10, "the page names {named} places");
}

#[test]
fn default_builds_lack_the_rehearsal() {
    for name in ["runbookd", "probe", "action"] {
        let manifest = std::fs::read_to_string(root().join(format!("crates/{name}/Cargo.toml"))).unwrap();
        let features = manifest.split("[features]").nth(1).unwrap_or_default();
        let default = features.lines().find(|line| line.trim_start().starts_with("default")).unwrap_or_default();
        assert!(!default.contains("rehearsal"), "{name} has the rehearsal by default");
    }
}
