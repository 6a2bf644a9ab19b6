//! `shoal status`: the node at a glance.

use std::time::{SystemTime, UNIX_EPOCH};

use shoal_node::api::{Activity, AdvertStatus, Phase, Risk, ShareInfo, Status};

use super::team;
use crate::error::{Code, Failure};
use crate::session::Context;
use crate::ui::progress::waiting;
use crate::ui::table::{Align, Table};
use crate::ui::{format, out};

/// Show this node: what it holds, shares and fetches, and what is at risk
///
/// At risk are versions whose only bytes lie in your own files: an edit would take them away.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal status
  shoal status --json | jq .shares")]
pub struct Args {}

/// Shows it.
pub async fn run(_: Args, context: Context) -> Result<Code, Failure> {
    context
        .at_node(async |session| {
            let status = session.client.status().await?;
            if session.json {
                out::json(&status)?;
            } else {
                let now = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                out::text(&render(&status, now.as_secs()))?;
            }
            Ok(Code::Ok)
        })
        .await
}

fn render(status: &Status, now_unix_s: u64) -> String {
    let mut text = overview(status);
    section(
        &mut text,
        "shares",
        status.shares.iter().map(|share| shared(share, now_unix_s)),
    );
    section(
        &mut text,
        "in progress",
        status.activities.iter().map(activity),
    );
    section(&mut text, "at risk", status.at_risk.iter().map(risk));
    if !status.at_risk.is_empty() {
        text.push_str("  `shoal add PATH` keeps bytes of its own; `shoal verify` looks closer\n");
    }
    text
}

fn overview(status: &Status) -> String {
    let state = if status.daemon {
        format!(
            "up for {}, pid {}",
            format::coarse(status.uptime_s),
            status.pid
        )
    } else {
        let others = status.activities.len();
        match others {
            0 => "not running: `shoal up` starts it".to_owned(),
            _ => format!("lives as long as the commands below, in pid {}", status.pid),
        }
    };
    let store = &status.store;
    let mut table = Table::new([Align::Left, Align::Left]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("node", status.peer.to_string());
    row("state", format!("{state} (shoal {})", status.version));
    row("home", format::name(&status.home.to_string_lossy()));
    if !status.listening.is_empty() {
        row("listens", status.listening.join(", "));
    }
    row(
        "store",
        format!(
            "{}; {} of its own on disk, {} free",
            format::counted(store.snapshots, "snapshot"),
            format::bytes(store.index_bytes + store.pack_bytes + store.owned_bytes),
            format::bytes(store.free_bytes)
        ),
    );
    if let Some(team) = &status.team {
        let role = team::role(team.role);
        row("team", format!("{}, {role}", format::name(&team.name)));
    }
    if status.daemon {
        row(
            "moved",
            format!(
                "{} in, {} out; {} connected",
                format::bytes(status.wire_in),
                format::bytes(status.wire_out),
                format::counted(u64::from(status.peers_connected), "peer")
            ),
        );
    }
    if let Some(control) = &status.control {
        let (into, out) = (control.bytes_in, control.bytes_out);
        let moved = format!("{} in, {} out", format::bytes(into), format::bytes(out));
        row("control", moved);
    }
    if let Some(advertising) = &status.advertising {
        row("advertises", advertises(advertising));
    }
    table.render(0)
}

fn advertises(at: &AdvertStatus) -> String {
    let keys = match (at.keys, at.keys_listed) {
        (Some(all), Some(listed)) if listed < all => {
            format!(
                "{} of {}",
                format::count(listed),
                format::counted(all, "key")
            )
        }
        (Some(all), _) => format::counted(all, "key"),
        (None, _) => "nothing yet".to_owned(),
    };
    let when = match at.next_in_s {
        Some(next_in_s) => format!("again in {}", format::coarse(next_in_s)),
        None => format!("{} % of the sweep done", at.done_permille / 10),
    };
    let refused = match at.keys_refused {
        0 => String::new(),
        keys => format!("; {} refused for want of room", format::count(keys)),
    };
    format!("{keys}, {when}{refused}")
}

fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    for (index, line) in lines.enumerate() {
        if index == 0 {
            text.push_str(&format!("\n{title}\n"));
        }
        text.push_str(&format!("  {line}\n"));
    }
}

fn shared(share: &ShareInfo, now_unix_s: u64) -> String {
    let name = match &share.name {
        Some(name) => format!("{}  ", format::name(name)),
        None => String::new(),
    };
    let end = match share.expires_unix_s {
        None => "no end".to_owned(),
        Some(at) if at <= now_unix_s => "expired".to_owned(),
        Some(at) => format!("expires in {}", format::coarse(at - now_unix_s)),
    };
    format!(
        "{name}{}  {}, {end}, {} sent",
        share.snapshot.short(),
        format::counted(u64::from(share.tickets), "ticket"),
        format::bytes(share.wire_out)
    )
}

