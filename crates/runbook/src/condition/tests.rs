//! Conditions by table and by property: the language, its bounds, three values, types, and the written form.

use super::*;
use proptest::prelude::*;

/// What a database under pressure looked like.
fn seen() -> BTreeMap<String, Value> {
    let number = |n: f64| Value::Number(n);
    [
        ("s.idle", number(12.0)),
        ("s.used", number(90.0)),
        ("s.total", number(100.0)),
        ("s.zero", number(0.0)),
        ("s.huge", number(1e308)),
        ("s.full", Value::Flag(true)),
        ("s.calm", Value::Flag(false)),
        ("s.app", Value::Text("backend-ünï".into())),
        ("s.empty", Value::Text(String::new())),
        ("s.tags", Value::List(vec![Value::Text("a".into()), Value::Text("b".into())])),
        ("s.none", Value::List(vec![])),
        ("s.gone", Value::Unknown("the connection was refused".into())),
        ("s.nan", number(f64::NAN)),
        ("s.mixed", Value::List(vec![number(1.0), Value::Unknown("cut off".into())])),
        ("deep.a.b", number(1.0)),
    ]
    .into_iter()
    .map(|(path, value)| (path.to_owned(), value))
    .collect()
}

fn types(path: &str) -> Option<Type> {
    match seen().get(path)? {
        Value::Number(_) | Value::Unknown(_) => Some(Type::Number),
        Value::Flag(_) => Some(Type::Flag),
        Value::Text(_) => Some(Type::Text),
        Value::List(_) => Some(Type::List),
    }
}

fn condition(source: &str) -> Condition {
    Condition::parse(source).unwrap_or_else(|error| panic!("{source}: {error}"))
}

fn truth(source: &str) -> Truth {
    condition(source).evaluate(&seen())
}

