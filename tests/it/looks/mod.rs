//! Every look against the real server it is for: exactly the fields of its table when it sees, *unknown* when it cannot see, and
//! never nothing wrong where the rights to see are missing. One file per system.

mod docker;
mod http;
mod postgres;
mod progress;
mod rabbitmq;
mod redis;

use connect::Connections;
use runbook::finding::{Finding, Seen, fields};
use runbook::probe::Probe;
use runbook::target::{Inventory, Target};

use crate::databases::{PATIENCE, now, sessions};

/// The finding has exactly the fields of its table, of their types or unknown.
pub fn assert_fields(finding: &Finding) {
    let Seen::Known { fields: seen, .. } = &finding.seen else { panic!("{finding:?}") };
    let table = fields(&finding.probe);
    let wanted: Vec<&str> = table.iter().map(|field| field.name).collect();
    let mut names: Vec<&str> = seen.keys().map(String::as_str).collect();
    names.sort_by_key(|name| wanted.iter().position(|wanted| wanted == name));
    assert_eq!(names, wanted, "{}", finding.probe);
}

/// The same, and nothing is unknown but what is named.
pub fn assert_all_seen(finding: &Finding, except: &[&str]) {
    assert_fields(finding);
    for field in fields(&finding.probe) {
        let value = finding.field(field.name);
        assert_eq!(value.unknown().is_some(), except.contains(&field.name), "{}.{}: {value:?}", finding.probe, field.name);
    }
}

pub async fn look(connections: &Connections, inventory: &Inventory, id: &str, probe: Probe) -> Finding {
    let target = inventory.get(&id.parse().unwrap()).unwrap();
    probe::look(connections.looking(), inventory, target, &probe, now, PATIENCE).await
}

pub fn listed(targets: impl IntoIterator<Item = Target>) -> (Inventory, Connections) {
    let inventory = Inventory::new(targets);
    let connections = Connections::new(&inventory);
    (inventory, connections)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_is_only_for_its_own_kind_of_target() {
    let (inventory, connections) = listed([redis::target_at(1, None)]);
    let finding = look(&connections, &inventory, "redis/cache", sessions()).await;
    assert!(finding.unknown().is_some_and(|why| why.contains("postgres")), "{finding:?}");
}
