//! Progress as JSON, one object a line on stderr, for programs.
//!
//! Owns: the shape of these lines (docs/cli.md lists the fields). Refuses: rates and times,
//! which the reader can compute.

use serde::Serialize;
use shoal_node::api::{Note, Progress};

use crate::error::Failure;

/// One line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Line<'a> {
    /// An operation begins.
    Begin {
        /// What it is called.
        title: &'a str,
    },
    /// How far it is.
    Progress(&'a Progress),
    /// Something a person should know.
    Note(&'a Note),
    /// A sentence for people.
    Message {
        /// The sentence.
        text: &'a str,
    },
    /// The command failed.
    Error {
        /// The exit code.
        code: u8,
        /// Its name.
        kind: &'static str,
        /// One sentence.
        message: &'a str,
        /// What to do next.
        hint: Option<&'a str>,
    },
}

impl<'a> Line<'a> {
    /// The line about a failure.
    pub fn failure(failure: &'a Failure) -> Self {
        Line::Error {
            code: failure.code as u8,
            kind: failure.code.name(),
            message: &failure.message,
            hint: failure.hint.as_deref(),
        }
    }

    /// As text, without the end of line.
    pub fn render(&self) -> String {
        serde_json::to_string(self).expect("our own lines are plain data")
    }
}

#[cfg(test)]
mod tests {
    use shoal_node::api::Level;

    use super::*;
    use crate::error::Code;

    #[test]
    fn a_line_is_an_object_with_one_key_that_says_what_it_is() {
        let note = Note {
            level: Level::Warning,
            message: "a\nb".to_owned(),
            hint: None,
        };
        assert_eq!(
            Line::Note(&note).render(),
            r#"{"note":{"level":"warning","message":"a\nb","hint":null}}"#
        );
        let progress = Progress {
            bytes_done: 5,
            ..Progress::default()
        };
        let line = Line::Progress(&progress).render();
        assert!(
            line.starts_with(r#"{"progress":{"phase":"starting","bytes_done":5,"#),
            "{line}"
        );
        assert_eq!(
            Line::failure(&Failure::new(Code::NoSource, "nobody answers").hint("wait")).render(),
            r#"{"error":{"code":5,"kind":"no_source","message":"nobody answers","hint":"wait"}}"#
        );
    }
}
