"""Who takes part: for each operation a line of shell, the same data, the same result.

Operations: put, get (one file), put_tree, get_tree, ls, ls_long, login, resume_put, resume_get
(half is there), delta (an old version is there). An operation that a contender has no way of doing
is left out.
"""
from pathlib import Path

from .machine import words
from .servers import Servers, find

GCM, CHACHA = "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"


class Contender:
    """`needs` are programs; `kind` is the server; `loopback_only` is for what takes no link."""
    kind: str | None = None
    needs: tuple[str, ...] = ()
    loopback_only = False

    def __init__(self, name: str):
        self.name = name

    def missing(self) -> list[str]:
        return [program for program in self.needs if not find(program)]

    def remote(self, servers: Servers) -> Path:
        """Where the server's folder lies on this machine's disk."""
        return servers.fixtures.peers

    def line(self, op: str, servers: Servers) -> str | None:
        raise NotImplementedError

    def prepare(self, op: str, servers: Servers) -> None:
        """Untimed, before each run, after the fixtures were reset."""
        fixtures, remote = servers.fixtures, self.remote(servers)
        half = fixtures.sizes.mib << 19
        source = fixtures.local / "src.bin"
        if op == "resume_put":
            copy_head(source, remote / "put.bin", half)
        if op == "resume_get":
            copy_head(source, fixtures.local / "got.bin", half)
        if op == "delta":
            copy_head(source, remote / "old.bin", 2 * half)


def copy_head(source: Path, target: Path, length: int) -> None:
    with open(source, "rb") as reader, open(target, "wb") as writer:
        while length:
            piece = reader.read(min(1 << 20, length))
            writer.write(piece)
            length -= len(piece)
    target.chmod(0o666)


class Sampan(Contender):
    """Ours. `durable`: everything is on disk before the answer; else as the peers do it."""

    def __init__(self, name: str, durable: bool):
        super().__init__(name)
        self.durable = durable
        self.kind = "sampand-full" if durable else "sampand-relaxed"

    def remote(self, servers: Servers) -> Path:
        return servers.home(self.kind)

    def line(self, op: str, servers: Servers) -> str | None:
        local, place = servers.fixtures.local, servers.place
        flush = [] if self.durable else ["--no-flush"]
        call = {
            "put": ("put", "--quiet", local / "src.bin", place("put.bin")),
            "get": ("get", "--quiet", *flush, place("src.bin"), local / "got.bin"),
            "put_tree": ("put", "--quiet", f"{local}/tree/.", place("puttree/")),
            "get_tree": ("get", "--quiet", *flush, place("srctree/."), f"{local}/gottree/"),
            "ls": ("ls", "-U", place("many")),
            "ls_long": ("ls", "-l", "-U", place("many")),
            "login": ("ls", place("empty")),
            "delta": ("put", "--quiet", "--on-conflict", "overwrite", local / "mod.bin",
                      place("old.bin")),
        }
        call["resume_put"], call["resume_get"] = call["put"], call["get"]
        return servers.sampan(self.kind, *call[op])

    def prepare(self, op: str, servers: Servers) -> None:
        # Ours is told of what goes away, so that its books stay right; and half of a file is there
        # because the command was killed at half.
        quiet = "> /dev/null 2>&1 || true"
        aside = servers.place(f"aside-{len(list(servers.work.glob('aside/*')))}")
        for name in ("put.bin", "old.bin"):
            servers.untimed(servers.sampan(self.kind, "rm", "-f", servers.place(name)) + quiet)
        servers.untimed(servers.sampan(self.kind, "mv", servers.place("puttree"), aside) + quiet)
        if op == "delta":
            servers.untimed(servers.sampan(
                self.kind, "put", "--quiet", servers.fixtures.local / "src.bin",
                servers.place("old.bin")))
        if op.startswith("resume"):
            interrupt_at_half(self.line(op, servers), servers)


def interrupt_at_half(line: str, servers: Servers) -> None:
    """Starts a transfer, and kills it when half of the bytes have crossed."""
    half = servers.fixtures.sizes.mib << 19
    follow = (
        "import json, os, signal, subprocess, sys\n"
        "child = subprocess.Popen(['bash', '-c', 'exec env ' + sys.argv[1]], "
        "stdout=subprocess.PIPE)\n"
        "for row in child.stdout:\n"
        "    event = json.loads(row)\n"
        f"    if event.get('event') == 'progress' and event.get('bytes', 0) >= {half}:\n"
        "        os.kill(child.pid, signal.SIGKILL)\n"
        "        break\n"
        "sys.exit(0 if child.wait() == -signal.SIGKILL else 1)\n")
    line = line.replace("--quiet", "--json --limit 300MB", 1)
    servers.untimed(words("python3", "-c", follow, line))


