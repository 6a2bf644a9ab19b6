//! `shoal config`: the settings.

use serde::Serialize;
use shoal_node::config::{Config, Origin, Setting};

use crate::error::{Code, Failure};
use crate::session::Context;
use crate::ui::out;

/// Show the settings, and where each comes from
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal config show --origin
  $EDITOR \"$(shoal config path)\"")]
pub struct Args {
    /// Which part.
    #[command(subcommand)]
    pub command: Sub,
}

/// What of the configuration.
#[derive(Debug, clap::Subcommand)]
pub enum Sub {
    /// Print every setting and its value
    Show {
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
    },
    /// Print where the configuration file lies, or would lie
    Path,
}

/// One line of `--json`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    key: &'a str,
    value: &'a str,
    origin: &'static str,
    place: Option<String>,
}

/// Shows it.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let home = context.home()?;
    match &args.command {
        Sub::Path => {
            out::line(&Config::path(&home).to_string_lossy())?;
        }
        Sub::Show { origin } => {
            let settings = context.config()?.settings;
            if context.global.json {
                for setting in &settings {
                    out::json(&line(setting))?;
                }
            } else {
                out::text(&render(&settings, *origin))?;
            }
        }
    }
    Ok(Code::Ok)
}

fn line(setting: &Setting) -> Line<'_> {
    let (origin, place) = match &setting.origin {
        Origin::Default => ("default", None),
        Origin::File(path) => ("file", Some(path.to_string_lossy().into_owned())),
        Origin::Environment(variable) => ("environment", Some(variable.clone())),
        Origin::Flag => ("flag", None),
    };
    Line {
        key: setting.key,
        value: &setting.value,
        origin,
        place,
    }
}

/// How wide the explanations are.
const COMMENT_WIDTH: usize = 78;

/// TOML that could be the file: every key with its meaning, and where its value comes from.
fn render(settings: &[Setting], origin: bool) -> String {
    let mut text = String::new();
    for (index, setting) in settings.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        for line in wrapped(setting.doc, COMMENT_WIDTH) {
            text.push_str(&format!("# {line}\n"));
        }
        text.push_str(&format!("{} = {}", setting.key, setting.value));
        if origin {
            text.push_str(&format!("  # from: {}", setting.origin));
        }
        text.push('\n');
    }
    text
}

/// The words of `text` in lines of at most `width` characters.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_could_be_the_file() {
        let settings = [
            Setting {
                key: "listen",
                value: "[]".to_owned(),
                origin: Origin::Default,
                doc: "Where others\n reach this node.",
            },
            Setting {
                key: "log",
                value: "\"warn\"".to_owned(),
                origin: Origin::Environment("SHOAL_LOG".to_owned()),
                doc: "",
            },
        ];
        assert_eq!(
            render(&settings, false),
            "# Where others reach this node.\nlisten = []\n\nlog = \"warn\"\n"
        );
        assert!(render(&settings, true).ends_with("log = \"warn\"  # from: SHOAL_LOG\n"));
    }

    #[test]
    fn long_explanations_are_wrapped() {
        assert_eq!(wrapped("aa bb cc", 5), ["aa bb", "cc"]);
        assert!(wrapped("  ", 5).is_empty());
    }
}
