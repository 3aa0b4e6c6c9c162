//! The types of a condition, checked against the table of fields before the condition is trusted.
//!
//! It finds everything at once: a part that is wrong is taken to have the type that its place wants, so that one slip gives
//! one complaint. It does not evaluate.

use super::expr::{Arithmetic, Comparison, Kind, Node};
use crate::text::closest;

/// What a field, or a part of a condition, holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// A double.
    Number,
    /// True or false.
    Flag,
    /// A text.
    Text,
    /// A list; its members are compared when they are seen.
    List,
}

impl Type {
    /// With its article, for sentences.
    pub fn words(self) -> &'static str {
        match self {
            Type::Number => "a number",
            Type::Flag => "true or false",
            Type::Text => "a text",
            Type::List => "a list",
        }
    }
}

/// One thing that is wrong with a condition's fields or types.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at column {column}: {message}; {mend}")]
pub struct Complaint {
    /// Where, in characters from the start of the source, counting from 1.
    pub column: usize,
    /// What is wrong, without a full stop.
    pub message: String,
    /// How to mend it, without a full stop.
    pub mend: String,
}

/// Checks a whole condition, which must come to true or false. `names` are the known fields, for mends; `is_share` knows those
/// that lie between 0 and 1.
pub(super) fn check(
    root: &Node,
    types: &dyn Fn(&str) -> Option<Type>,
    names: &[&str],
    is_share: &dyn Fn(&str) -> bool,
) -> Vec<Complaint> {
    let mut checker = Checker { types, names, is_share, complaints: Vec::new() };
    checker.want(root, Type::Flag, "the condition", "compare it with something, as in sessions.idle > 0");
    checker.complaints.sort_by_key(|complaint| complaint.column);
    checker.complaints
}

struct Checker<'a> {
    types: &'a dyn Fn(&str) -> Option<Type>,
    names: &'a [&'a str],
    is_share: &'a dyn Fn(&str) -> bool,
    complaints: Vec<Complaint>,
}

