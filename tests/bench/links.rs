//! How fast links alone are on loopback and over paths of chosen delay and loss: TLS over TCP
//! and QUIC, with each congestion control, beside each other in one run. Nothing is stored, and
//! nothing but zeros is sent, by ends whose keys everybody knows.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use rustix::net::sockopt::set_tcp_congestion;
use shoal_node::data::Traffic;
use shoal_node::data::link::Link;
use shoal_node::data::quic::{Congestion, QuicOptions, QuicSocket};
use shoal_node::data::tls::TlsIdentity;
use shoal_node::data::tls_stream::TlsStream;
use shoal_node::identity::Identity;
use shoal_protocol::wire::{Codec, Ping, RequestId, RunData};
use shoal_tests::lab::Host;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::path::{Path, Shape};
use crate::transfer::line_of;

const FRAME: usize = 1 << 20;
const DELAYS_MS: [f64; 3] = [0.0, 20.0, 80.0];
const LOSSES: [f64; 3] = [0.0, 0.1, 1.0];
const SECOND: Duration = Duration::from_secs(1);
const PORT: u16 = 4801;

/// What carries the link, and which congestion control its source uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Carrier {
    /// TLS over TCP with the kernel's BBR.
    TcpBbr,
    /// TLS over TCP with the kernel's CUBIC, as most machines have it.
    TcpCubic,
    /// QUIC with BBR.
    Bbr,
    /// QUIC with BBR as quinn has it.
    QuinnBbr,
    /// QUIC with CUBIC.
    Cubic,
}

impl Carrier {
    /// What the kernel calls the congestion control of its TCP.
    fn kernel_name(self) -> Option<&'static str> {
        match self {
            Self::TcpBbr => Some("bbr"),
            Self::TcpCubic => Some("cubic"),
            Self::Bbr | Self::QuinnBbr | Self::Cubic => None,
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Self::TcpBbr => "TCP + TLS, BBR",
            Self::TcpCubic => "TCP + TLS, CUBIC",
            Self::Bbr => "QUIC, BBR",
            Self::QuinnBbr => "QUIC, quinn's BBR",
            Self::Cubic => "QUIC, CUBIC",
        }
    }
}

/// How long is measured, and the words for the ends, which run on hosts of their own.
#[derive(Debug, Clone, Args)]
pub struct Ends {
    /// Links: for how long after the connection began, in seconds.
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Links: only these round trips, in milliseconds.
    #[arg(long, value_delimiter = ',', default_values_t = DELAYS_MS)]
    delays: Vec<f64>,
    /// Links: only these losses, in packets of a hundred.
    #[arg(long, value_delimiter = ',', default_values_t = LOSSES)]
    losses: Vec<f64>,
    /// Links: only these ways.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_values_t = Carrier::value_variants().to_vec()
    )]
    carriers: Vec<Carrier>,
    /// Links: another at the same time on the same line, whose rate is told as well.
    #[arg(long)]
    beside: Option<Carrier>,
    /// Links: leave out loopback.
    #[arg(long)]
    no_loopback: bool,
    /// Links: say what came in each second.
    #[arg(long)]
    watch: bool,
}

impl Ends {
    /// The one way of an end.
    fn carrier(&self) -> Carrier {
        self.carriers[0]
    }
}

/// Prints a table of Mbit/s of payload.
pub fn run(shape: &Shape, ends: &Ends) -> io::Result<()> {
    let headings: Vec<_> = ends.carriers.iter().map(|c| c.heading()).collect();
    println!(
        "\n### Links alone, {} Mbit/s, MTU 1500, the first {} s, in Mbit/s\n",
        shape.mbit, ends.seconds
    );
    if let Some(other) = ends.beside {
        println!(
            "Each beside {}, whose rate comes second.\n",
            other.heading()
        );
    }
    println!("| round trip | loss | {} |", headings.join(" | "));
    println!("|---|---|{}", "---|".repeat(headings.len()));
    if !ends.no_loopback {
        println!("| loopback | | {} |", row(None, ends)?);
    }
    for delay in &ends.delays {
        for loss in &ends.losses {
            let path = Path::new(Shape::of(shape.mbit, *delay, *loss).line())?;
            println!("| {delay} ms | {loss} % | {} |", row(Some(&path), ends)?);
        }
    }
    Ok(())
}

