//! Time intervals as they stand in the configuration: Alertmanager's YAML, unknown fields refused.
//!
//! Ranges stay text here, so that the check can complain about all of them at once; a bare number, which YAML does not read
//! as text, is taken as its digits.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// A named list of interval specs; one of them has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenIntervals {
    /// The name that modes refer to.
    pub name: String,
    /// Alternatives: the instant is inside when one of them holds.
    pub time_intervals: Vec<WrittenInterval>,
}

/// One interval spec. All fields that are there must hold; within a field one range is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenInterval {
    /// Times of the day, the start inclusive and the end exclusive. A range cannot cross midnight: write two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<Vec<WrittenTimes>>,
    /// English names of days in full, or ranges of them: `monday:friday`. The week starts on Sunday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekdays: Option<Vec<RangeText>>,
    /// Days 1 to 31, or -1 to -31 from the end of the month, or ranges: `1:5`, `-3:-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_of_month: Option<Vec<RangeText>>,
    /// Months by English name or number, or ranges: `november:december`, `1:3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub months: Option<Vec<RangeText>>,
    /// Years or ranges of them: `2026:2028`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub years: Option<Vec<RangeText>>,
    /// The zone whose wall clock counts, by its IANA name. Without it: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// A range of times of the day, both as `HH:MM`; the end may be `24:00`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenTimes {
    /// The first minute inside.
    pub start_time: String,
    /// The first minute outside again.
    pub end_time: String,
}

/// One member of a range field: a single value or `from:to`, both ends inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RangeText(pub String);

impl<'de> Deserialize<'de> for RangeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = RangeText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, a number or a range such as 'monday:friday' or '1:5'")
            }

            fn visit_str<E>(self, text: &str) -> Result<RangeText, E> {
                Ok(RangeText(text.into()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<RangeText, E> {
                Ok(RangeText(number.to_string()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<RangeText, E> {
                Ok(RangeText(number.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl schemars::JsonSchema for RangeText {
    fn schema_name() -> Cow<'static, str> {
        "RangeText".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "integer"],
            "description": "A single value, or a range from:to with both ends inside."
        })
    }
}
