//! RE2's dialect of regular expressions, as Go reads it, for the `regex` crate.
//!
//! Both engines take linear time, but they do not agree on every letter: to Go `\d`, `\w`, `\s` and `\b` are ASCII, `\<` is
//! a less-than sign, `[[a]` is a class, `a{` is two characters, and `\Q…\E` quotes. A pattern that came from Alertmanager has
//! to mean the same here, so it is rewritten first. What Go refuses outright (back-references, look-around, unknown escapes,
//! `a**`) is refused here too, in a sentence. Known to differ: more names after `\p`, an unclosed `\Q`, and no empty `(?)`.

use regex::{Regex, RegexBuilder};

/// The longest pattern that is compiled, in bytes.
const MAX_PATTERN_BYTES: usize = 4 * 1024;
/// The most memory that one compiled pattern, and its lazily built automaton, may take, in bytes.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// Where a pattern has to match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchoring {
    /// `^(?:…)$`, as matchers do.
    Whole,
    /// Anywhere, as CEL's `matches` does.
    Anywhere,
}

/// Compiles a pattern of RE2's dialect, or says in a clause why it cannot be.
pub(crate) fn compile(pattern: &str, anchoring: Anchoring) -> Result<Regex, String> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(format!("it is {} bytes long, more than {MAX_PATTERN_BYTES}", pattern.len()));
    }
    let translated = translate(pattern)?;
    // First by itself: a pattern such as `a)|(?:b` would otherwise break out of the anchors.
    let bare = build(&translated)?;
    match anchoring {
        Anchoring::Anywhere => Ok(bare),
        Anchoring::Whole => build(&format!("^(?:{translated})$")),
    }
}

fn build(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(MAX_COMPILED_BYTES).dfa_size_limit(MAX_COMPILED_BYTES).nest_limit(64).build().map_err(
        |error| match error {
            regex::Error::CompiledTooBig(_) => "it is too large once compiled".into(),
            // The crate draws the pattern with a caret over several lines; its last line has the words.
            other => {
                let text = other.to_string();
                text.lines().last().unwrap_or("").trim().trim_start_matches("error: ").to_owned()
            }
        },
    )
}

type Characters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Rewrites a pattern from Go's dialect to the crate's.
fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern.chars().peekable();
    let mut repeated = false;
    while let Some(character) = rest.next() {
        let bounds = if character == '{' { repetition(&rest)? } else { None };
        if bounds.is_some() || matches!(character, '*' | '+' | '?') {
            if repeated {
                return Err(format!("{character} repeats a repetition"));
            }
            repeated = true;
            out.push(character);
            for _ in 0..bounds.unwrap_or(0) {
                out.extend(rest.next());
            }
            // A question mark right after makes the repetition lazy and is no repetition itself.
            out.extend(rest.next_if_eq(&'?'));
            continue;
        }
        repeated = false;
        match character {
            '\\' => escape(&mut rest, &mut out)?,
            '[' => class(&mut rest, &mut out)?,
            '(' if rest.peek() == Some(&'?') => group(&mut rest, &mut out)?,
            '{' | '}' | ']' => out.extend(['\\', character]),
            other => out.push(other),
        }
    }
    Ok(out)
}

/// How many characters after `{` make it a repetition (`2}`, `2,}`, `2,5}`); none when it is just a brace.
fn repetition(rest: &Characters<'_>) -> Result<Option<usize>, String> {
    // The longest repetition that Go takes is `{1000,1000}`; anything longer than this is either text or too much.
    let inside: String = rest.clone().take(64).take_while(|c| *c != '}').collect();
    let closed = rest.clone().nth(inside.len()) == Some('}');
    let (low, high) = inside.split_once(',').unwrap_or((&inside, ""));
    // Go takes no leading zeros: `a{01}` is five characters.
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit()) && (text.len() < 2 || !text.starts_with('0'));
    if !closed || low.is_empty() || !digits(low) || !digits(high) {
        return Ok(None);
    }
    for bound in [low, high].into_iter().filter(|bound| !bound.is_empty()) {
        if !bound.parse::<u32>().is_ok_and(|bound| bound <= 1000) {
            return Err(format!("the repetition {{{inside}}} is above 1000"));
        }
    }
    Ok(Some(inside.len() + 1))
}

/// Passes a group's head `?…` on, when Go knows it.
fn group(rest: &mut Characters<'_>, out: &mut String) -> Result<(), String> {
    let head: String = rest.clone().take_while(|c| !matches!(c, ':' | ')' | '>')).collect();
    let flags = head.trim_start_matches('?');
    let named = flags.strip_prefix("P<").or_else(|| flags.strip_prefix('<'));
    let is_name = named.is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
    if !is_name && !flags.chars().all(|c| "imsU-".contains(c)) {
        return Err(format!("({head} is not part of RE2, which has neither look-around nor back-references"));
    }
    out.push('(');
    for _ in 0..head.chars().count() {
        out.extend(rest.next());
    }
    Ok(())
}

/// Rewrites an escape outside a class; the backslash is taken already.
fn escape(rest: &mut Characters<'_>, out: &mut String) -> Result<(), String> {
    match rest.peek().copied() {
        Some(class @ ('d' | 'D' | 's' | 'S' | 'w' | 'W')) => {
            rest.next();
            out.push_str(perl(class));
        }
        Some(boundary @ ('b' | 'B')) => {
            rest.next();
            out.push_str(if boundary == 'b' { r"(?-u:\b)" } else { r"(?-u:\B)" });
        }
        Some(edge @ ('A' | 'z')) => {
            rest.next();
            out.extend(['\\', edge]);
        }
        Some('p' | 'P') => property(rest, out),
        Some('Q') => {
            rest.next();
            while let Some(character) = rest.next() {
                if character == '\\' && rest.peek() == Some(&'E') {
                    rest.next();
                    break;
                }
                literal(character, out);
            }
        }
        _ => literal(single(rest)?, out),
    }
    Ok(())
}

