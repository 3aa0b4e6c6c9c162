//! Takes the values out of SQL text before it is kept as evidence. Why: a literal may be anything, a password included, and what
//! matters for the story is which statement it was. Where it is unclear where a literal ends, all of the rest is taken out.
//! Deliberately no parser: identifiers, keywords and parameters stay, whatever they mean.

/// SQL with every quoted literal, number and comment replaced.
pub(crate) fn redact(sql: &str) -> String {
    let mut kept = String::with_capacity(sql.len());
    let mut rest = sql;
    let mut before = ' ';
    while let Some(character) = rest.chars().next() {
        let in_word = before.is_alphanumeric() || before == '_' || before == '$';
        let (length, replacement) = match character {
            '\'' => (quoted(rest), "'…'"),
            '$' if !in_word => match dollar_quoted(rest) {
                Some(length) => (length, "$$…$$"),
                None => (1, "$"),
            },
            '-' if rest.starts_with("--") => (rest.find('\n').unwrap_or(rest.len()), "--…"),
            '/' if rest.starts_with("/*") => (comment(rest), "/*…*/"),
            '0'..='9' if !in_word => (number(rest), "0"),
            other => {
                kept.push(other);
                (other.len_utf8(), "")
            }
        };
        kept.push_str(replacement);
        let (taken, left) = rest.split_at(length.max(character.len_utf8()).min(rest.len()));
        before = taken.chars().next_back().unwrap_or(' ');
        rest = left;
    }
    kept
}

/// The length of a literal in single quotes. A backslash right before a quote means one thing or another depending on settings
/// that are not known here, so everything after it is part of the literal.
fn quoted(text: &str) -> usize {
    let mut inside = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = inside.next() {
        match (character, inside.peek()) {
            ('\\', Some((_, '\''))) => return text.len(),
            ('\'', Some((_, '\''))) => {
                inside.next();
            }
            ('\'', _) => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a dollar-quoted literal, if this is one; `$1` is a parameter and stays.
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag_end = text.get(1..)?.find('$')? + 2;
    let tag = text.get(..tag_end)?;
    let name = tag.trim_matches('$');
    let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if !is_name {
        return None;
    }
    Some(text.get(tag_end..)?.find(tag).map_or(text.len(), |end| tag_end + end + tag.len()))
}

/// The length of a comment, which may hold comments.
fn comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a number, with its fraction, exponent or base.
fn number(text: &str) -> usize {
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_')).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn values_go_and_the_statement_stays() {
        let table = [
            ("SELECT * FROM t1 WHERE id = 42 AND x > 1.5e10", "SELECT * FROM t1 WHERE id = 0 AND x > 0"),
            ("UPDATE u SET name = 'O''Brien', p = $1", "UPDATE u SET name = '…', p = $1"),
            ("ALTER ROLE a PASSWORD 'geheim'; SELECT 1", "ALTER ROLE a PASSWORD '…'; SELECT 0"),
            (r"SELECT E'a\'geheim' , 2", "SELECT E'…'"),
            ("SELECT 'cut in the midd", "SELECT '…'"),
            ("SELECT $$geheim$$, $q$it's$q$ || a1", "SELECT $$…$$, $$…$$ || a1"),
            ("SELECT $tag$ never closed geheim", "SELECT $$…$$"),
            (
                "SELECT \"Column 1\" /* token=geheim /* in */ out */ FROM x -- geheim\nWHERE 1=1",
                "SELECT \"Column 0\" /*…*/ FROM x --…\nWHERE 0=0",
            ),
            ("SELECT a$1$b", "SELECT a$1$b"),
            ("SELECT 0xFF, 1_000, 3", "SELECT 0, 0, 0"),
            ("SELECT 'ünï', ünï_1", "SELECT '…', ünï_1"),
            ("", ""),
            ("/* open geheim", "/*…*/"),
        ];
        for (sql, wanted) in table {
            assert_eq!(redact(sql), wanted, "{sql}");
            assert!(!redact(sql).contains("geheim"));
        }
    }
}
