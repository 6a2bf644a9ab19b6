//! Reads a stretch of a snapshot from its sources without keeping it.
//!
//! Owns: fetching the pages that lead there and no others, then the chunks in order, the
//! next window asked for while the last is handed on; which source to ask, those that are busy
//! or send nothing last. Refuses: to write bytes anywhere, and to read ahead without a bound: a
//! reader that stops is waited for.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_protocol::have::RangeSet;
use shoal_protocol::id::ChunkId;
use shoal_protocol::manifest::{self, SnapshotCursor, Step};
use shoal_protocol::paged_list::ReadError;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::Snapshot;
use shoal_protocol::wire::{Codec, Outcome, RequestId};
use shoal_store::StoreError;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::coding::{Decoder, NotEncoded};
use super::hub::{Hub, SILENCE};
use super::page_set::StorePages;
use super::session::{self, RunReply, Session, Wish};
use super::{FetchError, FetchEvent, pages};
use crate::until::until;

/// The first window is a few chunks, so that the first byte comes soon; later ones double.
const WINDOW_BYTES: (u64, u64) = (256 << 10, 4 << 20);
/// Chunks that wait for the reader.
const READY_MAX: usize = 8;
/// Pages that one look ahead finds missing.
const PAGES_MAX: usize = 64;
/// A busy source is left alone for so long at least, whatever it says.
const BUSY_MIN: Duration = Duration::from_millis(100);

/// Reads `positions`, verified and in order.
pub(crate) fn read(
    hub: Arc<Hub>,
    positions: Range<u64>,
) -> mpsc::Receiver<Result<Bytes, FetchError>> {
    let (sender, receiver) = mpsc::channel(READY_MAX);
    tokio::spawn(async move {
        let mut reading = Reading {
            hub: Arc::clone(&hub),
            out: sender.clone(),
            unwelcome: HashSet::new(),
            busy: HashMap::new(),
        };
        let ended = tokio::select! {
            ended = reading.run(positions) => ended,
            () = sender.closed() => return,
        };
        if let Err(error) = ended {
            // A reader that went away needs no reason.
            let _ = sender.send(Err(error)).await;
        }
    });
    receiver
}

/// The chunk that begins at `position`, and where it ends; the pages that lead there are fetched.
pub(crate) async fn chunk_at(
    hub: &Arc<Hub>,
    position: u64,
) -> Result<(ChunkId, Range<u64>), FetchError> {
    let snapshot = hub.snapshot().await?;
    let here = position..position.saturating_add(1).min(snapshot.bytes);
    let chunks = chunks(hub, &snapshot, here).await?;
    match chunks.front() {
        Some(chunk) if chunk.start == position => Ok((chunk.id, chunk.start..chunk.end)),
        _ => {
            let why = format!("no chunk begins at position {position}");
            Err(FetchError::Malformed(why))
        }
    }
}

/// A chunk and where it stands.
#[derive(Clone, Copy)]
struct Wanted {
    id: ChunkId,
    start: u64,
    end: u64,
}

struct Reading {
    hub: Arc<Hub>,
    out: mpsc::Sender<Result<Bytes, FetchError>>,
    /// Sources that sent wrong bytes.
    unwelcome: HashSet<PeerKey>,
    /// Sources that said that they are busy, and until when they are left alone.
    busy: HashMap<PeerKey, Instant>,
}

/// What became of the last that was asked for the chunk that is waited for: how reading ends
/// once nobody else is left to ask.
enum InVain {
    Wrong { peer: PeerKey, position: u64 },
    NotHeld(Range<u64>),
}

impl InVain {
    /// Whether none of `others` may still send it.
    fn is_final<'a>(&self, mut others: impl Iterator<Item = &'a Arc<Session>>) -> bool {
        match self {
            Self::Wrong { .. } => others.next().is_none(),
            Self::NotHeld(chunk) => {
                !others.any(|other| other.offers(chunk) || !other.has_told_offer())
            }
        }
    }

    fn error(&self) -> FetchError {
        match self {
            Self::Wrong { peer, position } => FetchError::Misbehaved {
                peer: *peer,
                why: format!("it sent wrong bytes at position {position}"),
            },
            Self::NotHeld(chunk) => FetchError::Gone {
                position: chunk.start,
            },
        }
    }
}

