//! `shoal man`: the manual pages, made from the same text as `--help`.

use std::path::PathBuf;

use clap::CommandFactory;

use crate::args::Cli;
use crate::error::{Code, Failure};
use crate::ui::out;

/// Print the manual page, or write all pages into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal man | man -l -
  shoal man ~/.local/share/man/man1")]
pub struct Args {
    /// Write shoal.1 and one page for each command here
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
}

/// Prints or writes them.
pub fn run(args: &Args) -> Result<Code, Failure> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut page)
            .map_err(|error| Failure::io("cannot render the page", &error))?;
        out::bytes(&page)?;
        return Ok(Code::Ok);
    };
    let wrong = |error: std::io::Error| {
        Failure::io(
            format_args!("cannot write pages to {}", dir.display()),
            &error,
        )
    };
    std::fs::create_dir_all(dir).map_err(wrong)?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(wrong)?;
    Ok(Code::Ok)
}
