# SPDX-License-Identifier: Apache-2.0
"""What a test wants to know of TCP and cannot ask curl: time stamps as they are on the wire, an echo at both ends of a link.

wire.py stamps IP PORT COUNT     connect that often; every packet of the peer that has a time stamp, as JSON
wire.py serve PORT               answer each connection with what it has sent, when it has said all
wire.py echo IP PORT BYTES MS    send so many bytes, in pieces with MS between, and check that all of them come back
wire.py closed IP COUNT          how many of so many datagrams, each to a closed port, all at once, are told to be so
wire.py shout INTERFACE PORT     datagrams for everybody, of IPv4 and IPv6, from all kinds of senders, and word of a router of IPv6
wire.py pose INTERFACE MAC       a frame to nobody with another one's hardware address as its sender
wire.py plain INTERFACE          checksums and segments are made by the kernel at once, none are left to an interface
"""
import ctypes
import fcntl
import hashlib
import json
import os
import select
import socket
import struct
import sys
import threading
import time

PIECE = 65536
SIOCETHTOOL = 0x8946


def stamp_of(options):
    """(value, echo) of the time stamp option, or None."""
    at = 0
    while at < len(options) and options[at] != 0:
        if options[at] == 1:
            at += 1
            continue
        if at + 1 >= len(options) or options[at + 1] < 2:
            return None
        if options[at] == 8 and options[at + 1] == 10 and at + 10 <= len(options):
            return struct.unpack("!II", options[at + 2:at + 10])
        at += options[at + 1]
    return None


def stamps(ip, port, count):
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    wire.settimeout(0.3)
    found = []
    for _ in range(count):
        with socket.create_connection((ip, port), 5) as peer:
            peer.settimeout(0.5)
            try:
                peer.sendall(b"PING\r\n\r\n")
                peer.recv(4096)
            except OSError:
                pass
        while True:
            try:
                packet = wire.recv(65536)
            except OSError:
                break
            head = 4 * (packet[0] & 15)
            if packet[9] != 6 or packet[12:16] != socket.inet_aton(ip):
                continue
            tcp = packet[head:]
            stamp = stamp_of(tcp[20:4 * (tcp[12] >> 4)])
            if stamp:
                found.append({"flags": tcp[13], "stamp": stamp[0], "echo": stamp[1], "at": int(time.monotonic() * 1000)})
    print(json.dumps(found))


def serve(port):
    def answer(peer):
        with peer:
            said = bytearray()
            while piece := peer.recv(PIECE):
                said += piece
            peer.sendall(said)

    listener = socket.create_server(("", port))
    print("ready", flush=True)
    while True:
        threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


def echo(ip, port, size, pause_ms):
    data = os.urandom(size)
    with socket.create_connection((ip, port), 10) as peer:
        peer.settimeout(60)
        for at in range(0, size, PIECE):
            peer.sendall(data[at:at + PIECE])
            time.sleep(pause_ms / 1000)
        peer.shutdown(socket.SHUT_WR)
        back = hashlib.sha256()
        while piece := peer.recv(PIECE):
            back.update(piece)
    if back.digest() != hashlib.sha256(data).digest():
        sys.exit("what came back is not what was sent")


def closed(ip, count):
    asked = {}
    events = select.epoll()
    for port in range(40000, 40000 + count):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.connect((ip, port))
        asked[one.fileno()] = one
        events.register(one, select.EPOLLERR)
    for one in asked.values():
        one.send(b"?")
    told = set()
    while len(told) < count and (ready := events.poll(1)):
        for fd, _ in ready:
            events.unregister(fd)
            told.add(fd)
    print(len(told))


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[:len(data) & ~1])) + (data[-1] << 8 if len(data) % 2 else 0)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def datagram(sender, receiver, port, text):
    """The body of one in UDP, of IPv4 or IPv6 by the addresses."""
    family = socket.AF_INET6 if ":" in sender else socket.AF_INET
    ends = socket.inet_pton(family, sender) + socket.inet_pton(family, receiver)
    body = struct.pack("!HHHH", port, port, 8 + len(text), 0) + text
    return body[:6] + struct.pack("!H", checksum(ends + struct.pack("!HH", 17, len(body)) + body) or 0xFFFF) + body[8:]


def shout(interface, port):
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((interface, 0))
    own, all_v4, all_v6, router = wire.getsockname()[4], "255.255.255.255", "ff02::1", "fe80::bad"

    def send_v4(sender):
        body = datagram(sender, all_v4, port, sender.encode())
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, 0, 64, 17, 0, socket.inet_aton(sender), socket.inet_aton(all_v4))
        wire.send(b"\xff" * 6 + own + b"\x08\x00" + head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body)

    def send_v6(protocol, body):
        head = struct.pack("!IHBB", 0x60000000, len(body), protocol, 255) + socket.inet_pton(socket.AF_INET6, router) + socket.inet_pton(socket.AF_INET6, all_v6)
        wire.send(b"\x33\x33\x00\x00\x00\x01" + own + b"\x86\xdd" + head + body)

    for sender in ("0.0.0.0", "172.16.0.100", "10.1.1.9"):
        send_v4(sender)
    send_v6(17, datagram(router, all_v6, port, router.encode()))
    prefix = struct.pack("!BBBBIII16s", 3, 4, 64, 0xC0, 86400, 14400, 0, socket.inet_pton(socket.AF_INET6, "2001:db8:bad::"))
    word = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix + b"\x01\x01" + own
    ends = socket.inet_pton(socket.AF_INET6, router) + socket.inet_pton(socket.AF_INET6, all_v6) + struct.pack("!II", len(word), 58)
    send_v6(58, word[:2] + struct.pack("!H", checksum(ends + word)) + word[4:])


def pose(interface, mac):
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((interface, 0))
    wire.send(b"\x02\0\0\0\0\x99" + bytes.fromhex(mac.replace(":", "")) + b"\x88\xb5" + bytes(46))


def plain(interface):
    """ethtool -K <interface> tso off gso off tx off"""
    for command in (0x1F, 0x24, 0x17):
        value = ctypes.create_string_buffer(struct.pack("II", command, 0))
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, SIOCETHTOOL, struct.pack("16sP16x", interface.encode(), ctypes.addressof(value)))


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    {"stamps": stamps, "serve": serve, "echo": echo, "closed": closed, "shout": shout, "pose": pose, "plain": plain}[command](
        *[int(x) if x.isdigit() else x for x in rest])
