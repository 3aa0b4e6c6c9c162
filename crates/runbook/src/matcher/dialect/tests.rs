//! The dialect by table: what Go means by a pattern, what it refuses, and the bounds.

use super::*;
use proptest::prelude::*;

#[test]
fn patterns_mean_what_they_mean_to_go() {
    // (pattern, text, whether the whole text matches)
    let table = [
        ("foo|bar", "bar", true),
        ("foo|bar", "foobar", false),
        (".*", "", true),
        (".*", "a\nb", false),
        ("(?s).*", "a\nb", true),
        (r"\d+", "42", true),
        (r"\d+", "४२", false),
        (r"\w+", "ünï", false),
        (r"\s", "\u{a0}", false),
        (r"\S", "\u{a0}", true),
        (r"[\d-z]", "-", true),
        (r"[\d-z]", "5", true),
        (r"[\d-z]", "y", false),
        (r"[^\D]", "5", true),
        (r"[\w.-]+", "a.b-c_d", true),
        (r"\<a", "<a", true),
        (r"a\_b\-c\/d\ e", "a_b-c/d e", true),
        ("a{", "a{", true),
        ("a{,2}", "a{,2}", true),
        ("a{x}", "a{x}", true),
        ("a{2}", "aa", true),
        ("a{2,}", "aaaa", true),
        ("a{1,2}", "aaa", false),
        ("a{01}", "a{01}", true),
        (r"\p{^Greek}", "α", false),
        (r"[\P{^Greek}]", "α", true),
        ("a+?b", "aab", true),
        ("a{1,2}?b?", "aab", true),
        ("a}", "a}", true),
        ("]", "]", true),
        ("[[a]", "[", true),
        ("[a&&b]", "&", true),
        ("[+--z]", ",", true),
        ("[]a]+", "]a", true),
        ("[^]a]", "b", true),
        ("[[:alpha:]]+", "abc", true),
        ("[[:^alpha:]]", "1", true),
        ("[a~~b]", "~", true),
        (r"\Qa.b*\E+", "a.b**", true),
        (r"\Qa.b", "a.b", true),
        (r"\x41\x{42}\103", "ABC", true),
        (r"[\x41-\x{43}]+", "ABC", true),
        (r"\.", "x", false),
        ("(?i)abc", "ABC", true),
        ("(?i:a)b", "Ab", true),
        ("(?P<n>a)", "a", true),
        (r"a\b.*", "a b", true),
        (r"\pL+", "日本", true),
        (r"\p{Greek}", "α", true),
        (r"[\p{Greek}x]+", "αx", true),
        ("a b # c", "a b # c", true),
        ("^a$", "a", true),
        ("", "", true),
        ("🙂+", "🙂🙂", true),
        (r"[\n\t]", "\n", true),
        (r"[\]]", "]", true),
    ];
    for (pattern, text, wanted) in table {
        let compiled = compile(pattern, Anchoring::Whole).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        assert_eq!(compiled.is_match(text), wanted, "{pattern} on {text:?} as {}", compiled.as_str());
    }
    assert!(compile("b", Anchoring::Anywhere).unwrap().is_match("abc"));
}

#[test]
fn what_go_refuses_is_refused_in_words() {
    for pattern in [
        "(",
        ")",
        "a)|(?:b",
        "[",
        "[a",
        "[b-a]",
        "[a--z]",
        "*",
        r"\1",
        r"(?=a)",
        r"(?<!a)",
        r"(?x)a",
        r"\k",
        r"\Z",
        r"\C",
        r"[a-\d]",
        "[[:nope:]]",
        r"\x",
        r"\xZZ",
        r"\x{110000}",
        "a{1001}",
        r"\",
        r"\8",
        "a**",
        "a*+",
        "a*?+",
        "a{2}{3}",
        "(?P=n)",
        r"\p{Nope}",
    ] {
        let error = compile(pattern, Anchoring::Whole).unwrap_err();
        assert!(!error.is_empty() && !error.contains('\n'), "{pattern}: {error}");
    }
}

#[test]
fn size_is_bounded() {
    assert!(compile(&"a".repeat(MAX_PATTERN_BYTES + 1), Anchoring::Whole).unwrap_err().contains("bytes long"));
    assert!(compile("((a{1000}){1000}){1000}", Anchoring::Whole).unwrap_err().contains("too large"));
    assert!(compile(&"(".repeat(2000), Anchoring::Whole).is_err());
}

proptest! {
    #[test]
    fn compiling_never_panics(pattern in any::<String>(), spicy in r"[\[\]\\(){}^?:a-cdQEx0-9,|*+&~-]{0,40}") {
        let _ = compile(&pattern, Anchoring::Whole);
        let _ = compile(&spicy, Anchoring::Whole);
    }

    #[test]
    fn a_quoted_text_matches_itself_only(text in "[^\\\\]{0,20}", other in "[^\\\\]{0,20}") {
        let compiled = compile(&format!(r"\Q{text}\E"), Anchoring::Whole).unwrap();
        prop_assert!(compiled.is_match(&text));
        prop_assert_eq!(compiled.is_match(&other), text == other);
    }
}
