//! A TLS connection as a byte stream that moves bulk data in large steps.
//!
//! Owns: the handshake, and the buffers between socket and cipher. It drives rustls'
//! unbuffered interface, because the buffered one reads the socket 4 KiB at a time and
//! copies every byte once more; here a socket read brings up to 256 KiB, which is decrypted
//! where it lies. Refuses: who the peer may be (the verifiers in [`tls`](super::tls)) and
//! what the bytes mean.
//!
//! Memory: an idle connection holds about 20 KiB; one that moves data grows to
//! [`READ_BYTES_MAX`] and [`WRITE_BYTES`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use rustls::{ClientConfig, CommonState, ServerConfig};
use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::limits::ALPN;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::tls::peer_of;

/// The most that one socket read brings.
pub const READ_BYTES_MAX: usize = 256 * 1024;
/// The most plain bytes that are encrypted before the socket takes them.
pub const WRITE_BYTES: usize = 128 * 1024;
/// Where the read buffer begins: a whole record (16 KiB and its overhead) fits.
const READ_BYTES_MIN: usize = 17 * 1024;
/// No honest handshake flight comes near this.
const HANDSHAKE_BYTES_MAX: usize = 32 * 1024;

/// A TLS 1.3 connection whose handshake is done.
pub struct TlsStream<T> {
    io: T,
    peer: PeerKey,
    machine: Machine,
}

impl<T: AsyncRead + AsyncWrite + Unpin> TlsStream<T> {
    /// Connects over `io`; `config` says to whom.
    pub async fn connect(io: T, config: Arc<ClientConfig>) -> io::Result<Self> {
        // Certificates carry no names and the name is not sent (no SNI).
        let name = ServerName::try_from("shoal").expect("a valid DNS name");
        let client = UnbufferedClientConnection::new(config, name).map_err(io::Error::other)?;
        Self::handshake(io, Connection::Client(Box::new(client))).await
    }

    /// Accepts whoever is at the other end of `io`.
    pub async fn accept(io: T, config: Arc<ServerConfig>) -> io::Result<Self> {
        let server = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        Self::handshake(io, Connection::Server(Box::new(server))).await
    }

