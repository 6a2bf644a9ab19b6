//! The link: frames of 1 MiB through TLS over loopback, both ends in this process.

#![allow(missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shoal_node::data::link::Link;
use shoal_node::data::tls::TlsIdentity;
use shoal_node::data::tls_stream::TlsStream;
use shoal_node::identity::Identity;
use shoal_protocol::wire::{Codec, RequestId, RunData};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

const FRAME: usize = 1 << 20;
const FRAMES: usize = 64;

/// Two links that are each other's other end.
async fn pair() -> (Link, Link) {
    let server = Identity::generate();
    let server_tls = TlsIdentity::new(&server).expect("a certificate");
    let client_tls = TlsIdentity::new(&Identity::generate()).expect("a certificate");
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("bound");
    let accept = async {
        let (stream, _) = socket.accept().await.expect("a connection");
        let stream = TlsStream::accept(stream, server_tls.server()).await;
        let stream = stream.expect("a handshake");
        Link::new(stream.peer(), stream)
    };
    let connect = async {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let config = client_tls.client(server.peer_key()).expect("a config");
        let stream = TlsStream::connect(stream, config).await;
        let stream = stream.expect("a handshake");
        Link::new(stream.peer(), stream)
    };
    tokio::join!(connect, accept)
}

async fn send(link: &mut Link, payload: &[u8]) {
    for frame in 0..FRAMES {
        let data = RunData {
            request: RequestId(1),
            position: (frame * FRAME) as u64,
            codec: Codec::Raw,
            plain_length: FRAME as u32,
        };
        link.writer.send(data, payload).await.expect("sent");
    }
    link.writer.flush().await.expect("sent");
}

async fn receive(link: &mut Link, buffer: &mut [u8]) {
    for _ in 0..FRAMES {
        let (_, length) = link.reader.message(|_| true).await.expect("a frame");
        let payload = link.reader.payload(&mut buffer[..length]).await;
        payload.expect("a payload");
    }
}

fn frames(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let (mut ours, mut theirs) = runtime.block_on(pair());
    let (payload, mut buffer) = (vec![7; FRAME], vec![0; FRAME]);
    let mut group = criterion.benchmark_group("link");
    group.throughput(Throughput::Bytes((FRAME * FRAMES) as u64));
    group.sample_size(20);
    group.bench_function("tls_loopback", |bencher| {
        bencher.iter(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| runtime.block_on(send(&mut theirs, &payload)));
                runtime.block_on(receive(&mut ours, &mut buffer));
            });
        });
    });
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
