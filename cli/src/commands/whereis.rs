//! `shoal whereis`: who has something.

use shoal_node::api::{Holder, Whereis, WhereisRequest};

use crate::error::{Code, Failure};
use crate::session::{Context, here};
use crate::ui::table::{Align, Table};
use crate::ui::{format, out};

/// Say which nodes of the team have something, and how much of it
///
/// Looked for is a snapshot, by its id or as an artifact; a file in one; or a chunk. Members of
/// the team are found without being told of; without a team only this node is looked at.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal whereis snap_1f3a9c…
  shoal whereis lab/imagenet@v3:train/00017.tar
  shoal whereis chunk_44d81e…")]
pub struct Args {
    /// A snapshot id, an artifact, a path in one, or a chunk id
    #[arg(value_name = "WHAT")]
    pub what: String,
}

/// Says it.
pub async fn run(args: Args, context: Context) -> Result<Code, Failure> {
    context
        .at_node(async |session| {
            let what = here(&args.what)?;
            let found = session.client.whereis(&WhereisRequest { what }).await?;
            if session.json {
                out::json(&found)?;
            } else {
                out::text(&render(&found))?;
            }
            if !found.silent.is_empty() {
                let names: Vec<_> = found.silent.iter().map(|name| format::name(name)).collect();
                let line = format!(
                    "did not answer in the time it took, and may know of others: {}",
                    names.join(", ")
                );
                session.console.say(&line);
            }
            if found.holders.is_empty() {
                let what = format::short_id(&found.id);
                return Err(Failure::new(
                    Code::NotFound,
                    format!("no node that can be reached has {what}"),
                )
                .hint("`shoal team members` lists the team, `shoal peers` who is connected"));
            }
            Ok(Code::Ok)
        })
        .await
}

fn render(found: &Whereis) -> String {
    let mut table = Table::new([Align::Left, Align::Left, Align::Left, Align::Left]);
    for holder in &found.holders {
        let who = match (&holder.name, holder.is_me) {
            (Some(name), true) => format!("{} (this node)", format::name(name)),
            (Some(name), false) => format::name(name),
            (None, true) => "this node".to_owned(),
            (None, false) => holder.peer.to_string(),
        };
        let address = holder.address.as_deref().unwrap_or("-").to_owned();
        table.row([who, much(holder, found.bytes), address, how(holder)]);
    }
    table.render(0)
}

fn much(holder: &Holder, total: Option<u64>) -> String {
    match (holder.bytes, total) {
        (Some(bytes), Some(total)) if bytes >= total => format!("all of {}", format::bytes(total)),
        (Some(bytes), Some(total)) => format::bytes_of(bytes, total),
        (Some(bytes), None) => format::bytes(bytes),
        (None, _) if holder.is_me => "has it".to_owned(),
        (None, _) if holder.trouble.is_some() => "said to have it; not reached".to_owned(),
        (None, _) => "said to have it".to_owned(),
    }
}

fn how(holder: &Holder) -> String {
    match holder.found.as_str() {
        "here" => "here".to_owned(),
        "told" => format!("told {} ago", format::coarse(holder.age_s.into())),
        found => format!("{found}, told {} ago", format::coarse(holder.age_s.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_much_each_has_is_said() {
        let holder = |bytes, is_me| Holder {
            peer: shoal_protocol::peer::PeerKey::from_bytes([1; 32]),
            name: Some("gpu-17".to_owned()),
            is_me,
            address: None,
            bytes,
            trouble: None,
            found: "dht".to_owned(),
            age_s: 3,
        };
        assert_eq!(
            much(&holder(Some(5_000_000), false), Some(5_000_000)),
            "all of 5 MB"
        );
        assert!(much(&holder(Some(1_000_000), false), Some(5_000_000)).contains("of 5 MB"));
        assert_eq!(much(&holder(None, false), None), "said to have it");
        let dead = Holder {
            trouble: Some("connection refused".to_owned()),
            ..holder(None, false)
        };
        assert_eq!(much(&dead, Some(1)), "said to have it; not reached");
    }
}
