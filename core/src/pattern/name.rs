//! Patterns for names instead of paths: archives, tags.

use super::regex::Regex;
use super::{PATTERN_BYTES_MAX, glob, invalid};
use crate::error::Result;

/// A pattern that fits a name as a whole: `id:` (the default) the name itself, `sh:` shell wildcards, `re:` a
/// regular expression.
pub struct NamePattern {
    original: String,
    form: Form,
}

enum Form {
    Identical(String),
    Expression(Regex),
}

impl NamePattern {
    /// Compiles `text`.
    ///
    /// # Errors
    /// [`PatternInvalid`](crate::error::ErrorKind::PatternInvalid) with the facts `pattern` and `reason`.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(invalid(&text.as_bytes()[..64], "the pattern is too long"));
        }
        let compiled = match text.split_at_checked(3) {
            Some(("sh:", pattern)) => glob::whole(pattern),
            Some(("re:", pattern)) => Regex::whole(pattern),
            Some(("id:", name)) => return Ok(Self::identical(text, name)),
            _ => return Ok(Self::identical(text, text)),
        };
        let form = Form::Expression(compiled.map_err(|why| invalid(text.as_bytes(), why))?);
        Ok(Self { original: text.to_owned(), form })
    }

    fn identical(original: &str, name: &str) -> Self {
        Self { original: original.to_owned(), form: Form::Identical(name.to_owned()) }
    }

    /// The only name the pattern fits, if it names one.
    pub fn exact(&self) -> Option<&str> {
        match &self.form {
            Form::Identical(name) => Some(name),
            Form::Expression(_) => None,
        }
    }

    /// Whether the pattern fits `name`.
    pub fn matches(&self, name: &str) -> bool {
        match &self.form {
            Form::Identical(wanted) => wanted == name,
            Form::Expression(regex) => regex.matches(name.as_bytes()),
        }
    }
}

impl std::fmt::Debug for NamePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NamePattern").field(&self.original).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn names_fit_as_a_whole() {
        // pattern, name, whether it fits
        let rows = [
            ("foo.bar", "foo.bar", true),
            ("foo.bar", "fooxbar", false),
            ("id:foo?", "foo?", true),
            ("id:sh:x", "sh:x", true),
            ("re:foo.bar", "fooxbar", true),
            ("re:foo.bar", "fooxbar2", false),
            ("re:.*(fooo?|bar|baz).*", "xfoooy", true),
            ("re:a|b", "b", true),
            ("re:a|b", "ab", false),
            ("sh:home-kenny-*", "home-kenny-2026", true),
            ("sh:home-kenny-*", "home-kenny", false),
            ("sh:foo.*", "fooxbar", false),
            ("sh:{pc1,pc2}-*", "pc2-home", true),
            ("sh:**", "a/b", false),
            ("", "", true),
        ];
        for (pattern, name, fits) in rows {
            assert_eq!(NamePattern::parse(pattern).unwrap().matches(name), fits, "{pattern} {name}");
        }
        assert_eq!(NamePattern::parse("re:(").unwrap_err().kind(), ErrorKind::PatternInvalid);
    }
}
