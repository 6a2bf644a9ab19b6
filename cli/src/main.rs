//! `shoal`: the command line.
//!
//! Owns: from words to a command, from its result to an exit code. Refuses: everything else;
//! the commands are in `commands`, one file each, and the work is the node's.

mod args;
mod checks;
mod commands;
mod demo;
mod error;
mod interrupt;
mod session;
mod ui;
mod values;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use shoal_node::config::Origin;
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command};
use crate::commands::{
    add, cat, completions, config, diff, doctor, down, du, get, ls, man, peers, share, status,
    team, up, verify, whereis,
};
use crate::error::{Code, Failure};
use crate::interrupt::Interrupt;
use crate::session::Context;
use crate::ui::Console;
use crate::ui::style::Style;

fn main() -> ExitCode {
    if std::env::args_os().len() <= 1 {
        // Whoever types only the name wants to know what there is.
        eprint!("{}", Cli::command().render_help());
        return ExitCode::from(Code::Usage as u8);
    }
    let cli = Cli::parse();
    quiet_the_index();
    let global = cli.global.clone();
    let code = match run(cli) {
        Ok(code) => code,
        Err(failure) => {
            Console::new(&global).failure(&failure);
            failure.code
        }
    };
    ExitCode::from(code as u8)
}

/// A damaged index makes its library panic, which the store turns into an error that says what
/// to do. A backtrace on the way there would only frighten.
fn quiet_the_index() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or("", |location| location.file());
        if !place.contains("/redb-") {
            tell(panic);
        }
    }));
}

fn run(cli: Cli) -> Result<Code, Failure> {
    match &cli.command {
        Command::Completions(args) => return completions::run(args),
        Command::Man(args) => return man::run(args),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start threads", &error))?;
    let result = runtime.block_on(dispatch(cli));
    // What still blocks (a read of stdin, say) must not keep the process.
    runtime.shutdown_background();
    result
}

async fn dispatch(cli: Cli) -> Result<Code, Failure> {
    let interrupt =
        Interrupt::install().map_err(|error| Failure::io("cannot listen for Ctrl-C", &error))?;
    let console = Console::new(&cli.global);
    let context = Context {
        global: cli.global,
        console,
        interrupt,
    };
    // `doctor` and `config` are how a broken configuration is found and mended, and whoever
    // broke it under a running node must still be able to look at it and to stop it.
    if !matches!(
        cli.command,
        Command::Doctor(_)
            | Command::Config(_)
            | Command::Down(_)
            | Command::Status(_)
            | Command::Peers(_)
    ) {
        log_to_stderr(&context, matches!(cli.command, Command::Up(_)))?;
    }
    match cli.command {
        Command::Demo(args) => commands::demo::run(args, context).await,
        Command::Share(args) => share::run(args, context).await,
        Command::Get(args) => get::run(args, context).await,
        Command::Add(args) => add::run(args, context).await,
        Command::Ls(args) => ls::run(args, context).await,
        Command::Cat(args) => cat::run(args, context).await,
        Command::Du(args) => du::run(args, context).await,
        Command::Diff(args) => diff::run(args, context).await,
        Command::Verify(args) => verify::run(args, context).await,
        Command::Up(args) => up::run(args, context).await,
        Command::Down(args) => down::run(args, context).await,
        Command::Status(args) => status::run(args, context).await,
        Command::Peers(args) => peers::run(args, context).await,
        Command::Whereis(args) => whereis::run(args, context).await,
        Command::Team(args) => team::run(args, context).await,
        Command::Doctor(args) => doctor::run(args, context).await,
        Command::Config(args) => config::run(&args, &context),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

/// Log lines go to stderr: `-v` tells what happens, `-vv` in detail, `-vvv` everything of
/// every library. Without it a node that is up logs what the setting `log` says, and other
/// commands only where somebody has set it.
fn log_to_stderr(context: &Context, is_node: bool) -> Result<(), Failure> {
    let ours = |level: &str| {
        format!("off,shoal={level},shoal_node={level},shoal_store={level},shoal_protocol={level}")
    };
    let directives = match context.global.verbose {
        0 => context
            .config()?
            .settings
            .into_iter()
            .find(|setting| setting.key == "log" && (is_node || setting.origin != Origin::Default))
            .map_or_else(
                || "off".to_owned(),
                |setting| setting.value.trim_matches('"').to_owned(),
            ),
        1 => ours("info"),
        2 => ours("debug"),
        _ => "trace".to_owned(),
    };
    // libp2p warns of what is usual in a small team: nobody to ask yet, a stream too many.
    let directives = match directives.contains("libp2p") || context.global.verbose > 2 {
        true => directives,
        false => format!("{directives},libp2p_kad=error,libp2p_request_response=error"),
    };
    let filter = EnvFilter::try_new(&directives)
        .map_err(|error| Failure::usage(format!("cannot log `{directives}`: {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(context.console.style() != Style::PLAIN)
        .init();
    Ok(())
}
