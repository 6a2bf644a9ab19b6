//! What a demo says, and the table at its end.
//!
//! Owns: the look of the story. Refuses: its course.

use std::time::Duration;

use serde::Serialize;

use crate::error::Failure;
use crate::ui::style::Style;
use crate::ui::table::{Align, Table};
use crate::ui::{format, out};

/// One measured step.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What was done.
    pub step: String,
    /// Socket bytes that the fetching side received, where something was fetched.
    pub bytes_moved: Option<u64>,
    /// Bytes of the whole artifact.
    pub bytes: u64,
    /// How long it took, process start included.
    pub seconds: f64,
}

/// Tells the story on stdout: for people as it happens, as JSON a line for each step.
#[derive(Debug)]
pub struct Report {
    json: bool,
    style: Style,
    rows: Vec<Row>,
}

impl Report {
    /// A report that begins.
    pub fn new(json: bool) -> Self {
        Self {
            json,
            style: Style::stdout(),
            rows: Vec::new(),
        }
    }

    /// A chapter begins.
    pub fn chapter(&self, text: &str) -> Result<(), Failure> {
        self.line(&format!("\n{}", self.style.bold(text)))
    }

    /// A command as it would be typed at a node. Tickets are cut, as they are long.
    pub fn command(&self, node: &str, command: &str) -> Result<(), Failure> {
        self.line(&format!(
            "  {} {}",
            self.style.dim(&format!("{node}$")),
            self.style.green(command)
        ))
    }

    /// What came of it.
    pub fn result(&self, text: &str) -> Result<(), Failure> {
        self.line(&format!("     {text}"))
    }

    /// A measured step.
    pub fn measured(
        &mut self,
        step: &str,
        moved: Option<u64>,
        bytes: u64,
        time: Duration,
    ) -> Result<(), Failure> {
        let row = Row {
            step: step.to_owned(),
            bytes_moved: moved,
            bytes,
            seconds: time.as_secs_f64(),
        };
        if self.json {
            out::json(&row)?;
        }
        self.rows.push(row);
        Ok(())
    }

    /// The table, and what else there is to say at the end.
    pub fn end(&self, notes: &[String]) -> Result<(), Failure> {
        self.chapter("What it took")?;
        self.line(self.table().trim_end())?;
        for note in notes {
            self.line(&format!("\n{note}"))?;
        }
        Ok(())
    }

    fn table(&self) -> String {
        let mut table = Table::new([Align::Left, Align::Right, Align::Right, Align::Right]);
        let head = ["step", "moved", "time", "rate"];
        table.row(head.map(str::to_owned));
        for row in &self.rows {
            let rate = row.bytes as f64 / row.seconds.max(1e-3);
            table.row([
                row.step.clone(),
                row.bytes_moved.map_or_else(
                    || "nothing".to_owned(),
                    |moved| format::bytes_of(moved, row.bytes),
                ),
                format::elapsed(Duration::from_secs_f64(row.seconds)),
                format::rate(rate),
            ]);
        }
        table.render(2)
    }

    fn line(&self, line: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { out::line(line) }
    }
}

/// `shoal1af4c…7ykq`: enough to tell tickets apart, not enough to use one.
pub fn short_ticket(ticket: &str) -> String {
    match (ticket.get(..10), ticket.len().checked_sub(4)) {
        (Some(head), Some(at)) if at > 10 => format!("{head}…{}", &ticket[at..]),
        _ => ticket.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_a_step() {
        let row = |step: &str, bytes_moved, seconds| Row {
            step: step.to_owned(),
            bytes_moved,
            bytes: 320_000_000,
            seconds,
        };
        let report = Report {
            json: false,
            style: Style::PLAIN,
            rows: vec![
                row("A shares", None, 0.32),
                row("B gets it", Some(321_000_000), 0.5),
            ],
        };
        let lines = [
            "  step               moved   time      rate",
            "  A shares         nothing  0.3 s    1 GB/s",
            "  B gets it  321 of 320 MB  0.5 s  640 MB/s",
            "",
        ];
        assert_eq!(report.table(), lines.join("\n"));
    }

    #[test]
    fn a_ticket_is_shown_by_its_ends() {
        assert_eq!(short_ticket("shoal1af4cxxxxxxxxxx7ykq"), "shoal1af4c…7ykq");
        assert_eq!(short_ticket("shoal1af4c"), "shoal1af4c");
    }
}