impl Checker<'_> {
    /// Complains unless the part has the type that its place, named by `place`, wants.
    fn want(&mut self, node: &Node, wanted: Type, place: &str, mend: &str) {
        if let Some(found) = self.type_of(node).filter(|found| *found != wanted) {
            self.complain(node.column, format!("{place} must be {}, and this is {}", wanted.words(), found.words()), mend);
        }
    }

    fn complain(&mut self, column: usize, message: String, mend: impl Into<String>) {
        self.complaints.push(Complaint { column, message, mend: mend.into() });
    }

    /// The type of a part; none where it is unknown because of something already complained about.
    fn type_of(&mut self, node: &Node) -> Option<Type> {
        match &node.kind {
            Kind::Number(_) => Some(Type::Number),
            Kind::Flag(_) => Some(Type::Flag),
            Kind::Text(_) => Some(Type::Text),
            Kind::Path(path) => {
                let found = (self.types)(path);
                if found.is_none() {
                    self.unknown_field(node.column, path);
                }
                found
            }
            Kind::List(members) => {
                self.members(members);
                Some(Type::List)
            }
            Kind::Not(one) => {
                self.want(one, Type::Flag, "what ! turns around", "compare it with something first, in parentheses");
                Some(Type::Flag)
            }
            Kind::Negate(one) => {
                self.want(one, Type::Number, "what - turns around", "negate numbers only; for true or false write !");
                Some(Type::Number)
            }
            Kind::And(left, right) | Kind::Or(left, right) => {
                for side in [left, right] {
                    self.want(side, Type::Flag, "each side of && and ||", "compare it with something");
                }
                Some(Type::Flag)
            }
            Kind::Arithmetic(operator, left, right) => {
                let mend = match operator {
                    Arithmetic::Add => "add numbers only; texts are not joined in conditions",
                    _ => "compute with numbers only",
                };
                for side in [left, right] {
                    self.want(side, Type::Number, &format!("each side of {}", operator.sign()), mend);
                }
                Some(Type::Number)
            }
            Kind::Compare(operator, left, right) => {
                self.comparison(node.column, *operator, left, right);
                Some(Type::Flag)
            }
            Kind::In(member, list) => {
                self.membership(member, list);
                Some(Type::Flag)
            }
            Kind::Size(one) => {
                if let Some(found @ (Type::Number | Type::Flag)) = self.type_of(one) {
                    self.complain(one.column, format!("{} has no size", found.words()), "use size on texts and lists");
                }
                Some(Type::Number)
            }
            Kind::Ask(ask, text, other) => {
                for side in [text, other] {
                    self.want(side, Type::Text, &format!("each side of {}", ask.name()), "ask texts only");
                }
                Some(Type::Flag)
            }
            Kind::Matches(text, _) => {
                self.want(text, Type::Text, "what matches looks at", "ask texts only");
                Some(Type::Flag)
            }
        }
    }

    fn unknown_field(&mut self, column: usize, path: &str) {
        let mend = match closest(path, self.names.iter().copied()) {
            Some(meant) => format!("write {meant}"),
            None if !path.contains('.') => format!("write \"{path}\" in quotes if a text is meant, or a field as look.field"),
            None if self.names.is_empty() => "write a field of one of the runbook's looks, as look.field".into(),
            None => {
                let look = path.split('.').next().unwrap_or(path);
                let same: Vec<&str> =
                    self.names.iter().filter(|name| name.split('.').next() == Some(look)).copied().take(12).collect();
                let known = if same.is_empty() { self.names.iter().copied().take(12).collect() } else { same };
                format!("known here: {}", known.join(", "))
            }
        };
        self.complain(column, format!("there is no field {path}"), mend);
    }

    /// All members of a written list have the type of the first.
    fn members(&mut self, members: &[Node]) -> Option<Type> {
        let mut first = None;
        for member in members {
            let Some(found) = self.type_of(member) else {
                continue;
            };
            if found == Type::List {
                self.complain(member.column, "a list stands in a list".into(), "write the members side by side");
            } else if *first.get_or_insert(found) != found {
                self.complain(
                    member.column,
                    format!("the list mixes kinds: this is {}", found.words()),
                    "let all members be of one kind",
                );
            }
        }
        first
    }

    fn membership(&mut self, member: &Node, list: &Node) {
        let inside = match &list.kind {
            Kind::List(members) => self.members(members),
            _ => {
                self.want(list, Type::List, "the right side of in", "write a list, as in x in [1, 2]");
                None
            }
        };
        let Some(found) = self.type_of(member) else {
            return;
        };
        if found == Type::List {
            self.complain(member.column, "a list is looked for in a list".into(), "look for a single value");
        } else if let Some(inside) = inside.filter(|inside| *inside != found) {
            let message = format!("{} is looked for among members that are {}", found.words(), inside.words());
            self.complain(member.column, message, "let the list hold values of the same kind");
        }
    }

    /// A share is compared with a percentage.
    fn percentage(&mut self, one: &Node, other: &Node) {
        let (Kind::Path(path), Kind::Number(number)) = (&one.kind, &other.kind) else { return };
        if *number <= 1.0 || !(self.is_share)(path) {
            return;
        }
        let message = format!("{path} is a share, which lies between 0 and 1, so comparing it with {number} tells nothing");
        let mend = match *number <= 100.0 {
            true => format!("write {} for {number} %", number / 100.0),
            false => "write a number between 0 and 1".to_owned(),
        };
        self.complain(other.column, message, mend);
    }

    fn comparison(&mut self, column: usize, operator: Comparison, left: &Node, right: &Node) {
        self.percentage(left, right);
        self.percentage(right, left);
        let (left_type, right_type) = (self.type_of(left), self.type_of(right));
        let sign = operator.sign();
        let ordered = !matches!(operator, Comparison::Equal | Comparison::NotEqual);
        for (side, found) in [(left, left_type), (right, right_type)] {
            match found {
                Some(Type::List) => {
                    self.complain(side.column, format!("a list cannot be compared with {sign}"), "use in or size(..)");
                    return;
                }
                Some(found @ (Type::Text | Type::Flag)) if ordered => {
                    let message = format!("{} has no order, so {sign} cannot compare it", found.words());
                    self.complain(side.column, message, "order numbers only; compare others with == or !=");
                    return;
                }
                _ => {}
            }
        }
        if let (Some(left), Some(right)) = (left_type, right_type)
            && left != right
        {
            let message = format!("{} is compared with {}", left.words(), right.words());
            self.complain(column, message, "compare values of the same kind");
        }
    }
}
