//! The page on writing runbooks: what stands there loads without a complaint, and leaves out nothing that there is. A reader copies
//! from it at their own risk otherwise.

use crate::support::daemon::{Home, binary};

fn page() -> String {
    std::fs::read_to_string(xtask::paths::root().join("docs/WRITING-RUNBOOKS.md")).unwrap()
}

#[test]
fn its_examples_are_found_without_fault() {
    let page = page();
    let blocks: Vec<&str> = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let (runbooks, rest): (Vec<&str>, Vec<&str>) = blocks.into_iter().partition(|block| block.starts_with("runbook: "));
    let [inventory] = rest.as_slice() else { panic!("one inventory, and runbooks: {rest:?}") };
    assert!(runbooks.len() >= 4, "{runbooks:?}");
    let home = Home::new(&[]);
    let told = "alertmanager: [{url: \"http://127.0.0.1:9093\", receiver: runbookd}]";
    home.write("runbookd.yaml", &format!("listen: 127.0.0.1:PORT\n{told}\n"));
    home.write("targets.yaml", inventory);
    for (number, runbook) in runbooks.iter().enumerate() {
        home.write(&format!("runbooks/{number}.yaml"), runbook);
    }
    let checked = home.command(binary(), &["check"]).env("RABBITMQ_LOOK_PASSWORD", "not used").output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && !said.contains("error:") && !said.contains("warning:"), "{said}");
}

#[test]
fn it_names_every_look_and_every_action() {
    let page = page();
    let schema = home_schema();
    for of in ["Look", "Step"] {
        let choices = schema["$defs"][of]["oneOf"].as_array().or(schema["$defs"][of]["anyOf"].as_array()).unwrap();
        let names: Vec<&String> =
            choices.iter().filter_map(|choice| choice["properties"].as_object()).flat_map(|object| object.keys()).collect();
        let named: Vec<&&String> = names.iter().filter(|name| name.contains('.')).collect();
        assert!(named.len() >= 7, "{of}: {names:?}");
        for name in named {
            assert!(page.contains(&format!("`{name}")), "{name} is not on the page");
        }
    }
}

fn home_schema() -> serde_json::Value {
    let snapshot = std::fs::read_to_string(xtask::paths::root().join("tests/fixtures/config/schema_runbook.snap")).unwrap();
    let (_, json) = snapshot.split_once("\n{").unwrap();
    serde_json::from_str(&format!("{{{json}")).unwrap()
}
