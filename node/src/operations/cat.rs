//! `cat`: the bytes of one file, from any offset, without getting the rest; or of a chunk.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use shoal_protocol::manifest::{EntryKind, SnapshotCursor, Step};
use shoal_store::ReadError;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::chunk;
use super::source::Source;
use crate::api::{ApiError, CatRequest, ErrorKind, Progress};
use crate::data::SwarmOptions;
use crate::node::{Node, blocking};
use crate::resolve::subject;

/// Chunks (at most 256 KiB each) that are read ahead of a slow reader.
const AHEAD: usize = 4;

/// The bytes of a file. Dropping it stops the reading.
#[derive(Debug)]
pub struct FileBytes {
    bytes: mpsc::Receiver<Result<Bytes, ApiError>>,
    _cancel: DropGuard,
}

impl FileBytes {
    /// Bytes that are all here.
    fn of(bytes: Bytes, cancel: DropGuard) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        sender.try_send(Ok(bytes)).expect("there is room for one");
        Self {
            bytes: receiver,
            _cancel: cancel,
        }
    }

    /// The next bytes; nothing at the end, an error as the last thing if there is one. Cancel
    /// safe.
    pub async fn next(&mut self) -> Option<Result<Bytes, ApiError>> {
        self.bytes.recv().await
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, ApiError>> + Send + 'static {
        futures::stream::unfold(self, |mut bytes| async move {
            let item = bytes.next().await?;
            Some((item, bytes))
        })
    }
}

impl Node {
    /// The bytes of a file in an artifact, or of a chunk. Errors that come before the first
    /// byte come here.
    pub async fn cat(&self, request: CatRequest) -> Result<FileBytes, ApiError> {
        let cancelled = self.stop().child_token();
        let cancel = cancelled.clone().drop_guard();
        if let Some(id) = chunk::named(&request.what) {
            let bytes = self.chunk(id, &cancelled).await?;
            return Ok(FileBytes::of(
                part(&bytes, request.offset, request.length),
                cancel,
            ));
        }
        let source = self
            .source(&request.what, request.timeout_s, &cancelled, |_| {})
            .await?;
        let (source, positions) = blocking(move || {
            let positions = positions(&source, request.offset, request.length)?;
            Ok::<_, ApiError>((source, positions))
        })
        .await?;
        let (node, timeout_s) = (self.clone(), request.timeout_s);
        let (sender, bytes) = mpsc::channel(AHEAD);
        let (_progress, watched) = tokio::sync::watch::channel(Progress::default());
        let listed = self
            .activities()
            .list("cat", subject(&request.what), watched);
        self.tasks().spawn(async move {
            let _listed = listed;
            let read = Reading {
                source,
                positions,
                sender: sender.clone(),
                cancelled,
            };
            if let Err(error) = node.read_or_ask(read, timeout_s).await {
                // Nobody listens any more: then nobody misses it.
                let _gone = sender.send(Err(error)).await;
            }
        });
        Ok(FileBytes {
            bytes,
            _cancel: cancel,
        })
    }
}

/// The part of `bytes` that is asked for.
fn part(bytes: &Bytes, offset: u64, length: Option<u64>) -> Bytes {
    let within = |offset: u64| {
        usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(bytes.len())
    };
    let end = offset.saturating_add(length.unwrap_or(u64::MAX));
    bytes.slice(within(offset)..within(end))
}

/// What is read from this disk, and where to.
struct Reading {
    source: Source,
    positions: Range<u64>,
    sender: mpsc::Sender<Result<Bytes, ApiError>>,
    cancelled: CancellationToken,
}

impl Node {
    /// Reads from this disk; from the first byte that is not here on, others are asked: those
    /// it came from, or members of the team who have it.
    async fn read_or_ask(&self, read: Reading, timeout_s: Option<u64>) -> Result<(), ApiError> {
        let (mut source, positions) = (read.source.clone(), read.positions.clone());
        let (sender, cancelled) = (read.sender.clone(), read.cancelled.clone());
        let Some(missing) = blocking(move || read.run()).await? else {
            return Ok(());
        };
        if source.swarm.is_none() {
            let options = SwarmOptions {
                timeout: timeout_s.map(Duration::from_secs),
                cancelled,
                ..SwarmOptions::default()
            };
            source.swarm = self.ask_others(source.id, None, options, |_| {}).await?;
        }
        if source.swarm.is_none() {
            return Err(blocking(move || Ok::<_, ApiError>(lost(&source))).await?);
        }
        relay(&source, missing..positions.end, &sender).await
    }
}

