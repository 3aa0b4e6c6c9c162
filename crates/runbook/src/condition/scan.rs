//! A look at a condition's characters before any parser sees it.
//!
//! The CEL parser recurses, and its stack is the process's: what nests too deep must not reach it. While the characters are
//! looked at, the common slips of people who know other languages are answered in a sentence, which the parser could not.
//! It understands quotes well enough to skip texts and decides nothing about meaning.

use super::{ConditionError, MAX_NESTING, MAX_SOURCE_BYTES};

/// How many operators, brackets and dots a source may hold: each may cost the parser a frame of its stack.
const MAX_MARKS: usize = 256;

/// Refuses what is too long, too deep, not closed, or plainly outside the language.
pub(super) fn scan(source: &str) -> Result<(), ConditionError> {
    if source.len() > MAX_SOURCE_BYTES {
        let message = format!("the condition is {} bytes long, more than {MAX_SOURCE_BYTES}", source.len());
        return Err(ConditionError::new(1, message, "split it, or let the runbook look at fewer fields"));
    }
    if source.trim().is_empty() {
        return Err(ConditionError::new(1, "the condition is empty", "write one, or true to always hold"));
    }
    let characters: Vec<char> = source.chars().collect();
    let at = |index: usize| characters.get(index).copied().unwrap_or('\0');
    let mut open: Vec<(char, usize)> = Vec::new();
    let mut marks = 0;
    let mut index = 0;
    while let Some(&character) = characters.get(index) {
        let column = index + 1;
        let (previous, next) = (index.checked_sub(1).map_or('\0', at), at(index + 1));
        let refuse = |message: &str, mend: &str| Err(ConditionError::new(column, message, mend));
        let mut length = 1;
        match character {
            '"' | '\'' => length = text_length(&characters, index)?,
            '(' | '[' => {
                open.push((character, column));
                if open.len() > MAX_NESTING {
                    return refuse(&format!("it nests more than {MAX_NESTING} deep"), "write it flatter");
                }
            }
            ')' | ']' => match open.pop() {
                Some(('(', _)) if character == ')' => {}
                Some(('[', _)) if character == ']' => {}
                Some((opening, where_open)) => {
                    let message = format!("{character} closes the {opening} of column {where_open}");
                    return refuse(&message, "close each bracket with its own kind");
                }
                None => {
                    return refuse(&format!("{character} closes nothing"), "remove it, or open the bracket before");
                }
            },
            '=' if next == '=' => length = 2,
            '=' if "<>!".contains(previous) => {}
            '=' => return refuse("a single = is no comparison", "write == to compare"),
            '&' | '|' if next == character => length = 2,
            '&' => return refuse("a single & is no operator", "write && for and"),
            '|' => return refuse("a single | is no operator", "write || for or"),
            '<' if next == '>' => return refuse("<> is no comparison", "write != for not equal"),
            '/' if next == '/' => {
                return refuse("comments are not part of a condition", "write the comment in the YAML file");
            }
            '?' => {
                return refuse("?: is not part of a condition", "combine comparisons with && and ||");
            }
            '{' | '}' => {
                return refuse("maps are not part of a condition", "compare with a list, as in x in [1, 2]");
            }
            '%' => {
                return refuse(
                    "% is not part of a condition",
                    "there is no remainder; write a share as a number from 0 to 1, not in percent",
                );
            }
            '`' => {
                return refuse("backticks are not part of a condition", "write texts in double quotes");
            }
            letter if letter.is_alphabetic() || letter == '_' => {
                length = characters
                    .get(index..)
                    .map_or(1, |rest| rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').count());
                let word: String = characters.iter().skip(index).take(length).collect();
                let after_a_digit =
                    index.checked_sub(1).and_then(|before| characters.get(before)).is_some_and(char::is_ascii_digit);
                if after_a_digit && UNITS.contains(&word.as_str()) {
                    return refuse(
                        &format!("a number has no unit here, and {word} is one"),
                        "write the number alone, in the field's own unit: seconds, bytes, a share from 0 to 1",
                    );
                }
                if let Some(mend) = foreign_word(&characters, index, length) {
                    return refuse(&format!("{word} is no operator here"), mend);
                }
            }
            _ => {}
        }
        if !character.is_alphanumeric() && !character.is_whitespace() {
            marks += 1;
        }
        if marks > MAX_MARKS {
            return refuse("it has too many parts", "split it, or compare with a list");
        }
        index += length.max(1);
    }
    match open.pop() {
        None => Ok(()),
        Some((opening, column)) => Err(ConditionError::new(column, format!("{opening} is not closed"), "close it")),
    }
}

/// What people write behind a number elsewhere: durations, and sizes.
const UNITS: [&str; 16] = ["ms", "s", "m", "h", "d", "w", "k", "kB", "KB", "M", "MB", "MiB", "G", "GB", "GiB", "B"];

/// The mend for `and`, `or`, `not` where they stand as operators: followed by something, and not as a field's name.
fn foreign_word(characters: &[char], start: usize, length: usize) -> Option<&'static str> {
    let word: String = characters.iter().skip(start).take(length).collect::<String>().to_lowercase();
    let mend = match word.as_str() {
        "and" => "write &&",
        "or" => "write ||",
        "not" => "write !",
        _ => return None,
    };
    let after = characters.get(start + length).copied().unwrap_or('\0');
    let before = start.checked_sub(1).and_then(|at| characters.get(at)).copied().unwrap_or(' ');
    (after.is_whitespace() && before != '.').then_some(mend)
}

/// The length of the text that starts here, quotes included.
fn text_length(characters: &[char], start: usize) -> Result<usize, ConditionError> {
    let refuse = |message: &str, mend: &str| Err(ConditionError::new(start + 1, message, mend));
    let quote = characters.get(start).copied();
    if characters.get(start + 1).copied() == quote && characters.get(start + 2).copied() == quote {
        return refuse("triple quotes are not part of a condition", "write the text between single quotes of one kind");
    }
    let raw = match start.checked_sub(1).and_then(|at| characters.get(at)) {
        Some('r' | 'R') => true,
        Some('b' | 'B') => {
            return refuse("bytes are not part of a condition", "write the text without b before it");
        }
        _ => false,
    };
    let mut escaped = false;
    for (offset, character) in characters.iter().enumerate().skip(start + 1) {
        match character {
            '\n' | '\r' => break,
            _ if escaped => escaped = false,
            '\\' if !raw => escaped = true,
            found if Some(*found) == quote => return Ok(offset - start + 1),
            _ => {}
        }
    }
    refuse("the text is not closed", "close it on the same line with the quote that it starts with")
}
