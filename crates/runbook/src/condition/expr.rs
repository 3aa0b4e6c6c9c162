//! The expression of a condition: our own tree, with columns, free of any parser's types.
//!
//! `parse.rs` bounds its depth, so walking it recursively is safe.

use regex::Regex;

/// The deepest tree that `parse.rs` builds; a chain of operators counts each of them.
pub(super) const MAX_DEPTH: usize = 128;

/// An expression and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Characters from the start of the source, from 1: the start of a value, the operator of an operation.
    pub(super) column: usize,
    pub(super) kind: Kind,
}

/// Operators on two numbers with a number as the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// Operators on two values with a truth as the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Questions that one text asks another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    StartsWith,
    EndsWith,
    Contains,
}

/// The forms that an expression takes.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Number(f64),
    Flag(bool),
    Text(String),
    /// A field, its parts joined by dots.
    Path(String),
    List(Vec<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    In(Box<Node>, Box<Node>),
    Size(Box<Node>),
    Ask(Ask, Box<Node>, Box<Node>),
    Matches(Box<Node>, Regex),
}

impl Node {
    /// The direct parts, left to right.
    pub(super) fn parts(&self) -> Vec<&Node> {
        match &self.kind {
            Kind::Number(_) | Kind::Flag(_) | Kind::Text(_) | Kind::Path(_) => Vec::new(),
            Kind::List(members) => members.iter().collect(),
            Kind::Not(one) | Kind::Negate(one) | Kind::Size(one) | Kind::Matches(one, _) => {
                vec![one]
            }
            Kind::And(left, right)
            | Kind::Or(left, right)
            | Kind::Arithmetic(_, left, right)
            | Kind::Compare(_, left, right)
            | Kind::In(left, right)
            | Kind::Ask(_, left, right) => vec![left, right],
        }
    }

    /// Calls `look` for this expression and everything in it.
    pub(super) fn visit<'a>(&'a self, look: &mut dyn FnMut(&'a Node)) {
        look(self);
        for part in self.parts() {
            part.visit(look);
        }
    }
}

impl Comparison {
    /// As written.
    pub(super) fn sign(self) -> &'static str {
        match self {
            Comparison::Equal => "==",
            Comparison::NotEqual => "!=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }
}

impl Arithmetic {
    /// As written.
    pub(super) fn sign(self) -> &'static str {
        match self {
            Arithmetic::Add => "+",
            Arithmetic::Subtract => "-",
            Arithmetic::Multiply => "*",
            Arithmetic::Divide => "/",
        }
    }
}

impl Ask {
    /// As written.
    pub(super) fn name(self) -> &'static str {
        match self {
            Ask::StartsWith => "startsWith",
            Ask::EndsWith => "endsWith",
            Ask::Contains => "contains",
        }
    }
}
