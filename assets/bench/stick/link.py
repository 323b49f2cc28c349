"""Between client and server: this machine's loopback, or an emulated long way."""
import os
import subprocess
from pathlib import Path

from .machine import Failed, Machine, shell

HERE = Path(__file__).resolve().parent.parent


class Loopback:
    """The loopback interface of this machine."""
    name, host = "loopback", "127.0.0.1"
    client: list[str] = []
    server: list[str] = []
    long_way = False

    def wire(self) -> int | None:
        return interface_bytes(Path("/proc/net/dev"), "lo")

    def close(self) -> None:
        pass


class LongWay:
    """Two network namespaces with a delay, a rate and a loss between them (`link.rs`)."""
    long_way = True
    host = "192.0.2.2"

    def __init__(self, machine: Machine, rtt_ms: float, rate_mbit: float, loss_percent: float):
        loss = f", {loss_percent:g} % loss" if loss_percent else ""
        self.name = f"RTT {rtt_ms:g} ms, {rate_mbit:g} Mbit/s{loss}"
        self.machine = machine
        self.spaces = [f"bench-a-{os.getpid()}", f"bench-b-{os.getpid()}"]
        emulator = machine.work / "link"
        if not emulator.exists():
            shell(f"rustc -O --edition 2024 -o {emulator} {HERE}/link.rs")
        self.made: list[str] = []
        self.emulator = None
        try:
            self._connect(emulator, rtt_ms, rate_mbit, loss_percent)
        except BaseException:
            self.close()
            raise
        self.client = ["ip", "netns", "exec", self.spaces[0]]
        self.server = ["ip", "netns", "exec", self.spaces[1]]

    def _connect(self, emulator: Path, rtt_ms: float, rate_mbit: float, loss: float) -> None:
        for space in self.spaces:
            shell(f"ip netns add {space}")
            self.made.append(space)
            shell(f"ip -n {space} link set lo up && ip -n {space} tuntap add dev t0 mode tun")
        a, b = self.spaces
        # A buffer of 100 ms, as a modest router has it.
        self.emulator = subprocess.Popen(
            [str(emulator), a, "t0", b, "t0", str(rtt_ms / 2), str(rate_mbit), str(loss), "100"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            stderr=subprocess.DEVNULL)
        self.machine.children.append(self.emulator)
        if self.emulator.stdout.readline().strip() != b"up":
            raise Failed("the link emulator did not come up")
        if self.machine.group:
            # Its CPU is the link's, not the contender's.
            (self.machine.group.parent / "cgroup.procs").write_text(str(self.emulator.pid))
        for space, mine, peer in ((a, 1, 2), (b, 2, 1)):
            shell(f"ip -n {space} addr add 192.0.2.{mine} peer 192.0.2.{peer} dev t0 && "
                  f"ip -n {space} link set t0 up mtu 1500 txqueuelen 10000")

    def wire(self) -> int | None:
        text = subprocess.run([*self.client, "cat", "/proc/net/dev"], check=False,
                              stdout=subprocess.PIPE).stdout.decode()
        return bytes_in(text, "t0", both=True)

    def close(self) -> None:
        if self.emulator:
            self.emulator.stdin.close()
            self.machine.end(self.emulator)
        for space in self.made:
            subprocess.run(["ip", "netns", "del", space], check=False)


def interface_bytes(table: Path, name: str) -> int | None:
    # On loopback what is sent is what is received: counted once.
    return bytes_in(table.read_text(), name, both=False)


def bytes_in(table: str, name: str, both: bool) -> int | None:
    for row in table.splitlines():
        interface, _, figures = row.partition(":")
        if interface.strip() == name:
            figures = figures.split()
            return int(figures[0]) + (int(figures[8]) if both else 0)
    return None
