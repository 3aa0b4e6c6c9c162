//! `docker.settings`: the containers of a service, and whether they and the service's `env_file` have the values that a recreate
//! gave them. Why a look of its own: the end of a recreate is proved by the file as much as by the containers, and only the order
//! knows which values. Deliberately no value in what is seen, neither an old nor a new one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use connect::Looking;
use connect::env_file::{EnvFile, Says};
use runbook::condition::Value;
use runbook::finding::{Attribute, Seen, Subject};
use runbook::target::{Inventory, Place, Target};
use runbook::text::inert;
use runbook::time::Stamp;

use super::{Replica, Service, service};
use crate::nearly;
use crate::seen::Fields;

pub(crate) async fn look(
    looking: &Looking,
    inventory: &Inventory,
    target: &Target,
    asked: &BTreeMap<String, String>,
    now: Stamp,
    within: Duration,
) -> Result<Seen, String> {
    let found = Service::of(looking, inventory, target, within)?.containers().await?;
    let file = match &target.place {
        Place::Service { scope, .. } => scope.env_file.clone(),
        _ => None,
    };
    let in_file = match file {
        None => Value::Unknown(format!("{} has no `env_file` in the inventory", target.id)),
        Some(file) => in_file(file.into(), asked.clone(), nearly(within)).await,
    };
    let mut fields = Fields::new();
    fields.put("in_file", in_file);
    Ok(fields.seen_with(found.iter().map(|replica| subject(replica, asked, now)).collect()))
}

/// Whether the file says each of these. A disk that hangs is waited for no longer than the look may take.
async fn in_file(path: PathBuf, asked: BTreeMap<String, String>, within: Duration) -> Value {
    let reading = tokio::task::spawn_blocking(move || {
        let file = EnvFile::read(&path)?;
        Ok::<_, String>(asked.iter().all(|(key, value)| file.says(key, value) == Says::This))
    });
    match tokio::time::timeout(within, reading).await {
        Ok(Ok(Ok(said))) => Value::Flag(said),
        Ok(Ok(Err(why))) => Value::Unknown(inert(&why, 300)),
        Ok(Err(_)) | Err(_) => Value::Unknown("the file could not be read in time".to_owned()),
    }
}

fn subject(replica: &Replica, asked: &BTreeMap<String, String>, now: Stamp) -> Subject {
    let mut subject = service::subject(&replica.container, now);
    let lines = replica.inspected.config.as_ref().and_then(|config| config.env.as_deref()).unwrap_or_default();
    // Of a name that is there twice the last counts.
    let has = |key: &str| lines.iter().filter_map(|line| line.split_once('=')).rfind(|(name, _)| *name == key);
    let changed = asked.iter().all(|(key, value)| has(key).is_some_and(|(_, has)| has == value));
    subject.attributes.set(Attribute::Changed, Value::Flag(changed));
    subject
}
