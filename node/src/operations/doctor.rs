//! The checks of `doctor` that need the node: its store, its door, its clock.

use std::time::Duration;

use crate::api::{ApiError, Check, Verdict};
use crate::node::{Node, blocking, unix_now_s};

/// Less room than this is worth a word.
const FREE_BYTES_LOW: u64 = 1 << 30;
/// No shoal ran before this (2026-01-01): a clock behind it is not set.
const EARLIEST_UNIX_S: u64 = 1_767_225_600;
/// A dial to oneself that takes longer goes nowhere.
const DIAL_TIME_MAX: Duration = Duration::from_secs(2);

impl Node {
    /// Checks that only a node can make.
    pub async fn doctor(&self) -> Result<Vec<Check>, ApiError> {
        let mut checks = vec![
            check(
                "node",
                Verdict::Good,
                format!("{} in process {}", self.peer(), std::process::id()),
            ),
            self.room().await?,
            clock(unix_now_s()),
        ];
        checks.push(self.door().await);
        checks.extend(self.membership());
        checks.push(self.history().await?);
        Ok(checks)
    }

    async fn room(&self) -> Result<Check, ApiError> {
        let (store, home) = (self.store()?, self.home().to_owned());
        blocking(move || {
            let system = store
                .home()
                .file_system()
                .map_err(|error| ApiError::io(&home, &error))?;
            let finding = format!("{} MB free at {}", system.free / 1_000_000, home.display());
            Ok::<_, ApiError>(match system.free {
                0..FREE_BYTES_LOW => check("store", Verdict::Warning, finding)
                    .hinted("make room, or move the home to a larger disk (SHOAL_HOME)"),
                _ => check("store", Verdict::Good, finding),
            })
        })
        .await
    }

    /// Whether others could come in where tickets send them.
    async fn door(&self) -> Check {
        if let Err(error) = self.plane().listen(self.is_daemon()).await {
            let found = check("port", Verdict::Bad, error.message);
            return match error.hint {
                Some(hint) => found.hinted(hint),
                None => found,
            };
        }
        let addresses = self.plane().dialable().await;
        let mut open = Vec::new();
        for address in &addresses {
            let dial = tokio::net::TcpStream::connect(address.as_str());
            if matches!(tokio::time::timeout(DIAL_TIME_MAX, dial).await, Ok(Ok(_))) {
                open.push(address.to_string());
            }
        }
        let others = addresses
            .iter()
            .any(|a| a.ip().is_none_or(|ip| !ip.is_loopback()));
        match (open.is_empty(), others) {
            (true, _) => check(
                "port",
                Verdict::Bad,
                "no address that a ticket would name answers".to_owned(),
            )
            .hinted("look at the firewall, and at `listen` and `advertise` in `shoal config show`"),
            (false, false) => check(
                "port",
                Verdict::Warning,
                "only this machine can connect".to_owned(),
            )
            .hinted(
                "`listen` in `shoal config show` keeps to loopback, or there is no other interface",
            ),
            (false, true) => check(
                "port",
                Verdict::Good,
                format!("answers at {}", open.join(", ")),
            ),
        }
    }

    /// Whether the node is in the team that it knows; nothing where it knows none.
    fn membership(&self) -> Option<Check> {
        let (_, _, name) = self.team().team()?;
        Some(match self.team().check_in() {
            Ok(()) => check("team", Verdict::Good, format!("in team {name}")),
            Err(ended) => {
                let ended = ApiError::from(ended);
                let found = check("team", Verdict::Warning, ended.message);
                found.hinted(ended.hint.unwrap_or_default())
            }
        })
    }

    async fn history(&self) -> Result<Check, ApiError> {
        let lost = self
            .status()
            .await?
            .at_risk
            .iter()
            .filter(|risk| risk.bytes_lost > 0)
            .count();
        Ok(match lost {
            0 => check(
                "history",
                Verdict::Good,
                "no kept version lost bytes".to_owned(),
            ),
            lost => check(
                "history",
                Verdict::Warning,
                format!("{lost} kept versions lost bytes"),
            )
            .hinted("`shoal status` names them, `shoal verify --repair` asks who else holds them"),
        })
    }
}

/// Whether the clock can be right; grants are refused where it is wrong by ten minutes.
fn clock(now_unix_s: u64) -> Check {
    if now_unix_s < EARLIEST_UNIX_S {
        let finding = "it says a time before shoal was made".to_owned();
        return check("clock", Verdict::Bad, finding)
            .hinted("set it (NTP): tickets are refused where clocks differ by ten minutes");
    }
    check("clock", Verdict::Good, "plausible".to_owned())
}

fn check(name: &str, verdict: Verdict, finding: String) -> Check {
    Check {
        name: name.to_owned(),
        verdict,
        finding,
        hint: None,
    }
}

impl Check {
    fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
