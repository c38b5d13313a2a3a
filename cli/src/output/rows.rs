//! A table of two columns: what something is, and its value.

use super::text::printable;

/// One line per row; values begin in the same column, and can not move the cursor.
pub fn rows(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(label, _)| label.len() + 1).max().unwrap_or(0);
    let mut out = String::new();
    for (label, value) in rows {
        let line = format!("{:width$} {}", format!("{label}:"), printable(value.as_bytes()));
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_below_each_other() {
        let table = [("Name", "a\nb".to_owned()), ("Comment", String::new()), ("Id", "7".to_owned())];
        assert_eq!(rows(&table), "Name:    a\\nb\nComment:\nId:      7\n");
    }
}