    async fn handshake(mut io: T, connection: Connection) -> io::Result<Self> {
        let mut machine = Machine::new(connection);
        loop {
            // What a hasty peer sends right behind its last handshake record is kept.
            let mut records = Vec::new();
            let step = machine.step(Want::Progress, &mut |record| {
                records.extend_from_slice(record);
            });
            machine.plain.append(&records);
            // An alert that says why goes out even where the handshake failed.
            if machine.outgoing.has_any() {
                io.write_all(machine.outgoing.filled()).await?;
                machine.outgoing.clear();
                io.flush().await?;
            }
            match step? {
                Step::Again => {}
                Step::Ready if !machine.connection.state().is_handshaking() => break,
                Step::Ready | Step::NeedsInput => {
                    let room = machine.incoming.room(HANDSHAKE_BYTES_MAX)?;
                    let read = io.read(room).await?;
                    if read == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    machine.incoming.grow_by(read, HANDSHAKE_BYTES_MAX);
                }
                Step::Encrypted => unreachable!("nothing was given to encrypt"),
            }
            if machine.peer_closed {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let state = machine.connection.state();
        if state.alpn_protocol() != Some(ALPN) {
            return Err(invalid("the peer does not speak shoal"));
        }
        let peer = peer_of(state.peer_certificates()).ok_or_else(|| invalid("no certificate"))?;
        Ok(Self { io, peer, machine })
    }

    /// Who is at the other end.
    pub fn peer(&self) -> PeerKey {
        self.peer
    }

    /// Gives the socket what is encrypted and waits.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outgoing = &mut self.machine.outgoing;
        while outgoing.has_any() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, outgoing.filled()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            outgoing.consume(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Runs the machine until `into` is full or it wants input; plain bytes that do not fit
    /// wait.
    fn decrypt(&mut self, into: &mut ReadBuf<'_>) -> io::Result<()> {
        loop {
            let Machine { plain, .. } = &mut self.machine;
            if plain.has_any() {
                let count = plain.filled().len().min(into.remaining());
                into.put_slice(&plain.filled()[..count]);
                plain.consume(count);
            }
            if into.remaining() == 0 {
                return Ok(());
            }
            let mut left_over = Vec::new();
            let step = self.machine.step(Want::Progress, &mut |record| {
                let count = record.len().min(into.remaining());
                into.put_slice(&record[..count]);
                left_over.extend_from_slice(&record[count..]);
            })?;
            self.machine.plain.append(&left_over);
            if !matches!(step, Step::Again) {
                return Ok(());
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = into.filled().len();
        loop {
            this.decrypt(into)?;
            if into.filled().len() > before || this.machine.peer_closed {
                return Poll::Ready(Ok(()));
            }
            let mut room = ReadBuf::new(this.machine.incoming.room(READ_BYTES_MAX)?);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut room))?;
            match room.filled().len() {
                // Without TLS' farewell the stream was cut, by whomever.
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                read => this.machine.incoming.grow_by(read, READ_BYTES_MAX),
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<T> {
    /// Takes and encrypts bytes; they reach the socket once [`WRITE_BYTES`] have come
    /// together or the stream is flushed, so that a small header travels with its payload.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.machine.outgoing.filled().len() >= WRITE_BYTES {
            ready!(self.poll_send(cx))?;
        }
        let taken = &bytes[..bytes.len().min(WRITE_BYTES)];
        self.machine.encrypt(taken)?;
        if self.machine.outgoing.filled().len() >= WRITE_BYTES
            && let Poll::Ready(sent) = self.poll_send(cx)
        {
            sent?;
        }
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.machine.say_goodbye()?;
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Either side of a connection. Boxed: rustls' states are large and this one is moved.
enum Connection {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

impl Connection {
    fn state(&self) -> &CommonState {
        match self {
            Self::Client(client) => client,
            Self::Server(server) => server,
        }
    }
}

/// What the caller of [`Machine::step`] is after.
enum Want<'a> {
    /// To get on: decrypt, shake hands.
    Progress,
    /// To have these bytes encrypted.
    Encrypt(&'a [u8]),
    /// To end the connection.
    Goodbye,
}

/// What a step came to.
enum Step {
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
struct Machine {
    connection: Connection,
    /// Encrypted bytes from the socket.
    incoming: Buffer,
    /// Plain bytes that no reader has taken yet: at most what `incoming` can hold.
    plain: Buffer,
    /// Encrypted bytes for the socket.
    outgoing: Buffer,
    /// The peer said that nothing more comes.
    peer_closed: bool,
    said_goodbye: bool,
}

impl Machine {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            incoming: Buffer::default(),
            plain: Buffer::default(),
            outgoing: Buffer::default(),
            peer_closed: false,
            said_goodbye: false,
        }
    }

    fn step(&mut self, want: Want<'_>, deliver: &mut dyn FnMut(&[u8])) -> io::Result<Step> {
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
    fn encrypt(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.until_encrypted(|| Want::Encrypt(bytes))
    }

    fn say_goodbye(&mut self) -> io::Result<()> {
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

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
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
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn has_any(&self) -> bool {
        self.start < self.end
    }

    fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end, "consumed more than there is");
        if self.start == self.end {
            self.clear();
        }
    }

    /// Room behind the filled bytes, which move to the front where that makes more of it.
    fn room(&mut self, bytes_max: usize) -> io::Result<&mut [u8]> {
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
    fn grow_by(&mut self, count: usize, bytes_max: usize) {
        self.end += count;
        let length = self.bytes.len();
        if self.end == length && length < bytes_max {
            self.bytes.resize((length * 2).min(bytes_max), 0);
        }
    }

    fn append(&mut self, more: &[u8]) {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::tls::TlsIdentity;
    use crate::identity::Identity;
    use tokio::io::{DuplexStream, duplex, split};

    struct Node {
        key: PeerKey,
        tls: TlsIdentity,
    }

    fn node() -> Node {
        let identity = Identity::generate();
        Node {
            key: identity.peer_key(),
            tls: TlsIdentity::new(&identity).unwrap(),
        }
    }

    type Pair = (
        io::Result<TlsStream<DuplexStream>>,
        io::Result<TlsStream<DuplexStream>>,
    );

    async fn shake_hands(client: &Node, expected: PeerKey, server: &Node) -> Pair {
        let (a, b) = duplex(64 * 1024);
        tokio::join!(
            TlsStream::connect(a, client.tls.client(expected).unwrap()),
            TlsStream::accept(b, server.tls.server()),
        )
    }

    #[tokio::test]
    async fn both_ends_learn_who_the_other_is() {
        let (alice, bob) = (node(), node());
        let (client, server) = shake_hands(&alice, bob.key, &bob).await;
        assert_eq!(client.unwrap().peer(), bob.key);
        assert_eq!(server.unwrap().peer(), alice.key);
    }

    #[tokio::test]
    async fn a_server_that_is_somebody_else_is_left() {
        let (alice, bob, mallory) = (node(), node(), node());
        let (client, server) = shake_hands(&alice, bob.key, &mallory).await;
        assert!(client.is_err());
        assert!(server.is_err());
    }

    #[tokio::test]
    async fn a_client_of_another_protocol_is_refused() {
        let (alice, bob) = (node(), node());
        let mut config = (*alice.tls.client(bob.key).unwrap()).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (a, b) = duplex(64 * 1024);
        let (client, server) = tokio::join!(
            TlsStream::connect(a, Arc::new(config)),
            TlsStream::accept(b, bob.tls.server()),
        );
        assert!(client.is_err() && server.is_err());
    }

    #[tokio::test]
    async fn bytes_arrive_in_order_in_both_directions_at_once() {
        let (alice, bob) = (node(), node());
        let (client, server) = shake_hands(&alice, bob.key, &bob).await;
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        let (expected, lengths) = (bytes.clone(), [1, 7, 40_000, 16_384, 300_000]);
        let run = |stream: TlsStream<DuplexStream>| {
            let (bytes, expected) = (bytes.clone(), expected.clone());
            async move {
                let (mut read, mut write) = split(stream);
                let send = async {
                    let mut rest = &bytes[..];
                    for length in lengths.iter().cycle() {
                        let (now, later) = rest.split_at(rest.len().min(*length));
                        write.write_all(now).await.unwrap();
                        rest = later;
                        if rest.is_empty() {
                            break;
                        }
                    }
                    write.shutdown().await.unwrap();
                };
                let receive = async {
                    let mut got = Vec::new();
                    read.read_to_end(&mut got).await.unwrap();
                    assert!(got == expected);
                };
                tokio::join!(send, receive);
            }
        };
        tokio::join!(run(client.unwrap()), run(server.unwrap()));
    }

    #[tokio::test]
    async fn a_cut_connection_is_told_from_one_that_ended() {
        let (alice, bob) = (node(), node());
        let (client, server) = shake_hands(&alice, bob.key, &bob).await;
        let mut client = client.unwrap();
        drop(server);
        let error = client.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn garbage_instead_of_a_handshake_is_an_error() {
        let bob = node();
        for garbage in [&[0_u8; 64][..], b"GET / HTTP/1.1\r\n\r\n", &[0x16; 40_000]] {
            let (mut a, b) = duplex(1024 * 1024);
            a.write_all(garbage).await.unwrap();
            drop(a);
            assert!(TlsStream::accept(b, bob.tls.server()).await.is_err());
        }
    }

    #[tokio::test]
    async fn an_idle_connection_holds_little_memory() {
        let (alice, bob) = (node(), node());
        let (_client, server) = shake_hands(&alice, bob.key, &bob).await;
        let machine = server.unwrap().machine;
        let held = machine.incoming.bytes.len() + machine.outgoing.bytes.len();
        assert!(held < 32 * 1024, "{held}");
    }
}
