//! Progress on a terminal: a bar, and a line about the circumstances.
//!
//! Owns: the two lines and when they are redrawn. Refuses: words; they are the meter's.

use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ui::progress::Meter;
use crate::ui::style::Style;

/// The title is cut to this many characters, so that the figures stay in sight.
const TITLE_MAX: usize = 36;

/// A display that draws itself in place.
#[derive(Debug)]
pub struct Live {
    all: MultiProgress,
    bar: ProgressBar,
    line: ProgressBar,
    counting: Option<bool>,
    style: Style,
}

impl Live {
    /// Begins to draw on stderr.
    pub fn new(style: Style) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let bar = all.add(ProgressBar::no_length());
        let line = all.add(ProgressBar::no_length());
        line.set_style(template("  {wide_msg}"));
        Self {
            all,
            bar,
            line,
            counting: None,
            style,
        }
    }

    /// Shows how it stands now.
    pub fn draw(&mut self, meter: &Meter, now: Instant) {
        let fraction = meter.fraction();
        if self.counting != Some(fraction.is_some()) {
            self.counting = Some(fraction.is_some());
            self.bar
                .set_style(match (fraction, self.style == Style::PLAIN) {
                    (Some(_), true) => template("{prefix} [{bar:24}] {msg}").progress_chars("=> "),
                    (Some(_), false) => {
                        template("{prefix:.bold} {bar:24.cyan/dim} {msg}").progress_chars("━╸━")
                    }
                    (None, true) => template("{prefix} {spinner} {msg}"),
                    (None, false) => template("{prefix:.bold} {spinner:.cyan} {msg}"),
                });
        }
        if let Some((done, total)) = fraction {
            self.bar.set_length(total);
            self.bar.set_position(done);
        }
        self.bar.set_prefix(cut(meter.title()));
        self.bar.set_message(meter.figures(now));
        self.line.set_message(meter.circumstances(now));
        self.bar.tick();
    }

    /// Does something that writes to the terminal, with the display out of the way.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.all.suspend(write)
    }

    /// Takes the display away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
        self.line.finish_and_clear();
        let _ = self.all.clear();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear();
    }
}

fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text).expect("our own templates are well formed")
}

fn cut(title: &str) -> String {
    if title.chars().count() <= TITLE_MAX {
        return title.to_owned();
    }
    let kept: String = title.chars().take(TITLE_MAX - 1).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_titles_leave_room_for_the_figures() {
        assert_eq!(cut("getting x"), "getting x");
        assert_eq!(cut(&"ä".repeat(50)).chars().count(), TITLE_MAX);
    }
}
