//! Hosts of our own on a network of our own: namespaces, joined by bridges, with links of a
//! chosen rate.
//!
//! Owns: making them and taking them down again; what passed each link. Needs root and
//! `iproute2`: where either lacks, [`Lab::new`] says so and gives nothing. Refuses: delay,
//! loss and NAT, which the kernel here cannot make: [`internet`](crate::internet) does.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// How long a packet may wait for its turn before the link drops it.
const QUEUE: &str = "30ms";
/// What a link may send at once after it was idle.
const BURST_BYTES: u64 = 64 << 10;

/// What an Ethernet, an IPv4 and a TCP header with time stamps take of a packet.
const HEADER_BYTES: u64 = 14 + 20 + 32;

/// A network; its hosts and links are gone when it is dropped.
pub struct Lab {
    name: String,
    namespaces: Vec<String>,
    links: u32,
}

/// A bridge that hosts are plugged into.
#[derive(Debug, Clone)]
pub struct Site {
    bridge: String,
    number: u8,
    hosts: u8,
}

/// One machine, with one link.
#[derive(Debug, Clone)]
pub struct Host {
    namespace: String,
    /// The other end of its link, at the bridge; hosts of an internet have none.
    port: Option<String>,
    /// Its address.
    pub ip: Ipv4Addr,
}

impl Lab {
    /// An empty network. Nothing, and a word why, where this user may not make one.
    pub fn new() -> Option<Self> {
        static LABS: AtomicU32 = AtomicU32::new(0);
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let name = format!("shoal{}-{number}", std::process::id());
        let mut lab = Self {
            name,
            namespaces: Vec::new(),
            links: 0,
        };
        match lab.namespace("net") {
            Ok(_) => Some(lab),
            Err(why) => {
                eprintln!("SKIPPED: a network needs root and iproute2: {why}");
                None
            }
        }
    }

    /// A new site, joined to none.
    ///
    /// # Panics
    /// If the kernel refuses a bridge.
    pub fn site(&mut self) -> Site {
        let number = u8::try_from(self.links).expect("few sites");
        self.links += 1;
        let bridge = format!("br{number}");
        let net = self.namespaces[0].clone();
        run(&net, &format!("ip link add {bridge} type bridge"));
        run(&net, &format!("ip link set {bridge} up"));
        Site {
            bridge,
            number,
            hosts: 0,
        }
    }

    /// A host at `site`, with a link of `mbit` each way.
    ///
    /// # Panics
    /// If the kernel refuses a namespace or a link.
    pub fn host(&mut self, site: &mut Site, mbit: u32) -> Host {
        site.hosts += 1;
        let (number, bridge) = (self.links, &site.bridge);
        self.links += 1;
        let namespace = self
            .namespace(&format!("h{number}"))
            .expect("it could before");
        let net = &self.namespaces[0];
        let ip = Ipv4Addr::new(10, 77, site.number, site.hosts);
        run(
            net,
            &format!("ip link add p{number} type veth peer name eth0 netns {namespace}"),
        );
        run(net, &format!("ip link set p{number} master {bridge} up"));
        shape(net, &format!("p{number}"), mbit);
        run(&namespace, "ip link set lo up");
        run(&namespace, &format!("ip addr add {ip}/16 dev eth0"));
        run(&namespace, "ip link set eth0 up");
        shape(&namespace, "eth0", mbit);
        Host {
            namespace,
            port: Some(format!("p{number}")),
            ip,
        }
    }

    /// A host whose only interface is one of this process, which moves there.
    pub(crate) fn adopt(&mut self, interface: &str, ip: Ipv4Addr) -> Host {
        let number = self.links;
        self.links += 1;
        let namespace = self
            .namespace(&format!("h{number}"))
            .expect("it could before");
        let moved = Command::new("ip")
            .args(["link", "set", interface, "netns", &namespace])
            .args(["name", "eth0"])
            .output()
            .expect("`ip` ran before");
        let told = String::from_utf8_lossy(&moved.stderr);
        assert!(moved.status.success(), "{interface}: {told}");
        run(&namespace, "ip link set lo up");
        run(&namespace, &format!("ip addr add {ip}/32 dev eth0"));
        run(&namespace, "ip link set eth0 up");
        run(&namespace, "ip route add default dev eth0");
        Host {
            namespace,
            port: None,
            ip,
        }
    }

