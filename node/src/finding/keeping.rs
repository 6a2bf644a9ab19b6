//! Whom an earlier run of this node knew.
//!
//! Owns: the file with their addresses. They are hints: whoever answers there proves who it is.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use shoal_control::PeerContact;

/// Where it lies in a home.
const FILE: &str = "run/members.json";
/// The most members that are remembered, and the most addresses of one.
const MEMBERS_MAX: usize = 256;
const ADDRESSES_MAX: usize = 8;
/// More than a well-formed file has.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Row {
    peer: String,
    addresses: Vec<String>,
}

fn path(home: &Path) -> PathBuf {
    home.join(FILE)
}

/// What is remembered.
pub(super) fn load(home: &Path) -> Vec<PeerContact> {
    let is_sound = |meta: &std::fs::Metadata| meta.len() <= FILE_BYTES_MAX;
    let path = path(home);
    if !path.metadata().is_ok_and(|meta| is_sound(&meta)) {
        return Vec::new();
    }
    let bytes = std::fs::read(&path).unwrap_or_default();
    let rows: Vec<Row> = serde_json::from_slice(&bytes).unwrap_or_default();
    let contact = |row: &Row| {
        let addresses = row.addresses.iter().filter_map(|text| text.parse().ok());
        Some(PeerContact {
            peer: row.peer.parse().ok()?,
            addresses: addresses.take(ADDRESSES_MAX).collect(),
        })
    };
    rows.iter().filter_map(contact).take(MEMBERS_MAX).collect()
}

/// Remembers them. A convenience: a failure only means that they must be found anew.
pub(super) fn save(home: &Path, contacts: &[PeerContact]) {
    let row = |contact: &PeerContact| Row {
        peer: contact.peer.to_string(),
        addresses: (contact.addresses.iter().take(ADDRESSES_MAX))
            .map(ToString::to_string)
            .collect(),
    };
    let rows: Vec<Row> = contacts.iter().take(MEMBERS_MAX).map(row).collect();
    let bytes = serde_json::to_vec(&rows).expect("plain data");
    let path = path(home);
    let draft = path.with_extension("new");
    let written = std::fs::create_dir_all(home.join("run"))
        .and_then(|()| std::fs::write(&draft, bytes))
        .and_then(|()| std::fs::rename(&draft, &path));
    if let Err(error) = written {
        tracing::debug!(%error, "the members are not remembered");
    }
}
