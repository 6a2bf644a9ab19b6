//! The half of a session that reads.
//!
//! Owns: the check that nothing comes that was not asked for, and taking payloads into frame
//! buffers. Pages are verified here, since they are small. Refuses: verifying chunks, which
//! happens where they are written.

use std::sync::{Arc, PoisonError};

use shoal_protocol::have::RangeSet;
use shoal_protocol::id::{PageId, SnapshotId};
use shoal_protocol::wire::{
    Admitted, ByeReason, Codec, Features, Kind, Message, PageCodec, Pages, Pong, RequestId, RunData,
};
use tokio::time::{Instant, sleep_until};

use super::buffers::BufferPool;
use super::coding::Decoder;
use super::link::LinkReader;
use super::offer::{After, Beyond, Offer, Telling};
use super::session::{
    Frame, Open, RunReply, Session, SessionError, Told, farewell, refusal, retry_in,
};

/// The half of a session that reads.
pub(crate) struct Listening {
    pub(super) session: Arc<Session>,
    pub(super) reader: LinkReader,
    pub(super) buffers: BufferPool,
    pub(super) told: Box<dyn Fn(Told) + Send + Sync>,
    pub(super) decoder: Decoder,
    pub(super) telling: Telling,
}

impl Listening {
    /// Reads until the session ends; says why it did.
    pub(crate) async fn run(mut self) -> SessionError {
        let closing = self.session.closing.clone();
        let ended = tokio::select! {
            ended = self.read() => ended,
            () = closing.cancelled() => SessionError::Lost("connection closed".to_owned()),
        };
        let dropped = {
            let dropped = &self.session.dropped;
            dropped
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
        };
        let ended = dropped.map_or(ended, SessionError::Misbehaved);
        if let SessionError::Misbehaved(why) = &ended {
            self.session.leave(ByeReason::Protocol, why);
        }
        closing.cancel();
        self.session.lose_all();
        ended
    }

    async fn read(&mut self) -> SessionError {
        loop {
            if let Err(error) = self.read_one().await {
                return error;
            }
        }
    }

    async fn read_one(&mut self) -> Result<(), SessionError> {
        // Each of these is taken below, with its payload.
        let expected = |kind| {
            matches!(
                kind,
                Kind::Admitted
                    | Kind::Refused
                    | Kind::Bye
                    | Kind::Ping
                    | Kind::Pong
                    | Kind::Pages
                    | Kind::RunData
                    | Kind::RunEnd
                    | Kind::Busy
                    | Kind::Have
                    | Kind::HaveUpdate
                    | Kind::Neighbours
            )
        };
        let (message, length) = self.reader.message(expected).await?;
        match message {
            Message::RunData(data) => self.take_data(&data, length).await?,
            Message::Pages(pages) => self.take_pages(&pages, length).await?,
            Message::RunEnd(end) => self.close(end.request, RunReply::Ended(end.outcome)),
            Message::Busy(busy) => {
                self.close(busy.request, RunReply::Busy(retry_in(busy.retry_ms)));
            }
            Message::Have(have) => {
                let told = self.take_ranges(length).await?;
                self.offer(have.snapshot, |offer, bytes| {
                    offer.replace(told, have.generation, bytes)?;
                    Ok(After::Known)
                })?;
            }
            Message::HaveUpdate(update) => {
                let told = self.take_ranges(length).await?;
                self.offer(update.snapshot, |offer, bytes| {
                    offer.add(&told, update.generation, bytes)
                })?;
            }
            Message::Neighbours(told) if told.snapshot == self.session.snapshot.id() => {
                (self.told)(Told::Neighbours(told.peers.into_vec()));
            }
            Message::Ping(ping) => self.session.outbox.mention(Pong { token: ping.token }),
            Message::Admitted(admitted) => self.note_also(&admitted),
            Message::Refused(refused) if self.session.also().contains_key(&refused.grant) => {
                tracing::debug!(grant = %refused.grant, "no base from this source");
            }
            Message::Refused(refused) => return Err(refusal(refused)),
            Message::Bye(bye) => return Err(farewell(&bye)),
            _ => {}
        }
        Ok(())
    }

    /// Takes bytes of a run, if they were asked for.
    async fn take_data(&mut self, data: &RunData, length: usize) -> Result<(), SessionError> {
        self.expect(data)?;
        let mut bytes = self.buffers.filling();
        self.session.begin_run_data();
        self.reader.payload(bytes.room(length)).await?;
        self.session.end_run_data();
        let bytes = bytes.full().await;
        let open = self.session.requests();
        if let Some(Open::Run { tag, replies, .. }) = open.get(&data.request) {
            let frame = Frame { data: *data, bytes };
            // Nobody may be waiting any more.
            let _ = replies.send((self.session.peer, *tag, RunReply::Data(frame)));
        }
        Ok(())
    }

