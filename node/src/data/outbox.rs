//! The one task that writes to a connection.
//!
//! Owns: the order of what is sent: words before bulk, both queues short. Refuses: waiting
//! in the word queue: a peer that makes us speak and does not listen is disconnected.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use shoal_protocol::serve::Compression;
use shoal_protocol::wire::{Bye, ByeReason, Message, Ping};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::buffers::Buffer;
use super::link::{LinkError, LinkWriter, PING_EVERY};
use shoal_protocol::bounded::Text;

/// Words that wait: a few for each request that a peer may have open.
const WORDS_MAX: usize = 256;
/// Bulk frames that wait while one is written, made or in the making: one for each answer that
/// runs for a peer. More would only hold buffers.
const BULK_MAX: usize = 2;

/// The payload of a message.
pub(crate) enum Payload {
    /// None.
    Empty,
    /// A frame buffer.
    Pooled(Buffer),
    /// Bytes made for this message.
    Owned(Vec<u8>),
}

impl Payload {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Pooled(buffer) => buffer,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Where messages for one peer go. Clones are the same outbox.
#[derive(Clone)]
pub(crate) struct Outbox {
    words: mpsc::Sender<Message>,
    bulk: mpsc::Sender<(Message, Payload)>,
    closing: CancellationToken,
    compression: Arc<Mutex<Compression>>,
}

/// The connection is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closed;

/// Room for one message with its payload.
pub(crate) struct Slot(mpsc::OwnedPermit<(Message, Payload)>);

impl Slot {
    /// Queues it.
    pub(crate) fn send(self, message: impl Into<Message>, payload: Payload) {
        self.0.send((message.into(), payload));
    }
}

impl Outbox {
    /// An outbox, and the task that empties it into `writer`. The task ends when `closing`
    /// is cancelled, when all outboxes are dropped, or when the connection fails, and then
    /// cancels `closing`.
    pub(crate) fn new(
        writer: LinkWriter,
        closing: CancellationToken,
    ) -> (Self, impl Future<Output = Result<(), LinkError>>) {
        let (words, word_queue) = mpsc::channel(WORDS_MAX);
        let (bulk, bulk_queue) = mpsc::channel(BULK_MAX);
        let outbox = Self {
            words,
            bulk,
            closing: closing.clone(),
            compression: Arc::default(),
        };
        let compression = outbox.compression();
        let task = async move {
            let _over = closing.clone().drop_guard();
            let mut queues = Queues {
                words: word_queue,
                bulk: bulk_queue,
            };
            run(writer, &mut queues, &closing, &compression).await
        };
        (outbox, task)
    }

    /// What is known of how fast the connection takes bytes.
    pub(crate) fn compression(&self) -> Arc<Mutex<Compression>> {
        Arc::clone(&self.compression)
    }

    /// Queues a message without payload. A full queue closes the connection.
    pub(crate) fn say(&self, message: impl Into<Message>) {
        if self.words.try_send(message.into()).is_err() {
            self.closing.cancel();
        }
    }

    /// Queues a message without payload, unless the queue is full.
    pub(crate) fn mention(&self, message: impl Into<Message>) {
        // A full queue keeps the connection alive without this.
        let _ = self.words.try_send(message.into());
    }

    /// Queues a message behind all bulk that was queued before; waits for room.
    pub(crate) async fn send(
        &self,
        message: impl Into<Message>,
        payload: Payload,
    ) -> Result<(), Closed> {
        tokio::select! {
            sent = self.bulk.send((message.into(), payload)) => sent.map_err(|_| Closed),
            () = self.closing.cancelled() => Err(Closed),
        }
    }

    /// Waits for room for a message behind all bulk that was queued before, so that what is made
    /// for it is not held for a peer that takes nothing.
    pub(crate) async fn room(&self) -> Result<Slot, Closed> {
        tokio::select! {
            room = self.bulk.clone().reserve_owned() => room.map(Slot).map_err(|_| Closed),
            () = self.closing.cancelled() => Err(Closed),
        }
    }

    /// Says goodbye and closes the connection.
    pub(crate) fn leave(&self, reason: ByeReason, detail: &str) {
        self.mention(Bye {
            reason,
            detail: Text::cut(detail),
        });
        self.closing.cancel();
    }
}

struct Queues {
    words: mpsc::Receiver<Message>,
    bulk: mpsc::Receiver<(Message, Payload)>,
}

impl Queues {
    fn try_next(&mut self) -> Result<(Message, Payload), TryRecvError> {
        match self.words.try_recv() {
            Ok(word) => Ok((word, Payload::Empty)),
            Err(_) => self.bulk.try_recv(),
        }
    }

    async fn next(&mut self) -> Option<(Message, Payload)> {
        tokio::select! {
            biased;
            word = self.words.recv() => word.map(|word| (word, Payload::Empty)),
            bulk = self.bulk.recv() => bulk,
        }
    }
}

async fn run(
    mut writer: LinkWriter,
    queues: &mut Queues,
    closing: &CancellationToken,
    compression: &Mutex<Compression>,
) -> Result<(), LinkError> {
    let mut pings = 0;
    loop {
        let (message, payload) = match queues.try_next() {
            Ok(next) => next,
            Err(_) => {
                writer.flush().await?;
                tokio::select! {
                    biased;
                    next = timeout(PING_EVERY, queues.next()) => match next {
                        Ok(Some(next)) => next,
                        Ok(None) => break,
                        Err(_) => {
                            pings += 1;
                            (Ping { token: pings }.into(), Payload::Empty)
                        }
                    },
                    () = closing.cancelled() => break,
                }
            }
        };
        let last = matches!(message, Message::Bye(_));
        let began = Instant::now();
        tokio::select! {
            sent = writer.send(message, payload.bytes()) => sent?,
            // A frame that was begun is not worth finishing; words are short.
            () = closing.cancelled(), if !matches!(payload, Payload::Empty) => return Ok(()),
        }
        if !queues.bulk.is_empty() {
            // It was the link that was waited for.
            (compression.lock())
                .unwrap_or_else(PoisonError::into_inner)
                .sent(payload.bytes().len(), began.elapsed());
        }
        if last {
            break;
        }
    }
    writer.flush().await?;
    writer.close().await
}