#[test]
fn conditions_come_to_true_or_false() {
    let table = [
        ("true", true),
        ("false", false),
        ("!s.full", false),
        ("!!s.full", true),
        ("s.full", true),
        ("s.idle > 0", true),
        ("s.idle == 12", true),
        ("s.idle == 12.0", true),
        ("s.idle != 12", false),
        ("s.idle >= 12 && s.idle <= 12", true),
        ("s.idle < 12", false),
        ("s.used / s.total > 0.8", true),
        ("s.used / s.total > 0.8 && s.idle > 0", true),
        ("s.total - s.used == 10", true),
        ("1 / 2 == 0.5", true),
        ("2 + 3 * 4 == 14", true),
        ("(2 + 3) * 4 == 20", true),
        ("10 - 3 - 2 == 5", true),
        ("-s.idle < -11", true),
        ("-5 < 3", true),
        ("s.idle -1 == 11", true),
        ("1e3 == 1000", true),
        ("0x10 == 16", true),
        (".5 == 0.5", true),
        ("true || false && false", true),
        ("(true || false) && false", false),
        ("s.calm || s.full", true),
        ("s.app == \"backend-ünï\"", true),
        ("s.app == 'backend'", false),
        ("s.app != ''", true),
        ("s.full == true", true),
        ("s.full != s.calm", true),
        ("s.app.startsWith(\"back\")", true),
        ("s.app.endsWith(\"ünï\")", true),
        ("s.app.contains('end-')", true),
        ("s.app.matches('k.n')", true),
        ("s.app.matches('k.x')", false),
        ("s.app.matches('^back(end|up)')", true),
        (r#"s.app.matches("\\d")"#, false),
        (r"s.app.matches(r'\w-')", true),
        ("s.app.matches('n$')", false),
        ("size(s.app) == 11", true),
        ("size('日本') == 2", true),
        ("size(s.tags) == 2", true),
        ("size(s.none) == 0", true),
        ("size([1,2,3]) == 3", true),
        ("s.idle in [1, 12]", true),
        ("s.idle in [1, 2]", false),
        ("s.idle in []", false),
        ("s.app in ['x', 'backend-ünï']", true),
        ("'a' in s.tags", true),
        ("'c' in s.tags", false),
        ("'c' in s.none", false),
        ("s.idle + 1 in [13]", true),
        ("!(s.idle in [1])", true),
        ("deep.a.b == 1", true),
        ("s.idle > 0\n  && s.used > 1", true),
        ("\"a\\tb\\\"\" == 'a\\tb\"'", true),
        // Kleene for what arithmetic leaves open.
        ("s.zero == 0 || s.used / s.zero > 1", true),
        ("s.zero != 0 && s.used / s.zero > 1", false),
    ];
    for (source, wanted) in table {
        assert_eq!(truth(source), Truth::from(wanted), "{source}");
        assert_eq!(condition(source).check(&types), [], "{source}");
    }
}

#[test]
fn unknown_is_neither_and_comes_with_its_reason() {
    let table = [
        ("s.gone > 1", "s.gone is unknown: the connection was refused"),
        // The strict rule: a mentioned unknown makes all of it unknown.
        ("false && s.gone > 1", "s.gone is unknown"),
        ("true || s.gone > 1", "s.gone is unknown"),
        ("s.idle in [12, s.gone]", "s.gone is unknown"),
        ("!(s.gone > 1)", "s.gone is unknown"),
        ("s.nan > 1", "s.nan is unknown"),
        ("size(s.mixed) == 2", "cut off"),
        ("s.nowhere == 1", "s.nowhere was not looked at"),
        ("s.used / s.zero > 1", "division by zero"),
        ("s.zero / s.zero == s.zero / s.zero", "division by zero"),
        ("s.huge * 10 > 1", "no usable number"),
        ("-(s.huge * 10) < 1", "no usable number"),
        ("true && 1 / s.zero > 1", "division by zero"),
        ("false || 1 / s.zero > 1", "division by zero"),
        ("s.idle in [1 / s.zero, 3]", "division by zero"),
        // Types that do not fit, were the condition not checked.
        ("s.app > 1", "between a text and a number"),
        ("s.idle", "a number"),
        ("s.idle && true", "a number"),
        ("s.idle.startsWith('a')", "between a number and a text"),
        ("size(s.idle) > 1", "no size"),
    ];
    for (source, why) in table {
        match truth(source) {
            Truth::Unknown(found) => assert!(found.contains(why), "{source}: {found}"),
            other => panic!("{source} is {other}"),
        }
        assert!(!truth(source).holds(), "{source}");
    }
}

#[test]
fn what_is_outside_the_language_is_refused_with_a_sentence_and_a_column() {
    let table = [
        ("", 1, "always hold"),
        ("  \n", 1, "always hold"),
        ("s.idle = 1", 8, "=="),
        ("s.idle > 0 and s.full", 12, "&&"),
        ("not s.full", 1, "!"),
        ("s.full OR s.calm", 8, "||"),
        ("s.full & s.calm", 8, "&&"),
        ("s.full | s.calm", 8, "||"),
        ("s.idle <> 1", 8, "!="),
        ("s.idle % 2 == 0", 8, "0 to 1"),
        ("s.idle > 80%", 12, "0 to 1"),
        ("(s.idle > 1", 1, "close"),
        ("s.idle > 1)", 11, "remove"),
        ("(s.idle > 1]", 12, "own kind"),
        ("s.app == \"x", 10, "same line"),
        ("s.full ? 1 : 2", 8, "&&"),
        ("{'a': 1}", 1, "list"),
        ("s.idle > 1 // why", 12, "YAML"),
        ("`s` == 1", 1, "double quotes"),
        ("s.idle >", 9, "complete"),
        ("s.idle 5", 8, "comparisons"),
        ("> 5", 1, "comparisons"),
        ("s..idle", 3, "comparisons"),
        ("s.idle == 5u", 11, "without the u"),
        ("s.app == b'x'", 11, "without b"),
        ("s.app == null", 10, "unknown by itself"),
        ("has(s.idle)", 5, "unknown by itself"),
        ("s.tags.all(t, t == 'a')", 11, "single fields"),
        ("s.tags[0] == 'a'", 7, "look.field"),
        ("s.app.startWith('a')", 7, "startsWith"),
        ("len(s.app) > 1", 1, "functions"),
        ("double(s.idle) > 1", 1, "doubles already"),
        ("size(s.app, 1) > 1", 1, "one argument"),
        ("s.app.size() > 1", 7, "one argument"),
        ("startsWith(s.app, 'a')", 1, "text.startsWith"),
        ("s.app.matches('(')", 15, "RE2"),
        ("s.app.matches(s.app)", 15, "checked"),
        ("s.idle == '''x'''", 11, "single quotes"),
        ("1e999 > s.idle", 1, "comparisons"),
        ("(s.idle + 1).x == 1", 9, "look.field"),
        ("'ünï' = s.app", 7, "=="),
        ("s.idle > 0 &&\n s.full and true", 23, "&&"),
    ];
    let mut wrong = Vec::new();
    for (source, column, mend) in table {
        let error = Condition::parse(source).expect_err(source);
        if error.column != column || !error.mend.contains(mend) || error.message.is_empty() {
            wrong.push(format!("{source:?} (wanted column {column}, {mend:?}): {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn size_and_depth_are_bounded_before_the_parser_runs() {
    let deep = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(truth(&deep(MAX_NESTING)), Truth::True);
    assert!(Condition::parse(&deep(MAX_NESTING + 1)).unwrap_err().message.contains("nests"));
    for hostile in [deep(10_000), "(".repeat(10_000), deep(400), "[".repeat(1000), "!".repeat(1024), "-".repeat(1024)] {
        assert!(Condition::parse(&hostile).is_err());
    }
    for chain in ["+1", "-1", "*1", "||true", "&&true", "==1", ".a", "<1"] {
        for times in [50, 120, 200, 250, 500] {
            // Whatever comes of it, the stack holds.
            let _ = Condition::parse(&format!("a{}", chain.repeat(times)));
        }
    }
    assert!(Condition::parse(&format!("0{} == 50", "+1".repeat(50))).is_ok());
    assert!(
        Condition::parse(&format!("'{}' == s.app", "x".repeat(MAX_SOURCE_BYTES))).unwrap_err().message.contains("bytes long")
    );
}

#[test]
fn types_and_fields_are_checked_all_at_once() {
    let fields: BTreeMap<String, Type> = seen().keys().map(|path| (path.clone(), types(path).unwrap())).collect();
    let table: &[(&str, &[(usize, &str)])] = &[
        ("s.idel > 0", &[(1, "s.idle")]),
        ("queue.depth > 0 && s.idle > 0", &[(1, "known here")]),
        ("s.nothing_like_it > 0", &[(1, "s.idle")]),
        ("s.idle", &[(1, "compare")]),
        ("s.app", &[(1, "compare")]),
        ("!s.idle", &[(2, "parentheses")]),
        ("s.idle && s.full", &[(1, "compare")]),
        ("s.idle + 1", &[(8, "compare")]),
        ("s.app + 'x' == 'y'", &[(1, "not joined"), (9, "not joined"), (13, "same kind")]),
        ("s.app > 'a'", &[(1, "order numbers")]),
        ("s.app == 1", &[(7, "same kind")]),
        ("s.full == 1", &[(8, "same kind")]),
        ("s.tags == s.tags", &[(1, "use in")]),
        ("s.idle in s.app", &[(11, "list")]),
        ("s.idle in ['a']", &[(1, "same kind")]),
        ("s.idle in [1, 'a']", &[(15, "one kind")]),
        ("s.idle in [[1]]", &[(12, "side by side")]),
        ("s.tags in [1]", &[(1, "single value")]),
        ("size(s.idle) > 1", &[(6, "texts and lists")]),
        ("s.idle.startsWith('a') || s.app.contains(1)", &[(1, "texts"), (42, "texts")]),
        ("s.idle.matches('a')", &[(1, "texts")]),
        ("s.idel > 0 || s.usde > 0 || s.app", &[(1, "s.idle"), (15, "s.used"), (29, "compare")]),
    ];
    for (source, wanted) in table {
        let complaints = condition(source).check_among(&fields, &BTreeSet::new());
        let found: Vec<usize> = complaints.iter().map(|complaint| complaint.column).collect();
        assert_eq!(found, wanted.iter().map(|(column, _)| *column).collect::<Vec<_>>(), "{source}: {complaints:?}");
        for (complaint, (_, mend)) in complaints.iter().zip(*wanted) {
            assert!(complaint.mend.contains(mend), "{source}: {complaint}");
        }
        assert_eq!(condition(source).check(&types).len(), wanted.len(), "{source}");
    }
}

#[test]
fn a_unit_and_a_text_without_quotes_are_told_as_what_they_are() {
    for source in ["front.seconds > 2s", "a.b < 10m && a.c", "a.b > 5MiB"] {
        let refused = Condition::parse(source).unwrap_err();
        assert!(refused.message.contains("has no unit") && refused.mend.contains("seconds, bytes"), "{source}: {refused}");
    }
    for right in ["a.s3 > 2", "a.b2s == 1", "a.b > 2 && s.m"] {
        Condition::parse(right).unwrap();
    }
    let fields = BTreeMap::from([("s.app".to_owned(), Type::Text)]);
    let complaints = condition("s.app == backend").check_among(&fields, &BTreeSet::new());
    assert!(complaints[0].mend.contains("write \"backend\" in quotes"), "{complaints:?}");
}

#[test]
fn a_share_is_not_compared_with_a_percentage() {
    let fields = BTreeMap::from(["s.ratio", "s.idle"].map(|name| (name.to_owned(), Type::Number)));
    let shares = BTreeSet::from(["s.ratio".to_owned()]);
    let found = |source: &str| condition(source).check_among(&fields, &shares);
    for (source, column, mend) in [
        ("s.ratio < 70", 11, "write 0.7 for 70 %"),
        ("80 <= s.ratio && s.idle > 3", 1, "write 0.8 for 80 %"),
        ("s.idle > 3 || s.ratio == 1.5", 26, "write 0.015 for 1.5 %"),
        ("s.ratio > 1000", 11, "between 0 and 1"),
    ] {
        let complaints = found(source);
        let [one] = complaints.as_slice() else { panic!("{source}: {complaints:?}") };
        assert!(one.column == column && one.mend.contains(mend), "{source}: {one}");
    }
    for right in ["s.ratio < 0.7", "s.ratio > 1", "s.ratio * 100 > 80", "s.idle > 80", "s.ratio > 0"] {
        assert_eq!(found(right), [], "{right}");
    }
}

#[test]
fn a_condition_is_its_source_and_knows_its_paths() {
    let source = "s.used / s.total > 0.8 && s.used > 1 && 'x' in s.tags";
    let read = condition(source);
    assert_eq!((read.source(), read.to_string().as_str()), (source, source));
    assert_eq!(read.paths(), ["s.tags", "s.total", "s.used"]);
    let json = serde_json::to_string(&read).unwrap();
    assert_eq!(serde_json::from_str::<Condition>(&json).unwrap(), read);
    assert!(serde_json::from_str::<Condition>("\"a = 1\"").unwrap_err().to_string().contains("column 3"));
}

#[test]
fn values_survive_json_even_where_json_has_no_number_for_them() {
    for value in seen().into_values() {
        let read: Value = serde_json::from_str(&serde_json::to_string(&value).unwrap()).unwrap();
        match value {
            Value::Number(number) if number.is_nan() => assert!(read.unknown().is_some()),
            value => assert_eq!(read, value),
        }
    }
    assert_eq!(serde_json::to_string(&Value::Number(1.5)).unwrap(), r#"{"number":1.5}"#);
    assert_eq!(Value::List(vec![Value::Flag(true), Value::Text("a".into())]).to_string(), r#"[true, "a"]"#);
}

/// One of the three values, as arithmetic makes them.
fn side() -> impl Strategy<Value = (&'static str, Truth)> {
    prop_oneof![
        Just(("true", Truth::True)),
        Just(("(1 < 0)", Truth::False)),
        Just(("(1 / 0 > 1)", Truth::Unknown("a division by zero".into()))),
    ]
}

proptest! {
    #[test]
    fn parsing_and_evaluating_never_panic(source in any::<String>(), spicy in r#"[a-c.0-9()\[\]<>=!&|+*/ '"\\,?:{}%_-]{0,60}"#, words in prop::collection::vec(prop_oneof![
        Just("s.idle"), Just("s.gone"), Just("s.app"), Just("true"), Just("1"), Just("'a'"), Just("("), Just(")"), Just("["), Just("]"), Just("&&"), Just("||"),
        Just("!"), Just("=="), Just("<"), Just("+"), Just("-"), Just("/"), Just("in"), Just(","), Just("size("), Just(".matches("), Just(".contains("), Just("has("),
        Just(".all(x, x)"), Just("r'\\'"), Just("0x"), Just("1e"), Just("\n"), Just("é")], 0..24)) {
        for source in [source, spicy, words.join(" "), words.concat()] {
            if let Ok(condition) = Condition::parse(&source) {
                let _ = condition.check(&types);
                let _ = condition.evaluate(&seen());
            }
        }
    }

    #[test]
    fn the_laws_of_three_values_hold((a, left) in side(), (b, right) in side()) {
        let and = truth(&format!("{a} && {b}"));
        let or = truth(&format!("{a} || {b}"));
        // Commutative in value, De Morgan, and the tables of Kleene.
        prop_assert_eq!(&and, &truth(&format!("{b} && {a}")));
        prop_assert_eq!(&or, &truth(&format!("{b} || {a}")));
        prop_assert_eq!(&and, &truth(&format!("!(!{a} || !{b})")));
        let rank = |t: &Truth| match t { Truth::False => 0, Truth::Unknown(_) => 1, Truth::True => 2 };
        prop_assert_eq!(rank(&and), rank(&left).min(rank(&right)));
        prop_assert_eq!(rank(&or), rank(&left).max(rank(&right)));
        prop_assert_eq!(rank(&truth(&format!("!{a}"))), 2 - rank(&left));
    }

    #[test]
    fn a_mentioned_unknown_makes_everything_unknown(source in prop_oneof![Just("true"), Just("false"), Just("s.idle > 0"), Just("s.calm")], operator in prop_oneof![Just("&&"), Just("||")], first in any::<bool>()) {
        let source = if first { format!("s.gone > 0 {operator} {source}") } else { format!("{source} {operator} s.gone > 0") };
        prop_assert!(matches!(truth(&source), Truth::Unknown(_)));
    }

    #[test]
    fn numbers_compare_as_doubles(a in -1e6f64..1e6, b in -1e6f64..1e6) {
        let scope: BTreeMap<String, Value> = [("x.a".to_owned(), Value::Number(a)), ("x.b".to_owned(), Value::Number(b))].into();
        prop_assert_eq!(condition("x.a < x.b").evaluate(&scope), Truth::from(a < b));
        prop_assert_eq!(condition("x.a - x.b > 0").evaluate(&scope), Truth::from(a - b > 0.0));
        prop_assert_eq!(condition(&format!("x.a == {a:?}")).evaluate(&scope), Truth::True);
    }
}
