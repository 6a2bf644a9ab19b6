//! How fast links alone are over paths of chosen delay and loss: TLS over TCP, and QUIC with
//! either congestion control, beside each other in one run. Nothing is stored, and nothing but
//! zeros is sent, by ends whose keys everybody knows.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use shoal_node::data::Traffic;
use shoal_node::data::link::Link;
use shoal_node::data::quic::{Congestion, QuicOptions, QuicSocket};
use shoal_node::data::tls::TlsIdentity;
use shoal_node::data::tls_stream::TlsStream;
use shoal_node::identity::Identity;
use shoal_protocol::wire::{Codec, Ping, RequestId, RunData};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::path::{Path, Shape};
use crate::transfer::ticket_of;

const FRAME: usize = 1 << 20;
const DELAYS_MS: [f64; 3] = [0.0, 20.0, 80.0];
const LOSSES: [f64; 3] = [0.0, 0.1, 1.0];
const PORT: u16 = 4801;

/// What carries the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Carrier {
    Tcp,
    Bbr,
    Cubic,
}

/// How long is measured, and the words for the ends, which run on hosts of their own.
#[derive(Debug, Clone, Args)]
pub struct Ends {
    /// Links: for how long after the connection began, in seconds.
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    #[arg(long, hide = true, default_value = "tcp")]
    carrier: Carrier,
}

/// Prints a table of Mbit/s of payload.
pub fn run(shape: &Shape, ends: &Ends) -> io::Result<()> {
    println!(
        "\n### Links alone, {} Mbit/s, MTU 1500, the first {} s, in Mbit/s\n",
        shape.mbit, ends.seconds
    );
    println!("| round trip | loss | TCP + TLS | QUIC, BBR | QUIC, CUBIC |");
    println!("|---|---|---|---|---|");
    for delay in DELAYS_MS {
        for loss in LOSSES {
            let path = Path::new(Shape::of(shape.mbit, delay, loss).line())?;
            let mut row = Vec::new();
            for carrier in [Carrier::Tcp, Carrier::Bbr, Carrier::Cubic] {
                row.push(rate(&path, carrier, ends.seconds)?);
            }
            println!("| {delay} ms | {loss} % | {} |", row.join(" | "));
        }
    }
    Ok(())
}

fn rate(path: &Path, carrier: Carrier, seconds: f64) -> io::Result<String> {
    let end = |what: &str| -> io::Result<Command> {
        let mut end = Command::new(std::env::current_exe()?);
        let name = carrier.to_possible_value().expect("all have names");
        end.args([what, "--carrier", name.get_name()])
            .args(["--listen", &format!("{}:{PORT}", path.near.ip)])
            .args(["--seconds", &seconds.to_string()]);
        Ok(end)
    };
    let (_ready, _source) = ticket_of(path.near.take_in(&end("link-source")?))?;
    let (rate, _sink) = ticket_of(path.far.take_in(&end("link-sink")?))?;
    Ok(rate)
}

/// Sends to everybody who connects, and says when it listens.
pub fn source(at: SocketAddr, ends: &Ends) -> io::Result<()> {
    Runtime::new()?.block_on(async {
        let tls = TlsIdentity::new(&identity(1)).map_err(io::Error::other)?;
        let options = QuicOptions {
            congestion: match ends.carrier {
                Carrier::Cubic => Congestion::Cubic,
                Carrier::Tcp | Carrier::Bbr => Congestion::Bbr,
            },
            ..QuicOptions::default()
        };
        let tcp = TcpListener::bind(at).await?;
        let quic = QuicSocket::serving(UdpSocket::bind(at)?, &tls, options)?;
        println!("ready");
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
    })
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

/// Receives for a while, and says how much came in a second.
pub fn sink(from: SocketAddr, ends: &Ends) -> io::Result<()> {
    Runtime::new()?.block_on(async {
        let tls = TlsIdentity::new(&identity(2)).map_err(io::Error::other)?;
        let peer = identity(1).peer_key();
        let began = Instant::now();
        let mut link = if ends.carrier == Carrier::Tcp {
            let config = tls.client(peer).map_err(io::Error::other)?;
            let stream = TlsStream::connect(TcpStream::connect(from).await?, config).await?;
            Link::new(stream.peer(), stream)
        } else {
            let socket = QuicSocket::dialling(&tls, QuicOptions::default())?;
            let stream = socket.connect(peer, from, Traffic::new()).await?;
            Link::new(stream.peer(), stream)
        };
        let ping = link.writer.send(Ping { token: 1 }, &[]).await;
        ping.map_err(io::Error::other)?;
        link.writer.flush().await.map_err(io::Error::other)?;
        let (mut bytes, mut buffer) = (0, vec![0; FRAME]);
        while began.elapsed() < Duration::from_secs_f64(ends.seconds) {
            let (_, length) = link
                .reader
                .message(|_| true)
                .await
                .map_err(io::Error::other)?;
            let payload = link.reader.payload(&mut buffer[..length]);
            payload.await.map_err(io::Error::other)?;
            bytes += length;
        }
        let mbit = bytes as f64 * 8e-6 / began.elapsed().as_secs_f64();
        println!("{mbit:.1}");
        Ok(())
    })
}

fn identity(number: u8) -> Identity {
    Identity::from_secret([number; 32])
}
