//! A framed connection to one peer, whatever carries it.
//!
//! Owns: messages in, messages out, and the rules of patience: how long a peer may be
//! silent, and how slowly a frame may come or go. Refuses: what messages mean, and how the
//! bytes are carried: anything that reads and writes bytes and was authenticated will do
//! (TLS over TCP today; QUIC and libp2p streams later).

use std::io;
use std::time::Duration;

use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::limits::{FRAME_PAUSE_MS_MAX, FRAME_PREFIX_BYTES, SILENCE_MS_MAX};
use shoal_protocol::wire::{FrameError, Kind, Message, Prefix, write_head};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::{Instant, timeout, timeout_at};

/// The slowest that a frame may come or go, beyond its pause: 1 MiB takes at most about
/// five minutes. Slower than any link that is worth waiting for, and too fast for a peer
/// that only wants to hold a buffer.
const BYTES_PER_S_MIN: u64 = 4096;
const FRAME_PAUSE: Duration = Duration::from_millis(FRAME_PAUSE_MS_MAX);
const SILENCE: Duration = Duration::from_millis(SILENCE_MS_MAX);
/// A side that has nothing to say pings so often, well within [`SILENCE`].
pub(crate) const PING_EVERY: Duration = Duration::from_millis(SILENCE_MS_MAX / 3);

/// What a link runs over.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for T {}

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The connection broke, or the peer closed it.
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
    /// The peer broke the protocol.
    #[error("protocol error: {0}")]
    Frame(#[from] FrameError),
    /// The peer said something that has no place here.
    #[error("an unexpected {0:?} message")]
    Unexpected(Kind),
    /// Nothing came, or too slowly.
    #[error("too slow: {0}")]
    TooSlow(&'static str),
}

impl LinkError {
    /// Whether the peer did what no honest one does.
    pub fn is_misbehaviour(&self) -> bool {
        matches!(self, Self::Frame(_) | Self::Unexpected(_))
    }
}

/// Both directions of a connection.
pub struct Link {
    /// Who is at the other end.
    pub peer: PeerKey,
    /// What comes.
    pub reader: LinkReader,
    /// What goes.
    pub writer: LinkWriter,
}

impl Link {
    /// Frames over `transport`, which proved that `peer` is at its other end.
    pub fn new(peer: PeerKey, transport: impl Transport) -> Self {
        let (read, write) = split(Box::new(transport) as Box<dyn Transport>);
        Self {
            peer,
            reader: LinkReader {
                io: read,
                header: Vec::new(),
                payload_left: 0,
            },
            writer: LinkWriter {
                io: write,
                head: Vec::new(),
            },
        }
    }
}

/// Reads messages.
pub struct LinkReader {
    io: ReadHalf<Box<dyn Transport>>,
    header: Vec<u8>,
    /// Payload of the last message that was not taken yet.
    payload_left: usize,
}

impl LinkReader {
    /// The next message and the length of the payload behind it, which must be taken by
    /// [`LinkReader::payload`] before the next call. A kind that `expects` does not have
    /// ends the link before anything is read or allocated for it.
    ///
    /// Not cancel safe: a call that was dropped half-way leaves the stream out of step.
    pub async fn message(
        &mut self,
        expects: impl Fn(Kind) -> bool,
    ) -> Result<(Message, usize), LinkError> {
        assert_eq!(self.payload_left, 0, "the payload was taken");
        let mut bytes = [0; FRAME_PREFIX_BYTES];
        let silent = LinkError::TooSlow("silent for too long");
        timeout(SILENCE, self.io.read_exact(&mut bytes[..1]))
            .await
            .map_err(|_| silent)??;
        let deadline = deadline(FRAME_PREFIX_BYTES);
        read(&mut self.io, &mut bytes[1..], deadline).await?;
        let prefix = Prefix::parse(&bytes)?;
        if !expects(prefix.kind()) {
            return Err(LinkError::Unexpected(prefix.kind()));
        }
        self.header.resize(prefix.header_bytes(), 0);
        read(&mut self.io, &mut self.header, deadline).await?;
        let message = prefix.message(&self.header)?;
        self.payload_left = prefix.payload_bytes();
        Ok((message, self.payload_left))
    }

    /// Reads the payload of the last message; `into` has its length.
    pub async fn payload(&mut self, into: &mut [u8]) -> Result<(), LinkError> {
        assert_eq!(self.payload_left, into.len(), "room for the payload");
        read(&mut self.io, into, deadline(into.len())).await?;
        self.payload_left = 0;
        Ok(())
    }
}

fn deadline(bytes: usize) -> Instant {
    let transfer = Duration::from_millis(bytes as u64 * 1000 / BYTES_PER_S_MIN);
    Instant::now() + FRAME_PAUSE + transfer
}

/// Reads until `into` is full: by `deadline`, and never pausing for longer than a frame may.
async fn read(
    io: &mut (impl AsyncRead + Unpin),
    mut into: &mut [u8],
    deadline: Instant,
) -> Result<(), LinkError> {
    while !into.is_empty() {
        let pause = (Instant::now() + FRAME_PAUSE).min(deadline);
        let count = timeout_at(pause, io.read(into))
            .await
            .map_err(|_| LinkError::TooSlow("a frame that does not end"))??;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        into = &mut into[count..];
    }
    Ok(())
}

/// Writes messages.
pub struct LinkWriter {
    io: WriteHalf<Box<dyn Transport>>,
    head: Vec<u8>,
}

impl LinkWriter {
    /// Takes a message; it is on its way once [`LinkWriter::flush`] was called.
    pub async fn send(
        &mut self,
        message: impl Into<Message>,
        payload: &[u8],
    ) -> Result<(), LinkError> {
        self.head.clear();
        write_head(&message.into(), payload.len(), &mut self.head);
        let deadline = deadline(payload.len());
        write(&mut self.io, &self.head, deadline).await?;
        write(&mut self.io, payload, deadline).await
    }

    /// Sends what was taken.
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        in_time(self.io.flush()).await
    }

    /// Says that nothing more comes.
    pub async fn close(&mut self) -> Result<(), LinkError> {
        in_time(self.io.shutdown()).await
    }
}

