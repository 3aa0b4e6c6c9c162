//! Takes secrets out of text before it is kept as evidence: logs, arguments of processes, whatever a container says.
//!
//! Two ways, because each misses something: what looks like a secret (a password in a URL, `password=…`, a bearer token, a key),
//! and what is known to be one (the values of a container's own variables that are named like secrets), wherever it stands.
//! When in doubt it is taken out. Deliberately not for SQL, where every literal goes (`postgres/redact.rs`), and no promise: what
//! a program prints under a harmless name stays.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What stands in place of what was taken out.
pub(crate) const REMOVED: &str = "[removed]";

/// Shorter values of variables would be found everywhere.
const SHORTEST_KNOWN: usize = 6;

/// Words that name a secret; something may stand before them (`DB_PASSWORD`), and `_key`, `_id`, `_hash` behind.
const NAMES: &str = r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|credentials?|api[_-]?key|access[_-]?key|private[_-]?key|secret[_-]?key|encryption[_-]?key|signing[_-]?key|master[_-]?key|auth|cookie|session[_-]?id|dsn)";

struct Rules {
    key_block: Regex,
    header: Regex,
    scheme: Regex,
    url: Regex,
    lonely_url: Regex,
    assigned: Regex,
    flag: Regex,
    token: Regex,
    name: Regex,
}

