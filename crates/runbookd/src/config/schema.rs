//! JSON Schemas (draft 2020-12) of the three written forms, from the types that read them, so that an editor knows what
//! `check` knows. Why some parts are put together here by hand: a target's keys depend on its name and a step's on its
//! action, which no derive can say. The fields of every probe stand in it, from the table that conditions are checked by.

use runbook::condition::Type;
use runbook::finding::fields;
use runbook::target::Kind;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::written::daemon::WrittenDaemon;
use super::written::runbook::WrittenRunbook;
use super::written::targets::{
    WrittenEngine, WrittenHttp, WrittenPostgres, WrittenPrometheus, WrittenQueue, WrittenRabbitmq, WrittenRedis,
    WrittenRehearsal, WrittenService, WrittenTraits,
};

/// One of the three written forms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// `runbookd.yaml`.
    Daemon,
    /// `targets.yaml`.
    Targets,
    /// A file of `runbooks/`.
    Runbook,
}

impl Form {
    /// Every form, with the file that has it.
    pub const ALL: [(Form, &'static str); 3] =
        [(Form::Daemon, "runbookd.yaml"), (Form::Targets, "targets.yaml"), (Form::Runbook, "runbooks/*.yaml")];
}

/// The schema of a form.
pub fn schema(form: Form) -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let mut schema = match form {
        Form::Daemon => generator.into_root_schema_for::<WrittenDaemon>(),
        Form::Runbook => generator.into_root_schema_for::<WrittenRunbook>(),
        Form::Targets => {
            let mut schema = inventory(&mut generator);
            schema.insert("$defs".to_owned(), Value::Object(generator.take_definitions(true)));
            schema
        }
    };
    // What is refused on reading must not be offered: a key without a value, and rehearsals in a build without them.
    RecursiveTransform(without_refused).transform(&mut schema);
    schema.to_value()
}

fn without_refused(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| *choice != json!({"type": "null"}));
        if let [only] = choices.as_slice()
            && let Value::Object(only) = only.clone()
        {
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(choices)) = object.get_mut("oneOf") {
        let rehearsed = json!(Kind::Rehearsal.word());
        choices.retain(|choice| cfg!(feature = "rehearsal") || choice.get("const") != Some(&rehearsed));
    }
}

/// `targets.yaml`: for every kind, what all targets say and where one of this kind is.
fn inventory(generator: &mut SchemaGenerator) -> Schema {
    let mut patterns = Map::new();
    for kind in Kind::ALL {
        let place = match kind {
            Kind::Postgres => WrittenPostgres::json_schema(generator),
            Kind::Redis => WrittenRedis::json_schema(generator),
            Kind::Rabbitmq => WrittenRabbitmq::json_schema(generator),
            Kind::Queue => WrittenQueue::json_schema(generator),
            Kind::Service => WrittenService::json_schema(generator),
            Kind::Engine => WrittenEngine::json_schema(generator),
            Kind::Http => WrittenHttp::json_schema(generator),
            Kind::Prometheus => WrittenPrometheus::json_schema(generator),
            Kind::Rehearsal if !cfg!(feature = "rehearsal") => continue,
            Kind::Rehearsal => WrittenRehearsal::json_schema(generator),
        };
        let whole = joined(place, &WrittenTraits::json_schema(generator));
        patterns.insert(format!("^{}/[A-Za-z0-9._-]{{1,63}}$", kind.word()), whole.to_value());
    }
    schemars::json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Targets",
        "description": "The inventory: the only things that runbookd looks at or touches, by kind/name.",
        "type": "object",
        "patternProperties": patterns,
        "additionalProperties": false
    })
}

/// One object with the properties of both, and no others.
fn joined(mut schema: Schema, other: &Schema) -> Schema {
    let part = |schema: &Schema, key: &str| schema.get(key).cloned();
    if let Some(Value::Object(more)) = part(other, "properties") {
        let mut properties = match part(&schema, "properties") {
            Some(Value::Object(properties)) => properties,
            _ => Map::new(),
        };
        properties.extend(more);
        schema.insert("properties".to_owned(), Value::Object(properties));
    }
    let required: Vec<Value> = [part(&schema, "required"), part(other, "required")]
        .into_iter()
        .flatten()
        .filter_map(|list| list.as_array().cloned())
        .flatten()
        .collect();
    if !required.is_empty() {
        schema.insert("required".to_owned(), Value::Array(required));
    }
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("additionalProperties".to_owned(), json!(false));
    schema
}

/// The schema of a look or a step: `T` is an enum whose variants are named things with parameters, `C` has the keys that may
/// stand among the parameters of each. Where `alone`, the word alone will do for those without parameters.
pub fn named_things<T: JsonSchema, C: JsonSchema>(generator: &mut SchemaGenerator, alone: bool) -> Schema {
    let common = C::json_schema(generator);
    let derived = T::json_schema(generator);
    let variants = derived.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut choices = Vec::new();
    for mut variant in variants {
        let Some(Value::Object(properties)) = variant.get("properties").cloned() else { continue };
        let Some((word, parameters)) = properties.into_iter().next() else { continue };
        let resolved = resolve(generator, &parameters);
        let needs_parameters = resolved.get("required").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        let whole = joined(resolved, &common).to_value();
        let meaning = variant.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
        let meaning = format!("{meaning}{}", table(&word));
        if alone && !needs_parameters {
            choices.push(json!({"const": word, "description": meaning}));
        }
        if let Value::Object(object) = &mut variant {
            object.insert("properties".to_owned(), json!({ word.clone(): whole }));
            object.insert("description".to_owned(), Value::String(meaning));
        }
        choices.push(variant);
    }
    schemars::json_schema!({ "oneOf": choices })
}

/// The schema that a reference means.
fn resolve(generator: &SchemaGenerator, schema: &Value) -> Schema {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    let found = name.and_then(|name| generator.definitions().get(name)).unwrap_or(schema);
    Schema::try_from(found.clone()).unwrap_or_default()
}

/// The fields of a probe, for people.
fn table(probe: &str) -> String {
    let lines: Vec<String> = fields(probe)
        .iter()
        .map(|field| {
            let kind = match (field.kind, field.unit) {
                (Type::Number, "") => "number".to_owned(),
                (Type::Number, unit) => format!("number, {unit}"),
                (Type::Flag, _) => "true or false".to_owned(),
                (Type::Text, _) => "text".to_owned(),
                (Type::List, _) => "list".to_owned(),
            };
            format!("\n- `{}` ({kind}): {}", field.name, field.means)
        })
        .collect();
    if lines.is_empty() { String::new() } else { format!("\n\nFields for conditions:{}", lines.concat()) }
}