    /// Whether these positions were asked for, and may travel in this manner.
    fn expect(&self, data: &RunData) -> Result<(), SessionError> {
        let range = data.range();
        let mut requests = self.session.requests();
        let Some(Open::Run {
            left,
            codecs,
            bases,
            ..
        }) = requests.get_mut(&data.request)
        else {
            return Err(misbehaved("it sent what was not asked for"));
        };
        if !left.contains_range(range.clone()) {
            return Err(misbehaved("it sent what was not asked for"));
        }
        let as_asked = codecs.allows(&data.codec)
            && match data.codec {
                Codec::Raw | Codec::Zstd => true,
                Codec::ZstdWithBase {
                    snapshot,
                    start,
                    end,
                } => (bases.iter())
                    .any(|base| (base.snapshot, base.start, base.end) == (snapshot, start, end)),
            };
        if !as_asked {
            return Err(misbehaved("it compressed what was to come otherwise"));
        }
        left.remove(range);
        Ok(())
    }

    async fn take_pages(&mut self, pages: &Pages, length: usize) -> Result<(), SessionError> {
        let mut payload = vec![0; length];
        self.reader.payload(&mut payload).await?;
        let mut open = self.session.requests();
        let Some(Open::Pages { left, replies }) = open.get_mut(&pages.request) else {
            return Err(misbehaved("it sent pages that were not asked for"));
        };
        for (head, bytes) in pages.split(&payload) {
            if !left.remove(&head.page) {
                return Err(misbehaved("it sent pages that were not asked for"));
            }
            let page = match head.codec {
                PageCodec::Raw => Ok(bytes.to_vec()),
                PageCodec::Zstd if self.session.reads(Features::ZSTD) => {
                    let mut page = vec![0; head.plain_length as usize];
                    (self.decoder.decode(bytes, None, &mut page)).map(|()| page)
                }
                _ => return Err(misbehaved("it compressed what was to come otherwise")),
            };
            let page = page.ok().filter(|page| PageId::of(page) == head.page);
            let page =
                page.ok_or_else(|| misbehaved("it sent a page with other bytes than its id says"))?;
            // Nobody may be waiting any more.
            let _ = replies.send((head.page, page));
        }
        if pages.last {
            open.remove(&pages.request);
            self.session.request_ended.notify_one();
        }
        Ok(())
    }

    /// Takes what is told of an offer. A source that tells without end is read on later.
    async fn take_ranges(&mut self, length: usize) -> Result<RangeSet, SessionError> {
        let mut payload = vec![0; length];
        self.reader.payload(&mut payload).await?;
        if let Some(until) = self.telling.told(Instant::now()) {
            sleep_until(until).await;
        }
        RangeSet::from_bytes(&payload).map_err(|error| misbehaved(&error.to_string()))
    }

    /// Notes that a further grant is honoured.
    fn note_also(&self, admitted: &Admitted) {
        if let Some(snapshot) = self.session.also().get_mut(&admitted.grant) {
            *snapshot = Some(admitted.snapshot.id());
        }
    }

    /// Changes what is known of the offer, if it is of the snapshot that this session is for.
    fn offer(
        &self,
        snapshot: SnapshotId,
        change: impl FnOnce(&mut Offer, u64) -> Result<After, Beyond>,
    ) -> Result<(), SessionError> {
        if snapshot != self.session.snapshot.id() {
            return Ok(());
        }
        let changed = change(&mut self.session.offer(), self.session.snapshot.bytes);
        match changed {
            Ok(After::Known) => {}
            Ok(After::Ask) => self.session.ask_offer(),
            Err(Beyond) => return Err(misbehaved("it offers what the snapshot does not have")),
        }
        (self.told)(Told::Offer);
        Ok(())
    }

    fn close(&self, request: RequestId, reply: RunReply) {
        if let Some(Open::Run { tag, replies, .. }) = self.session.requests().remove(&request) {
            // Nobody may be waiting any more.
            let _ = replies.send((self.session.peer, tag, reply));
        }
        self.session.request_ended.notify_one();
    }
}

fn misbehaved(why: &str) -> SessionError {
    SessionError::Misbehaved(why.to_owned())
}
