//! The styles, row by row.

use proptest::prelude::*;

use super::*;

const FILES: [&str; 14] = [
    "etc/server/config",
    "etc/server/hosts",
    "home",
    "home/user/.profile",
    "home/user/.bashrc",
    "home/user2/.profile",
    "home/user2/public_html/index.html",
    "srv",
    "srv/messages",
    "srv/dmesg",
    "srv2",
    "srv2/blafasel",
    "home/foo/.thumbnails",
    "home/foo/bar/.thumbnails",
];
const ALL: &[usize] = &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13];
const DEEP: &[usize] = &[0, 1, 3, 4, 5, 6, 8, 9, 11, 12, 13];

fn check(style: Style, rows: &[(&str, &[usize])]) {
    for (text, expected) in rows {
        let pattern = Pattern::parse(text, style).unwrap();
        let found: Vec<&str> = FILES.into_iter().filter(|file| pattern.matches(file.as_bytes())).collect();
        let expected: Vec<&str> = expected.iter().map(|index| FILES[*index]).collect();
        assert_eq!(found, expected, "{style:?} {text:?}");
    }
}

#[test]
fn full_paths() {
    check(
        Style::PathFull,
        &[
            ("/", &[]),
            ("", &[]),
            ("/home", &[2]),
            ("/home///", &[2]),
            ("/./home", &[2]),
            ("home/user", &[]),
            ("/home/user/.bashrc", &[4]),
            ("srv/../srv2", &[10]),
            ("/../../srv", &[7]),
            ("../srv", &[]),
        ],
    );
}

#[test]
fn path_prefixes() {
    check(
        Style::PathPrefix,
        &[
            ("/", ALL),
            ("/./", ALL),
            ("", &[]),
            ("/home/u", &[]),
            ("/home/user", &[3, 4]),
            ("/home/user/", &[3, 4]),
            ("/etc", &[0, 1]),
            ("///etc//////", &[0, 1]),
            ("/./home//..//home/user2", &[5, 6]),
            ("srv", &[7, 8, 9]),
            ("home/user/.bashrc", &[4]),
        ],
    );
}

#[test]
fn fnmatch_patterns() {
    check(
        Style::Fnmatch,
        &[
            ("", &[]),
            ("/", ALL),
            ("/*", ALL),
            ("/./*", ALL),
            ("*", ALL),
            ("*/*", DEEP),
            ("*///*", DEEP),
            ("/home/u", &[]),
            ("/home/*", &[3, 4, 5, 6, 12, 13]),
            ("/home/user/*", &[3, 4]),
            ("/home/user", &[3, 4]),
            ("srv/", &[8, 9]),
            ("srv", &[7, 8, 9]),
            ("*v/", &[8, 9]),
            ("/etc/*", &[0, 1]),
            ("*/.pr????e", &[3, 5]),
            ("///etc//////*", &[0, 1]),
            ("/./home//..//home/user2/*", &[5, 6]),
            ("/srv*", &[7, 8, 9, 10, 11]),
            ("/home/*/.thumbnails", &[12, 13]),
            ("srv[0-9]", &[10, 11]),
            ("srv[!0-9]*", &[8, 9]),
            ("home?user", &[3, 4]),
            ("{srv,srv2}", &[]),
        ],
    );
}

#[test]
fn shell_patterns() {
    check(
        Style::Shell,
        &[
            ("", &[]),
            ("/", ALL),
            ("*", ALL),
            ("**/*", ALL),
            ("/**/*", ALL),
            ("/./*", ALL),
            ("**", ALL),
            ("*/*", DEEP),
            ("*///*", DEEP),
            ("/home/u", &[]),
            ("/home/*", &[3, 4, 5, 6, 12, 13]),
            ("/home/user/*", &[3, 4]),
            ("/etc/*/*", &[0, 1]),
            ("/etc/**/*", &[0, 1]),
            ("/etc/**/*/*", &[0, 1]),
            ("*/.pr????e", &[]),
            ("**/.pr????e", &[3, 5]),
            ("///etc//////*", &[0, 1]),
            ("/./home//..//home/user2/", &[5, 6]),
            ("/./home//..//home/user2/**/*", &[5, 6]),
            ("/srv*/", &[8, 9, 11]),
            ("/srv*", &[7, 8, 9, 10, 11]),
            ("/srv/*", &[8, 9]),
            ("/srv2/**", &[10, 11]),
            ("/srv2/**/", &[11]),
            ("/home/*/.thumbnails", &[12]),
            ("/home/*/*/.thumbnails", &[13]),
            ("home?user", &[]),
            ("{srv,etc}", &[0, 1, 7, 8, 9]),
            ("home/{foo,user{,2}}/*", &[3, 4, 5, 6, 12, 13]),
            ("srv{2}", &[]),
        ],
    );
}

