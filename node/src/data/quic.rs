//! QUIC: what carries a link over distance and loss.
//!
//! Owns: UDP sockets, and every number that says what a connection over them may cost. A
//! link is one connection with one stream, so that losing a packet holds up no other link.
//! The handshake is the one of [`tls`](super::tls). Refuses: datagrams, early data, streams
//! that the server opens; and jumbo packets, for which quinn would set aside a buffer of
//! 134 MB a socket (batches of 32 times 64 segments of the largest size).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::{self, ControllerFactory, CubicConfig};
use quinn::crypto::rustls::HandshakeData;
use quinn::{EndpointConfig, IdleTimeout, TokioRuntime, TransportConfig, VarInt};
use rustls::pki_types::CertificateDer;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::limits::ALPN;

use super::bbr::BbrConfig;
use super::quic_stream::QuicStream;
use super::tls::{TlsIdentity, peer_of};
use super::traffic::Traffic;
use super::windows::WINDOW_BYTES_MIN;

/// What the kernel is asked to keep of packets in each direction; it may give less.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// A connection on which nothing at all comes is over after so long: unlike TCP's, no kernel
/// tells that the process at the other end is gone.
const IDLE: Duration = Duration::from_secs(15);
/// Who has dialled sees to it that something comes, at this interval. Keeps NATs awake too.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// What a server keeps unread of one client: requests are small.
const REQUEST_WINDOW_BYTES: u32 = 128 << 10;
/// Handshakes that wait for the accepting task, and what each and all of them may send ahead.
const WAITING: (usize, u64, u64) = (256, 16 << 10, 2 << 20);
/// Certificates carry no names and the name is not sent (no SNI).
const NAME: &str = "shoal";

/// How much of a path a connection takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Congestion {
    /// By the rate that gets through (BBR): a lost packet is no sign of a full link.
    #[default]
    Bbr,
    /// The same as quinn has it, to be measured beside ours.
    QuinnBbr,
    /// By losses (CUBIC, RFC 9438), as TCP does.
    Cubic,
}

/// What can be chosen about QUIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuicOptions {
    /// The most bytes of one connection that are under way, which either end may have to
    /// keep in memory; as many as the path takes are used.
    pub window_bytes: u64,
    /// How much of a path is taken.
    pub congestion: Congestion,
}

impl Default for QuicOptions {
    fn default() -> Self {
        Self {
            window_bytes: 16 << 20,
            congestion: Congestion::default(),
        }
    }
}

impl QuicOptions {
    /// Windows are never smaller than what they begin with.
    fn window(&self) -> u32 {
        let most = u64::from(u32::MAX);
        u32::try_from(self.window_bytes.clamp(WINDOW_BYTES_MIN, most)).expect("clamped")
    }

    fn transport(&self) -> TransportConfig {
        let congestion: Arc<dyn ControllerFactory + Send + Sync> = match self.congestion {
            Congestion::Bbr => Arc::new(BbrConfig),
            Congestion::QuinnBbr => Arc::new(congestion::BbrConfig::default()),
            Congestion::Cubic => Arc::new(CubicConfig::default()),
        };
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .max_idle_timeout(Some(IdleTimeout::try_from(IDLE).expect("a short time")))
            .send_window(WINDOW_BYTES_MIN)
            .congestion_controller_factory(congestion);
        transport
    }

    /// Of who asks: it opens the stream, and receives much.
    fn client_transport(&self) -> TransportConfig {
        let mut transport = self.transport();
        transport
            .keep_alive_interval(Some(KEEP_ALIVE))
            .receive_window(VarInt::from_u64(WINDOW_BYTES_MIN).expect("small"))
            .stream_receive_window(VarInt::from_u32(self.window()));
        transport
    }

    /// Of who answers: it receives requests.
    fn server_transport(&self) -> TransportConfig {
        let mut transport = self.transport();
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(1))
            .receive_window(VarInt::from_u32(REQUEST_WINDOW_BYTES))
            .stream_receive_window(VarInt::from_u32(REQUEST_WINDOW_BYTES));
        transport
    }
}

/// A UDP socket and the connections over it.
pub struct QuicSocket {
    endpoint: quinn::Endpoint,
    tls: TlsIdentity,
    options: QuicOptions,
}

impl QuicSocket {
    /// Accepts on `socket`. Must be called in a tokio runtime.
    pub fn serving(socket: UdpSocket, tls: &TlsIdentity, options: QuicOptions) -> io::Result<Self> {
        let crypto = tls.quic_server().map_err(io::Error::other)?;
        let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        let (waiting, bytes, bytes_in_all) = WAITING;
        server
            .transport_config(Arc::new(options.server_transport()))
            .max_incoming(waiting)
            .incoming_buffer_size(bytes)
            .incoming_buffer_size_total(bytes_in_all);
        Self::over(socket, Some(server), tls, options)
    }