impl Reading {
    async fn run(&mut self, positions: Range<u64>) -> Result<(), FetchError> {
        let snapshot = self.hub.snapshot().await?;
        let end = positions.end.min(snapshot.bytes);
        let mut from = positions.start;
        let mut window = WINDOW_BYTES.0;
        let mut ahead: Option<(Range<u64>, Window)> = None;
        while from < end {
            let (range, asked) = match ahead.take() {
                Some(ahead) => ahead,
                None => self.open(&snapshot, from, window).await?,
            };
            window = (window * 2).min(WINDOW_BYTES.1);
            if range.end < end {
                ahead = Some(self.open(&snapshot, range.end, window).await?);
            }
            self.hand_on(asked, from..end).await?;
            from = range.end;
        }
        Ok(())
    }

    /// Finds the chunks of a window that begins with the one that holds `from`, and asks
    /// for them.
    async fn open(
        &mut self,
        snapshot: &Snapshot,
        from: u64,
        bytes: u64,
    ) -> Result<(Range<u64>, Window), FetchError> {
        let until = from.saturating_add(bytes).min(snapshot.bytes);
        let chunks = chunks(&self.hub, snapshot, from..until).await?;
        let (Some(first), Some(last)) = (chunks.front(), chunks.back()) else {
            let why = format!("it has no chunk at position {from}");
            return Err(FetchError::Malformed(why));
        };
        let range = first.start..last.end;
        let session = self.ask(&chunks, None).await?;
        Ok((range, Window { chunks, session }))
    }

    /// Asks a source that offers the first of `chunks`, and whatever it offers of those that
    /// follow, as soon as there is one that is not busy. What came of asking the last one says
    /// when to give up.
    async fn ask(
        &self,
        chunks: &VecDeque<Wanted>,
        in_vain: Option<&InVain>,
    ) -> Result<Asked, FetchError> {
        let (first, last) = chunks.front().zip(chunks.back()).expect("one is wanted");
        let all = first.start..last.end;
        let reach = |session: &Session| -> u64 {
            let up_to = session.offers_up_to(&all);
            let offered = chunks.iter().take_while(|chunk| chunk.end <= up_to);
            offered.last().map_or(all.start, |chunk| chunk.end)
        };
        let mut changes = self.hub.changes();
        loop {
            changes.mark_unchanged();
            let (sessions, expects_more) = self.hub.sessions_and_outlook();
            let welcome = || {
                let sessions = sessions.values();
                sessions.filter(|session| !self.unwelcome.contains(&session.peer))
            };
            let able = welcome()
                .filter(|session| !session.closing.is_cancelled())
                .map(|session| (session, reach(session)))
                .filter(|(_, end)| *end > all.start);
            let best = able.min_by_key(|(session, end)| {
                let busy = self.busy_until(session.peer);
                (busy, session.is_passed_over(), Reverse(*end))
            });
            let free_at = best.and_then(|(session, _)| self.busy_until(session.peer));
            match best {
                Some((session, end)) if free_at.is_none() => {
                    return Ok(Asked::of(session, all.start..end));
                }
                Some(_) => {}
                None => {
                    let over =
                        in_vain.filter(|in_vain| !expects_more && in_vain.is_final(welcome()));
                    if let Some(in_vain) = over {
                        return Err(in_vain.error());
                    }
                    if let Some(why) = self.hub.hopeless() {
                        return Err(why);
                    }
                }
            }
            tokio::select! {
                changed = changes.changed() => changed.expect("the hub has the sender"),
                () = until(free_at) => {}
                error = self.hub.out_of_patience() => return Err(error),
            }
        }
    }

    /// Until when a source is left alone, if it is busy.
    fn busy_until(&self, peer: PeerKey) -> Option<Instant> {
        let until = self.busy.get(&peer).copied();
        until.filter(|until| *until > Instant::now())
    }

    /// Whether there is another source than `peer` to ask for `range` before it.
    fn has_other(&self, peer: PeerKey, range: &Range<u64>) -> bool {
        let is_better = |other: &Arc<Session>| {
            other.peer != peer
                && !other.is_passed_over()
                && !self.unwelcome.contains(&other.peer)
                && self.busy_until(other.peer).is_none()
                && other.offers(range)
        };
        self.hub.sessions().values().any(is_better)
    }

