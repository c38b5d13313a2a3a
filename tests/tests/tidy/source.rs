//! Rust sources as the rules see them: code without comments, strings and tests, and the paths it names.

use std::collections::BTreeSet;
use std::ops::Range;

/// One source file.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// From the top of the project, such as `core/src/id.rs`.
    pub path: String,
    /// As it is.
    pub text: String,
    /// With every comment and literal blanked out; as long as `text`, with the same lines.
    pub code: String,
    /// `code` without what is only built for tests.
    pub lasting: String,
}

/// A path that code names, such as `crate::id::ChunkId`, and the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub path: String,
    pub line: usize,
}

/// Takes sources in, all at once: what is a test is declared in another file.
pub(super) fn parse_all(files: impl IntoIterator<Item = (String, String)>) -> Vec<Source> {
    let mut tests = BTreeSet::new();
    let mut sources = Vec::new();
    for (path, text) in files {
        let code = without_comments_and_literals(&text);
        let (lasting, declared) = without_tests(&code);
        tests.extend(declared.into_iter().flat_map(|item| declared_files(&path, &code[item.clone()], &text[item])));
        sources.push(Source { path, text, code, lasting });
    }
    for source in &mut sources {
        let inside =
            |test: &String| test.strip_suffix(".rs").is_some_and(|test| source.path.starts_with(&format!("{test}/")));
        let scenario = source.path.contains("/tests/");
        if scenario || tests.contains(&source.path) || tests.iter().any(inside) {
            source.lasting = blanked(&source.code);
        }
    }
    sources
}

/// Where the module may lie that an item of the file `path` declares, such as `#[path = "x.rs"] mod tests;`.
fn declared_files(path: &str, code: &str, text: &str) -> Vec<String> {
    let Some((_, module)) = code.trim_end().strip_suffix(';').and_then(|item| item.rsplit_once("mod ")) else {
        return Vec::new();
    };
    if let Some((_, told)) = text.split_once("#[path = \"") {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        return told.split_once('"').map(|(file, _)| format!("{folder}/{file}")).into_iter().collect();
    }
    let folder = module_folder(path);
    ["", "/mod"].map(|rest| format!("{folder}/{}{rest}.rs", module.trim())).to_vec()
}

/// Where the modules lie that a file declares.
fn module_folder(path: &str) -> &str {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file {
        "mod.rs" | "lib.rs" | "main.rs" => folder,
        _ => path.strip_suffix(".rs").unwrap_or(path),
    }
}

impl Source {
    /// The paths that lasting code names: of every `use` each leaf, and every path in an expression or type.
    pub fn named(&self) -> Vec<Named> {
        let mut named = Vec::new();
        let mut rest = String::with_capacity(self.lasting.len());
        let mut position = 0;
        for start in words(&self.lasting, "use") {
            // `use<'a>` in a type imports nothing.
            if start < position || self.lasting[start + "use".len()..].starts_with('<') {
                continue;
            }
            let Some(length) = self.lasting[start..].find(';') else { continue };
            rest.push_str(&self.lasting[position..start]);
            rest.push_str(&blanked(&self.lasting[start..start + length]));
            position = start + length;
            leaves(&self.lasting, start + "use".len(), position, "", &mut named);
        }
        rest.push_str(&self.lasting[position..]);
        named.extend(inline_paths(&rest));
        named
    }

    /// The complaint's line for a position in the text.
    pub fn line_at(&self, position: usize) -> usize {
        line_at(&self.text, position)
    }
}

/// The line of a position, the first being 1.
pub(super) fn line_at(text: &str, position: usize) -> usize {
    text[..position].matches('\n').count() + 1
}

/// Where `word` stands as a word of its own.
pub(super) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).map(|(start, _)| start).filter(move |&start| {
        !code[..start].ends_with(part_of_word) && !code[start + word.len()..].starts_with(part_of_word)
    })
}

