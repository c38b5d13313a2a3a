//! Splits a command line into words by the shell's rules of quoting, without a shell:
//! nothing is expanded, so nothing can be injected.

use crate::exit_code::Failure;

/// The words of `text`.
pub fn split(text: &str) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    // `None` between words; an empty quoted word is a word
    let mut word: Option<String> = None;
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next() {
                        Some('\'') => break,
                        Some(character) => word.push(character),
                        None => return Err(unfinished(text, "a ' has no end")),
                    }
                }
            }
            '"' => double_quoted(&mut rest, word.get_or_insert_default()).map_err(|why| unfinished(text, why))?,
            '\\' => {
                let next = rest.next().ok_or_else(|| unfinished(text, "nothing follows the last backslash"))?;
                word.get_or_insert_default().push(next);
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn double_quoted(rest: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), &'static str> {
    loop {
        match rest.next().ok_or("a \" has no end")? {
            '"' => return Ok(()),
            '\\' => match rest.next().ok_or("a \" has no end")? {
                // only these lose their meaning in double quotes
                escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                '\n' => {}
                other => word.extend(['\\', other]),
            },
            other => word.push(other),
        }
    }
}

fn unfinished(text: &str, why: &str) -> Failure {
    Failure::command(format!("can not split `{text}` into words: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        let rows: &[(&str, &[&str])] = &[
            ("", &[]),
            ("  a  b\tc\n", &["a", "b", "c"]),
            ("pass show 'my backup'", &["pass", "show", "my backup"]),
            (r#"a "b c"d'e f'"#, &["a", "b cde f"]),
            (r"a\ b c\'d", &["a b", "c'd"]),
            (r#""a\"b\\c\d$x""#, &[r#"a"b\c\d$x"#]),
            ("'' \"\"", &["", ""]),
            ("$HOME `x` *", &["$HOME", "`x`", "*"]),
            (r"'a\b'", &[r"a\b"]),
        ];
        for (text, expected) in rows {
            assert_eq!(split(text).unwrap(), *expected, "{text}");
        }
        for text in ["'a", "\"a", "a\\", "\"a\\"] {
            assert_eq!(split(text).unwrap_err().code.rc, 4, "{text}");
        }
    }
}
