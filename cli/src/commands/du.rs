//! `shoal du`: what takes the room.

use shoal_node::api::{Du, DuRequest, StoreUsage};

use crate::error::{Code, Failure};
use crate::session::{Context, inside};
use crate::ui::table::{Align, Table};
use crate::ui::{format, out};

/// Show how much room an artifact takes, folder by folder
///
/// Prints the size of the files, largest first, and for the whole how much of it this disk
/// holds beyond the files themselves.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal du                    # the store
  shoal du lab/imagenet
  shoal du lab/imagenet train --json")]
pub struct Args {
    /// An artifact, a snapshot id, or WHAT:path; all of the store without it
    #[arg(value_name = "WHAT")]
    pub what: Option<String>,
    /// A path inside it
    #[arg(value_name = "PATH")]
    pub path: Option<String>,
}

/// Shows it.
pub async fn run(args: Args, mut context: Context) -> Result<Code, Failure> {
    let what = match &args.what {
        None => None,
        Some(what) => {
            let mut what = context.what(what).await?;
            what.text = inside(&what.text, args.path.as_deref());
            Some(what)
        }
    };
    let request = DuRequest { what };
    context
        .at_node(async |session| {
            let du = session.ask(async |node| node.du(&request).await).await?;
            if session.json {
                out::json(&du)?
            } else {
                out::text(&render(&du))?
            }
            Ok(Code::Ok)
        })
        .await
}

fn render(du: &Du) -> String {
    let mut rows: Vec<_> = du.rows.iter().collect();
    rows.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    let mut table = Table::new([Align::Right, Align::Right, Align::Left]);
    for row in rows {
        table.row([
            format::bytes(row.bytes),
            format::counted(row.entries, "file"),
            format::name(format::short_id(&row.path)),
        ]);
    }
    let total = match du.bytes.saturating_sub(du.bytes_distinct) {
        0 => "total".to_owned(),
        _ => format!(
            "total, {} without repetitions",
            format::bytes(du.bytes_distinct)
        ),
    };
    table.row([
        format::bytes(du.bytes),
        format::counted(du.entries, "file"),
        total,
    ]);
    let mut text = table.render(0);
    if let Some(store) = &du.store {
        text.push('\n');
        text.push_str(&usage(store));
    }
    text
}

fn usage(store: &StoreUsage) -> String {
    let mut table = Table::new([Align::Right, Align::Left]);
    table.row([format::bytes(store.index_bytes), "index".to_owned()]);
    table.row([
        format::bytes(store.pack_bytes),
        "packs: small files and copies".to_owned(),
    ]);
    table.row([
        format::bytes(store.owned_bytes),
        "files of the store's own".to_owned(),
    ]);
    table.row([
        format::bytes(store.free_bytes),
        "free on this disk".to_owned(),
    ]);
    table.render(0)
}

#[cfg(test)]
mod tests {
    use shoal_node::api::DuRow;

    use super::*;

    #[test]
    fn the_largest_comes_first_and_the_total_last() {
        let row = |path: &str, bytes, entries| DuRow {
            path: path.to_owned(),
            bytes,
            entries,
        };
        let du = Du {
            rows: vec![row("a", 80_000_000, 1), row("b", 412_000_000, 3_000)],
            bytes: 492_000_000,
            bytes_distinct: 400_000_000,
            entries: 3_001,
            store: None,
        };
        assert_eq!(
            render(&du),
            "412 MB  3,000 files  b\n 80 MB       1 file  a\n\
             492 MB  3,001 files  total, 400 MB without repetitions\n"
        );
    }
}
