//! The UTF-8 grammar of matchers (Alertmanager 0.27 and later, `matcher/parse`).
//!
//! `[ '{' ] [ matcher { ',' matcher } [ ',' ] ] [ '}' ]`, where a matcher is name, operator and value, and name and value are
//! each a bare word without reserved characters or a double-quoted Go string. It does not know the classic escapes.

use super::{MAX_MATCHERS, Matcher, MatcherError, Op};

const QUOTE_IT: &str = "put values that hold spaces or any of {}!=~,\\\"'` in double quotes";

/// True for characters that a bare word may not hold.
pub(super) fn is_reserved(character: char) -> bool {
    character.is_whitespace() || "{}!=~,\\\"'`".contains(character)
}

/// What a token is; words carry their unquoted text.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Comma,
    Op(Op),
    Word(String),
    End,
}

/// Reads an entry by this grammar alone.
pub(super) fn parse(entry: &str) -> Result<Vec<Matcher>, MatcherError> {
    let mut lexer = Lexer { entry, at: 0 };
    let mut matchers = Vec::new();
    let (mut at, mut token) = lexer.next()?;
    let open = token == Token::Open;
    if open {
        (at, token) = lexer.next()?;
    }
    while let Token::Word(name) = token {
        let name_at = at;
        let (op_at, op) = lexer.next()?;
        let Token::Op(op) = op else {
            return Err(MatcherError::new(op_at, "an operator is missing after the label name", "write one of = != =~ !~"));
        };
        let (value_at, value) = lexer.next()?;
        let Token::Word(value) = value else {
            let mend = "write the value after the operator, or \"\" for an empty one";
            return Err(MatcherError::new(value_at, "a value is missing after the operator", mend));
        };
        if matchers.len() == MAX_MATCHERS {
            let message = format!("more than {MAX_MATCHERS} matchers in one entry");
            return Err(MatcherError::new(name_at, message, "join values of one label with a pattern such as a=~\"x|y\""));
        }
        matchers.push(Matcher::build(&name, op, &value, name_at, value_at)?);
        (at, token) = lexer.next()?;
        match token {
            Token::Comma => (at, token) = lexer.next()?,
            Token::Close | Token::End => break,
            _ => {
                return Err(MatcherError::new(at, "a comma or the end was expected after the matcher", QUOTE_IT));
            }
        }
        if !matches!(token, Token::Word(_) | Token::Close | Token::End) {
            return Err(MatcherError::new(at, "a matcher or the end was expected after the comma", "remove the extra character"));
        }
    }
    match (open, token) {
        (true, Token::Close) => match lexer.next()? {
            (_, Token::End) => Ok(matchers),
            (at, _) => Err(MatcherError::new(at, "something follows the closing brace", "end the entry at the brace")),
        },
        (false, Token::End) => Ok(matchers),
        (true, Token::End) => Err(MatcherError::new(at, "the closing brace is missing", "close the entry with }")),
        (false, Token::Close) => Err(MatcherError::new(
            at,
            "a closing brace without an opening one",
            "put { at the start, or the value in double quotes",
        )),
        (_, _) => Err(MatcherError::new(at, "a label name was expected", "write matchers such as severity=\"critical\"")),
    }
}

struct Lexer<'a> {
    entry: &'a str,
    at: usize,
}

impl Lexer<'_> {
    /// The next token and where it starts.
    fn next(&mut self) -> Result<(usize, Token), MatcherError> {
        let rest = self.entry.get(self.at..).unwrap_or("");
        let trimmed = rest.trim_start();
        let start = self.at + rest.len() - trimmed.len();
        let mut characters = trimmed.chars();
        let Some(first) = characters.next() else {
            self.at = self.entry.len();
            return Ok((self.entry.len(), Token::End));
        };
        let second = characters.next();
        let (length, token) = match (first, second) {
            ('{', _) => (1, Token::Open),
            ('}', _) => (1, Token::Close),
            (',', _) => (1, Token::Comma),
            ('=', Some('~')) => (2, Token::Op(Op::Matches)),
            ('=', _) => (1, Token::Op(Op::Equal)),
            ('!', Some('=')) => (2, Token::Op(Op::NotEqual)),
            ('!', Some('~')) => (2, Token::Op(Op::NotMatches)),
            ('!', _) => return Err(MatcherError::new(start, "! stands alone", "write != or !~")),
            ('"', _) => {
                let length = quoted_length(trimmed)
                    .ok_or_else(|| MatcherError::new(start, "the closing quote is missing", "close the value with \""))?;
                let inner = trimmed.get(1..length - 1).unwrap_or("");
                let text = unquote(inner).map_err(|(offset, message)| {
                    MatcherError::new(start + 1 + offset, message, "write a backslash itself as \\\\")
                })?;
                (length, Token::Word(text))
            }
            (other, _) if is_reserved(other) => {
                return Err(MatcherError::new(start, format!("{other} cannot stand here unquoted"), QUOTE_IT));
            }
            _ => {
                let length = trimmed.find(is_reserved).unwrap_or(trimmed.len());
                (length, Token::Word(trimmed.get(..length).unwrap_or("").into()))
            }
        };
        self.at = start + length;
        Ok((start, token))
    }
}

/// The length of the quoted text at the start, quotes included; none when it does not end.
fn quoted_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Unquotes the inside of an interpreted Go string literal (`strconv.Unquote`): bytes may be written one by one, and the
/// result must be UTF-8. The error carries its place inside the quotes.
fn unquote(inner: &str) -> Result<String, (usize, String)> {
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.char_indices();
    while let Some((at, character)) = rest.next() {
        if character == '\n' {
            return Err((at, "a line break stands inside the quotes".into()));
        }
        if character != '\\' {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let unknown = |escape: &str| (at, format!("\\{escape} is no escape of a quoted value"));
        let Some((_, escape)) = rest.next() else {
            return Err(unknown(""));
        };
        let (digits, radix) = match escape {
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='7' => (2, 8),
            _ => (0, 0),
        };
        if digits == 0 {
            bytes.push(match escape {
                'a' => 7,
                'b' => 8,
                'f' => 12,
                'n' => b'\n',
                'r' => b'\r',
                't' => b'\t',
                'v' => 11,
                '\\' => b'\\',
                '"' => b'"',
                other => return Err(unknown(&other.to_string())),
            });
            continue;
        }
        let mut code = escape.to_digit(8).filter(|_| radix == 8).unwrap_or(0);
        for _ in 0..digits {
            let digit = rest.next().and_then(|(_, digit)| digit.to_digit(radix)).ok_or_else(|| unknown(&escape.to_string()))?;
            code = code.saturating_mul(radix).saturating_add(digit);
        }
        if matches!(escape, 'u' | 'U') {
            let character = char::from_u32(code).ok_or_else(|| unknown(&escape.to_string()))?;
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            bytes.push(u8::try_from(code).map_err(|_| unknown(&escape.to_string()))?);
        }
    }
    String::from_utf8(bytes).map_err(|_| (0, "the quoted value is not UTF-8 once its escapes are read".into()))
}