class Ssh(Contender):
    kind, needs = "sshd", ("sshd", "ssh")

    def __init__(self, name: str, cipher: str):
        super().__init__(name)
        self.cipher = cipher

    def options(self, servers: Servers) -> str:
        return (f"-F /dev/null -i {servers.work}/ssh-user -o StrictHostKeyChecking=no "
                "-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o IdentitiesOnly=yes "
                f"-o Compression=no -o BatchMode=yes -c {self.cipher}")

    def target(self, servers: Servers) -> str:
        return f"root@{servers.link.host}"


class Sftp(Ssh):
    needs = ("sshd", "sftp")

    def __init__(self, name: str, cipher: str, flush: bool = False):
        super().__init__(name, cipher)
        self.flush = "-f " if flush else ""

    def line(self, op: str, servers: Servers) -> str | None:
        local, remote = servers.fixtures.local, servers.fixtures.peers
        script = {
            "put": f"put {local}/src.bin {remote}/put.bin",
            "get": f"get {remote}/src.bin {local}/got.bin",
            "put_tree": f"put -r {local}/tree {remote}/puttree",
            "get_tree": f"get -r {remote}/srctree {local}/gottree",
            "ls": f"ls -1 {remote}/many", "ls_long": f"ls -l {remote}/many", "login": "pwd",
            "resume_put": f"reput {local}/src.bin {remote}/put.bin",
            "resume_get": f"reget {remote}/src.bin {local}/got.bin",
        }.get(op)
        return script and (f"sftp -q {self.flush}{self.options(servers)} -P {servers.port['sshd']} "
                           f"-b - {self.target(servers)} <<< {words(script)}")


class Scp(Ssh):
    needs = ("sshd", "scp")

    def line(self, op: str, servers: Servers) -> str | None:
        local, remote = servers.fixtures.local, f"{self.target(servers)}:{servers.fixtures.peers}"
        scp = f"scp -q {self.options(servers)} -P {servers.port['sshd']}"
        return {
            "put": f"{scp} {local}/src.bin {remote}/put.bin",
            "get": f"{scp} {remote}/src.bin {local}/got.bin",
            "put_tree": f"{scp} -r {local}/tree {remote}/puttree",
            "get_tree": f"{scp} -r {remote}/srctree {local}/gottree",
        }.get(op)


class Rsync(Ssh):
    needs = ("sshd", "ssh", "rsync")

    def __init__(self, name: str, cipher: str, flush: bool = False):
        super().__init__(name, cipher)
        self.flush = "--fsync " if flush else ""

    def line(self, op: str, servers: Servers) -> str | None:
        local, remote = servers.fixtures.local, f"{self.target(servers)}:{servers.fixtures.peers}"
        rsync = f"rsync {self.flush}-e 'ssh {self.options(servers)} -p {servers.port['sshd']}'"
        return {
            "put": f"{rsync} -W --inplace {local}/src.bin {remote}/put.bin",
            "get": f"{rsync} -W --inplace {remote}/src.bin {local}/got.bin",
            "put_tree": f"{rsync} -a {local}/tree/ {remote}/puttree/",
            "get_tree": f"{rsync} -a {remote}/srctree/ {local}/gottree/",
            "ls_long": f"{rsync} --list-only {remote}/many/",
            "resume_put": f"{rsync} --append-verify {local}/src.bin {remote}/put.bin",
            "resume_get": f"{rsync} --append-verify {remote}/src.bin {local}/got.bin",
            "delta": f"{rsync} --no-whole-file {local}/mod.bin {remote}/old.bin",
        }.get(op)


class Piped(Ssh):
    """`cat` and `tar` through `ssh`: no protocol of their own at all."""
    needs = ("sshd", "ssh", "tar")

    def __init__(self, name: str, cipher: str, flush: bool = False):
        super().__init__(name, cipher)
        self.flush = flush

    def line(self, op: str, servers: Servers) -> str | None:
        local, remote = servers.fixtures.local, servers.fixtures.peers
        ssh = f"ssh {self.options(servers)} -p {servers.port['sshd']} {self.target(servers)}"
        there = f" && sync -f {remote}" if self.flush else ""
        here = f" && sync -f {local}" if self.flush else ""
        return {
            "put": f"{ssh} 'cat > {remote}/put.bin{there}' < {local}/src.bin",
            "get": f"{ssh} 'cat {remote}/src.bin' > {local}/got.bin{here}",
            "put_tree": f"tar -C {local}/tree -cf - . | "
                        f"{ssh} 'mkdir {remote}/puttree && tar -C {remote}/puttree -xf -{there}'",
            "get_tree": f"mkdir {local}/gottree && {ssh} 'tar -C {remote}/srctree -cf - .' | "
                        f"tar -C {local}/gottree -xf -{here}",
            "ls": f"{ssh} 'ls -1 {remote}/many'", "ls_long": f"{ssh} 'ls -l {remote}/many'",
            "login": f"{ssh} true",
        }.get(op)


