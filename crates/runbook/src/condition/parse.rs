//! From source to expression: the one file that names the CEL crate.
//!
//! What the crate accepts is far more than the language of conditions, and its words are a grammar's, not a person's. So the
//! source is scanned first (`scan.rs`), parsed by the crate within limits, and then converted: what has no place in our own
//! tree is refused in a sentence. Nothing of the crate is evaluated, ever.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo, operators};
use cel::parser::Parser;

use super::expr::{Arithmetic, Ask, Comparison, Kind, MAX_DEPTH, Node};
use super::{ConditionError, MAX_NESTING, scan};
use crate::matcher::{Anchoring, compile};
use crate::text::closest;

const FUNCTIONS: [&str; 5] = ["size", "startsWith", "endsWith", "contains", "matches"];

/// Parses a source within the limits.
pub(super) fn parse(source: &str) -> Result<Node, ConditionError> {
    scan::scan(source)?;
    // Two above our own limit, so that the scan is always the one to speak.
    let depth = u16::try_from(MAX_NESTING + 2).unwrap_or(u16::MAX);
    let parser = Parser::new().max_recursion_depth(depth).error_recovery_limit(1);
    match parser.parse_with_source_info(source) {
        Ok((expression, places)) => Conversion { source, places: &places }.node(&expression, 0),
        Err(errors) => {
            let (line, column) = errors.errors.first().map_or((1, 1), |error| error.pos);
            Err(not_read(source, line, column))
        }
    }
}

/// The sentence for what the parser could not read. Its own words list tokens of its grammar and help nobody.
fn not_read(source: &str, line: isize, column: isize) -> ConditionError {
    let line = usize::try_from(line - 1).unwrap_or(0);
    let before: usize = source.split_inclusive('\n').take(line).map(|line| line.chars().count()).sum();
    let column = (before + usize::try_from(column).unwrap_or(1).max(1)).min(source.chars().count() + 1);
    let rest: String = source.chars().skip(column - 1).take(12).collect();
    if rest.trim().is_empty() {
        return ConditionError::new(column, "the condition ends too early", "complete the comparison, as in sessions.idle > 0");
    }
    let message = format!("it cannot be read from here on: {}", crate::text::inert(&rest, 24));
    ConditionError::new(
        column,
        message,
        "write comparisons such as sessions.idle > 0, joined by && or ||; texts go in double quotes",
    )
}

struct Conversion<'a> {
    source: &'a str,
    places: &'a SourceInfo,
}

