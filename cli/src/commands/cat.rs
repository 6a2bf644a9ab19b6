//! `shoal cat`: the bytes of one file.

use shoal_node::api::CatRequest;

use crate::error::{Code, Failure};
use crate::session::{Context, Session};
use crate::ui::out;
use crate::values;

/// How long to wait for bytes from far away without progress.
const PATIENCE_S: u64 = 60;

/// Write a file, or a part of it, to stdout
///
/// Only the chunks that the part touches are read or fetched, and each is verified before its
/// first byte is written.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shoal cat lab/imagenet:README.md
  shoal cat snap_1f3a9c:model.safetensors --length 8 | xxd
  shoal cat snap_1f3a9c:data.bin --offset 1GiB --length 64KiB > part
  shoal cat chunk_5e1f… > chunk     # the whole id; in a team from whoever has it")]
pub struct Args {
    /// WHAT:path, or WHAT alone where it is a single file or a chunk
    #[arg(value_name = "WHAT:PATH")]
    pub what: String,
    /// Begin this many bytes into the file, like 4096 or 1GiB
    #[arg(long, value_name = "N", default_value = "0", value_parser = values::size)]
    pub offset: u64,
    /// Write at most this many bytes
    #[arg(long, value_name = "N", value_parser = values::size)]
    pub length: Option<u64>,
}

/// Writes it.
pub async fn run(args: Args, mut context: Context) -> Result<Code, Failure> {
    let what = context.what(&args.what).await?;
    let request = CatRequest {
        what,
        offset: args.offset,
        length: args.length,
        timeout_s: Some(PATIENCE_S),
    };
    context
        .at_node(async |session| cat(&request, session).await)
        .await
}

async fn cat(request: &CatRequest, session: &mut Session) -> Result<Code, Failure> {
    let mut bytes = session.ask(async |node| node.cat(request).await).await?;
    while let Some(piece) = session.or_interrupt(bytes.next()).await? {
        out::bytes(&piece?)?;
    }
    Ok(Code::Ok)
}
