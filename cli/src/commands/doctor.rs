//! `shoal doctor`: is this machine fit to run a node?

use serde::Serialize;
use shoal_node::api::{Check, Client, ConnectMode, Verdict};

use crate::checks;
use crate::error::{Code, Failure};
use crate::session::Context;
use crate::ui::style::Style;
use crate::ui::{format, out};

/// Check that this machine is fit to run a node
///
/// Looks at the home and its file system, free room, limits, clock, socket, ports and the
/// configuration; every finding that is not ok comes with a next step.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal doctor
  shoal doctor --json | jq 'select(.level != \"ok\")'")]
pub struct Args {}

/// Makes every check, and ends with code 1 where one is bad.
pub async fn run(_: Args, context: Context) -> Result<Code, Failure> {
    let home = context.home()?;
    let running = Client::connect(&home, ConnectMode::Running).await.ok();
    let mut found = checks::all(&home, &context.global.settings, running.is_some());
    match running {
        Some(client) => {
            let theirs = client.doctor().await?;
            // The node looks at some of the same things; once is enough.
            let news = |check: &Check| found.iter().all(|known| known.name != check.name);
            let news: Vec<Check> = theirs.into_iter().filter(news).collect();
            found.extend(news);
            client.finish(|_| ()).await?;
        }
        None => found.push(Check {
            name: "node".to_owned(),
            verdict: Verdict::Good,
            finding: "not running; `shoal up` starts it".to_owned(),
            hint: None,
        }),
    }
    let mut text = String::new();
    for check in &found {
        if context.global.json {
            out::json(&Line::from(check))?;
        } else {
            text.push_str(&row(check, Style::stdout()));
        }
    }
    out::text(&text)?;
    let is_bad = |check: &Check| check.verdict == Verdict::Bad;
    Ok(if found.iter().any(is_bad) {
        Code::Error
    } else {
        Code::Ok
    })
}

/// One line of `--json`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    check: &'a str,
    level: &'static str,
    finding: &'a str,
    hint: Option<&'a str>,
}

impl<'a> From<&'a Check> for Line<'a> {
    fn from(check: &'a Check) -> Self {
        Self {
            check: &check.name,
            level: level(check.verdict),
            finding: &check.finding,
            hint: check.hint.as_deref(),
        }
    }
}

fn level(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "ok",
        Verdict::Warning => "warn",
        Verdict::Bad => "fail",
    }
}

/// `warn  open files   at most 1,024`, and beneath it the next step.
fn row(check: &Check, style: Style) -> String {
    let padded = format!("{:<4}", level(check.verdict));
    let level = match check.verdict {
        Verdict::Good => style.green(&padded),
        Verdict::Warning => style.yellow(&padded),
        Verdict::Bad => style.red(&padded),
    };
    let name = format::name(&check.name);
    let mut text = format!("{level}  {name:<12}  {}\n", format::name(&check.finding));
    if let Some(hint) = &check.hint {
        text.push_str(&format!("      {:<12}  → {}\n", "", format::name(hint)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_its_next_step_another() {
        let check = Check {
            name: "open files".to_owned(),
            verdict: Verdict::Warning,
            finding: "at most 1,024".to_owned(),
            hint: Some("raise it".to_owned()),
        };
        assert_eq!(
            row(&check, Style::PLAIN),
            "warn  open files    at most 1,024\n                    → raise it\n"
        );
    }
}
