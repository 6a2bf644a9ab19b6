//! Colour, where it is wanted.
//!
//! Owns: the four styles that shoal uses, and when they are left out. Refuses: themes.

use std::io::IsTerminal;

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// No colour at all.
    pub const PLAIN: Style = Style { colour: false };

    /// For stderr: colour on a terminal, unless `NO_COLOR` is set or the terminal is dumb.
    pub fn stderr() -> Self {
        Self {
            colour: std::io::stderr().is_terminal() && allowed(),
        }
    }

    /// For stdout, by the same rule.
    pub fn stdout() -> Self {
        Self {
            colour: std::io::stdout().is_terminal() && allowed(),
        }
    }

    /// Something is wrong.
    pub fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    /// Something wants attention.
    pub fn yellow(self, text: &str) -> String {
        self.wrap("1;33", text)
    }

    /// Something is well.
    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// A heading, or a command to type.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Said aside.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// See <https://no-color.org>: set and not empty means no.
fn allowed() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_adds_nothing_and_colour_ends_what_it_begins() {
        assert_eq!(Style::PLAIN.red("x"), "x");
        assert_eq!(Style { colour: true }.red("x"), "\x1b[1;31mx\x1b[0m");
        assert_eq!(Style { colour: true }.dim(""), "");
    }
}