/// Text against wildcards, as a whole.
#[test]
fn shell_wildcards() {
    let fits: &[(&str, &[&str])] = &[
        ("foo/bar", &["foo/bar"]),
        ("foo\\bar", &["foo\\bar"]),
        ("foo/c/\u{152}/e/bar", &["foo/*/\u{152}/*/bar", "*/*/\u{152}/*/*", "**/\u{152}/*/*"]),
        ("äöÜ", &["???", "*", "äöÜ", "[ä][ö][Ü]"]),
        ("foo", &["fo?", "f?o", "f??", "?oo", "?o?", "??o", "???", "*", "**", "***", "foo*", "foo{,1,2}"]),
        ("", &["*"]),
        ("foobar", &["foo*", "foo*bar", "*bar"]),
        ("foobarbaz", &["foo*baz"]),
        ("foo/bar", &["foo/*bar", "foo/*ar", "foo/*", "foo*/bar", "fo*/bar", "*/bar", "foo/**/bar"]),
        ("foo/1/bar", &["foo/**/bar"]),
        ("foo/1/22/333/bar", &["foo/**/bar"]),
        ("foo/", &["foo/**/"]),
        ("foo/1/", &["foo/**/"]),
        ("foo/1/22/333/", &["foo/**/"]),
        ("bar", &["**/bar", "{foo{1,2},bar}"]),
        ("1/22/333/bar", &["**/bar"]),
        ("foo/bar/baz", &["foo/**/*"]),
        ("foo1", &["foo[12]", "{foo1,foo2}", "{foo{1,2},bar}"]),
        ("foo2", &["foo[12]", "foo{1,2}"]),
        ("foo2/bar", &["foo[12]/*"]),
        ("f??f", &["f??f", "f[?][?]f"]),
        ("foo]", &["foo[]]"]),
        ("foo3", &["foo[!12]"]),
        ("foo^", &["foo[^!]"]),
        ("foo!", &["foo[^!]"]),
        ("{foo", &["{foo{,bar}"]),
        ("{foobar", &["{foo{,bar}"]),
        ("{foo},bar}", &["{foo},bar}"]),
        ("bar/foobar", &["**/foo{ba[!z]*,[0-9]}"]),
        ("ab", &["{a{b,c}}", "a[!]x]", "a[x-yb]"]),
        // these are no wildcards
        ("Photos (2019)|x", &["Photos (2019)|x", "*(*)*"]),
        ("{a,b}", &["\\{a,b\\}", "{a\\,b}"]),
        ("a-", &["a[x-]", "a[-x]"]),
    ];
    for (text, patterns) in fits {
        for pattern in *patterns {
            assert!(glob::whole(pattern).unwrap().matches(text.as_bytes()), "{pattern} should fit {text}");
        }
    }
    let misses: &[(&str, &[&str])] = &[
        ("", &["?", "[]"]),
        ("foo", &["foo?", "?foo", "f?oo", "{foo1,foo2}", "foo{1,2}", "fo[z-a]", "FOO"]),
        ("foo/ar", &["foo?ar"]),
        ("foo/bar", &["*", "foo*bar", "foo*ar", "fo*bar", "**", "**/"]),
        ("foobar", &["foo/**/bar"]),
        ("foo3", &["foo[12]"]),
        ("foo1", &["foo[!12]"]),
        ("foo2", &["foo[!12]"]),
        ("foo{1,2}", &["foo{1,2}"]),
        ("bar/foobaz", &["**/foo{ba[!z]*,[0-9]}"]),
        ("Photos 2019", &["Photos (2019)"]),
    ];
    for (text, patterns) in misses {
        for pattern in *patterns {
            assert!(!glob::whole(pattern).unwrap().matches(text.as_bytes()), "{pattern} should not fit {text}");
        }
    }
}

