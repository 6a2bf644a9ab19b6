//! Moves memory to memory through two ends of a TLS link on loopback and prints the rate:
//! what is left when disk, hashing and planning cost nothing.
//!
//! `cargo run --release -p shoal-node --example link_loopback -- 2048`

use std::time::Instant;

use shoal_node::data::link::Link;
use shoal_node::data::tls::TlsIdentity;
use shoal_node::data::tls_stream::TlsStream;
use shoal_node::identity::Identity;
use shoal_protocol::wire::{Codec, RequestId, RunData};
use tokio::net::{TcpListener, TcpStream};

const FRAME: usize = 1 << 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mib: usize = std::env::args().nth(1).map_or(Ok(2048), |n| n.parse())?;
    let server = Identity::generate();
    let client_tls = TlsIdentity::new(&Identity::generate())?;
    let server_tls = TlsIdentity::new(&server)?;
    let socket = TcpListener::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?;

    let sending = tokio::spawn(async move {
        let (stream, _) = socket.accept().await?;
        stream.set_nodelay(true)?;
        let stream = TlsStream::accept(stream, server_tls.server()).await?;
        let mut link = Link::new(stream.peer(), stream);
        let payload = vec![7; FRAME];
        for i in 0..mib {
            let data = RunData {
                request: RequestId(1),
                position: (i * FRAME) as u64,
                codec: Codec::Raw,
                plain_length: FRAME as u32,
            };
            link.writer.send(data, &payload).await?;
        }
        link.writer.flush().await?;
        link.writer.close().await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    });

    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let stream = TlsStream::connect(stream, client_tls.client(server.peer_key())?).await?;
    let mut link = Link::new(stream.peer(), stream);
    let mut buffer = vec![0; FRAME];
    let began = Instant::now();
    for _ in 0..mib {
        let (_, length) = link.reader.message(|_| true).await?;
        link.reader.payload(&mut buffer[..length]).await?;
    }
    let seconds = began.elapsed().as_secs_f64();
    sending.await?.map_err(|e| e.to_string())?;
    println!(
        "{mib} MiB in {seconds:.3} s: {:.2} GB/s",
        (mib * FRAME) as f64 / seconds / 1e9
    );
    Ok(())
}