class Rclone(Ssh):
    needs = ("sshd", "rclone")

    def line(self, op: str, servers: Servers) -> str | None:
        local, root = servers.fixtures.local, servers.fixtures.peers
        remote = (f":sftp,host={servers.link.host},port={servers.port['sshd']},user=root,"
                  f"key_file={servers.work}/ssh-user,shell_type=unix,md5sum_command=none,"
                  f"sha1sum_command=none:{root}")
        rclone = "rclone --config /dev/null --transfers 16 --checkers 16 -q --retries 1"
        return {
            "put": f"{rclone} copyto {local}/src.bin {remote}/put.bin",
            "get": f"{rclone} copyto {remote}/src.bin {local}/got.bin",
            "put_tree": f"{rclone} copy {local}/tree {remote}/puttree",
            "get_tree": f"{rclone} copy {remote}/srctree {local}/gottree",
            "ls": f"{rclone} lsf {remote}/many", "ls_long": f"{rclone} lsl {remote}/many",
            "login": f"{rclone} lsf {remote}/empty",
        }.get(op)


class Lftp(Contender):
    kind, needs = "vsftpd", ("lftp", "vsftpd")

    def __init__(self, name: str, parallel: int = 1):
        super().__init__(name)
        self.parallel = parallel

    def line(self, op: str, servers: Servers) -> str | None:
        local, many = servers.fixtures.local, self.parallel
        if many > 1:
            script = {
                "get": f"pget -n {many} /r/src.bin -o {local}/got.bin",
                "put_tree": f"mirror -R -P {many} {local}/tree /r/puttree",
                "get_tree": f"mirror -P {many} /r/srctree {local}/gottree",
            }.get(op)
        else:
            script = {
                "put": f"put {local}/src.bin -o /r/put.bin",
                "get": f"get /r/src.bin -o {local}/got.bin",
                "ls": "cls -1 /r/many", "ls_long": "ls /r/many", "login": "cls -1 /r/empty",
                "resume_put": f"put -c {local}/src.bin -o /r/put.bin",
                "resume_get": f"get -c /r/src.bin -o {local}/got.bin",
            }.get(op)
        settings = ("set ssl:verify-certificate no; set ftp:ssl-force yes; "
                    "set ftp:ssl-protect-data yes; set cmd:fail-exit yes; set net:max-retries 2; "
                    "set net:connection-limit 16; set xfer:clobber yes; set ftp:sync-mode no; ")
        return script and (f"lftp -c '{settings}open -u anonymous,x "
                           f"{servers.link.host}:{servers.port['vsftpd']}; {script}'")


class Curl(Contender):
    kind, needs = "nginx", ("curl", "nginx", "openssl")

    def line(self, op: str, servers: Servers) -> str | None:
        local = servers.fixtures.local
        url, curl = f"https://{servers.link.host}:{servers.port['nginx']}", "curl -sS -f -k"
        return {
            "put": f"{curl} -T {local}/src.bin {url}/put.bin",
            "get": f"{curl} -o {local}/got.bin {url}/src.bin",
            "login": f"{curl} -o /dev/null {url}/empty.txt", "ls": f"{curl} {url}/many/",
            "resume_get": f"{curl} -C - -o {local}/got.bin {url}/src.bin",
        }.get(op)


class Copy(Contender):
    """No network at all: what the disk alone takes."""
    needs, loopback_only = ("cp",), True

    def line(self, op: str, servers: Servers) -> str | None:
        local, remote = servers.fixtures.local, servers.fixtures.peers
        return {
            "put": f"cp --reflink=never {local}/src.bin {remote}/put.bin",
            "get": f"cp --reflink=never {remote}/src.bin {local}/got.bin",
            "put_tree": f"cp -r {local}/tree {remote}/puttree",
            "get_tree": f"cp -r {remote}/srctree {local}/gottree",
            "ls": f"ls -1 -U {remote}/many", "ls_long": f"ls -l {remote}/many",
        }.get(op)


ALL: list[Contender] = [
    Sampan("sampan", durable=True),
    Sampan("sampan, relaxed", durable=False),
    Sftp("sftp chacha20", CHACHA),
    Sftp("sftp aes128-gcm", GCM),
    Sftp("sftp -f aes128-gcm", GCM, flush=True),
    Scp("scp aes128-gcm", GCM),
    Rsync("rsync", GCM),
    Rsync("rsync --fsync", GCM, flush=True),
    Piped("cat, tar over ssh", GCM),
    Piped("cat, tar over ssh, sync", GCM, flush=True),
    Rclone("rclone sftp", GCM),
    Lftp("lftp FTPS"),
    Lftp("lftp FTPS, 8 at once", parallel=8),
    Curl("curl + nginx"),
    Copy("cp"),
]