    /// Verifies the chunks of a window as they come and hands on what lies in `positions`.
    /// What does not come, or comes wrong, is asked of another source.
    async fn hand_on(&mut self, window: Window, positions: Range<u64>) -> Result<(), FetchError> {
        let Window {
            mut chunks,
            session: mut asked,
        } = window;
        let mut in_vain = None;
        while let Some(chunk) = chunks.front().copied() {
            if chunk.end > asked.up_to {
                // That was all that the source offers in a row.
                asked = self.ask(&chunks, None).await?;
            }
            let came = tokio::select! {
                came = asked.chunk(&chunk) => came,
                () = sleep(SILENCE) => match self.has_other(asked.session.peer, &(chunk.start..chunk.end)) {
                    true => Came::NothingMore,
                    false => continue,
                },
                error = self.hub.out_of_patience() => return Err(error),
            };
            let peer = asked.session.peer;
            match came {
                Came::Chunk(bytes) => {
                    chunks.pop_front();
                    in_vain = None;
                    let skip = positions.start.saturating_sub(chunk.start);
                    // A window may end with chunks behind what is wanted.
                    let keep = positions.end.min(chunk.end).saturating_sub(chunk.start);
                    if skip < keep {
                        let (skip, keep) = (clip(skip), clip(keep));
                        // Where nobody reads any more, all of this ends.
                        let _ = self.out.send(Ok(bytes.slice(skip..keep))).await;
                    }
                    // However long the reader took for it.
                    self.hub.progressed();
                    continue;
                }
                Came::Wrong => {
                    let position = chunk.start;
                    self.hub.tell(FetchEvent::BadChunk { peer, position });
                    let why =
                        format!("{peer}: the chunk at position {position} failed verification");
                    self.hub.failed(why);
                    self.unwelcome.insert(peer);
                    in_vain = Some(InVain::Wrong { peer, position });
                }
                Came::Later(retry) => {
                    self.hub.failed(format!("{peer}: it is busy"));
                    let until = Instant::now() + retry.max(BUSY_MIN);
                    self.busy.insert(peer, until);
                }
                Came::NotHeld => {
                    let lacks = chunk.start..chunk.end;
                    let why = format!("{peer}: it does not have position {} any more", lacks.start);
                    self.hub.failed(why);
                    asked.session.lacks(lacks.clone());
                    in_vain = Some(InVain::NotHeld(lacks));
                }
                Came::NothingMore => asked.session.pass_over(),
            }
            asked = self.ask(&chunks, in_vain.as_ref()).await?;
        }
        Ok(())
    }
}

/// The chunks of `positions`; pages that are missing are fetched.
async fn chunks(
    hub: &Arc<Hub>,
    snapshot: &Snapshot,
    positions: Range<u64>,
) -> Result<VecDeque<Wanted>, FetchError> {
    loop {
        let (store, record) = (hub.endpoint.store().clone(), *snapshot);
        let asked = positions.clone();
        let look = spawn_blocking(move || {
            let source = StorePages(&store);
            let missing = manifest::missing(&source, &record, asked.clone(), PAGES_MAX)?;
            match missing.is_empty() {
                true => list_chunks(&source, &record, asked).map(Ok),
                false => Ok(Err(missing)),
            }
        });
        match look.await.expect("the store does not panic") {
            Ok(Ok(chunks)) => return Ok(chunks),
            Ok(Err(missing)) => pages::fetch(hub, missing).await?,
            Err(ReadError::Missing(page)) => pages::fetch(hub, vec![page]).await?,
            Err(ReadError::Source(error)) => return Err(error.into()),
            Err(corrupt @ ReadError::Corrupt { .. }) => {
                return Err(FetchError::Malformed(corrupt.to_string()));
            }
        }
    }
}

fn clip(offset: u64) -> usize {
    usize::try_from(offset).expect("within a chunk")
}

fn list_chunks(
    source: &StorePages<'_>,
    snapshot: &Snapshot,
    positions: Range<u64>,
) -> Result<VecDeque<Wanted>, ReadError<StoreError>> {
    let mut cursor = SnapshotCursor::new(snapshot);
    cursor.seek(positions.start);
    let mut chunks = VecDeque::new();
    while let Some(step) = cursor.next(source)? {
        let Step::Chunk {
            position, chunk, ..
        } = step
        else {
            continue;
        };
        if position >= positions.end {
            break;
        }
        chunks.push_back(Wanted {
            id: chunk.id,
            start: position,
            end: position + u64::from(chunk.length),
        });
    }
    Ok(chunks)
}

