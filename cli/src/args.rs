//! The command line as a whole: what every command understands, and the list of commands.
//!
//! Owns: the global options and the names of the commands. Refuses: the options of one
//! command, which stand in that command's file.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    add, cat, completions, config, demo, diff, doctor, down, du, get, ls, man, peers, share,
    status, team, up, verify, whereis,
};
use crate::values;

const AFTER_HELP: &str = "\
Two machines, one folder:
  here$   shoal share ./lab-data          # prints a ticket
  there$  shoal get shoal1… lab-data      # paste it

The whole story on one machine, in about a minute:
  shoal demo

Exit codes:
  0 ok  1 error  2 usage  3 differences found  4 not found  5 no source
  6 integrity failure  7 not permitted  8 store busy  9 no space  130 interrupted";

/// Share datasets and models between machines, directly, every byte verified.
///
/// shoal keeps folders and files as snapshots of content-defined chunks and moves them from
/// machine to machine without a server. What a machine already has never moves again; what
/// it fetched it can serve at once; an interrupted transfer goes on where it stopped.
///
/// stdout carries data only; everything else goes to stderr. Commands talk to the node that
/// runs on this machine (`shoal up`), or are the node for as long as they take.
#[derive(Debug, Parser)]
#[command(
    name = "shoal",
    version,
    after_help = AFTER_HELP,
    max_term_width = 100,
    subcommand_required = true
)]
pub struct Cli {
    /// What every command understands.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command understands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Where the store lies, or SHOAL_HOME; two homes are two nodes [default: ~/.local/share/shoal]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "SHOAL_HOME",
        hide_env = true,
        value_parser = OsStringValueParser::new().map(PathBuf::from),
        value_hint = clap::ValueHint::DirPath
    )]
    pub home: Option<PathBuf>,
    /// Progress on stderr, or SHOAL_PROGRESS: auto, plain, json or none [default: auto]
    #[arg(
        long,
        global = true,
        value_name = "HOW",
        default_value = "auto",
        env = "SHOAL_PROGRESS",
        hide_env = true,
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub progress: ProgressMode,
    /// Print JSON, one object a line (docs/cli.md lists the fields)
    #[arg(long, global = true)]
    pub json: bool,
    /// Override a setting, like -c listen=10.0.0.5:4747 (see `shoal config show`)
    #[arg(
        short = 'c',
        long = "set",
        global = true,
        value_name = "KEY=VALUE",
        value_parser = values::setting
    )]
    pub settings: Vec<(String, String)>,
    /// Say nothing on stderr but warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Log what happens to stderr (-vv: in detail)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

/// Limits of the commands that move data.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Limits {
    /// Send at most so much a second, like 10MB or 512KiB [default: `up_max`]
    #[arg(long, value_name = "RATE", value_parser = values::rate)]
    pub up: Option<u64>,
    /// Receive at most so much a second [default: `down_max`]
    #[arg(long, value_name = "RATE", value_parser = values::rate)]
    pub down: Option<u64>,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// A live display on a terminal, `plain` elsewhere
    Auto,
    /// A line at the start, at each stall over 10 s, and at the end
    Plain,
    /// One JSON object a line
    Json,
    /// Nothing
    None,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[allow(
    missing_docs,
    reason = "the text that users see stands at each command's struct"
)]
pub enum Command {
    Demo(demo::Args),
    Share(share::Args),
    Get(get::Args),
    Add(add::Args),
    Ls(ls::Args),
    Cat(cat::Args),
    Du(du::Args),
    Diff(diff::Args),
    Verify(verify::Args),
    Up(up::Args),
    Down(down::Args),
    Status(status::Args),
    Peers(peers::Args),
    Whereis(whereis::Args),
    Team(team::Args),
    Doctor(doctor::Args),
    Config(config::Args),
    Completions(completions::Args),
    Man(man::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_has_no_contradictions() {
        Cli::command().debug_assert();
    }

    /// `INSTA_UPDATE=always cargo test -p shoal help` takes a changed text over.
    #[test]
    fn help_reads_as_it_was_written() {
        let mut root = Cli::command().term_width(100);
        root.build();
        insta::assert_snapshot!("shoal", root.render_long_help());
        for command in root
            .get_subcommands_mut()
            .filter(|command| command.get_name() != "help")
        {
            let name = command.get_name().to_owned();
            insta::assert_snapshot!(format!("shoal-{name}"), command.render_long_help());
        }
    }

    #[test]
    fn every_command_says_what_it_does_and_gives_an_example() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let about = command.get_about().expect(name).to_string();
            assert!(
                about.len() <= 80 && !about.ends_with('.'),
                "{name}: {about}"
            );
            let examples = command.get_after_help().expect(name).to_string();
            assert!(examples.starts_with("Examples:\n  "), "{name}: {examples}");
        }
    }
}
