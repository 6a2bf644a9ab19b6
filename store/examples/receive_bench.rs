//! How fast a receive takes bytes that are in memory already, beside plainly writing them.
//!
//! `receive_bench DIR file|folder [threads]`: 2 GiB in one file, or 20,000 files of 50 KiB,
//! to a fresh store and destination beneath DIR (which should be on the disk that is meant).
//! Prints wall and processor time of each.

use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use shoal_protocol::chunking::{PROFILE_1, cuts};
use shoal_protocol::id::ChunkId;
use shoal_protocol::manifest::{Content, Entry, EntryKind};
use shoal_protocol::paged_list::{Builder, ChunkRef, MemoryPages};
use shoal_protocol::path::ManifestPath;
use shoal_protocol::snapshot::{Shape, Snapshot};
use shoal_store::disk::OpenMode;
use shoal_store::disk::real::RealDisk;
use shoal_store::index::{AbsolutePath, AudienceId, Coverage, Origin, SnapshotRow};
use shoal_store::receive::{Next, ReceiveRequest};
use shoal_store::{Store, StoreOptions};

const FRAME_BYTES: usize = 1 << 20;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let base = Path::new(&args[1]);
    let (files, size) = match args[2].as_str() {
        "file" => (1, 2 << 30),
        _ => (20_000, 50 << 10),
    };
    let threads = args.get(3).map_or(2, |n| n.parse().expect("a number"));
    let mut bytes = vec![0; files * size];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    let mut pages = MemoryPages::new();
    let mut ends = Vec::new();
    let mut manifest = Builder::<Entry>::new();
    for (n, data) in bytes.chunks(size).enumerate() {
        let name = match files {
            1 => "f".to_owned(),
            _ => format!("d{:03}/f{n:05}", n / 100),
        };
        let entry = Entry {
            path: ManifestPath::new(name).expect("a path"),
            kind: EntryKind::File {
                executable: false,
                size: data.len() as u64,
                content: content(&mut pages, data, (n * size) as u64, &mut ends),
            },
        };
        (manifest.push(&entry, &mut |id, page| pages.put(id, page))).expect("sorted");
    }
    let root = manifest.finish(&mut |id, page| pages.put(id, page));
    let snapshot = Snapshot {
        profile: PROFILE_1.id,
        shape: if files == 1 {
            Shape::File
        } else {
            Shape::Folder
        },
        manifest: root.map(|root| root.page),
        entries: files as u64,
        bytes: bytes.len() as u64,
    };

    plain(base, &bytes, size);

    let disk = RealDisk::shared();
    let options = StoreOptions::default();
    let store = Store::open(disk, &base.join("home"), options).expect("a store");
    let dest = base.join("dest");
    let batch = store.begin();
    for (id, page) in pages.iter() {
        batch.put_page(id, page).expect("room");
    }
    batch.put_snapshot(SnapshotRow {
        snapshot,
        kept: false,
        audience: AudienceId(1),
        origin: Origin::Received {
            dest: AbsolutePath::new(&dest).expect("absolute"),
        },
        at_unix_s: 0,
        held: Coverage::Ranges(Vec::new()),
        offered: Coverage::Ranges(Vec::new()),
    });
    batch.commit(true).expect("room");

    let begun = Clock::now();
    let request = ReceiveRequest {
        snapshot: snapshot.id(),
        dest,
        audience: AudienceId(1),
        force: false,
        inside: None,
    };
    let receive = store.receive(request).expect("begun");
    let runs = Mutex::new(());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = {
                        let _one = runs.lock().expect("not poisoned");
                        receive.next().expect("nothing stands in the way")
                    };
                    let Next::Run(run) = next else { break };
                    let mut at = run.start;
                    while at < run.end {
                        let end = frame(&ends, at, run.end);
                        receive
                            .write(at, &bytes[at as usize..end as usize])
                            .expect("right bytes");
                        at = end;
                    }
                }
            });
        }
    });
    begun.tell("received");
    receive.finish(false).expect("whole");
    begun.tell("received and finished");
}

/// Wall and processor time since some moment.
struct Clock(Instant, f64);

impl Clock {
    fn now() -> Self {
        Self(Instant::now(), processor_s())
    }

    fn tell(&self, what: &str) {
        let wall = self.0.elapsed().as_secs_f64();
        println!(
            "{what}: {wall:.2} s, {:.2} s processor",
            processor_s() - self.1
        );
    }
}

fn processor_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Where a frame of about a mebibyte that begins at `at` ends: on a chunk boundary.
fn frame(ends: &[u64], at: u64, end: u64) -> u64 {
    let behind = ends.partition_point(|end| *end < at + FRAME_BYTES as u64);
    ends[behind.min(ends.len() - 1)].min(end)
}

fn plain(base: &Path, bytes: &[u8], size: usize) {
    let begun = Clock::now();
    let root = RealDisk::shared().root(&base.join("plain"), true);
    let root = root.expect("a directory");
    for (n, data) in bytes.chunks(size).enumerate() {
        if n % 100 == 0 {
            let dir = format!("d{:03}", n / 100);
            root.create_dir(Path::new(&dir)).expect("room");
        }
        let name = format!("d{:03}/f{n:05}", n / 100);
        let file = root.open(Path::new(&name), OpenMode::CreateNew);
        let file = file.expect("a file");
        for (n, frame) in data.chunks(FRAME_BYTES).enumerate() {
            std::hint::black_box(ChunkId::of(frame));
            let offset = (n * FRAME_BYTES) as u64;
            file.write_at(offset, frame).expect("room");
        }
    }
    begun.tell("plainly hashed and written by one thread");
}

fn content(pages: &mut MemoryPages, bytes: &[u8], start: u64, ends: &mut Vec<u64>) -> Content {
    let chunks: Vec<_> = cuts(&PROFILE_1, bytes, bytes.len()).collect();
    ends.extend(chunks.iter().map(|chunk| start + chunk.end as u64));
    if let [_] = chunks[..] {
        return Content::Chunk(ChunkId::of(bytes));
    }
    let mut list = Builder::<ChunkRef>::new();
    for range in chunks {
        let chunk = ChunkRef {
            length: range.len() as u32,
            id: ChunkId::of(&bytes[range]),
        };
        (list.push(&chunk, &mut |id, page| pages.put(id, page))).expect("in order");
    }
    let root = list.finish(&mut |id, page| pages.put(id, page));
    Content::List(root.expect("not empty").page)
}