/// Where the wanted bytes lie in the space of positions.
fn positions(source: &Source, offset: u64, length: Option<u64>) -> Result<Range<u64>, ApiError> {
    let found = source.lone_entry()?;
    let refused = |what: &str| {
        let message = format!("`{}` is {what}", found.item.path);
        Err(ApiError::new(ErrorKind::Usage, message).hint("only files have bytes to show"))
    };
    if source
        .inside
        .as_ref()
        .is_some_and(|inside| *inside != found.item.path)
    {
        let message = format!(
            "`{}` is a folder",
            source.inside.as_ref().expect("just looked at")
        );
        return Err(ApiError::new(ErrorKind::Usage, message).hint("`shoal ls` shows what is in it"));
    }
    match found.item.kind {
        EntryKind::File { size, .. } => {
            let start = offset.min(size);
            let end = length.map_or(size, |length| start.saturating_add(length).min(size));
            Ok(found.position + start..found.position + end)
        }
        EntryKind::Symlink { .. } => refused("a symlink"),
        EntryKind::EmptyDirectory => refused("a folder"),
    }
}

/// Hands on what others send.
async fn relay(
    source: &Source,
    positions: Range<u64>,
    sender: &mpsc::Sender<Result<Bytes, ApiError>>,
) -> Result<(), ApiError> {
    if positions.is_empty() {
        return Ok(());
    }
    let swarm = source
        .swarm
        .as_ref()
        .expect("asked only where there is one");
    let mut left = positions.end - positions.start;
    let mut bytes = swarm.read(positions);
    while let Some(item) = bytes.recv().await {
        let piece = item?;
        left = left.saturating_sub(piece.len() as u64);
        if sender.send(Ok(piece)).await.is_err() {
            return Ok(());
        }
    }
    match left {
        0 => Ok(()),
        left => {
            let why = format_args!("the last {left} bytes did not come");
            Err(ApiError::our_fault(&why))
        }
    }
}

/// Names the file whose bytes are not here any more.
fn lost(source: &Source) -> ApiError {
    let id = source.id.short();
    let message = match source.lone_entry() {
        Ok(entry) => format!(
            "bytes of `{}` in {id} are not on this disk any more",
            entry.item.path
        ),
        Err(_) => format!("bytes of {id} are not on this disk any more"),
    };
    ApiError::new(ErrorKind::Integrity, message).hint("get it again with a ticket")
}

impl Reading {
    /// Reads chunk by chunk, each verified. Gives the position of the first byte that is not
    /// here, if it comes to one.
    fn run(self) -> Result<Option<u64>, ApiError> {
        let (source, positions) = (&self.source, &self.positions);
        let mut cursor = SnapshotCursor::new(&source.snapshot);
        cursor.seek(positions.start);
        let mut buffer = Vec::new();
        while let Some(step) = cursor.next(source)? {
            let (position, chunk) = match step {
                Step::Entry { position, .. } if position >= positions.end => break,
                Step::Entry { .. } => continue,
                Step::Chunk { position, .. } if position >= positions.end => break,
                Step::Chunk {
                    position, chunk, ..
                } => (position, chunk),
            };
            match source.store.read_chunk(&chunk.id, &mut buffer) {
                Ok(_) => {}
                Err(ReadError::Missing(_)) => return Ok(Some(position.max(positions.start))),
                Err(error) => return Err(error.into()),
            }
            let end = position + u64::from(chunk.length);
            let from =
                usize::try_from(positions.start.saturating_sub(position)).expect("within a chunk");
            let to = usize::try_from(end.min(positions.end) - position).expect("within a chunk");
            let piece = Bytes::copy_from_slice(&buffer[from.min(to)..to]);
            if self.cancelled.is_cancelled() || self.sender.blocking_send(Ok(piece)).is_err() {
                break;
            }
        }
        Ok(None)
    }
}