#[test]
fn regular_expressions_find_anywhere_and_keep_leading_slashes() {
    check(
        Style::Regex,
        &[
            ("", ALL),
            (".*", ALL),
            ("^/", &[]),
            ("^abc$", &[]),
            ("^[^/]+$", &[2, 7, 10]),
            ("^(?!srv|etc|home/foo)", &[2, 3, 4, 5, 6]),
            (r"\.thumb", &[12, 13]),
        ],
    );
}

#[test]
fn two_letters_and_a_colon_name_the_style() {
    let rows = [
        ("", Style::Fnmatch),
        ("*", Style::Fnmatch),
        ("fm:", Style::Fnmatch),
        ("fm:fm:/data/*", Style::Fnmatch),
        ("re:re:^/something/", Style::Regex),
        ("pp:/", Style::PathPrefix),
        ("pf:/x", Style::PathFull),
        ("sh:sh:/data/*", Style::Shell),
        ("a:b", Style::Fnmatch),
        ("?a:b", Style::Fnmatch),
        ("abc:d", Style::Fnmatch),
    ];
    for (text, style) in rows {
        let pattern = Pattern::parse(text, Style::Fnmatch).unwrap();
        assert_eq!((pattern.style(), pattern.to_string()), (style, text.to_owned()));
    }
    assert!(Pattern::parse("fm:fm:/a", Style::Shell).unwrap().matches(b"fm:/a"));
    for text in ["aa:", "fo:*", "00:", "x1:abc"] {
        let error = Pattern::parse(text, Style::Fnmatch).unwrap_err();
        assert_eq!((error.kind(), error.context("pattern")), (ErrorKind::PatternInvalid, Some(text)));
    }
}

#[test]
fn names_that_are_no_text_match_bytewise() {
    let path = b"b\xff\xfe/foo";
    for (pattern, style, fits) in [
        (&b"b\xff\xfe"[..], Style::PathPrefix, true),
        (b"b\xff\xfe", Style::Fnmatch, true),
        (b"b\xff\xfe", Style::Shell, true),
        (b"b\xff\xfe/foo", Style::PathFull, true),
        (b"b??", Style::Shell, true),
        (b"b?", Style::Shell, false),
        (b"b[\xf0-\xff]\xfe/*", Style::Shell, true),
        (b"b[!\xff]\xfe/*", Style::Shell, false),
        (b"*\xfe/f*", Style::Fnmatch, true),
        (b"*\xfd/f*", Style::Fnmatch, false),
        (b"^b../foo$", Style::Regex, true),
    ] {
        assert_eq!(Pattern::parse(pattern, style).unwrap().matches(path), fits, "{style:?} {pattern:x?}");
    }
}

#[test]
fn long_and_deep_patterns_are_refused() {
    for text in ["a".repeat(PATTERN_BYTES_MAX + 1), format!("{}a{}", "{x,".repeat(5000), "}".repeat(5000))] {
        assert_eq!(Pattern::parse(&text, Style::Shell).unwrap_err().kind(), ErrorKind::PatternInvalid);
    }
    // long, many wildcards, no trouble
    let stars = Pattern::parse(&"*a".repeat(500), Style::Fnmatch).unwrap();
    assert!(!stars.matches(&b"a".repeat(499)));
}

proptest! {
    /// The shortcuts for pruning must agree with what single paths are answered.
    #[test]
    fn pruning_is_safe(
        text in "(|fm:|sh:|pp:|pf:|re:)[a/*?]{0,6}",
        directory in "[a-b]{1,2}(/[a-b]{1,2}){0,1}",
        below in "[a-b]{1,2}(/[a-b]{1,2}){0,1}",
    ) {
        if let Ok(pattern) = Pattern::parse(&text, Style::Shell) {
            let path = format!("{directory}/{below}");
            let fits = pattern.matches(path.as_bytes());
            prop_assert!(!fits || pattern.may_match_below(directory.as_bytes()), "{text} {path} may");
            prop_assert!(fits || !pattern.matches_all_below(directory.as_bytes()), "{text} {path} all");
        }
    }

    #[test]
    fn nothing_panics(text: Vec<u8>, path: Vec<u8>) {
        for style in [Style::Fnmatch, Style::Shell, Style::Regex, Style::PathPrefix, Style::PathFull] {
            if let Ok(pattern) = Pattern::parse(&text, style) {
                pattern.matches(&path);
            }
        }
    }
}
