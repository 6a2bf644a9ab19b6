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
use rustls::{ClientConfig, ServerConfig};
use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::limits::ALPN;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::tls::peer_of;
use super::tls_machine::{Connection, Machine, Step, Want, invalid};

/// The most that one socket read brings.
pub const READ_BYTES_MAX: usize = 256 * 1024;
/// The most plain bytes that are encrypted before the socket takes them.
pub const WRITE_BYTES: usize = 128 * 1024;
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
        let held = machine.incoming.memory() + machine.outgoing.memory();
        assert!(held < 32 * 1024, "{held}");
    }
}