impl Conversion<'_> {
    /// Converts one expression of the crate's.
    fn node(&self, from: &IdedExpr, depth: usize) -> Result<Node, ConditionError> {
        let column = self.column(from);
        let refuse = |message: &str, mend: &str| Err(ConditionError::new(column, message, mend));
        if depth > MAX_DEPTH {
            return refuse("it has too many parts in a row", "split it, or compare with a list");
        }
        let kind = match &from.expr {
            Expr::Literal(literal) => match literal {
                LiteralValue::Boolean(flag) => Kind::Flag(*flag.inner()),
                LiteralValue::Double(number) => self.number(column, *number.inner())?,
                // Beyond 2^53 digits are lost; nothing that is looked at is that exact.
                #[expect(clippy::cast_precision_loss, reason = "all numbers of conditions are doubles")]
                LiteralValue::Int(number) => self.number(column, *number.inner() as f64)?,
                LiteralValue::String(text) => Kind::Text(text.inner().to_owned()),
                LiteralValue::UInt(_) => {
                    return refuse("a number with u is not part of a condition", "write it without the u");
                }
                LiteralValue::Bytes(_) => {
                    return refuse("bytes are not part of a condition", "write a text in double quotes");
                }
                LiteralValue::Null => {
                    return refuse("null is not part of a condition", "what was not seen is unknown by itself");
                }
            },
            Expr::Ident(_) | Expr::Select(_) => Kind::Path(self.path(from, column)?),
            Expr::List(list) => {
                Kind::List(list.elements.iter().map(|member| self.node(member, depth + 1)).collect::<Result<_, _>>()?)
            }
            Expr::Call(call) => self.call(call, column, depth)?,
            Expr::Comprehension(_) => {
                return refuse("all, exists, map and filter are not part of a condition", "compare single fields");
            }
            Expr::Map(_) | Expr::Struct(_) => {
                return refuse("maps are not part of a condition", "compare single fields");
            }
            Expr::Unspecified => return refuse("it cannot be read", "write a comparison"),
        };
        Ok(Node { column, kind })
    }

    fn number(&self, column: usize, number: f64) -> Result<Kind, ConditionError> {
        if number.is_finite() {
            return Ok(Kind::Number(number));
        }
        Err(ConditionError::new(column, "the number is too large", "write one that a double can hold"))
    }

    /// A field: identifiers joined by dots.
    fn path(&self, from: &IdedExpr, column: usize) -> Result<String, ConditionError> {
        match &from.expr {
            Expr::Ident(name) if name.starts_with('.') => {
                Err(ConditionError::new(column, "a field starts with a dot", "write it as look.field"))
            }
            Expr::Ident(name) => Ok(name.clone()),
            Expr::Select(SelectExpr { test: true, .. }) => {
                Err(ConditionError::new(column, "has() is not part of a condition", "what was not seen is unknown by itself"))
            }
            Expr::Select(select) => Ok(format!("{}.{}", self.path(&select.operand, column)?, select.field)),
            _ => Err(ConditionError::new(column, "a field of something computed", "write fields as look.field")),
        }
    }

    fn call(&self, call: &CallExpr, column: usize, depth: usize) -> Result<Kind, ConditionError> {
        let name = call.func_name.as_str();
        let refuse = |message: String, mend: &str| Err(ConditionError::new(column, message, mend));
        let inner = |from: &IdedExpr| self.node(from, depth + 1).map(Box::new);
        let kind = match (call.target.as_deref(), call.args.as_slice()) {
            (None, [left, right]) => match name {
                operators::LOGICAL_AND => Kind::And(inner(left)?, inner(right)?),
                operators::LOGICAL_OR => Kind::Or(inner(left)?, inner(right)?),
                operators::ADD => Kind::Arithmetic(Arithmetic::Add, inner(left)?, inner(right)?),
                operators::SUBSTRACT => Kind::Arithmetic(Arithmetic::Subtract, inner(left)?, inner(right)?),
                operators::MULTIPLY => Kind::Arithmetic(Arithmetic::Multiply, inner(left)?, inner(right)?),
                operators::DIVIDE => Kind::Arithmetic(Arithmetic::Divide, inner(left)?, inner(right)?),
                operators::EQUALS => Kind::Compare(Comparison::Equal, inner(left)?, inner(right)?),
                operators::NOT_EQUALS => Kind::Compare(Comparison::NotEqual, inner(left)?, inner(right)?),
                operators::LESS => Kind::Compare(Comparison::Less, inner(left)?, inner(right)?),
                operators::LESS_EQUALS => Kind::Compare(Comparison::LessOrEqual, inner(left)?, inner(right)?),
                operators::GREATER => Kind::Compare(Comparison::Greater, inner(left)?, inner(right)?),
                operators::GREATER_EQUALS => Kind::Compare(Comparison::GreaterOrEqual, inner(left)?, inner(right)?),
                operators::IN => Kind::In(inner(left)?, inner(right)?),
                operators::INDEX => {
                    return refuse("[ ] after a value is not part of a condition".into(), "write fields as look.field");
                }
                _ => return self.unknown_call(name, column),
            },
            (None, [one]) => match name {
                operators::LOGICAL_NOT => Kind::Not(inner(one)?),
                operators::NEGATE => Kind::Negate(inner(one)?),
                "size" => Kind::Size(inner(one)?),
                _ => return self.unknown_call(name, column),
            },
            (Some(target), [one]) => match name {
                "startsWith" => Kind::Ask(Ask::StartsWith, inner(target)?, inner(one)?),
                "endsWith" => Kind::Ask(Ask::EndsWith, inner(target)?, inner(one)?),
                "contains" => Kind::Ask(Ask::Contains, inner(target)?, inner(one)?),
                "matches" => {
                    let pattern = inner(one)?;
                    let Kind::Text(text) = &pattern.kind else {
                        let mend = "write the pattern as a text, so that it is checked when the configuration is read";
                        return Err(ConditionError::new(pattern.column, "the pattern of matches is not a text", mend));
                    };
                    let compiled = compile(text, Anchoring::Anywhere).map_err(|complaint| {
                        let message = format!("the pattern cannot be used: {complaint}");
                        ConditionError::new(pattern.column, message, "write a regular expression of RE2")
                    })?;
                    Kind::Matches(inner(target)?, compiled)
                }
                _ => return self.unknown_call(name, column),
            },
            _ => return self.unknown_call(name, column),
        };
        Ok(kind)
    }

    /// The sentence for a call that the language does not have.
    fn unknown_call(&self, name: &str, column: usize) -> Result<Kind, ConditionError> {
        let mend = match name {
            "size" => "write size(x) with one argument",
            "startsWith" => "write text.startsWith(\"start\")",
            "endsWith" => "write text.endsWith(\"end\")",
            "contains" => "write text.contains(\"part\")",
            "matches" => "write text.matches(\"pattern\")",
            "int" | "uint" | "double" => "all numbers are doubles already: leave the conversion out",
            _ => match closest(name, FUNCTIONS) {
                Some(meant) => {
                    return Err(ConditionError::new(column, format!("there is no function {name}"), format!("write {meant}")));
                }
                None => "the functions are size(x) and, on texts, startsWith, endsWith, contains and matches",
            },
        };
        let message = if FUNCTIONS.contains(&name) {
            format!("{name} is not called like this")
        } else {
            format!("there is no function {name}")
        };
        Err(ConditionError::new(column, message, mend))
    }

    /// Where an expression stands, in characters from 1: a field by its first part, anything else where the crate puts it.
    fn column(&self, from: &IdedExpr) -> usize {
        let mut first = from;
        while let Expr::Select(select) = &first.expr {
            first = &select.operand;
        }
        let (offset, _) = self.places.offset_for(first.id).unwrap_or((0, 0));
        let mut offset = usize::try_from(offset).unwrap_or(0);
        // The crate places a call at its parenthesis; a person looks for the name before it.
        if let Expr::Call(CallExpr { func_name, .. }) = &first.expr
            && let Some(before) = self.source.get(..offset).map(str::trim_end)
            && before.ends_with(func_name.as_str())
        {
            offset = before.len() - func_name.len();
        }
        self.source.get(..offset).map_or(offset, |before| before.chars().count()) + 1
    }
}