fn activity(activity: &Activity) -> String {
    let at = &activity.progress;
    let far = match (at.phase, at.bytes_total) {
        (Phase::Serving, _) => format!("{} sent", format::bytes(at.wire_out)),
        (_, Some(total)) => format!(
            "{}, {}",
            format::percent(at.bytes_done, total),
            format::bytes_of(at.bytes_done, total)
        ),
        (_, None) => format::bytes(at.bytes_done),
    };
    let waiting = match &at.waiting_for {
        Some(what) => format!(", {}", waiting(what)),
        None => String::new(),
    };
    format!(
        "{} {}  {far}{waiting}",
        activity.operation,
        format::name(&activity.subject)
    )
}

fn risk(risk: &Risk) -> String {
    let name = match risk.names.as_slice() {
        [] => risk.snapshot.short(),
        names => format!("{} ({})", names.join(", "), risk.snapshot.short()),
    };
    let mut parts = Vec::new();
    if risk.bytes_volatile > 0 {
        let bytes = format::bytes(risk.bytes_volatile);
        parts.push(format!("{bytes} only in files that an edit would change"));
    }
    if risk.bytes_lost > 0 {
        parts.push(format!(
            "{} gone from this machine",
            format::bytes(risk.bytes_lost)
        ));
    }
    if !risk.held_by.is_empty() {
        parts.push(format!("held by {}", risk.held_by.join(", ")));
    }
    format!("{name}  {}", parts.join("; "))
}

#[cfg(test)]
mod tests {
    use shoal_node::api::Progress;
    use shoal_protocol::id::SnapshotId;

    use super::*;

    #[test]
    fn a_share_says_when_it_ends() {
        let mut info = ShareInfo {
            snapshot: SnapshotId::from_bytes([0x1f; 32]),
            name: Some("lab-data".to_owned()),
            expires_unix_s: Some(1_000 + 23 * 3600),
            tickets: 1,
            wire_out: 1_200_000_000,
        };
        let line = "lab-data  snap_1f1f1f1f1f1f  1 ticket, expires in 23 h, 1.2 GB sent";
        assert_eq!(shared(&info, 1_000), line);
        info.expires_unix_s = Some(999);
        assert!(shared(&info, 1_000).contains("expired"));
    }

    #[test]
    fn advertising_says_how_far_it_is_and_what_there_is_room_for() {
        let mut at = AdvertStatus {
            keys: Some(1_000_000),
            keys_listed: Some(1_000_000),
            keys_room: None,
            done_permille: 434,
            began_ago_s: 60,
            took_ms: None,
            next_in_s: None,
            interval_s: 43_200,
            sweeps: 0,
            lookups: 3,
            batches: 40,
            keys_sent: 400_000,
            keys_refused: 0,
            keys_given_up: 0,
        };
        assert_eq!(advertises(&at), "1,000,000 keys, 43 % of the sweep done");
        at.keys_listed = Some(725_000);
        at.next_in_s = Some(40_000);
        at.keys_refused = 1200;
        assert_eq!(
            advertises(&at),
            "725,000 of 1,000,000 keys, again in 11 h 06 min; 1,200 refused for want of room"
        );
        (at.keys, at.keys_listed) = (None, None);
        (at.next_in_s, at.keys_refused) = (None, 0);
        assert_eq!(advertises(&at), "nothing yet, 43 % of the sweep done");
    }

    #[test]
    fn a_get_says_how_far_it_is_and_what_it_waits_for() {
        let get = Activity {
            operation: "get".to_owned(),
            subject: "lab-data".to_owned(),
            progress: Progress {
                phase: Phase::Transferring,
                bytes_done: 210_000_000,
                bytes_total: Some(512_000_000),
                waiting_for: Some("10.0.0.7:4747".to_owned()),
                ..Progress::default()
            },
        };
        assert_eq!(
            activity(&get),
            "get lab-data  41 %, 210 of 512 MB, waiting for 10.0.0.7:4747"
        );
    }

    #[test]
    fn a_risk_says_what_is_gone_and_who_has_it() {
        let at_risk = Risk {
            snapshot: SnapshotId::from_bytes([0x1f; 32]),
            names: vec!["lab/x".to_owned()],
            bytes_volatile: 5_000_000,
            bytes_lost: 1_000_000,
            held_by: vec!["12D3KooWA".to_owned()],
        };
        assert_eq!(
            risk(&at_risk),
            "lab/x (snap_1f1f1f1f1f1f)  5 MB only in files that an edit would change; \
             1 MB gone from this machine; held by 12D3KooWA"
        );
    }
}
