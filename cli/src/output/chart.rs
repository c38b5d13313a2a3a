//! Sizes to be compared at a glance: columns, and on a terminal a bar in every line.

use std::io::IsTerminal as _;
use std::iter::once;

use super::text::printable;

/// Columns of the longest bar.
const BAR_COLUMNS: u64 = 24;

/// A line of a chart.
pub struct Line {
    /// What stands in the columns.
    pub cells: Vec<String>,
    /// Bytes that the bar is long.
    pub bytes: u64,
    /// How many of them are drawn dark.
    pub dark: u64,
    /// What it is about: comes last, and can not move the cursor.
    pub name: Vec<u8>,
}

/// A table with these heads, of the columns and of the names. Programs that read it get no bars.
pub fn chart(heads: &[&str], lines: &[Line]) -> String {
    drawn(heads, lines, std::io::stdout().is_terminal())
}

fn drawn(heads: &[&str], lines: &[Line], with_bars: bool) -> String {
    let columns = heads.len().saturating_sub(1);
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let longest = lines.iter().map(|line| line.bytes).max().unwrap_or(0);
    let rows = lines.iter().map(|line| (&line.cells[..], bar(line, longest), printable(&line.name)));
    let head = heads.last().map(|name| (&heads[..columns], String::new(), name.as_str().into()));
    let rows: Vec<_> = head.into_iter().chain(rows).collect();
    let widths: Vec<usize> = (0..columns)
        .map(|at| rows.iter().filter_map(|(cells, ..)| cells.get(at)).map(String::len).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (cells, bar, name) in rows {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("  {cell:>width$}"));
        let bar = with_bars.then(|| format!("  {bar:width$}", width = BAR_COLUMNS as usize));
        let line: String = cells.chain(bar).chain(once(format!("  {name}"))).collect();
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// A bar as long as the line has bytes, beside the longest. What is there at all is seen.
fn bar(line: &Line, longest: u64) -> String {
    let scaled = |bytes: u64, columns: u64, whole: u64| {
        let exact = u128::from(bytes) * u128::from(columns) / u128::from(whole.max(1));
        u64::try_from(exact).unwrap_or(columns).clamp(bytes.min(1), columns)
    };
    let length = scaled(line.bytes, BAR_COLUMNS, longest);
    let dark = scaled(line.dark.min(line.bytes), length, line.bytes);
    "█".repeat(dark as usize) + &"░".repeat((length - dark) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(cells: &[&str], bytes: u64, dark: u64, name: &str) -> Line {
        let cells = cells.iter().map(|cell| (*cell).to_owned()).collect();
        Line { cells, bytes, dark, name: name.as_bytes().to_vec() }
    }

    #[test]
    fn bars_are_for_people() {
        let lines = [
            line(&["12", "9 GB"], 9_000, 3_000, "a\nb"),
            line(&["1", "10 B"], 1, 1, "small"),
            line(&["0", "0 B"], 0, 0, "none"),
        ];
        let heads = ["Archives", "Size", "Series"];
        let plain =
            "  Archives  Size  Series\n        12  9 GB  a\\nb\n         1  10 B  small\n         0   0 B  none\n";
        assert_eq!(drawn(&heads, &lines, false), plain);
        let bars: Vec<String> = drawn(&heads, &lines, true).lines().map(|line| line[18..].to_owned()).collect();
        let expected = [
            format!("{:24}  Series", ""),
            format!("{}{}  a\\nb", "█".repeat(8), "░".repeat(16)),
            format!("{:24}  small", "█"),
            format!("{:24}  none", ""),
        ];
        assert_eq!(bars, expected);
    }

    #[test]
    fn no_number_is_too_large() {
        let bar = |bytes, dark, longest| bar(&line(&[], bytes, dark, ""), longest).chars().count();
        assert_eq!(bar(u64::MAX, u64::MAX, u64::MAX), 24);
        assert_eq!(bar(u64::MAX / 2, u64::MAX, u64::MAX), 11);
        assert_eq!((bar(0, 7, 0), bar(0, 0, 9)), (0, 0));
    }
}