fn row(path: Option<&Path>, ends: &Ends) -> io::Result<String> {
    let rates = ends.carriers.iter().map(|carrier| {
        thread::scope(|scope| {
            let beside = ends
                .beside
                .map(|other| scope.spawn(move || rate(path, other, PORT + 1, ends)));
            let rate = rate(path, *carrier, PORT, ends)?;
            match beside {
                None => Ok(rate),
                Some(other) => {
                    let other = other.join().expect("it does not panic")?;
                    Ok(format!("{rate}, and {other}"))
                }
            }
        })
    });
    Ok(rates.collect::<io::Result<Vec<_>>>()?.join(" | "))
}

/// What one link brings, over a path or on loopback.
fn rate(path: Option<&Path>, carrier: Carrier, port: u16, ends: &Ends) -> io::Result<String> {
    let near = path.map_or(Ipv4Addr::LOCALHOST, |path| path.near.ip);
    let end = |what: &str, host: Option<&Host>| -> io::Result<Command> {
        let mut end = Command::new(std::env::current_exe()?);
        let name = carrier.to_possible_value().expect("all have names");
        end.args([what, "--carriers", name.get_name()])
            .args(["--listen", &format!("{near}:{port}")])
            .args(["--seconds", &ends.seconds.to_string()]);
        if ends.watch {
            end.arg("--watch");
        }
        Ok(match host {
            Some(host) => host.take_in(&end),
            None => end,
        })
    };
    let (_ready, _source) = line_of(&mut end("link-source", path.map(|path| &path.near))?)?;
    let (rate, _sink) = line_of(&mut end("link-sink", path.map(|path| &path.far))?)?;
    Ok(rate)
}

/// Sends to everybody who connects, and says when it listens.
pub fn source(at: SocketAddr, ends: &Ends) -> io::Result<()> {
    Runtime::new()?.block_on(async {
        let tls = TlsIdentity::new(&identity(1)).map_err(io::Error::other)?;
        let options = QuicOptions {
            congestion: match ends.carrier() {
                Carrier::Cubic => Congestion::Cubic,
                Carrier::QuinnBbr => Congestion::QuinnBbr,
                _ => Congestion::Bbr,
            },
            ..QuicOptions::default()
        };
        let tcp = TcpListener::bind(at).await?;
        if let Some(name) = ends.carrier().kernel_name() {
            // Accepted connections inherit it.
            set_tcp_congestion(&tcp, name)?;
        }
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
        let mut link = if ends.carrier().kernel_name().is_some() {
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
        match receive(&mut link, ends, began).await {
            Ok(bytes) => println!("{:.1}", mbit(bytes, began)),
            Err(error) => {
                eprintln!("{error}");
                println!("broke off after {:.1} s", began.elapsed().as_secs_f64());
            }
        }
        Ok(())
    })
}

/// How much comes until the time is over.
async fn receive(link: &mut Link, ends: &Ends, began: Instant) -> io::Result<usize> {
    let (mut bytes, mut buffer) = (0, vec![0; FRAME]);
    let (mut told, mut told_at) = (0, began);
    while began.elapsed() < Duration::from_secs_f64(ends.seconds) {
        let message = link.reader.message(|_| true).await;
        let (_, length) = message.map_err(io::Error::other)?;
        let payload = link.reader.payload(&mut buffer[..length]).await;
        payload.map_err(io::Error::other)?;
        bytes += length;
        if ends.watch && told_at.elapsed() >= SECOND {
            let at = began.elapsed().as_secs_f64();
            eprintln!("{at:6.1} s {:6.1}", mbit(bytes - told, told_at));
            (told, told_at) = (bytes, Instant::now());
        }
    }
    Ok(bytes)
}

fn mbit(bytes: usize, since: Instant) -> f64 {
    bytes as f64 * 8e-6 / since.elapsed().as_secs_f64()
}

fn identity(number: u8) -> Identity {
    Identity::from_secret([number; 32])
}