/// The position behind the bracket that closes the one at `open`.
pub(super) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (position, c) in code[open..].char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + position + 1;
        }
    }
    code.len()
}

fn blanked(code: &str) -> String {
    code.chars().map(|c| if c == '\n' { "\n".to_owned() } else { " ".repeat(c.len_utf8()) }).collect()
}

/// Takes the tree of a `use` apart, `a::{b, c::*} as d` into `a::b` and `a::c::*`.
fn leaves(code: &str, start: usize, end: usize, before: &str, out: &mut Vec<Named>) {
    let tree = &code[start..end];
    if let Some(open) = tree.find('{') {
        let before = format!("{before}{}", squeezed(&tree[..open]));
        let inner_end = closing(code, start + open).saturating_sub(1).min(end);
        let mut from = start + open + 1;
        let mut depth = 0;
        for (position, c) in code[from..inner_end].char_indices().collect::<Vec<_>>() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    let to = start + open + 1 + position;
                    leaves(code, from, to, &before, out);
                    from = to + 1;
                }
                _ => {}
            }
        }
        return leaves(code, from, inner_end, &before, out);
    }
    let leaf = tree.split(" as ").next().unwrap_or(tree);
    let path = format!("{before}{}", squeezed(leaf));
    if !squeezed(leaf).is_empty() {
        let indent = tree.len() - tree.trim_start().len();
        out.push(Named { path: path.trim_end_matches("::self").to_owned(), line: line_at(code, start + indent) });
    }
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Runs of `word::word` with at least two words.
fn inline_paths(code: &str) -> Vec<Named> {
    let mut named = Vec::new();
    let mut position = 0;
    let in_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    while let Some(start) = code[position..].find(in_path).map(|start| position + start) {
        let end = code[start..].find(|c| !in_path(c)).map_or(code.len(), |length| start + length);
        let path = code[start..end].trim_matches(':');
        if path.contains("::") {
            named.push(Named { path: path.to_owned(), line: line_at(code, start) });
        }
        position = end;
    }
    named
}

/// Blanks out items under `#[cfg(test)]`, and tells where they are.
fn without_tests(code: &str) -> (String, Vec<Range<usize>>) {
    let (mut lasting, mut items) = (String::new(), Vec::new());
    let mut position = 0;
    for start in code.match_indices("#[cfg(").map(|(start, _)| start) {
        if start < position || !only_for_tests(&code[start..closing(code, start + 1)]) {
            continue;
        }
        let end = item_end(code, start);
        items.push(start..end);
        lasting.push_str(&code[position..start]);
        lasting.push_str(&blanked(&code[start..end]));
        position = end;
    }
    lasting.push_str(&code[position..]);
    (lasting, items)
}

fn only_for_tests(attribute: &str) -> bool {
    words(attribute, "test").next().is_some() && !attribute.contains("not(") && !attribute.contains("any(")
}

/// Behind the item that begins with attributes at `start`.
fn item_end(code: &str, start: usize) -> usize {
    let mut position = start;
    while let Some(next) = code[position..].find(['(', '[', '{', ';']).map(|next| position + next) {
        match &code[next..=next] {
            "{" => return closing(code, next),
            ";" => return next + 1,
            _ => position = closing(code, next),
        }
    }
    code.len()
}