    /// Gives a host's link another rate, each way.
    ///
    /// # Panics
    /// If the kernel refuses it, or the host is plugged into no site.
    pub fn reshape(&self, host: &Host, mbit: u32) {
        let port = host.port.as_deref().expect("a host at a site");
        for (namespace, interface) in [(&self.namespaces[0], port), (&host.namespace, "eth0")] {
            run(namespace, &format!("tc qdisc del dev {interface} root"));
            shape(namespace, interface, mbit);
        }
    }

    /// Joins two sites by a link of `mbit` each way; gives its name for
    /// [`crossed`](Self::crossed).
    ///
    /// # Panics
    /// If the kernel refuses the link.
    pub fn join(&mut self, a: &Site, b: &Site, mbit: u32) -> String {
        let number = self.links;
        self.links += 1;
        let net = &self.namespaces[0];
        let (here, there) = (format!("x{number}a"), format!("x{number}b"));
        run(
            net,
            &format!("ip link add {here} type veth peer name {there}"),
        );
        for (end, site) in [(&here, a), (&there, b)] {
            run(net, &format!("ip link set {end} master {} up", site.bridge));
            shape(net, end, mbit);
        }
        here
    }

    /// Bytes that went over a link between sites, from the first to the second, and back.
    pub fn crossed(&self, link: &str) -> (u64, u64) {
        passed(&self.namespaces[0], link)
    }

    /// The same without headers: what TCP carried, sent again or not.
    pub fn crossed_payload(&self, link: &str) -> (u64, u64) {
        let ((there, back), packets) = (
            self.crossed(link),
            counted(&self.namespaces[0], link, "packets"),
        );
        let payload = |bytes: u64, packets: u64| bytes.saturating_sub(packets * HEADER_BYTES);
        (payload(there, packets.0), payload(back, packets.1))
    }

    fn namespace(&mut self, name: &str) -> Result<String, String> {
        let name = format!("{}-{name}", self.name);
        let added = Command::new("ip").args(["netns", "add", &name]).output();
        let added = added.map_err(|error| error.to_string())?;
        if !added.status.success() {
            return Err(String::from_utf8_lossy(&added.stderr).trim().to_owned());
        }
        self.namespaces.push(name.clone());
        Ok(name)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in &self.namespaces {
            // What cannot be removed is still used by a process, and goes with it.
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

impl Host {
    /// A command that runs on this host.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace])
            .arg(program);
        command
    }

    /// Moves a command to this host, with its arguments and environment.
    pub fn take_in(&self, command: &Command) -> Command {
        let mut here = self.command(command.get_program());
        here.args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => here.env(key, value),
                None => here.env_remove(key),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            here.current_dir(directory);
        }
        here
    }

    /// Bytes that it has sent and received, headers included.
    pub fn moved(&self) -> (u64, u64) {
        passed(&self.namespace, "eth0")
    }

    /// Cuts its link, or heals it.
    pub fn set_link(&self, is_up: bool) {
        let state = if is_up { "up" } else { "down" };
        run(&self.namespace, &format!("ip link set eth0 {state}"));
    }
}

/// Bytes that an interface has sent and received.
fn passed(namespace: &str, interface: &str) -> (u64, u64) {
    counted(namespace, interface, "bytes")
}

/// What an interface has counted of `unit` sent and received.
fn counted(namespace: &str, interface: &str, unit: &str) -> (u64, u64) {
    let read = |way: &str| -> u64 {
        let path = format!("/sys/class/net/{interface}/statistics/{way}_{unit}");
        let text = run(namespace, &format!("cat {path}"));
        text.trim().parse().expect("a number")
    };
    (read("tx"), read("rx"))
}

/// Has an interface send no faster than `mbit`.
fn shape(namespace: &str, interface: &str, mbit: u32) {
    let burst = BURST_BYTES.max(u64::from(mbit) * 1_000_000 / 8 / 250);
    run(
        namespace,
        &format!(
            "tc qdisc add dev {interface} root tbf rate {mbit}mbit burst {burst} latency {QUEUE}"
        ),
    );
}

/// Runs a command of words without spaces in a namespace; gives what it printed.
fn run(namespace: &str, words: &str) -> String {
    let output = Command::new("ip")
        .args(["netns", "exec", namespace])
        .args(words.split(' '))
        .output()
        .expect("`ip` ran before");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
