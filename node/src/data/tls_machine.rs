//! rustls without its buffers: one step after the other.
//!
//! Owns: the three buffers around the cipher and what each of rustls' states asks for.
//! Refuses: sockets and waiting ([`tls_stream`](super::tls_stream)).

use std::io;

use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};

/// Where a read buffer begins: a whole record (16 KiB and its overhead) fits.
const READ_BYTES_MIN: usize = 17 * 1024;

/// Either side of a connection. Boxed: rustls' states are large and this one is moved.
pub(super) enum Connection {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

impl Connection {
    pub(super) fn state(&self) -> &CommonState {
        match self {
            Self::Client(client) => client,
            Self::Server(server) => server,
        }
    }
}

/// What the caller of [`Machine::step`] is after.
pub(super) enum Want<'a> {
    /// To get on: decrypt, shake hands.
    Progress,
    /// To have these bytes encrypted.
    Encrypt(&'a [u8]),
    /// To end the connection.
    Goodbye,
}

/// What a step came to.
pub(super) enum Step {
    /// Something was done; there may be more.
    Again,
    /// The wanted bytes, or the farewell, stand in `outgoing`.
    Encrypted,
    /// Nothing is left to do without input; the connection can encrypt.
    Ready,
    /// As [`Step::Ready`], and it cannot encrypt yet, or no more.
    NeedsInput,
}

/// rustls and the three buffers around it.
pub(super) struct Machine {
    pub(super) connection: Connection,
    /// Encrypted bytes from the socket.
    pub(super) incoming: Buffer,
    /// Plain bytes that no reader has taken yet: at most what `incoming` can hold.
    pub(super) plain: Buffer,
    /// Encrypted bytes for the socket.
    pub(super) outgoing: Buffer,
    /// The peer said that nothing more comes.
    pub(super) peer_closed: bool,
    said_goodbye: bool,
}

impl Machine {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            incoming: Buffer::default(),
            plain: Buffer::default(),
            outgoing: Buffer::default(),
            peer_closed: false,
            said_goodbye: false,
        }
    }

    pub(super) fn step(
        &mut self,
        want: Want<'_>,
        deliver: &mut dyn FnMut(&[u8]),
    ) -> io::Result<Step> {
        let incoming = self.incoming.filled_mut();
        let (discard, step) = match &mut self.connection {
            Connection::Client(client) => advance(
                client.process_tls_records(incoming),
                want,
                &mut self.outgoing,
                &mut self.peer_closed,
                deliver,
            ),
            Connection::Server(server) => advance(
                server.process_tls_records(incoming),
                want,
                &mut self.outgoing,
                &mut self.peer_closed,
                deliver,
            ),
        };
        self.incoming.consume(discard);
        step
    }

    /// Encrypts `bytes` into `outgoing`. Records that lie in `incoming` are decrypted on
    /// the way, since rustls gives its encrypter out only when it has nothing else to say.
    pub(super) fn encrypt(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.until_encrypted(|| Want::Encrypt(bytes))
    }

    pub(super) fn say_goodbye(&mut self) -> io::Result<()> {
        if self.said_goodbye {
            return Ok(());
        }
        self.said_goodbye = true;
        self.until_encrypted(|| Want::Goodbye)
    }

    fn until_encrypted<'a>(&mut self, want: impl Fn() -> Want<'a>) -> io::Result<()> {
        loop {
            let mut records = Vec::new();
            let step = self.step(want(), &mut |record| records.extend_from_slice(record))?;
            self.plain.append(&records);
            match step {
                Step::Again => {}
                Step::Encrypted => return Ok(()),
                Step::Ready | Step::NeedsInput => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }
}

/// Handles one state of rustls; gives the bytes of input that it is done with.
fn advance<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    want: Want<'_>,
    outgoing: &mut Buffer,
    peer_closed: &mut bool,
    deliver: &mut dyn FnMut(&[u8]),
) -> (usize, io::Result<Step>) {
    let UnbufferedStatus { mut discard, state } = status;
    let step = match state {
        Err(e) => Err(invalid(e)),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            let mut result = Ok(Step::Again);
            while let Some(record) = traffic.next_record() {
                match record {
                    Ok(record) => {
                        discard += record.discard;
                        deliver(record.payload);
                    }
                    Err(e) => {
                        result = Err(invalid(e));
                        break;
                    }
                }
            }
            result
        }
        Ok(ConnectionState::EncodeTlsData(mut data)) => outgoing
            .fill(0, |room| match data.encode(room) {
                Err(EncodeError::InsufficientSize(needed)) => Err(Filling::Needs(needed)),
                Err(e) => Err(Filling::Failed(io::Error::other(e))),
                Ok(written) => Ok(written),
            })
            .map(|()| Step::Again),
        Ok(ConnectionState::TransmitTlsData(data)) => {
            // It stands in `outgoing`, and goes before anything that is encrypted later.
            data.done();
            Ok(Step::Again)
        }
        Ok(ConnectionState::WriteTraffic(mut traffic)) => match want {
            Want::Progress => Ok(Step::Ready),
            Want::Encrypt(bytes) => outgoing
                .fill(bytes.len() + record_overhead(bytes.len()), |room| {
                    traffic.encrypt(bytes, room).map_err(Filling::from)
                })
                .map(|()| Step::Encrypted),
            Want::Goodbye => outgoing
                .fill(record_overhead(0), |room| {
                    traffic.queue_close_notify(room).map_err(Filling::from)
                })
                .map(|()| Step::Encrypted),
        },
        Ok(ConnectionState::PeerClosed) => {
            *peer_closed = true;
            Ok(Step::Again)
        }
        Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => Ok(Step::NeedsInput),
        Ok(_) => Err(invalid("an unexpected TLS state")),
    };
    (discard, step)
}

