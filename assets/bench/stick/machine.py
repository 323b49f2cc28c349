"""Processes, their time and their CPU. Everything started here is ended here, by its id."""
import os
import re
import select
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


class Failed(Exception):
    """A set-up step that did not come about; its text says which and why."""


@dataclass
class Run:
    """One timed command. Seconds; bytes; `None` is what could not be measured."""
    wall: float | None = None
    cpu: float | None = None  # of client and server together
    first: float | None = None  # until its first byte of output
    wire: int | None = None  # bytes that crossed the link, both ways
    others: float | None = None  # processors' worth of work that was not ours
    error: str | None = None


class Machine:
    """The accounts of this run's processes, and the list of what has to be ended."""

    def __init__(self, work: Path):
        self.work = work
        self.children: list[subprocess.Popen] = []
        self.group = self._enter("cpuacct") or self._enter("")
        self.share = self._enter("cpu")
        if self.share:
            # Other work on the machine does not weigh on one contender more than on the next.
            (self.share / "cpu.shares").write_text("40960")

    def _enter(self, controller: str) -> Path | None:
        group = Path("/sys/fs/cgroup") / controller / f"bench-{os.getpid()}"
        try:
            group.mkdir()
            (group / "cgroup.procs").write_text(str(os.getpid()))
            return group
        except OSError:
            if group.is_dir():
                group.rmdir()
            return None

    def cpu(self) -> float | None:
        """CPU seconds of everything this run started, clients and servers."""
        if not self.group:
            return None
        usage = self.group / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text()) / 1e9
        stat = (self.group / "cpu.stat").read_text()
        return int(re.search(r"usage_usec (\d+)", stat).group(1)) / 1e6

    @staticmethod
    def busy() -> float:
        """CPU seconds of the whole machine since it started."""
        times = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return (sum(times) - times[3] - times[4]) / os.sysconf("SC_CLK_TCK")

    def spawn(self, command: list[str], **options) -> subprocess.Popen:
        log = options.pop("log", self.work / "servers.log")
        options.setdefault("stdin", subprocess.DEVNULL)
        with open(log, "ab") as sink:
            options.setdefault("stdout", sink)
            options.setdefault("stderr", sink)
            child = subprocess.Popen(command, start_new_session=True, **options)
        self.children.append(child)
        return child

    def end(self, child: subprocess.Popen) -> None:
        if child.poll() is None:
            try:
                os.killpg(child.pid, signal.SIGTERM)
                child.wait(15)
            except ProcessLookupError:
                child.wait()
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        if child in self.children:
            self.children.remove(child)

    def end_all(self) -> None:
        for child in list(self.children):
            self.end(child)
        # What left its session, such as the helpers that sshd starts, is still in our group.
        for _ in range(20):
            left = [pid for pid in self._members() if pid != os.getpid()]
            if not left:
                break
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)
        for group in (self.group, self.share):
            try:
                if group:
                    (group.parent / "cgroup.procs").write_text(str(os.getpid()))
                    group.rmdir()
            except OSError:
                pass

    def _members(self) -> list[int]:
        try:
            return [int(pid) for pid in (self.group / "cgroup.procs").read_text().split()]
        except (OSError, AttributeError):
            return []

    def timed(self, command: str, within: float, prefix: list[str], wire) -> Run:
        """Runs a line of shell for at most `within` seconds; `wire` tells the bytes on the link."""
        run = Run()
        errors = self.work / "last.err"
        with open(errors, "wb") as sink:
            cpu, busy, bytes_before = self.cpu(), self.busy(), wire()
            begun = time.monotonic()
            child = subprocess.Popen([*prefix, "bash", "-c", command], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=sink, start_new_session=True)
        try:
            run.first = self._drain(child, begun, within)
            code = child.wait()
        except TimeoutError:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            run.error = f"not done in {within:.0f} s"
            return run
        finally:
            child.stdout.close()
        wall = time.monotonic() - begun
        bytes_after = wire()
        if bytes_before is not None and bytes_after is not None:
            run.wire = bytes_after - bytes_before
        if cpu is not None:
            run.cpu = self.cpu() - cpu
            run.others = max(0.0, self.busy() - busy - run.cpu) / wall
        if code:
            text = errors.read_text(errors="replace").strip()
            run.error = f"ended with {code}: {text[-300:]}"
        else:
            run.wall = wall
        return run

    @staticmethod
    def _drain(child: subprocess.Popen, begun: float, within: float) -> float | None:
        """Reads all output; answers after how long its first byte came."""
        first, output = None, child.stdout.fileno()
        while True:
            left = begun + within - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if not select.select([output], [], [], left)[0]:
                continue
            piece = os.read(output, 1 << 16)
            if not piece:
                return first
            if first is None:
                first = time.monotonic() - begun


def shell(command: str) -> str:
    """Runs an untimed step; fails with its output."""
    done = subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode(errors="replace")
    if done.returncode:
        raise Failed(f"{command}\n{text[-2000:]}")
    return text


def words(*parts) -> str:
    """One line of shell from words of any content."""
    return " ".join(shlex.quote(str(part)) for part in parts)
