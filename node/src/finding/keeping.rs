//! Whom an earlier run of this node knew.
//!
//! Owns: the file with their addresses. They are hints: whoever answers there proves who it is.

use std::collections::HashSet;
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

/// Remembers those who are `known` now, and behind them those who were known before: a node
/// that was alone for a while does not forget its team.
pub(super) fn renew(home: &Path, mut known: Vec<PeerContact>) {
    let before = load(home).into_iter();
    let is_known: HashSet<_> = known.iter().map(|contact| contact.peer).collect();
    known.extend(before.filter(|contact| !is_known.contains(&contact.peer)));
    save(home, &known);
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

#[cfg(test)]
mod tests {
    use shoal_control::PeerId;

    use super::*;

    #[test]
    fn who_was_known_before_is_not_forgotten_by_meeting_others() {
        let home = tempfile::tempdir().expect("a directory");
        let contact = |port: u16| PeerContact {
            peer: PeerId::random(),
            addresses: vec![
                format!("/ip4/10.0.0.1/tcp/{port}")
                    .parse()
                    .expect("an address"),
            ],
        };
        let [old, moved, new] = [1, 2, 3].map(contact);
        save(home.path(), &[old.clone(), moved.clone()]);
        let at_home = PeerContact {
            addresses: contact(4).addresses,
            ..moved
        };
        renew(home.path(), vec![new.clone(), at_home.clone()]);
        assert_eq!(load(home.path()), [new, at_home, old]);
    }
}