/// Writes all of `bytes`: by `deadline`, and never stuck for longer than a frame may pause.
async fn write(
    io: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
    deadline: Instant,
) -> Result<(), LinkError> {
    while !bytes.is_empty() {
        let pause = (Instant::now() + FRAME_PAUSE).min(deadline);
        let count = timeout_at(pause, io.write(bytes))
            .await
            .map_err(|_| LinkError::TooSlow(TAKES_NOTHING))??;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        bytes = &bytes[count..];
    }
    Ok(())
}

async fn in_time(write: impl Future<Output = io::Result<()>>) -> Result<(), LinkError> {
    timeout(FRAME_PAUSE, write)
        .await
        .map_err(|_| LinkError::TooSlow(TAKES_NOTHING))??;
    Ok(())
}

const TAKES_NOTHING: &str = "it takes no bytes";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use shoal_protocol::wire::{Ping, RequestId, RunData};
    use tokio::io::{DuplexStream, duplex};

    fn anyone() -> PeerKey {
        Identity::from_secret([1; 32]).peer_key()
    }

    fn pair() -> (Link, DuplexStream) {
        let (a, b) = duplex(64 * 1024);
        (Link::new(anyone(), a), b)
    }

    fn run_data(length: u32) -> RunData {
        RunData {
            request: RequestId(1),
            position: 0,
            codec: shoal_protocol::wire::Codec::Raw,
            plain_length: length,
        }
    }

    #[tokio::test]
    async fn messages_come_out_as_they_went_in() {
        let (a, b) = duplex(1024);
        let (mut ours, mut theirs) = (Link::new(anyone(), a), Link::new(anyone(), b));
        let bytes = vec![7; 300_000];
        let send = async {
            ours.writer.send(Ping { token: 5 }, &[]).await.unwrap();
            let data = run_data(300_000);
            ours.writer.send(data, &bytes).await.unwrap();
            ours.writer.flush().await.unwrap();
        };
        let receive = async {
            let reader = &mut theirs.reader;
            let (ping, none) = reader.message(|_| true).await.unwrap();
            assert_eq!((ping, none), (Ping { token: 5 }.into(), 0));
            let (_, length) = reader.message(|_| true).await.unwrap();
            let mut payload = vec![0; length];
            reader.payload(&mut payload).await.unwrap();
            assert_eq!(payload, bytes);
        };
        tokio::join!(send, receive);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_left_after_a_minute() {
        let (mut link, _quiet) = pair();
        let began = Instant::now();
        let error = link.reader.message(|_| true).await.unwrap_err();
        assert!(matches!(error, LinkError::TooSlow(_)));
        assert_eq!(began.elapsed(), SILENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_that_trickles_is_given_up() {
        let (mut link, mut theirs) = pair();
        let mut head = Vec::new();
        write_head(&run_data(1 << 20).into(), 1 << 20, &mut head);
        tokio::spawn(async move {
            theirs.write_all(&head).await.unwrap();
            while theirs.write_all(&[0]).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let began = Instant::now();
        let (_, length) = link.reader.message(|_| true).await.unwrap();
        let error = link.reader.payload(&mut vec![0; length]).await.unwrap_err();
        assert!(matches!(error, LinkError::TooSlow(_)));
        assert!(began.elapsed() < Duration::from_secs(300));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (mut link, _full) = pair();
        let bytes = vec![0; 1 << 20];
        let began = Instant::now();
        let error = link.writer.send(run_data(1 << 20), &bytes).await;
        assert!(matches!(error, Err(LinkError::TooSlow(_))));
        assert_eq!(began.elapsed(), FRAME_PAUSE);
    }

    #[tokio::test]
    async fn what_has_no_place_here_ends_the_link_unread() {
        let (mut link, mut theirs) = pair();
        let mut head = Vec::new();
        write_head(&run_data(1 << 20).into(), 1 << 20, &mut head);
        theirs.write_all(&head).await.unwrap();
        let error = link.reader.message(|kind| kind == Kind::Hello).await;
        assert!(matches!(error, Err(LinkError::Unexpected(Kind::RunData))));
    }

    #[tokio::test]
    async fn frames_that_break_the_limits_end_the_link() {
        for (what, bytes) in [
            ("an unknown kind", [0, 0, 0, 0, 0xee, 0, 0, 0]),
            (
                "a payload too long",
                [0xff, 0xff, 0xff, 0x7f, 0x13, 0, 8, 0],
            ),
            ("a header too long", [0xff, 0xff, 0, 0, 0x06, 0, 0xff, 0xff]),
            ("a header beyond its frame", [1, 0, 0, 0, 0x06, 0, 8, 0]),
            ("the reserved byte", [8, 0, 0, 0, 0x06, 1, 8, 0]),
        ] {
            let (mut link, mut theirs) = pair();
            theirs.write_all(&bytes).await.unwrap();
            let error = link.reader.message(|_| true).await.unwrap_err();
            assert!(error.is_misbehaviour(), "{what}: {error}");
        }
    }
}
