"""What is carried, and whether it arrived: made once, put back before each run, compared after it."""
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .machine import shell, words

CHANGED_STEP = 128 << 10  # of these pieces one in a hundred is changed


@dataclass(frozen=True)
class Sizes:
    mib: int = 1024  # of the one large file
    files: int = 10_000  # of 4 KiB, in the tree
    folders: int = 100
    many: int = 100_000  # names in the one folder that is listed


class Fixtures:
    """Folders: `local` is the client's, `peers` what the peers' servers serve.

    Sampan's server has the same names in a home of its own.
    """

    def __init__(self, work: Path, sizes: Sizes, cases: set[str]):
        self.work, self.sizes = work, sizes
        self.local, self.peers, self.aside = work / "l", work / "r", work / "aside"
        for folder in (self.local, self.peers, self.aside, self.peers / "empty"):
            folder.mkdir()
        (self.peers / "empty.txt").write_text("x\n")
        if cases & {"file", "resume", "delta"}:
            self._make_file(self.local / "src.bin")
        if "delta" in cases:
            self._make_changed()
        if "tree" in cases:
            self._make_tree(self.local / "tree")
        # The peers' own copies.
        if (self.local / "src.bin").exists():
            shell(words("cp", "--reflink=never", self.local / "src.bin", self.peers))
        if (self.local / "tree").exists():
            shell(words("cp", "-a", self.local / "tree", self.peers / "srctree"))
        if "list" in cases:
            self._make_many(self.peers / "many")

    def fill(self, home: Path) -> None:
        """Lays the same things into a home of ours."""
        for name in ("src.bin", "srctree", "many", "empty"):
            if (self.peers / name).exists():
                shell(words("cp", "-a", "--reflink=never", self.peers / name, home))

    def _make_file(self, path: Path) -> None:
        with open(path, "wb") as file:
            for _ in range(self.sizes.mib):
                file.write(os.urandom(1 << 20))

    def _make_changed(self) -> None:
        changed = self.local / "mod.bin"
        shell(words("cp", "--reflink=never", self.local / "src.bin", changed))
        with open(changed, "r+b") as file:
            for piece in range(0, (self.sizes.mib << 20) // CHANGED_STEP, 100):
                file.seek(piece * CHANGED_STEP)
                file.write(os.urandom(CHANGED_STEP))

    def _make_tree(self, folder: Path) -> None:
        noise = os.urandom(4096 + self.sizes.files)
        for number in range(self.sizes.folders):
            (folder / f"d{number:03}").mkdir(parents=True)
        for number in range(self.sizes.files):
            name = folder / f"d{number % self.sizes.folders:03}" / f"f{number:06}"
            name.write_bytes(noise[number:number + 4096])

    def _make_many(self, folder: Path) -> None:
        folder.mkdir()
        for number in range(self.sizes.many):
            os.close(os.open(folder / f"entry-{number:07}.dat", os.O_CREAT | os.O_WRONLY, 0o644))

    def reset(self, remote: Path) -> None:
        """Untimed, before each run: takes away what the last one left on the client's side and in a
        peer's folder. Trees are moved aside, not deleted: ext4 looks past the inodes that were
        deleted in the last minutes, and that would make every later creation slow."""
        for path in (remote / "put.bin", self.local / "got.bin"):
            path.unlink(missing_ok=True)
        for path in (remote / "puttree", self.local / "gottree"):
            if path.exists():
                path.rename(self.aside / str(len(os.listdir(self.aside))))

    def differs(self, op: str, remote: Path, listed: int | None) -> str | None:
        """What is wrong with the result of a run, byte for byte; nothing if it is right."""
        pairs = {
            "put": ("cmp", self.local / "src.bin", remote / "put.bin"),
            "resume_put": ("cmp", self.local / "src.bin", remote / "put.bin"),
            "get": ("cmp", self.local / "src.bin", self.local / "got.bin"),
            "resume_get": ("cmp", self.local / "src.bin", self.local / "got.bin"),
            "delta": ("cmp", self.local / "mod.bin", remote / "old.bin"),
            "put_tree": ("diff -rq", self.local / "tree", remote / "puttree"),
            "get_tree": ("diff -rq", self.local / "tree", self.local / "gottree"),
        }
        if op in pairs:
            tool, sent, arrived = pairs[op]
            done = subprocess.run([*tool.split(), str(sent), str(arrived)], check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            return done.stdout.decode(errors="replace")[:300] if done.returncode else None
        if op.startswith("ls") and listed is not None and listed < self.sizes.many:
            return f"{listed} of {self.sizes.many} names were listed"
        return None
