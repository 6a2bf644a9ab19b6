"""Seeds or gets one file with libtorrent, for the benchmark of fan-out.

torrent.py seed IP TORRENT FILE        writes TORRENT, prints a line, seeds until it is killed
torrent.py get IP TORRENT DIR SEED_IP  gets it into DIR and ends
"""

import sys
import time
from pathlib import Path

import libtorrent as lt

PORT = 6881


def session(ip):
    return lt.session({
        "listen_interfaces": f"{ip}:{PORT}",
        "enable_dht": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_lsd": True,
        "allow_multiple_connections_per_ip": True,
        "alert_mask": 0,
    })


def main():
    role, ip, torrent = sys.argv[1:4]
    if role == "seed":
        file = Path(sys.argv[4])
        storage = lt.file_storage()
        lt.add_files(storage, str(file))
        create = lt.create_torrent(storage)
        lt.set_piece_hashes(create, str(file.parent))
        Path(torrent).write_bytes(lt.bencode(create.generate()))
        where = str(file.parent)
    else:
        where = sys.argv[4]
    host = session(ip)
    handle = host.add_torrent({"ti": lt.torrent_info(torrent), "save_path": where})
    if role == "seed":
        while not handle.status().is_seeding:
            time.sleep(0.05)
        print("ready", flush=True)
        while True:
            time.sleep(60)
    handle.connect_peer((sys.argv[5], PORT))
    while not handle.status().is_seeding:
        time.sleep(0.05)


main()