/// Go's ASCII meaning of the Perl classes, usable inside a class as well.
fn perl(class: char) -> &'static str {
    match class {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => r"[\t\n\x0C\r ]",
        'S' => r"[^\t\n\x0C\r ]",
        'w' => "[0-9A-Za-z_]",
        _ => "[^0-9A-Za-z_]",
    }
}

/// Passes `\pX` or `\p{Name}` on; the crate checks the name. It does not know the `^` by which Go negates a name.
fn property(rest: &mut Characters<'_>, out: &mut String) {
    let mut negated = rest.next() == Some('P');
    let mut name = String::new();
    match rest.next() {
        Some('{') => {
            negated ^= rest.next_if_eq(&'^').is_some();
            name.push('{');
            for character in rest.by_ref() {
                name.push(character);
                if character == '}' {
                    break;
                }
            }
        }
        other => name.extend(other),
    }
    out.push_str(if negated { r"\P" } else { r"\p" });
    out.push_str(&name);
}

/// Reads an escape that stands for one character; the backslash is taken already.
fn single(rest: &mut Characters<'_>) -> Result<char, String> {
    let code = match rest.next() {
        None => return Err("it ends in a lone backslash".into()),
        Some('a') => 7,
        Some('f') => 12,
        Some('t') => 9,
        Some('n') => 10,
        Some('r') => 13,
        Some('v') => 11,
        Some('x') => {
            let digits: String = if rest.next_if_eq(&'{').is_some() {
                rest.by_ref().take_while(|c| *c != '}').collect()
            } else {
                rest.by_ref().take(2).collect()
            };
            let is_hex = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit());
            let code = if is_hex { u32::from_str_radix(&digits, 16).ok() } else { None };
            code.ok_or_else(|| format!("\\x{digits} is no character"))?
        }
        Some(first @ '0'..='7') => {
            let mut code = first.to_digit(8).unwrap_or(0);
            let mut more = 0;
            while let Some(digit) = rest.peek().and_then(|c| c.to_digit(8)).filter(|_| more < 2) {
                rest.next();
                code = code * 8 + digit;
                more += 1;
            }
            if first != '0' && more == 0 {
                return Err(format!("\\{first} would be a back-reference, which RE2 does not have"));
            }
            code
        }
        Some(mark) if mark.is_ascii() && !mark.is_ascii_alphanumeric() => return Ok(mark),
        Some(other) => return Err(format!("\\{other} is no escape of RE2")),
    };
    char::from_u32(code).ok_or_else(|| format!("{code:#x} is no character"))
}

/// Writes one character so that it stands for itself, in and outside a class.
fn literal(character: char, out: &mut String) {
    if character.is_ascii_alphanumeric() || !character.is_ascii() {
        out.push(character);
    } else {
        out.push_str(&format!("\\x{{{:x}}}", u32::from(character)));
    }
}

/// Rewrites a class item by item; the opening bracket is taken already.
fn class(rest: &mut Characters<'_>, out: &mut String) -> Result<(), String> {
    out.push('[');
    if rest.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    loop {
        match rest.peek().copied() {
            None => return Err("a class is not closed: ] is missing".into()),
            Some(']') if !first => {
                rest.next();
                out.push(']');
                return Ok(());
            }
            Some('[') if posix(rest, out)? => {}
            Some('\\') if rest.clone().nth(1).is_some_and(|c| "dDsSwW".contains(c)) => {
                rest.next();
                out.extend(rest.next().map(perl));
            }
            Some('\\') if rest.clone().nth(1).is_some_and(|c| "pP".contains(c)) => {
                rest.next();
                property(rest, out);
            }
            Some(_) => {
                let low = class_character(rest)?;
                let mut ahead = rest.clone();
                if ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']') {
                    rest.next();
                    let high = class_character(rest)?;
                    if high < low {
                        return Err(format!("the range {low}-{high} in a class runs backwards"));
                    }
                    literal(low, out);
                    out.push('-');
                    literal(high, out);
                } else {
                    literal(low, out);
                }
            }
        }
        first = false;
    }
}

/// Takes `[:name:]` when there is one.
fn posix(rest: &mut Characters<'_>, out: &mut String) -> Result<bool, String> {
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
        "xdigit",
    ];
    let mut ahead = rest.clone();
    ahead.next();
    if ahead.next() != Some(':') {
        return Ok(false);
    }
    let name: String = ahead.take_while(|c| c.is_ascii_alphabetic() || *c == '^').collect();
    let whole = format!("[:{name}:]");
    if !rest.clone().take(whole.len()).eq(whole.chars()) {
        return Ok(false);
    }
    if !NAMES.contains(&name.trim_start_matches('^')) {
        return Err(format!("{whole} is no class of RE2"));
    }
    for _ in 0..whole.len() {
        out.extend(rest.next());
    }
    Ok(true)
}

fn class_character(rest: &mut Characters<'_>) -> Result<char, String> {
    match rest.next() {
        Some('\\') => single(rest),
        Some(character) => Ok(character),
        None => Err("a class is not closed: ] is missing".into()),
    }
}

#[cfg(test)]
mod tests;
