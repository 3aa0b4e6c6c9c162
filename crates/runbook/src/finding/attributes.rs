//! What is known of one thing that an action could choose: a closed list of attributes, written by probes and read by orders. Why
//! closed: a name that the writer spells otherwise than the reader would be an attribute that nothing has, and a decision reads
//! hundreds of them. Deliberately without conditions: those see the fields of a finding, and never single things.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::condition::Value;

/// Which attribute. In the order of their names, as they are written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attribute {
    /// The `application_name` of a session, as the client chose it.
    Application,
    /// Why a container may be down on purpose.
    AtRest,
    /// The `backend_type` of a session.
    BackendType,
    /// Whether a container has each of the asked-for settings.
    Changed,
    /// The address that a session comes from.
    Client,
    /// Whether runbookd added this container and will take it away.
    Clone,
    /// The full id of the container that this one is a clone of.
    CloneOf,
    /// The version of Compose that made a container.
    Compose,
    /// The database of a session.
    Database,
    /// The exit code of a container.
    ExitCode,
    /// An entry of a ledger in a test's world that is there by half. No probe writes it.
    Half,
    /// What a container's health check says; empty without one.
    Health,
    /// For how long a session has been idle, in seconds.
    IdleSeconds,
    /// The incident for which a container was made.
    Incident,
    /// Whether a recreate keeps this container in reserve.
    Kept,
    /// The name of a container.
    Name,
    /// Why a container cannot be cloned; not there where it can.
    NoClone,
    /// The number of a container within its service, as Compose counts.
    Number,
    /// Whether a container went down for want of memory.
    OomKilled,
    /// The restart policy of a container.
    Policy,
    /// Why a container may not be touched; not there where it may.
    Refused,
    /// The full id of the container in whose place this one is.
    Replaces,
    /// Whether a session's role may send copies of the database's log, or cannot be told.
    Replication,
    /// How often the Engine has restarted a container by itself.
    Restarts,
    /// For how long a running container has run, in seconds.
    RunningSeconds,
    /// The state of a session or of a container, in the server's own word.
    State,
    /// Whether a container stays exited although its restart policy would start it.
    StoppedByPerson,
    /// Whether a superuser owns a session.
    Superuser,
    /// The numbers of a service that others' containers have in their names, with spaces between.
    Taken,
    /// The user of a session.
    User,
    /// One that this release does not have. It is read, and not kept.
    #[serde(other)]
    Other,
}

/// The attributes of one thing, each at most once.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Attributes(Vec<(Attribute, Value)>);

impl Attributes {
    /// Sets one.
    pub fn set(&mut self, attribute: Attribute, value: Value) {
        match self.0.binary_search_by_key(&attribute, |(one, _)| *one) {
            Ok(there) => {
                if let Some((_, old)) = self.0.get_mut(there) {
                    *old = value;
                }
            }
            Err(place) => self.0.insert(place, (attribute, value)),
        }
    }

    /// Each with its value, in a stable order.
    pub fn iter(&self) -> impl Iterator<Item = (Attribute, &Value)> {
        self.0.iter().map(|(attribute, value)| (*attribute, value))
    }

    /// The value of one, where it is known of the thing.
    pub fn get(&self, attribute: Attribute) -> Option<&Value> {
        let place = self.0.binary_search_by_key(&attribute, |(one, _)| *one).ok()?;
        self.0.get(place).map(|(_, value)| value)
    }

    /// A text; empty where it is not known, or is none.
    pub fn text(&self, attribute: Attribute) -> &str {
        match self.get(attribute) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// A number, if it is known.
    pub fn number(&self, attribute: Attribute) -> Option<f64> {
        match self.get(attribute) {
            Some(Value::Number(number)) if number.is_finite() => Some(*number),
            _ => None,
        }
    }

    /// Whether it is known to be so.
    pub fn flag(&self, attribute: Attribute) -> bool {
        self.get(attribute) == Some(&Value::Flag(true))
    }
}

impl FromIterator<(Attribute, Value)> for Attributes {
    fn from_iter<T: IntoIterator<Item = (Attribute, Value)>>(iter: T) -> Self {
        let mut all = Self::default();
        all.extend(iter);
        all
    }
}

impl Extend<(Attribute, Value)> for Attributes {
    fn extend<T: IntoIterator<Item = (Attribute, Value)>>(&mut self, iter: T) {
        for (attribute, value) in iter {
            self.set(attribute, value);
        }
    }
}

impl<const N: usize> From<[(Attribute, Value); N]> for Attributes {
    fn from(all: [(Attribute, Value); N]) -> Self {
        all.into_iter().collect()
    }
}

impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = std::collections::BTreeMap::<Attribute, Value>::deserialize(deserializer)?;
        Ok(all.into_iter().filter(|(attribute, _)| *attribute != Attribute::Other).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_written_by_name_and_what_another_release_wrote_is_read() {
        let mut all = Attributes::from([
            (Attribute::State, Value::Text("idle".to_owned())),
            (Attribute::IdleSeconds, Value::Number(5.0)),
            (Attribute::Replication, Value::Flag(true)),
        ]);
        all.set(Attribute::IdleSeconds, Value::Number(6.0));
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(text, r#"{"idle_seconds":{"number":6.0},"replication":{"flag":true},"state":{"text":"idle"}}"#);
        assert_eq!(serde_json::from_str::<Attributes>(&text).unwrap(), all);
        let later = r#"{"mood":{"text":"good"},"state":{"text":"idle"},"taste":{"flag":true}}"#;
        let later: Attributes = serde_json::from_str(later).unwrap();
        assert_eq!(later.iter().collect::<Vec<_>>(), [(Attribute::State, &Value::Text("idle".to_owned()))]);
        assert_eq!((all.text(Attribute::State), all.text(Attribute::Replication), all.text(Attribute::User)), ("idle", "", ""));
        assert_eq!((all.number(Attribute::IdleSeconds), all.number(Attribute::State)), (Some(6.0), None));
        assert!(all.flag(Attribute::Replication) && !all.flag(Attribute::Superuser));
    }
}
