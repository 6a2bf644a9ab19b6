//! stdout: data, and nothing else.
//!
//! Owns: writing it, and what a closed pipe means (the reader has seen enough: end quietly).
//! Refuses: words for people, which go to stderr.

use std::io::Write;

use serde::Serialize;

use crate::error::Failure;
use crate::ui::Console;

/// Lines are gathered up to this many bytes before they are written.
const GATHER_BYTES: usize = 64 * 1024;

/// Writes bytes as they are.
pub fn bytes(data: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(data)
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::stdout(&error))
}

/// Writes text as it is.
pub fn text(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

/// Writes one line.
pub fn line(line: &str) -> Result<(), Failure> {
    bytes(format!("{line}\n").as_bytes())
}

/// Writes one JSON object on a line of its own.
pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<(), Failure> {
    line(&to_json(value)?)
}

/// Many lines, written in big pieces and never into the middle of a live display.
#[derive(Debug, Default)]
pub struct Lines {
    gathered: String,
}

impl Lines {
    /// Adds a line.
    pub fn line(&mut self, console: &Console, line: &str) -> Result<(), Failure> {
        self.gathered.push_str(line);
        self.gathered.push('\n');
        if self.gathered.len() < GATHER_BYTES {
            Ok(())
        } else {
            self.flush(console)
        }
    }

    /// Adds a JSON object on a line of its own.
    pub fn json<T: Serialize + ?Sized>(
        &mut self,
        console: &Console,
        value: &T,
    ) -> Result<(), Failure> {
        self.line(console, &to_json(value)?)
    }

    /// Writes what is gathered.
    pub fn flush(&mut self, console: &Console) -> Result<(), Failure> {
        let gathered = std::mem::take(&mut self.gathered);
        console.aside(|| text(&gathered))
    }
}

fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value)
        .map_err(|error| Failure::error(format!("cannot write the answer as JSON: {error}")))
}