/// Blanks out comments and the content of strings and character literals.
fn without_comments_and_literals(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let before_is_word = out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest),
            'r' | 'b' | 'c' if !before_is_word => prefixed_string(rest),
            '\'' => character(rest),
            _ => 0,
        };
        if skipped > 0 {
            out.push_str(&blanked(&rest[..skipped]));
            rest = &rest[skipped..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut position = 0;
    while position < text.len() {
        let here = &text.as_bytes()[position..];
        if here.starts_with(b"/*") {
            depth += 1;
            position += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            position += 2;
            if depth == 0 {
                return position;
            }
        } else {
            position += 1;
        }
    }
    text.len()
}

/// The length of `"..."`.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (position, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return position + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

/// The length of `b"..."`, `c"..."`, `r"..."`, `br#"..."#`, `b'x'`; 0 if it is a word like any other.
fn prefixed_string(text: &str) -> usize {
    let letters = text.find(|c| !matches!(c, 'b' | 'c' | 'r')).unwrap_or(text.len());
    let hashes = text[letters..].len() - text[letters..].trim_start_matches('#').len();
    let quoted = &text[letters + hashes..];
    let raw = text[..letters].contains('r');
    match quoted.chars().next() {
        Some('"') if raw => {
            let end = format!("\"{}", "#".repeat(hashes));
            quoted[1..].find(&end).map_or(text.len(), |length| letters + hashes + 1 + length + end.len())
        }
        Some('"') if letters == 1 && hashes == 0 => letters + string(quoted),
        Some('\'') if &text[..letters] == "b" && hashes == 0 => letters + character(quoted),
        _ => 0,
    }
}

/// The length of `'x'` or `'\n'`; 0 if it is a lifetime.
fn character(text: &str) -> usize {
    let mut rest = text.char_indices().skip(1);
    match (rest.next(), rest.next()) {
        (Some((_, '\\')), Some((after, _))) => text[after..].find('\'').map_or(0, |length| match length {
            // '\'': the quote that is escaped does not end it.
            0 => after + 2,
            _ => after + length + 1,
        }),
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 0,
    }
}

/// A single source, for bad examples.
pub(super) fn one(path: &str, text: &str) -> Source {
    parse_all([(path.to_owned(), text.to_owned())]).remove(0)
}

#[test]
fn literals_and_comments_are_no_code() {
    let text = r####"a /* x /* y */ z */ "q\"r" b // c
r#"s"t"# 'u' '\'' '\u{7f}' &'v w b"d" b'e' br##"f"## r#type g"####;
    let source = one("core/src/x.rs", text);
    let left: Vec<_> = source.code.split_whitespace().collect();
    assert_eq!(left, ["a", "b", "&'v", "w", "r#type", "g"]);
    assert_eq!(source.code.len(), text.len());
    assert_eq!(source.code.matches('\n').count(), 1);
}

#[test]
fn tests_do_not_last() {
    let text = "fn a() {}\n#[cfg(all(test, unix))]\n#[path = \"x\"]\nmod tests {\n fn b() { {} }\n}\nfn c() {}\n\
                #[cfg(test)]\nconst D: [u8; 2] = [1, 2];\n";
    assert_eq!(squeezed(&one("core/src/x.rs", text).lasting), "fna(){}fnc(){}");
    let tests = "#[cfg(test)]\nmod tests;\n#[cfg(test)]\n#[path = \"other.rs\"]\nmod more;\nfn x() {}";
    let files = [("core/src/a.rs", tests), ("core/src/a/tests.rs", "fn y() {}"), ("core/src/other.rs", "fn z() {}")];
    let sources = parse_all(files.map(|(path, text)| (path.to_owned(), text.to_owned())));
    let lasting: Vec<_> = sources.iter().map(|source| squeezed(&source.lasting)).collect();
    assert_eq!(lasting, ["fnx(){}", "", ""]);
}

#[test]
fn every_leaf_of_a_use_is_named() {
    let text =
        "use crate::{\n    a::{self, B},\n    c::*, // d\n    e as f,\n};\nfn g() -> std::h::I<crate::j::K> {}\n";
    let named: Vec<_> = one("core/src/x.rs", text).named().into_iter().map(|named| (named.path, named.line)).collect();
    let expected = [
        ("crate::a", 2),
        ("crate::a::B", 2),
        ("crate::c::*", 3),
        ("crate::e", 4),
        ("std::h::I", 6),
        ("crate::j::K", 6),
    ];
    assert_eq!(named, expected.map(|(path, line)| (path.to_owned(), line)));
}