/// A window that was asked for.
struct Window {
    chunks: VecDeque<Wanted>,
    session: Asked,
}

/// An answer on its way. Its frames are copied out of their buffers as they come, whoever
/// waits for it: buffers are few, and answers that nobody looks at yet would hold them all
/// while the one that is waited for cannot come. The window bounds what is copied.
struct Asked {
    session: Arc<Session>,
    /// Where what it was asked for ends.
    up_to: u64,
    frames: mpsc::UnboundedReceiver<Frame>,
    /// Bytes that came, in the order of positions.
    bytes: VecDeque<(u64, Bytes)>,
}

/// What comes as an answer; the channel ends when nothing more does.
enum Frame {
    Bytes {
        position: u64,
        bytes: Bytes,
    },
    /// They are not what they say.
    Wrong,
    Later(Duration),
    NotHeld,
}

/// What became of a chunk.
enum Came {
    Chunk(Bytes),
    Wrong,
    Later(Duration),
    /// The source does not have it any more.
    NotHeld,
    NothingMore,
}

impl Asked {
    /// Asks `session` for `range`.
    fn of(session: &Arc<Session>, range: Range<u64>) -> Self {
        let up_to = range.end;
        let (sender, replies) = mpsc::unbounded_channel();
        let (out, frames) = mpsc::unbounded_channel();
        tokio::spawn(copy_out(replies, out));
        let wish = Wish {
            priority: 1,
            ..Wish::default()
        };
        session.ask_run(RequestId(0), RangeSet::of(range), wish, sender);
        Self {
            session: Arc::clone(session),
            up_to,
            frames,
            bytes: VecDeque::new(),
        }
    }

    /// The next chunk of the answer, verified.
    async fn chunk(&mut self, wanted: &Wanted) -> Came {
        loop {
            while let Some((start, bytes)) = self.bytes.front() {
                let end = start + bytes.len() as u64;
                if end <= wanted.start {
                    self.bytes.pop_front();
                    continue;
                }
                if *start > wanted.start {
                    // It left something out; why it did, it says at the end.
                    self.bytes.clear();
                    break;
                }
                if end < wanted.end {
                    return Came::Wrong;
                }
                let from = clip(wanted.start - start);
                let chunk = bytes.slice(from..from + clip(wanted.end - wanted.start));
                return match ChunkId::of(&chunk) == wanted.id {
                    true => Came::Chunk(chunk),
                    false => Came::Wrong,
                };
            }
            match self.frames.recv().await {
                Some(Frame::Bytes { position, bytes }) => self.bytes.push_back((position, bytes)),
                Some(Frame::Wrong) => return Came::Wrong,
                Some(Frame::Later(retry)) => return Came::Later(retry),
                Some(Frame::NotHeld) => return Came::NotHeld,
                None => return Came::NothingMore,
            }
        }
    }
}

/// The plain bytes of a frame. It is decoded in less time than its TLS records were.
fn plain(decoder: &mut Decoder, frame: &session::Frame) -> Result<Bytes, NotEncoded> {
    if frame.data.codec == Codec::Raw {
        return Ok(Bytes::copy_from_slice(&frame.bytes));
    }
    let mut plain = vec![0; frame.data.plain_length as usize];
    decoder.decode(&frame.bytes, None, &mut plain)?;
    Ok(plain.into())
}

async fn copy_out(
    mut replies: mpsc::UnboundedReceiver<(PeerKey, RequestId, RunReply)>,
    out: mpsc::UnboundedSender<Frame>,
) {
    let mut decoder = Decoder::new();
    while let Some((_, _, reply)) = replies.recv().await {
        let frame = match reply {
            RunReply::Data(frame) => match plain(&mut decoder, &frame) {
                Ok(bytes) => Frame::Bytes {
                    position: frame.data.position,
                    bytes,
                },
                Err(NotEncoded) => Frame::Wrong,
            },
            RunReply::Busy(retry) => Frame::Later(retry),
            RunReply::Ended(Outcome::NotHeld | Outcome::Failed) => Frame::NotHeld,
            RunReply::Ended(_) | RunReply::Lost => return,
        };
        if out.send(frame).is_err() {
            return;
        }
    }
}