/// Header, content type and tag of each record of at most 16 KiB (RFC 8446, 5.2).
fn record_overhead(plain_bytes: usize) -> usize {
    (plain_bytes / (16 * 1024) + 1) * (5 + 1 + 16)
}

pub(super) fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Why a buffer was not filled.
enum Filling {
    Needs(InsufficientSizeError),
    Failed(io::Error),
}

impl From<EncryptError> for Filling {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::InsufficientSize(needed) => Self::Needs(needed),
            EncryptError::EncryptExhausted => Self::Failed(io::Error::other(error)),
        }
    }
}

/// Bytes between `start` and `end` of memory that is kept and reused.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// Bytes of memory that it holds.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn has_any(&self) -> bool {
        self.start < self.end
    }

    pub(super) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end, "consumed more than there is");
        if self.start == self.end {
            self.clear();
        }
    }

    /// Room behind the filled bytes, which move to the front where that makes more of it.
    pub(super) fn room(&mut self, bytes_max: usize) -> io::Result<&mut [u8]> {
        if self.bytes.is_empty() {
            self.bytes.resize(READ_BYTES_MIN, 0);
        }
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.bytes.len() {
            if self.end >= bytes_max {
                return Err(invalid("a TLS message without end"));
            }
            self.bytes.resize((self.end * 2).min(bytes_max), 0);
        }
        Ok(&mut self.bytes[self.end..])
    }

    /// Notes that `count` bytes came into the room. A read that filled it asks for a larger
    /// one: more is waiting.
    pub(super) fn grow_by(&mut self, count: usize, bytes_max: usize) {
        self.end += count;
        let length = self.bytes.len();
        if self.end == length && length < bytes_max {
            self.bytes.resize((length * 2).min(bytes_max), 0);
        }
    }

    pub(super) fn append(&mut self, more: &[u8]) {
        if more.is_empty() {
            return;
        }
        self.reserve(more.len());
        self.bytes[self.end..self.end + more.len()].copy_from_slice(more);
        self.end += more.len();
    }

    fn reserve(&mut self, count: usize) {
        if self.bytes.len() < self.end + count {
            self.bytes.resize(self.end + count, 0);
        }
    }

    /// Lets `write` fill room behind the filled bytes; `expected` bytes are enough unless
    /// it says otherwise.
    fn fill(
        &mut self,
        expected: usize,
        mut write: impl FnMut(&mut [u8]) -> Result<usize, Filling>,
    ) -> io::Result<()> {
        self.reserve(expected);
        loop {
            match write(&mut self.bytes[self.end..]) {
                Ok(written) => {
                    self.end += written;
                    return Ok(());
                }
                Err(Filling::Failed(e)) => return Err(e),
                Err(Filling::Needs(needed)) => self.reserve(needed.required_size),
            }
        }
    }
}