    /// Only connects, from any port. Must be called in a tokio runtime.
    pub fn dialling(tls: &TlsIdentity, options: QuicOptions) -> io::Result<Self> {
        // The first takes IPv4 as well, where there is IPv6 at all.
        let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))
            .or_else(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
        Self::over(socket, None, tls, options)
    }

    fn over(
        socket: UdpSocket,
        server: Option<quinn::ServerConfig>,
        tls: &TlsIdentity,
        options: QuicOptions,
    ) -> io::Result<Self> {
        enlarge(&socket);
        let config = EndpointConfig::default();
        let endpoint = quinn::Endpoint::new(config, server, socket, Arc::new(TokioRuntime))?;
        Ok(Self {
            endpoint,
            tls: tls.clone(),
            options,
        })
    }

    /// Where it is bound.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Connects to `peer` and nobody else.
    pub async fn connect(
        &self,
        peer: PeerKey,
        address: SocketAddr,
        traffic: Arc<Traffic>,
    ) -> io::Result<QuicStream> {
        let crypto = self.tls.quic_client(peer).map_err(io::Error::other)?;
        let mut client = quinn::ClientConfig::new(Arc::new(crypto));
        client.transport_config(Arc::new(self.options.client_transport()));
        let connecting = self.endpoint.connect_with(client, address, NAME);
        let connection = connecting.map_err(io::Error::other)?.await?;
        let peer = authenticated(&connection)?;
        let (send, receive) = connection.open_bi().await?;
        let window = self.options.window().into();
        Ok(QuicStream::new(
            peer, connection, send, receive, traffic, window,
        ))
    }

    /// Whoever comes next; nobody any more once the socket is closed.
    pub async fn next(&self) -> Option<Knock> {
        let incoming = self.endpoint.accept().await?;
        let window = self.options.window().into();
        Some(Knock { incoming, window })
    }

    /// Lets nobody in any more, and waits until all connections have ended.
    pub async fn finish(&self) {
        self.endpoint.set_server_config(None);
        self.endpoint.wait_idle().await;
    }

    /// Ends all connections.
    pub fn close(&self) {
        self.endpoint.close(VarInt::from_u32(0), b"");
    }
}

/// Somebody who began a handshake. It is refused if this is dropped.
pub struct Knock {
    incoming: quinn::Incoming,
    window: u64,
}

impl Knock {
    /// Where the packets say that they come from.
    pub fn address(&self) -> SocketAddr {
        self.incoming.remote_address()
    }

    /// Whether that is known to be true.
    pub fn is_proven(&self) -> bool {
        self.incoming.remote_address_validated()
    }

    /// Has the other end show that packets reach it where it says (RFC 9000, section 8.1.2).
    /// Costs it a round trip, and us no memory meanwhile.
    pub fn ask_for_proof(self) {
        if let Err(error) = self.incoming.retry() {
            error.into_incoming().refuse();
        }
    }

    /// Shakes hands and waits for the stream.
    pub async fn open(self, traffic: Arc<Traffic>) -> io::Result<QuicStream> {
        let window = self.window;
        let connection = self.incoming.accept()?.await?;
        let peer = authenticated(&connection)?;
        let (send, receive) = connection.accept_bi().await?;
        Ok(QuicStream::new(
            peer, connection, send, receive, traffic, window,
        ))
    }
}

/// Who is at the other end, by the certificate that the handshake verified.
fn authenticated(connection: &quinn::Connection) -> io::Result<PeerKey> {
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let handshake = connection.handshake_data();
    let handshake = handshake.and_then(|data| data.downcast::<HandshakeData>().ok());
    if handshake.and_then(|data| data.protocol).as_deref() != Some(ALPN) {
        return Err(invalid("the peer does not speak shoal"));
    }
    let identity = connection.peer_identity();
    let chain = identity.and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
    let peer = peer_of(chain.as_deref().map(Vec::as_slice));
    peer.ok_or_else(|| invalid("no certificate"))
}

