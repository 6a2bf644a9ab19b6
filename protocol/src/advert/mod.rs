//! Decides what to announce where and when, so that others find what this node has.
//!
//! Owns: keys and positions, the messages, which keys go to which peers, the pace, what is
//! tried again, and the course of a search. Refuses: bytes, sockets, wall time, and the
//! routing table: that is Kademlia's, which is asked for the peers closest to a key and for
//! nothing else (docs/decisions/0008-advertising.md).
//!
//! [`Advert`] has three lanes. Few important keys are *announced* at once. Keys that are
//! *new* are collected for a few minutes. And everything is advertised again in a *sweep*
//! that goes through the space of positions region by region: one lookup tells all peers of a region, the
//! keys that lie there are loaded a few thousand at a time, and every peer is sent, in one
//! batch, those that it is among the closest to. So costs grow with regions and bytes, not with lookups.
//!
//! Acknowledgements say how much room there is: a sweep brings no more keys than that. And
//! [`Lifetimes`] estimates how long peers stay, which is the interval of sweeps.
//!
//! [`Search`] asks the peers closest to a key who has it.

mod atlas;
mod config;
mod events;
mod key;
mod lifetimes;
mod locate;
mod lookup;
mod machine;
mod message;
mod outbox;
mod patience;
mod plan;
mod position;
mod rest;
mod room;
mod search;
mod select;
mod sweep;
mod waiting;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use config::{AdvertConfig, SearchConfig};
pub use events::{BatchId, Input, LookupId, Output, Progress, Sent, Sweeping};
pub use key::{ADVERT_KEY_BYTES, AdvertKey, DiscoveryKey, Subject};
pub use lifetimes::Lifetimes;
pub use locate::{
    LOCATE_BYTES_MAX, LOCATE_IDS_MAX, LOCATED_BYTES_MAX, LOCATED_PLACES_MAX, Locate, Located,
    Place, Sought,
};
pub use machine::Advert;
pub use message::{
    ACK_BYTES_MAX, AdvertAck, AdvertBatch, BATCH_BYTES_MAX, BATCH_KEYS_MAX, FIND_BYTES_MAX,
    FIND_KEYS_MAX, FOUND_BYTES_MAX, FOUND_PROVIDERS_MAX, Find, Found, Hit, KEY_PROVIDERS_MAX,
    PROVIDER_ADDRESSES_MAX, Provider, Refusal, TTL_S_MAX,
};
pub use position::{Position, Region};
pub use search::{AskId, Ended, Search, SearchInput, SearchOutput, Seen};
pub use select::Selection;
