//! Columns for a terminal or a file.

use anstyle::Style;
use comfy_table::{CellAlignment, Table, presets};

/// Lines of aligned columns two blanks apart, the header first and bold. Text goes left; a column whose header is named in
/// `numbers` goes right.
pub fn lines(header: &[&str], numbers: &[&str], rows: Vec<Vec<String>>) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied()).add_rows(rows);
    for (column, title) in table.column_iter_mut().zip(header) {
        column.set_padding((0, 2));
        if numbers.contains(title) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    let bold = Style::new().bold();
    lines[0] = format!("{bold}{}{bold:#}", lines[0]);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_and_text_begins_in_line() {
        let rows = vec![vec!["Server-1".into(), "7".into()], vec!["S2".into(), "1234".into()]];
        let lines = lines(&["NAME", "REQUESTS"], &["REQUESTS"], rows);
        let plain = anstream::adapter::strip_str(&lines[0]).to_string();
        assert_eq!(plain, "NAME      REQUESTS");
        assert_eq!(lines[1], "Server-1         7");
        assert_eq!(lines[2], "S2            1234");
    }
}
