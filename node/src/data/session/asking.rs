//! What a session asks for, and the requests that are open.
//!
//! Owns: the numbers of requests, and where replies go. Refuses: to read them
//! ([`listening`](crate::data::listening) does).

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shoal_protocol::bounded::List;
use shoal_protocol::have::RangeSet;
use shoal_protocol::id::PageId;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::limits::{BASES_BYTES_MAX, REQUEST_PAGES_MAX, RUN_BASES_MAX};
use shoal_protocol::wire::{
    Base, Cancel, Codecs, Features, Outcome, PageRequest, RequestId, RunData, RunRequest,
};
use tokio::sync::mpsc;

use super::Session;
use crate::data::buffers::Buffer;

/// What comes for a request for a run.
pub(crate) enum RunReply {
    /// Some of the bytes, as they travelled.
    Data(Frame),
    /// Nothing more comes.
    Ended(Outcome),
    /// Nothing comes; ask again later.
    Busy(Duration),
    /// The connection is over.
    Lost,
}

/// Bytes of a run, in the codec that `data` says.
pub(crate) struct Frame {
    pub(crate) data: RunData,
    pub(crate) bytes: Buffer,
}

/// How an answer to a run request may travel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    /// Higher is answered earlier.
    pub(crate) priority: u8,
    /// What is here that resembles what is asked for, in the order of positions.
    pub(crate) bases: Vec<Base>,
}

/// Where replies to a run request go: the tag is the asker's own number for it.
pub(crate) type RunReplies = mpsc::UnboundedSender<(PeerKey, RequestId, RunReply)>;

/// What comes for a request for pages: pages, then nothing.
pub(crate) type PageReplies = mpsc::UnboundedSender<(PageId, Vec<u8>)>;

/// A request that is open.
pub(in crate::data) enum Open {
    Run {
        tag: RequestId,
        left: RangeSet,
        codecs: Codecs,
        bases: Vec<Base>,
        replies: RunReplies,
    },
    Pages {
        left: HashSet<PageId>,
        replies: PageReplies,
    },
}

impl Session {
    /// The codecs that both sides read.
    fn codecs(&self) -> Codecs {
        let mut codecs = Codecs::RAW;
        for (feature, codec) in [
            (Features::ZSTD, Codecs::ZSTD),
            (Features::ZSTD_WITH_BASE, Codecs::ZSTD_WITH_BASE),
        ] {
            if self.reads(feature) {
                codecs = codecs.and(codec);
            }
        }
        codecs
    }

    /// Those of `bases` that the source lets us read, as many as a request takes.
    fn allowed_bases(&self, bases: Vec<Base>) -> Vec<Base> {
        if !self.reads(Features::ZSTD_WITH_BASE) {
            return Vec::new();
        }
        let also = self.also();
        let mut left = BASES_BYTES_MAX;
        let fits = move |base: &Base| {
            let room = left.checked_sub(base.bytes());
            left = room.unwrap_or(left);
            room.is_some()
        };
        let allowed = |base: &Base| also.values().any(|s| *s == Some(base.snapshot));
        let bases = bases.into_iter().filter(allowed).filter(fits);
        bases.take(RUN_BASES_MAX).collect()
    }

    /// Asks for positions. Replies come with `tag`.
    pub(crate) fn ask_run(
        &self,
        tag: RequestId,
        ranges: RangeSet,
        wish: Wish,
        replies: RunReplies,
    ) {
        let request = self.number();
        let (codecs, bases) = (self.codecs(), self.allowed_bases(wish.bases));
        self.requests().insert(
            request,
            Open::Run {
                tag,
                left: ranges.clone(),
                codecs,
                bases: bases.clone(),
                replies,
            },
        );
        self.outbox.say(RunRequest {
            request,
            snapshot: self.snapshot.id(),
            ranges,
            codecs,
            priority: wish.priority,
            bases: List::new(bases).expect("no more than a request takes"),
        });
        self.lose_if_closed();
    }

    /// Tells the source that the answer to `tag` is not wanted any more.
    pub(crate) fn cancel_run(&self, tag: RequestId) {
        let found = self
            .requests()
            .iter()
            .find_map(|(request, open)| match open {
                Open::Run { tag: theirs, .. } if *theirs == tag => Some(*request),
                _ => None,
            });
        if let Some(request) = found {
            self.outbox.say(Cancel { request });
        }
    }

    /// Asks for pages; those that come are verified. The channel ends when no more come.
    pub(crate) fn ask_pages(&self, pages: &[PageId], replies: PageReplies) {
        let request = self.number();
        let asked: List<_, REQUEST_PAGES_MAX> =
            List::new(pages.to_vec()).expect("the caller asks in batches");
        let left = pages.iter().copied().collect();
        self.requests()
            .insert(request, Open::Pages { left, replies });
        self.outbox.say(PageRequest {
            request,
            snapshot: self.snapshot.id(),
            pages: asked,
        });
        self.lose_if_closed();
    }

    /// Takes back all requests for runs.
    pub(crate) fn cancel_all_runs(&self) {
        let runs: Vec<_> = self
            .requests()
            .iter()
            .filter(|(_, open)| matches!(open, Open::Run { .. }))
            .map(|(request, _)| *request)
            .collect();
        for request in runs {
            self.outbox.say(Cancel { request });
        }
    }

    /// Waits until no request is open, or the session is over.
    pub(crate) async fn drained(&self) {
        while !self.requests().is_empty() && !self.closing.is_cancelled() {
            tokio::select! {
                () = self.request_ended.notified() => {}
                () = self.closing.cancelled() => {}
            }
        }
    }

    fn number(&self) -> RequestId {
        RequestId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    pub(in crate::data) fn requests(&self) -> std::sync::MutexGuard<'_, HashMap<RequestId, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request that was opened while the session ended would wait for ever.
    fn lose_if_closed(&self) {
        if self.closing.is_cancelled() {
            self.lose_all();
        }
    }

    /// Tells all who wait that nothing comes.
    pub(in crate::data) fn lose_all(&self) {
        for (_, open) in self.requests().drain() {
            if let Open::Run { tag, replies, .. } = open {
                // Nobody may be waiting any more.
                let _ = replies.send((self.peer, tag, RunReply::Lost));
            }
        }
    }
}
