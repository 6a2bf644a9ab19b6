//! Which chunks a new version has that the old one has not.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use shoal_protocol::chunking::{PROFILE_1, cuts};
use shoal_protocol::id::ChunkId;

/// Bytes of the chunks that `new` has and `old` has not, each counted once.
pub fn new_chunk_bytes(old: &Path, new: &Path) -> io::Result<u64> {
    let mut known = HashMap::new();
    chunks(old, &mut known)?;
    let before: u64 = known.values().sum();
    chunks(new, &mut known)?;
    Ok(known.values().sum::<u64>() - before)
}

fn chunks(path: &Path, known: &mut HashMap<ChunkId, u64>) -> io::Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            chunks(&entry?.path(), known)?;
        }
        return Ok(());
    }
    let bytes = std::fs::read(path)?;
    for range in cuts(&PROFILE_1, &bytes, bytes.len()) {
        let chunk = &bytes[range];
        known.insert(ChunkId::of(chunk), chunk.len() as u64);
    }
    Ok(())
}