/// The default buffers hold a few milliseconds of a fast link.
fn enlarge(socket: &UdpSocket) {
    use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
    let enlarged = set_socket_recv_buffer_size(socket, SOCKET_BUFFER_BYTES)
        .and_then(|()| set_socket_send_buffer_size(socket, SOCKET_BUFFER_BYTES));
    if let Err(error) = enlarged {
        tracing::debug!(%error, "the buffers of a UDP socket stay as they are");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    struct Node {
        key: PeerKey,
        tls: TlsIdentity,
        socket: QuicSocket,
        at: SocketAddr,
    }

    fn node() -> Node {
        let identity = Identity::generate();
        let tls = TlsIdentity::new(&identity).unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let socket = QuicSocket::serving(socket, &tls, QuicOptions::default()).unwrap();
        Node {
            key: identity.peer_key(),
            at: socket.local_address().unwrap(),
            tls,
            socket,
        }
    }

    #[derive(Debug)]
    struct NoCertificate;

    impl rustls::client::ResolvesClientCert for NoCertificate {
        fn resolve(
            &self,
            _: &[&[u8]],
            _: &[rustls::SignatureScheme],
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            None
        }

        fn has_certs(&self) -> bool {
            false
        }
    }

    async fn accept(node: &Node) -> io::Result<QuicStream> {
        node.socket.next().await.unwrap().open(Traffic::new()).await
    }

    /// Connects and says something, without which no stream is there for the server.
    async fn connect(from: &Node, to: &Node, expected: PeerKey) -> io::Result<QuicStream> {
        let connected = from.socket.connect(expected, to.at, Traffic::new()).await;
        let mut stream = connected?;
        stream.write_all(b"hello").await?;
        Ok(stream)
    }

    #[tokio::test]
    async fn both_ends_learn_who_the_other_is() {
        let (alice, bob) = (node(), node());
        let (client, server) = tokio::join!(connect(&alice, &bob, bob.key), accept(&bob));
        assert_eq!(client.unwrap().peer(), bob.key);
        assert_eq!(server.unwrap().peer(), alice.key);
    }

    #[tokio::test]
    async fn a_server_that_is_somebody_else_is_left() {
        let (alice, bob, mallory) = (node(), node(), node());
        let (client, server) = tokio::join!(connect(&alice, &mallory, bob.key), accept(&mallory));
        assert!(client.is_err() && server.is_err());
    }

    #[tokio::test]
    async fn a_client_of_another_protocol_or_without_a_certificate_is_refused() {
        let (alice, bob) = (node(), node());
        let mut other = (*alice.tls.client(bob.key).unwrap()).clone();
        other.alpn_protocols = vec![b"h3".to_vec()];
        let mut nobody = (*alice.tls.client(bob.key).unwrap()).clone();
        nobody.client_auth_cert_resolver = Arc::new(NoCertificate);
        for config in [other, nobody] {
            let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
            let config = quinn::ClientConfig::new(Arc::new(crypto));
            let dialling = alice.socket.endpoint.connect_with(config, bob.at, NAME);
            let client = async {
                let connection = dialling.unwrap().await?;
                // A client is through before the server has judged its certificate.
                Err::<(), _>(connection.closed().await)
            };
            let (client, server) = tokio::join!(client, accept(&bob));
            assert!(client.is_err() && server.is_err());
        }
    }

    #[tokio::test]
    async fn what_was_sent_before_the_end_arrives_and_is_counted_with_its_packets() {
        let (alice, bob) = (node(), node());
        let traffic = Traffic::new();
        let bytes: Vec<u8> = (0..5_000_000_u32).map(|i| (i % 251) as u8).collect();
        let send = async {
            let mut stream = accept(&bob).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let receive = async {
            let stream = alice.socket.connect(bob.key, bob.at, Arc::clone(&traffic));
            let mut stream = stream.await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            let mut got = vec![0; bytes.len()];
            let mut read = 0;
            while read < got.len() {
                read += stream.read(&mut got[read..]).await.unwrap();
                assert!(traffic.received() >= read as u64);
            }
            assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
            got
        };
        let ((), got) = tokio::join!(send, receive);
        assert!(got == bytes);
        let counted = traffic.received();
        assert!((5_000_000..5_600_000).contains(&counted), "{counted}");
    }

    #[tokio::test]
    async fn whoever_is_asked_to_prove_its_address_gets_in_afterwards() {
        let (alice, bob) = (node(), node());
        let serve = async {
            let first = bob.socket.next().await.unwrap();
            assert!(!first.is_proven());
            first.ask_for_proof();
            let second = bob.socket.next().await.unwrap();
            assert!(second.is_proven());
            second.open(Traffic::new()).await
        };
        let (client, server) = tokio::join!(connect(&alice, &bob, bob.key), serve);
        assert!(client.is_ok() && server.is_ok());
    }

    #[tokio::test]
    async fn a_connection_that_was_dropped_is_told_from_one_that_ended() {
        let (alice, bob) = (node(), node());
        let (client, server) = tokio::join!(connect(&alice, &bob, bob.key), accept(&bob));
        drop(server);
        let error = client.unwrap().read(&mut [0; 8]).await;
        assert!(error.is_err());
    }
}
