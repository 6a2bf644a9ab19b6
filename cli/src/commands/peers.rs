//! `shoal peers`: whom this node has met.

use std::time::{SystemTime, UNIX_EPOCH};

use shoal_node::api::PeerInfo;

use crate::error::{Code, Failure};
use crate::session::Context;
use crate::ui::table::{Align, Table};
use crate::ui::{format, out};

/// List the nodes that this one is connected to, with their record
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal peers
  shoal peers 12D3KooWQ7      # one of them, by the beginning of its id")]
pub struct Args {
    /// Only this one; the beginning of its id is enough
    #[arg(value_name = "PEER")]
    pub peer: Option<String>,
}

/// Lists them.
pub async fn run(args: Args, context: Context) -> Result<Code, Failure> {
    context
        .at_running_node(async |session| {
            let mut peers = session.client.peers().await?;
            if let Some(wanted) = &args.peer {
                peers.retain(|peer| peer.peer.to_string().starts_with(wanted.as_str()));
                if peers.is_empty() {
                    return Err(Failure::new(
                        Code::NotFound,
                        format!("this node has met no peer whose id begins with {wanted}"),
                    )
                    .hint("`shoal peers` lists those it has met"));
                }
            }
            if session.json {
                for peer in &peers {
                    out::json(peer)?;
                }
                return Ok(Code::Ok);
            }
            if peers.is_empty() {
                session
                    .console
                    .say("no peers yet: they come with `shoal share` and `shoal get`");
            }
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            out::text(&render(&peers, now.as_secs()))?;
            Ok(Code::Ok)
        })
        .await
}

fn render(peers: &[PeerInfo], now_unix_s: u64) -> String {
    let mut table = Table::new([Align::Left, Align::Left, Align::Left, Align::Left]);
    for peer in peers {
        let seen = match now_unix_s.saturating_sub(peer.seen_unix_s) {
            _ if peer.connected => "connected".to_owned(),
            ago => format!("seen {} ago", format::coarse(ago)),
        };
        let mut record = format!(
            "{} in, {} out",
            format::bytes(peer.wire_in),
            format::bytes(peer.wire_out)
        );
        if peer.chunks_wrong > 0 {
            record.push_str(&format!(
                ", {}",
                format::counted(peer.chunks_wrong, "wrong chunk")
            ));
        }
        let address = peer
            .address
            .as_deref()
            .map_or_else(|| "-".to_owned(), format::name);
        let who = match &peer.member {
            Some(name) => format!("{} ({})", format::name(name), peer.peer),
            None => peer.peer.to_string(),
        };
        let seen = match (&peer.link, &peer.way) {
            (Some(link), _) => reached(seen, &link.way, link.rtt_us, link.why.as_deref()),
            (None, Some(way)) => reached(seen, way, peer.rtt_us, None),
            (None, None) => seen,
        };
        table.row([who, address, seen, record]);
    }
    table.render(0)
}

/// How a peer is reached, and why so.
fn reached(mut seen: String, way: &str, rtt_us: Option<u64>, why: Option<&str>) -> String {
    seen.push_str(&format!(", {way}"));
    if let Some(rtt) = rtt_us {
        seen.push_str(&format!(", {:.1} ms", rtt as f64 / 1000.0));
    }
    if let Some(why) = why {
        seen.push_str(&format!(" ({})", format::name(why)));
    }
    seen
}

#[cfg(test)]
mod tests {
    use shoal_protocol::peer::PeerKey;

    use super::*;

    #[test]
    fn a_peer_is_a_row_with_its_record() {
        let peer = PeerInfo {
            peer: PeerKey::from_bytes([7; 32]),
            address: None,
            connected: false,
            wire_in: 1_500,
            wire_out: 0,
            chunks_wrong: 2,
            seen_unix_s: 100,
            member: Some("gpu-17".to_owned()),
            link: None,
            way: Some("quic".to_owned()),
            rtt_us: Some(1_234),
        };
        let text = render(&[peer], 160);
        assert!(
            text.ends_with(
                "  -  seen 1 min ago, quic, 1.2 ms  1.5 kB in, 0 B out, 2 wrong chunks\n"
            ),
            "{text}"
        );
        assert!(text.starts_with("gpu-17 ("), "{text}");
    }
}
