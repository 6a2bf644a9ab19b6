//! `shoal completions`: a script that teaches a shell to complete shoal's commands.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::error::{Code, Failure};
use crate::ui::out;

/// Print the completion script of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal completions bash > ~/.local/share/bash-completion/completions/shoal
  shoal completions zsh > ~/.zfunc/_shoal
  shoal completions fish > ~/.config/fish/completions/shoal.fish")]
pub struct Args {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints it.
pub fn run(args: &Args) -> Result<Code, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "shoal", &mut script);
    out::bytes(&script)?;
    Ok(Code::Ok)
}
