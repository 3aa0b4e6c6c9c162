//! Matchers by table: Alertmanager's own cases, the notes on both grammars, and properties of the written form.

use super::*;
use proptest::prelude::*;

/// Name, operator and value.
type Parts<'a> = (&'a str, &'a str, &'a str);

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn parts(entry: &str) -> Vec<(String, &'static str, String)> {
    let matchers = Matcher::parse(entry).unwrap_or_else(|error| panic!("{entry}: {error}"));
    matchers.iter().map(|m| (m.name().to_owned(), m.op().as_str(), m.value().to_owned())).collect()
}

#[test]
fn entries_are_read_as_alertmanager_reads_them() {
    let table: &[(&str, &[Parts<'_>])] = &[
        ("", &[]),
        ("  ", &[]),
        ("{}", &[]),
        ("{ }", &[]),
        ("foo=bar", &[("foo", "=", "bar")]),
        ("{foo=bar}", &[("foo", "=", "bar")]),
        (" { foo = bar , } ", &[("foo", "=", "bar")]),
        ("foo=bar,", &[("foo", "=", "bar")]),
        ("foo!=bar", &[("foo", "!=", "bar")]),
        ("foo=~[a-z]+", &[("foo", "=~", "[a-z]+")]),
        ("foo!~[a-z]+", &[("foo", "!~", "[a-z]+")]),
        ("{\"foo\"=\"bar\"}", &[("foo", "=", "bar")]),
        ("\"fo o\"=\"b,a}r\"", &[("fo o", "=", "b,a}r")]),
        ("foo=🙂bar", &[("foo", "=", "🙂bar")]),
        (r#"{"foo"="\xf0\x9f\x99\x82"}"#, &[("foo", "=", "🙂")]),
        (r#"{"foo"="\U0001f642\u0041\101"}"#, &[("foo", "=", "🙂AA")]),
        (r#"{"foo"="a\tb"}"#, &[("foo", "=", "a\tb")]),
        (r#"foo="\"bar\"\n\\""#, &[("foo", "=", "\"bar\"\n\\")]),
        ("foo=bar,bar!=baz", &[("foo", "=", "bar"), ("bar", "!=", "baz")]),
        ("{foo=\"bar\",bar!~\"baz\",}", &[("foo", "=", "bar"), ("bar", "!~", "baz")]),
        ("severity=~warning|critical", &[("severity", "=~", "warning|critical")]),
        ("1foo=bar", &[("1foo", "=", "bar")]),
        ("a.b=c", &[("a.b", "=", "c")]),
        ("foo=\"\"", &[("foo", "=", "")]),
    ];
    for (entry, wanted) in table {
        let wanted: Vec<_> = wanted.iter().map(|(n, o, v)| ((*n).to_owned(), *o, (*v).to_owned())).collect();
        assert_eq!(parts(entry), wanted, "{entry}");
        assert_eq!(Matcher::read(entry).unwrap().warning, None, "{entry}");
    }
}

#[test]
fn the_classic_grammar_is_the_fallback_and_says_so() {
    let table = [
        ("foo=", "foo", "", r#"foo="""#),
        (r#"job=~"\d+""#, "job", r"\d+", r#"job=~"\\d+""#),
        ("foo=~[a-z]{2}x", "foo", "[a-z]{2}x", r#"foo=~"[a-z]{2}x""#),
        ("{foo=~a{2}}", "foo", "a{2}", r#"foo=~"a{2}""#),
        ("foo=two words", "foo", "two words", r#"foo="two words""#),
        (r"foo=a\b", "foo", r"a\b", r#"foo="a\\b""#),
        (r#"foo=a\"b"#, "foo", "a\"b", r#"foo="a\"b""#),
        ("foo==bar", "foo", "=bar", r#"foo="=bar""#),
        // Both read it, and differ: Alertmanager takes the classic reading.
        (r#"foo="a\tb""#, "foo", r"a\tb", r#"foo="a\\tb""#),
    ];
    for (entry, name, value, advice) in table {
        let reading = Matcher::read(entry).unwrap_or_else(|error| panic!("{entry}: {error}"));
        assert_eq!(reading.matchers.len(), 1, "{entry}");
        assert_eq!((reading.matchers[0].name(), reading.matchers[0].value()), (name, value), "{entry}");
        let warning = reading.warning.unwrap();
        assert!(warning.ends_with(advice), "{entry}: {warning}");
        let followed = Matcher::read(advice).unwrap();
        assert_eq!((followed.matchers, followed.warning), (reading.matchers, None), "{advice}");
    }
}

#[test]
fn errors_have_a_place_and_a_mend() {
    let table = [
        (",", 0, "label name"),
        ("{,}", 1, "label name"),
        ("{", 1, "closing brace"),
        ("}", 0, "opening"),
        ("foo=bar}", 7, "opening"),
        ("{foo=bar", 8, "closing brace"),
        ("foo=~a{2}", 6, "comma"),
        ("{foo=:\"bar\"}", 6, "comma"),
        ("{foo=bar} x", 10, "follows"),
        ("foo", 3, "operator"),
        ("foo bar", 4, "operator"),
        ("foo!bar", 3, "!"),
        ("foo=\"bar", 4, "quote"),
        (r#"{"foo"="\xf0\x9f"}"#, 8, "UTF-8"),
        (r#""foo"="a\w""#, 8, "escape"),
        ("foo=bar,,", 8, "after the comma"),
        ("foo=~\"(\"", 5, "pattern"),
        ("foo=~\"a)|(b\"", 5, "pattern"),
        ("\"\"=bar", 0, "empty"),
        ("'foo'=bar", 0, "unquoted"),
        ("=bar", 0, "label name"),
    ];
    for (entry, offset, word) in table {
        let error = Matcher::parse(entry).unwrap_err();
        assert_eq!(error.offset, offset, "{entry}: {error}");
        assert!(error.message.contains(word) && !error.mend.is_empty(), "{entry}: {error}");
    }
    assert!(Matcher::parse(&"a=b,".repeat(3000)).unwrap_err().message.contains("bytes"));
    assert!(Matcher::parse(&"a=b,".repeat(65)).unwrap_err().message.contains("more than 64"));
}

#[test]
fn a_missing_label_is_the_empty_string_and_patterns_are_anchored() {
    let prod = labels(&[("env", "prod"), ("job", "api")]);
    let table = [
        ("env=prod", true),
        ("env!=prod", false),
        ("env=pro", false),
        ("env=~pro", false),
        ("env=~\"pro.*\"", true),
        ("env!~pro", true),
        ("env=~\"dev|prod\"", true),
        ("zone=\"\"", true),
        ("zone!=\"\"", false),
        ("zone!=eu", true),
        ("zone=~\".*\"", true),
        ("zone=~\".+\"", false),
        ("zone!~\".+\"", true),
        ("env=prod,job=api", true),
        ("env=prod,job=web", false),
        ("{}", true),
        ("env=~\"(?i)PROD\"", true),
    ];
    for (entry, wanted) in table {
        assert_eq!(Matchers::of(Matcher::parse(entry).unwrap()).matches(&prod), wanted, "{entry}");
    }
    assert!(Matcher::parse("zone!=eu").unwrap()[0].matches_absence());
    let newline = labels(&[("env", "a\nb")]);
    assert!(!Matchers::of(Matcher::parse("env=~\"a.b\"").unwrap()).matches(&newline));
}

#[test]
fn a_list_reports_every_bad_entry_and_serializes_as_written() {
    let errors = Matchers::parse(["a=b", "{", "c", "d=e"]).unwrap_err();
    assert_eq!(errors.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2]);
    let read: Matchers = serde_json::from_str(r#"["a=b, c=~\"d|e\"", "f!=g"]"#).unwrap();
    let json = serde_json::to_string(&read).unwrap();
    assert_eq!(json, r#"["a=\"b\"","c=~\"d|e\"","f!=\"g\""]"#);
    assert_eq!(serde_json::from_str::<Matchers>(&json).unwrap(), read);
    let error = serde_json::from_str::<Matchers>(r#"["a", "}"]"#).unwrap_err().to_string();
    assert!(error.contains("entry 1") && error.contains("entry 2"), "{error}");
}

proptest! {
    #[test]
    fn parsing_never_panics(entry in any::<String>(), spicy in r#"[a-c={}!~,"\\ nx0-9]{0,30}"#) {
        let _ = Matcher::parse(&entry);
        let _ = Matcher::parse(&spicy);
    }

    #[test]
    fn what_is_written_reads_the_same(name in any::<String>(), value in any::<String>(), equal in any::<bool>()) {
        prop_assume!(!name.is_empty());
        let matcher = Matcher::new(&name, if equal { Op::Equal } else { Op::NotEqual }, &value).unwrap();
        let again = Matcher::parse(&matcher.to_string());
        prop_assert_eq!(again, Ok(vec![matcher]));
    }

    #[test]
    fn plain_words_and_quotes_read_the_same(name in "[a-z_]{1,8}", value in r#"[a-zä🙂"\\ ,}\n\t]{0,12}"#) {
        let matcher = Matcher::new(&name, Op::Equal, &value).unwrap();
        let reading = Matcher::read(&matcher.to_string()).unwrap();
        prop_assert_eq!(reading, Reading { matchers: vec![matcher], warning: None });
    }

    #[test]
    fn a_list_of_values_lacks_none_that_matches(
        op in prop::sample::select(vec!["=", "!=", "=~", "!~"]),
        value in "[ab|.]{0,5}",
        found in "[ab]{0,3}",
    ) {
        let matchers = Matchers::of(Matcher::parse(&format!("b!=\"b\",a{op}\"{value}\"")).unwrap());
        let holds = matchers.matches(&BTreeMap::from([("a".to_owned(), found.clone())]));
        prop_assert!(!holds || matchers.values_of("a").is_none_or(|values| values.contains(&found.as_str())));
        prop_assert_eq!(matchers.values_of("b"), None);
    }

    #[test]
    fn names_with_bars_between_mean_what_their_automaton_means(pattern in "[ab|_:/ -]{0,8}", value in "[ab|_:/ -]{0,4}") {
        let automaton = compile(&pattern, Anchoring::Whole).unwrap();
        let any_of_it = pattern.split('|').next_back().unwrap_or_default();
        for found in [value.as_str(), any_of_it] {
            prop_assert_eq!(Pattern::read(&pattern).unwrap().is_match(&pattern, found), automaton.is_match(found));
        }
    }
}
