//! Which labels an expression can leave on an alert. Why no parser of PromQL: one question is asked, and it can be answered
//! only where every series passes an aggregation with `by`; then nothing but the labels named there is left. Everything else
//! keeps the labels of its metrics, which no file tells, and the answer is that it is not known.

use std::collections::BTreeSet;

/// Aggregations that leave the labels of `by` and no other.
const AGGREGATIONS: [&str; 9] = ["sum", "min", "max", "avg", "group", "stddev", "stdvar", "count", "quantile"];
/// Functions that make labels or give series the labels of a selector, and aggregations that keep all.
const LABELLING: [&str; 7] = ["label_replace", "label_join", "absent", "absent_over_time", "topk", "bottomk", "count_values"];
/// Words that are neither a metric nor a function.
const WORDS: [&str; 7] = ["and", "or", "unless", "bool", "inf", "nan", "offset"];

/// All labels that the result may have; none where that cannot be told.
pub fn labels_left(expression: &str) -> Option<BTreeSet<String>> {
    let tokens = tokens(expression);
    let mut left = BTreeSet::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let next = tokens.get(at + 1).map(String::as_str);
        let word = token.to_ascii_lowercase();
        at = match word.as_str() {
            aggregation if AGGREGATIONS.contains(&aggregation) && matches!(next, Some("(" | "by" | "without")) => {
                let (labels, after) = aggregated(&tokens, at + 1)?;
                left.extend(labels);
                after
            }
            "on" | "ignoring" => list(&tokens, at + 1).1,
            "group_left" | "group_right" if next == Some("(") => {
                let (labels, after) = list(&tokens, at + 1);
                left.extend(labels);
                after
            }
            "group_left" | "group_right" => at + 1,
            "vector" | "scalar" | "time" => list(&tokens, at + 1).1,
            word if LABELLING.contains(&word) => return None,
            word if WORDS.contains(&word) => at + 1,
            // A series as it is, with whatever labels it has.
            "{" | "[" => return None,
            word if word.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | ':')) && next != Some("(") => return None,
            _ => at + 1,
        };
    }
    Some(left)
}

/// Reads from behind the aggregation's name: the labels of its `by`, and where it ends.
fn aggregated(tokens: &[String], at: usize) -> Option<(Vec<String>, usize)> {
    let grouping = |at: usize| tokens.get(at).is_some_and(|token| token.eq_ignore_ascii_case("by"));
    let without = |at: usize| tokens.get(at).is_some_and(|token| token.eq_ignore_ascii_case("without"));
    if without(at) {
        return None;
    }
    if grouping(at) {
        let (labels, after) = list(tokens, at + 1);
        return Some((labels, list(tokens, after).1));
    }
    let after = list(tokens, at).1;
    match (grouping(after), without(after)) {
        (_, true) => None,
        (true, _) => Some(list(tokens, after + 1)),
        _ => Some((Vec::new(), after)),
    }
}

/// What stands in parentheses, and the place behind them.
fn list(tokens: &[String], at: usize) -> (Vec<String>, usize) {
    let mut depth = 0_usize;
    let mut words = Vec::new();
    for (offset, token) in tokens.iter().skip(at).enumerate() {
        match token.as_str() {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            "," => {}
            word => words.push(word.to_owned()),
        }
        if depth == 0 {
            return (words, at + offset + 1);
        }
    }
    (words, tokens.len())
}

/// Words, and signs one by one; texts, numbers with their units, and remarks are left out.
fn tokens(expression: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '.');
        let length = match first {
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' | '\'' | '`' => {
                let mut escaped = false;
                let end = rest.char_indices().skip(1).find(|(_, c)| {
                    let ends = *c == first && !escaped;
                    escaped = *c == '\\' && !escaped && first != '`';
                    ends
                });
                end.map_or(rest.len(), |(at, c)| at + c.len_utf8())
            }
            c if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        if !first.is_whitespace() && !first.is_ascii_digit() && !matches!(first, '#' | '"' | '\'' | '`') {
            found.push(token.to_owned());
        }
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::labels_left;

    fn left(expression: &str) -> Option<String> {
        Some(labels_left(expression)?.into_iter().collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn an_aggregation_leaves_what_it_names() {
        let told = |text: &str| Some(text.to_owned());
        assert_eq!(left("sum by (job) (rate(a{b=\"c\"}[5m])) / sum(d) by (job, queue) < 0.95"), told("job queue"));
        assert_eq!(left("vector(1)"), told(""));
        assert_eq!(left("count(up == 0) > 0 # by (x)"), told(""));
        assert_eq!(left("histogram_quantile(0.95, sum by (job, le) (rate(a_bucket[5m]))) > 5"), told("job le"));
        assert_eq!(left("sum by (a) (x) / on (a) group_left (b) max by (a, c) (y)"), told("a b c"));
    }

    #[test]
    fn a_series_as_it_is_keeps_labels_that_nobody_can_tell() {
        for expression in [
            "queue_depth > 1000",
            "sum by (job) (a) or up == 0",
            "{job=\"a\"}",
            "sum without (job) (a)",
            "rate(a[5m]) > 1",
            "label_replace(sum(a), \"x\", \"y\", \"\", \"\")",
            "sum(a) without (job)",
        ] {
            assert_eq!(left(expression), None, "{expression}");
        }
    }
}
