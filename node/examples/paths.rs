//! How fast links are over a path: `paths serve ADDRESS bbr|cubic` on one machine, `paths fetch
//! tcp|quic ADDRESS SECONDS` on another. `tests/bench/paths.py` runs both over paths of chosen
//! delay and loss. Both ends have keys that everybody knows: nothing but zeros is sent.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use shoal_node::data::Traffic;
use shoal_node::data::link::Link;
use shoal_node::data::quic::{Congestion, QuicOptions, QuicSocket};
use shoal_node::data::tls::TlsIdentity;
use shoal_node::data::tls_stream::TlsStream;
use shoal_node::identity::Identity;
use shoal_protocol::wire::{Codec, Ping, RequestId, RunData};
use tokio::net::{TcpListener, TcpStream};

const FRAME: usize = 1 << 20;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", address, congestion] => serve(address.parse()?, congestion).await,
        ["fetch", way, address, seconds] => {
            let time = Duration::from_secs_f64(seconds.parse()?);
            fetch(way, address.parse()?, time).await
        }
        _ => Err("paths serve ADDRESS bbr|cubic, or paths fetch tcp|quic ADDRESS SECONDS".into()),
    }
}

fn server() -> Identity {
    Identity::from_secret([1; 32])
}

async fn serve(address: SocketAddr, congestion: &str) -> Result<(), Failure> {
    let tls = TlsIdentity::new(&server())?;
    let options = QuicOptions {
        congestion: match congestion {
            "cubic" => Congestion::Cubic,
            _ => Congestion::Bbr,
        },
        ..QuicOptions::default()
    };
    let tcp = TcpListener::bind(address).await?;
    let quic = QuicSocket::serving(UdpSocket::bind(address)?, &tls, options)?;
    loop {
        let link = tokio::select! {
            accepted = tcp.accept() => {
                let stream = TlsStream::accept(accepted?.0, tls.server()).await?;
                Link::new(stream.peer(), stream)
            }
            Some(knock) = quic.next() => {
                let stream = knock.open(Traffic::new()).await?;
                Link::new(stream.peer(), stream)
            }
        };
        tokio::spawn(send(link));
    }
}

async fn send(mut link: Link) {
    let payload = vec![0; FRAME];
    let data = RunData {
        request: RequestId(1),
        position: 0,
        codec: Codec::Raw,
        plain_length: FRAME as u32,
    };
    while link.writer.send(data, &payload).await.is_ok() {}
}

async fn fetch(way: &str, address: SocketAddr, time: Duration) -> Result<(), Failure> {
    let tls = TlsIdentity::new(&Identity::from_secret([2; 32]))?;
    let peer = server().peer_key();
    let options = QuicOptions::default();
    let mut link = match way {
        "quic" => {
            let socket = QuicSocket::dialling(&tls, options)?;
            let stream = socket.connect(peer, address, Traffic::new()).await?;
            Link::new(stream.peer(), stream)
        }
        _ => {
            let stream = TcpStream::connect(address).await?;
            let stream = TlsStream::connect(stream, tls.client(peer)?).await?;
            Link::new(stream.peer(), stream)
        }
    };
    link.writer.send(Ping { token: 1 }, &[]).await?;
    link.writer.flush().await?;
    let (began, mut bytes, mut buffer) = (Instant::now(), 0, vec![0; FRAME]);
    while began.elapsed() < time {
        let (_, length) = link.reader.message(|_| true).await?;
        link.reader.payload(&mut buffer[..length]).await?;
        bytes += length;
    }
    let mbit = bytes as f64 * 8.0 / 1e6 / began.elapsed().as_secs_f64();
    println!("{mbit:.1}");
    Ok(())
}
