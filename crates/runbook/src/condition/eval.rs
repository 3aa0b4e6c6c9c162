//! Evaluation: total, without panics, three-valued.
//!
//! Fields that are unknown never get here: `Condition::evaluate` has decided on them. What is unknown here comes from
//! arithmetic on known numbers, or from types that a checked condition cannot have.

use super::expr::{Arithmetic, Ask, Comparison, Kind, Node};
use super::{Truth, Value};

/// What was seen, each with its path: a handful, which are gone through more quickly than a map of them is made.
type Seen<'a> = [(&'a str, Value)];

/// What the condition comes to.
pub(super) fn evaluate(node: &Node, seen: &Seen<'_>) -> Truth {
    match value(node, seen) {
        Value::Flag(flag) => flag.into(),
        Value::Unknown(why) => Truth::Unknown(why),
        other => Truth::Unknown(format!("it comes to {}, not to true or false", kind(&other))),
    }
}

fn unknown(why: impl Into<String>) -> Value {
    Value::Unknown(why.into())
}

/// With its article, for reasons.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Number(_) => "a number",
        Value::Flag(_) => "true or false",
        Value::Text(_) => "a text",
        Value::List(_) => "a list",
        Value::Unknown(_) => "unknown",
    }
}

fn value(node: &Node, seen: &Seen<'_>) -> Value {
    match &node.kind {
        Kind::Number(number) => Value::number(*number),
        Kind::Flag(flag) => Value::Flag(*flag),
        Kind::Text(text) => Value::Text(text.clone()),
        Kind::Path(path) => {
            let found = seen.iter().find(|(seen, _)| seen == path).map(|(_, value)| value.clone());
            found.unwrap_or_else(|| unknown(format!("{path} was not looked at")))
        }
        Kind::List(members) => Value::List(members.iter().map(|member| value(member, seen)).collect()),
        Kind::Not(one) => match evaluate(one, seen) {
            Truth::True => Value::Flag(false),
            Truth::False => Value::Flag(true),
            Truth::Unknown(why) => Value::Unknown(why),
        },
        Kind::Negate(one) => match value(one, seen) {
            Value::Number(number) => Value::number(-number),
            Value::Unknown(why) => Value::Unknown(why),
            other => unknown(format!("- stands before {}", kind(&other))),
        },
        Kind::And(left, right) => join(evaluate(left, seen), evaluate(right, seen), Truth::False),
        Kind::Or(left, right) => join(evaluate(left, seen), evaluate(right, seen), Truth::True),
        Kind::Arithmetic(operator, left, right) => compute(*operator, &value(left, seen), &value(right, seen)),
        Kind::Compare(operator, left, right) => compare(*operator, &value(left, seen), &value(right, seen)),
        Kind::In(member, list) => contains(&value(list, seen), &value(member, seen)),
        Kind::Size(one) => size(&value(one, seen)),
        Kind::Ask(ask, text, other) => match (value(text, seen), value(other, seen)) {
            (Value::Text(text), Value::Text(other)) => Value::Flag(match ask {
                Ask::StartsWith => text.starts_with(&other),
                Ask::EndsWith => text.ends_with(&other),
                Ask::Contains => text.contains(&other),
            }),
            (left, right) => mismatch(ask.name(), &left, &right),
        },
        Kind::Matches(text, pattern) => match value(text, seen) {
            Value::Text(text) => Value::Flag(pattern.is_match(&text)),
            Value::Unknown(why) => Value::Unknown(why),
            other => unknown(format!("matches looks at {}", kind(&other))),
        },
    }
}

/// Kleene's `&&` and `||`: `decides` on either side settles it, else an unknown stays, else it is the other value.
fn join(left: Truth, right: Truth, decides: Truth) -> Value {
    if left == decides || right == decides {
        return Value::Flag(decides.holds());
    }
    match (left, right) {
        (Truth::Unknown(why), _) | (_, Truth::Unknown(why)) => Value::Unknown(why),
        _ => Value::Flag(!decides.holds()),
    }
}

/// The reason for two values that an operator cannot take: the unknown one's, or that they do not fit.
fn mismatch(operator: &str, left: &Value, right: &Value) -> Value {
    match left.unknown().or_else(|| right.unknown()) {
        Some(why) => Value::Unknown(why.into_owned()),
        None => unknown(format!("{operator} between {} and {}", kind(left), kind(right))),
    }
}

fn compute(operator: Arithmetic, left: &Value, right: &Value) -> Value {
    let (Value::Number(a), Value::Number(b)) = (left, right) else {
        return mismatch(operator.sign(), left, right);
    };
    match operator {
        Arithmetic::Divide if *b == 0.0 => unknown("a division by zero"),
        Arithmetic::Divide => Value::number(a / b),
        Arithmetic::Add => Value::number(a + b),
        Arithmetic::Subtract => Value::number(a - b),
        Arithmetic::Multiply => Value::number(a * b),
    }
}

fn compare(operator: Comparison, left: &Value, right: &Value) -> Value {
    let flag = match (operator, left, right) {
        (_, Value::Number(a), Value::Number(b)) if a.is_finite() && b.is_finite() => match operator {
            Comparison::Equal => a == b,
            Comparison::NotEqual => a != b,
            Comparison::Less => a < b,
            Comparison::LessOrEqual => a <= b,
            Comparison::Greater => a > b,
            Comparison::GreaterOrEqual => a >= b,
        },
        (Comparison::Equal, Value::Text(a), Value::Text(b)) => a == b,
        (Comparison::NotEqual, Value::Text(a), Value::Text(b)) => a != b,
        (Comparison::Equal, Value::Flag(a), Value::Flag(b)) => a == b,
        (Comparison::NotEqual, Value::Flag(a), Value::Flag(b)) => a != b,
        _ => return mismatch(operator.sign(), left, right),
    };
    Value::Flag(flag)
}

/// Whether a list holds a value. An unknown among its members leaves open only what no other member settles.
fn contains(list: &Value, member: &Value) -> Value {
    let Value::List(members) = list else {
        return mismatch("in", member, list);
    };
    if let Some(why) = member.unknown() {
        return Value::Unknown(why.into_owned());
    }
    let mut open = None;
    for candidate in members {
        match compare(Comparison::Equal, member, candidate) {
            Value::Flag(true) => return Value::Flag(true),
            Value::Unknown(why) => open = Some(why),
            _ => {}
        }
    }
    open.map_or(Value::Flag(false), Value::Unknown)
}

fn size(of: &Value) -> Value {
    let count = match of {
        Value::Text(text) => text.chars().count(),
        Value::List(members) => members.len(),
        Value::Unknown(why) => return unknown(why.clone()),
        other => return unknown(format!("{} has no size", kind(other))),
    };
    u32::try_from(count).map_or_else(|_| unknown("a size beyond counting"), |count| Value::number(f64::from(count)))
}