// Word boundaries of ASCII, because those of Unicode cost a hundred times as much on text that is not ASCII.
static RULES: LazyLock<Result<Rules, regex::Error>> = LazyLock::new(|| {
    Ok(Rules {
        key_block: Regex::new(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)")?,
        header: Regex::new(r#"(?i)(?-u:\b)((?:proxy-)?authorization|(?:set-)?cookie)(["']?\s*[:=]\s*["']?)[^"'\r\n]+"#)?,
        scheme: Regex::new(r"(?i)(?-u:\b)(bearer)(\s+)[a-z0-9._~+/=-]{6,}")?,
        url: Regex::new(r#"(?i)(?-u:\b)([a-z][a-z0-9+.-]*://[^\s:/@"'<>]*:)([^\s"'<>]+)@"#)?,
        lonely_url: Regex::new(r#"(?i)(?-u:\b)([a-z][a-z0-9+.-]*://)[^\s:/@"'<>]{16,}@"#)?,
        assigned: Regex::new(&format!(
            r#"(?i)(?-u:\b)([a-z0-9_.-]*{NAMES}(?:[_-](?:key|id|hash|value|b64))?)(\\?["']?\s*(?:=>|[=:])\s*)(\\?"(?:[^"\\]|\\[^"])*\\?"|'[^']*'|[^\s,;&"'\)}}]+)"#
        ))?,
        flag: Regex::new(&format!(r#"(?i)(^|\s)(--?[a-z0-9_-]*{NAMES}\s+)([^\s-]\S*)"#))?,
        token: Regex::new(
            r"(?-u:\b)(?:eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?|xox[abeoprs]-[A-Za-z0-9-]{10,}|gh[pousr]_[A-Za-z0-9_]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|(?:AKIA|ASIA)[0-9A-Z]{16}|sk[-_][A-Za-z0-9_-]{20,}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,})",
        )?,
        name: Regex::new(&format!(r"(?i){NAMES}"))?,
    })
});

/// The text without what looks like a secret, and without these values.
pub(crate) fn redact(text: &str, known: &[String]) -> String {
    // A rule that does not compile is found by the tests; until then nothing is kept.
    let Ok(rules) = &*RULES else { return REMOVED.to_owned() };
    let mut text = text.to_owned();
    for value in known {
        if text.contains(value.as_str()) {
            text = text.replace(value.as_str(), REMOVED);
        }
    }
    let text = rules.key_block.replace_all(&text, REMOVED);
    let text = rules.header.replace_all(&text, format!("${{1}}${{2}}{REMOVED}"));
    let text = rules.scheme.replace_all(&text, format!("${{1}}${{2}}{REMOVED}"));
    let text = rules.url.replace_all(&text, |found: &Captures<'_>| {
        let (before, secret) = (found.get(1).map_or("", |it| it.as_str()), found.get(2).map_or("", |it| it.as_str()));
        let port = secret.split(['/', '?', '#']).next().unwrap_or("");
        let is_port = port.len() < secret.len() && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        if is_port { format!("{before}{secret}@") } else { format!("{before}{REMOVED}@") }
    });
    let text = rules.lonely_url.replace_all(&text, format!("${{1}}{REMOVED}@"));
    let text = rules.assigned.replace_all(&text, format!("${{1}}${{2}}{REMOVED}"));
    let text = rules.flag.replace_all(&text, format!("${{1}}${{2}}{REMOVED}"));
    rules.token.replace_all(&text, REMOVED).into_owned()
}

/// Of a container's variables (`NAME=value`) the values that are secrets by their names, the longest first.
pub(crate) fn secrets(variables: &[String]) -> Vec<String> {
    let named = variables.iter().filter_map(|variable| variable.split_once('='));
    let secret = named.filter(|(name, value)| value.len() >= SHORTEST_KNOWN && names_a_secret(name));
    let mut values: Vec<String> = secret.map(|(_, value)| value.to_owned()).collect();
    values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    values.dedup();
    values
}

/// Whether what stands under this name is a secret.
pub(crate) fn names_a_secret(name: &str) -> bool {
    RULES.as_ref().map_or(true, |rules| rules.name.is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_the_rest_stays() {
        let table = [
            ("amqp://user:geheim@broker:5672/v", "amqp://user:[removed]@broker:5672/v"),
            ("redis://:geheim@cache:6379", "redis://:[removed]@cache:6379"),
            ("postgres://u:geheim@x@db/y failed", "postgres://u:[removed]@db/y failed"),
            ("https://geheimgeheimgeheim@sentry.example/7", "https://[removed]@sentry.example/7"),
            ("GET http://host:8000/mail?to=a@b 200", "GET http://host:8000/mail?to=a@b 200"),
            ("password=geheim user=me", "password=[removed] user=me"),
            ("DB_PASSWORD: geheim, next", "DB_PASSWORD: [removed], next"),
            (r#"{"api_key": "geheim", "n": 1}"#, r#"{"api_key": [removed], "n": 1}"#),
            (r#"{\"token\": \"geheim\", \"n\": 1}"#, r#"{\"token\": [removed], \"n\": 1}"#),
            ("{'secret_key': 'ge heim'}", "{'secret_key': [removed]}"),
            ("Authorization: Bearer geheim-geheim", "Authorization: [removed]"),
            ("authorization=Basic Z2VoZWlt next\nline", "authorization=[removed]\nline"),
            ("sent bearer geheim.geheim to x", "sent bearer [removed] to x"),
            ("Set-Cookie: sid=geheim; Path=/", "Set-Cookie: [removed]"),
            ("redis-server --requirepass geheim --port 1", "redis-server --requirepass [removed] --port 1"),
            ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.geheim_1 ok", "jwt [removed] ok"),
            ("key AKIAIOSFODNN7EXAMPLE used", "key [removed] used"),
            ("-----BEGIN RSA PRIVATE KEY-----\ngeheim\n-----END RSA PRIVATE KEY-----\nok", "[removed]\nok"),
            ("-----BEGIN PRIVATE KEY-----\ngeheim cut", "[removed]"),
            ("task 7 passed, 3 failed; compass north", "task 7 passed, 3 failed; compass north"),
            ("author: me, authors: us", "author: me, authors: us"),
            ("", ""),
        ];
        for (text, wanted) in table {
            assert_eq!(redact(text, &[]), wanted, "{text}");
            assert!(!redact(text, &[]).contains("geheim"), "{text}");
        }
    }

    #[test]
    fn values_of_variables_named_like_secrets_go_wherever_they_stand() {
        let variables = ["PATH=/usr/bin", "JWT_SECRET_KEY=geheim/geheim", "APP_TOKEN=geheim", "PIN=12", "TOKEN=12", "EMPTY"];
        let known = secrets(&variables.map(str::to_owned));
        assert_eq!(known, ["geheim/geheim", "geheim"]);
        assert_eq!(redact("signed with geheim/geheim in /usr/bin", &known), "signed with [removed] in /usr/bin");
    }
}
