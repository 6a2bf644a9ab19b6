//! How a node behaves: one typed struct, from defaults, a file, the environment and flags.
//!
//! Owns: keys, their defaults and meaning, and where each value came from. Refuses: keys it
//! does not know, wherever they stand.

mod load;
mod units;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::api::{ApiError, ErrorKind};
use crate::data::Ways;
pub use load::{Loaded, Origin, Setting};
pub use units::{ByteSize, Span};

/// Declares the struct and its table of keys together, so that a key cannot miss its default
/// or its documentation.
macro_rules! config {
    ($($(#[doc = $doc:literal])+ $(#[serde $serde:tt])? $key:ident: $type:ty = $default:expr;)+) => {
        /// How a node behaves. The fields' docs are what `shoal config show` prints.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Config {
            $($(#[doc = $doc])+ $(#[serde $serde])? pub $key: $type,)+
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        /// Every key with its documentation, in order.
        pub(crate) const KEYS: &[(&str, &str)] = &[
            $((stringify!($key), concat!($($doc),+)),)+
        ];
    };
}

const SOME: NonZeroU32 = NonZeroU32::new(256).expect("not zero");

const MILLION: NonZeroU32 = NonZeroU32::new(1_000_000).expect("not zero");

config! {
    /// Addresses and ports where other nodes reach this one, such as `0.0.0.0:4747`. Empty:
    /// all interfaces, port 4747 under `up` and any free port for the length of a command.
    #[serde(deserialize_with = "load::list")]
    listen: Vec<SocketAddr> = Vec::new();

    /// `host:port` or `host` that tickets name instead of what the interfaces say: a name in
    /// DNS, the outside of a port forwarding. Empty: the addresses of all interfaces except
    /// those of containers. In a team, the control plane counts as reachable one port above.
    #[serde(deserialize_with = "load::list")]
    advertise: Vec<String> = Vec::new();

    /// Addresses of members' control planes that are dialled first, such as
    /// `seed.example:4748`; only used in a team. Members that were met are remembered.
    #[serde(deserialize_with = "load::list")]
    bootstrap: Vec<String> = Vec::new();

    /// The most bytes of one circuit, both ways together, that this node relays for members who
    /// cannot reach each other, while it is reachable itself. Who moves more opens another, 60
    /// an hour. 0: it does not relay.
    relay_circuit_max: ByteSize = ByteSize::mib(256);

    /// How long one circuit may last; not 0.
    #[serde(deserialize_with = "load::some_time")]
    relay_circuit_time: Span = Span::seconds(600);

    /// Whether members of the team on the same network find each other by mDNS.
    mdns: bool = true;

    /// The most keys under which chunks and files of less than 16 MiB are advertised to the
    /// team. A million cost about 0.6 GB of traffic a day in a team of more than 20 nodes.
    advert_keys_max: NonZeroU32 = MILLION;

    /// The most bytes a second that advertising sends, on average. A million keys take 20
    /// minutes at 256 KiB in a team of more than 20 nodes. Less than 4 KiB counts as that.
    advert_rate: ByteSize = ByteSize::kib(256);

    /// How long a ticket is good for when `share` does not say; not 0.
    #[serde(deserialize_with = "load::some_time")]
    share_expires: Span = Span::hours(24);

    /// Memory for the index's cache. More helps stores of many millions of chunks.
    index_cache: ByteSize = ByteSize::mib(32);

    /// Where a new pack file begins, 1 MiB or more. Larger packs are fewer files to keep and
    /// longer to scan.
    #[serde(deserialize_with = "load::pack_size")]
    pack_size: ByteSize = ByteSize::mib(1024);

    /// Peers served at once. One more takes the place of one from an address that has more than
    /// its own, or is told to come back. Each costs up to 1 MiB while it is
    /// sent to, over QUIC up to `quic_window`.
    connections_max: NonZeroU32 = SOME;

    /// Connections that have not shown a valid ticket yet; one more, and the oldest is
    /// closed. Each costs about 40 KiB.
    strangers_max: NonZeroU32 = SOME;

    /// The most bytes a second that are sent, to all together, such as `10 MB`; 0 for no limit.
    /// Less than 16 KiB counts as that.
    up_max: ByteSize = ByteSize::mib(0);

    /// The most bytes a second that are received, from all together; 0 for no limit.
    down_max: ByteSize = ByteSize::mib(0);

    /// The most bytes a second that are sent over one connection; 0 for no limit.
    peer_up_max: ByteSize = ByteSize::mib(0);

    /// The most bytes a second that are received over one connection; 0 for no limit.
    peer_down_max: ByteSize = ByteSize::mib(0);

    /// What may carry bytes: `tcp`, `quic` (the same port, UDP), and `stream`, which goes over
    /// the control plane to members whom neither reaches. Which of them does is chosen for each
    /// peer; `shoal peers` says why.
    #[serde(deserialize_with = "load::ways")]
    ways: Vec<String> = vec!["tcp".to_owned(), "quic".to_owned(), "stream".to_owned()];

    /// The most that is under way on one QUIC connection, which may take as much memory at each
    /// end; what the path does not hold is not used. 16 MiB carry 1.6 Gbit/s over 80 ms.
    quic_window: ByteSize = ByteSize::mib(16);

    /// What is logged to stderr: a level (`warn`), or targets with levels
    /// (`shoal_node=debug`). Tickets and secrets never are.
    log: String = "warn".to_owned();
}

impl Config {
    /// What may carry links.
    pub(crate) fn ways(&self) -> Ways {
        let has = |way: &str| self.ways.iter().any(|listed| listed == way);
        Ways {
            tcp: has("tcp"),
            quic: has("quic"),
            stream: has("stream"),
        }
    }
}

/// The home to use when neither `--home` nor `SHOAL_HOME` says: `$XDG_DATA_HOME/shoal`, else
/// `~/.local/share/shoal`.
pub fn default_home() -> Result<PathBuf, ApiError> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_DATA_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".local/share")))
        .map(|data| data.join("shoal"))
        .ok_or_else(|| {
            ApiError::new(
                ErrorKind::Usage,
                "there is no home directory to keep a store in",
            )
            .hint("set SHOAL_HOME to a directory")
        })
}
