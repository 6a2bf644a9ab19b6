//! Columns for people.
//!
//! Owns: widths and alignment. Refuses: boxes and colour, which do not survive a pipe.

use std::fmt::Write;

/// On which side a column is flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows that are held until their widths are known.
#[derive(Debug)]
pub struct Table {
    align: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns and no heading.
    pub fn new<const N: usize>(align: [Align; N]) -> Self {
        Self {
            align: align.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells beyond the columns are left out.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// The rows as lines, each after `indent` spaces, columns two spaces apart, nothing at
    /// the end of a line.
    pub fn render(&self, indent: usize) -> String {
        let widths: Vec<usize> = (0..self.align.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(indent);
            for (column, cell) in row.iter().zip(&self.align).enumerate() {
                let (cell, align) = cell;
                let gap = if column == 0 { "" } else { "  " };
                let width = widths[column];
                let _ = match align {
                    Align::Left => write!(line, "{gap}{cell:<width$}"),
                    Align::Right => write!(line, "{gap}{cell:>width$}"),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_clean() {
        let mut table = Table::new([Align::Right, Align::Left, Align::Left]);
        table.row(["1".into(), "ä".into(), "x".into()]);
        table.row(["12".into(), "long".into(), String::new()]);
        assert_eq!(table.render(2), "   1  ä     x\n  12  long\n");
    }

    #[test]
    fn no_rows_are_no_lines() {
        assert_eq!(Table::new([Align::Left]).render(0), "");
    }
}
