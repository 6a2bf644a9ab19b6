"""How fast links are over paths of chosen delay and loss, beside each other in one run.

    python3 tests/bench/paths.py target/debug/examples/paths [SECONDS] [MBIT] [RTT_MS,…]

Two network namespaces, joined by two TUN devices at MTU 1500, each shaped by `tbf` to MBIT; this
process carries packets from one to the other, half the delay in each direction, and loses some
of them by chance (a fixed seed). Needs root, iproute2 and /dev/net/tun; prints Mbit/s of payload.
"""

import collections
import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import threading
import time

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x0001 | 0x1000


def run(command):
    subprocess.run(command.split(), check=True)


def tun(name, namespace, address, mbit):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN_NO_PI))
    run(f"ip netns add {namespace}")
    run(f"ip link set {name} netns {namespace}")
    inside = f"ip -n {namespace}"
    run(f"{inside} addr add {address}/24 dev {name}")
    run(f"{inside} link set {name} mtu 1500 txqueuelen 1000 up")
    run(f"{inside} link set lo up")
    run(f"tc -n {namespace} qdisc add dev {name} root tbf rate {mbit}mbit burst 64kb latency 50ms")
    return fd


class Path:
    """Carries packets between two descriptors."""

    def __init__(self, a, b):
        self.ends = {a: b, b: a}
        self.delay_s, self.loss = 0.0, 0.0
        self.chance = random.Random(7)
        threading.Thread(target=self.carry, daemon=True).start()

    def carry(self):
        waiting = collections.deque()
        while True:
            timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 0.1
            ready, _, _ = select.select(list(self.ends), [], [], timeout)
            now = time.monotonic()
            for end in ready:
                for _ in range(64):
                    try:
                        packet = os.read(end, 2048)
                    except BlockingIOError:
                        break
                    if self.loss == 0 or self.chance.random() >= self.loss:
                        waiting.append((now + self.delay_s, self.ends[end], packet))
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                _, end, packet = waiting.popleft()
                try:
                    os.write(end, packet)
                except OSError:
                    pass  # The device is full or gone: a lost packet.


def main():
    binary = os.path.abspath(sys.argv[1])
    seconds = sys.argv[2] if len(sys.argv) > 2 else "8"
    mbit = sys.argv[3] if len(sys.argv) > 3 else "200"
    delays_ms = [int(text) for text in (sys.argv[4] if len(sys.argv) > 4 else "0,20,80").split(",")]
    tag = f"sp{os.getpid()}"
    here, there = f"{tag}a", f"{tag}b"
    servers = []
    try:
        path = Path(tun("tun-a", here, "10.78.0.1", mbit), tun("tun-b", there, "10.78.0.2", mbit))
        ports = {"bbr": 4801, "cubic": 4802}
        for congestion, port in ports.items():
            command = ["ip", "netns", "exec", here, binary, "serve", f"10.78.0.1:{port}", congestion]
            servers.append(subprocess.Popen(command))
        time.sleep(1)
        print("rtt_ms loss_% tcp+tls quic_bbr quic_cubic", flush=True)
        for delay_ms in delays_ms:
            for loss in (0, 0.1, 1):
                path.delay_s, path.loss = delay_ms / 2000, loss / 100
                row = []
                for way, port in (("tcp", 4801), ("quic", 4801), ("quic", 4802)):
                    fetch = ["ip", "netns", "exec", there, binary, "fetch", way]
                    fetch += [f"10.78.0.1:{port}", seconds]
                    done = subprocess.run(fetch, capture_output=True, text=True)
                    row.append(done.stdout.strip() or "failed")
                print(delay_ms, loss, *row, flush=True)
    finally:
        for server in servers:
            server.kill()
        for namespace in (here, there):
            subprocess.run(["ip", "netns", "del", namespace], check=False)


main()
