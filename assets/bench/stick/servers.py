"""The servers, each started when its first contender needs it, on a free port of the link's host."""
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from .fixtures import Fixtures
from .machine import Failed, Machine, shell, words

USER = "bench"
SFTP_SERVER = next((path for path in ("/usr/lib/openssh/sftp-server",
                                      "/usr/libexec/openssh/sftp-server",
                                      "/usr/libexec/sftp-server") if os.path.exists(path)),
                   "internal-sftp")


def find(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Servers:
    def __init__(self, machine: Machine, link, fixtures: Fixtures, programs: Path):
        self.machine, self.link, self.fixtures, self.programs = machine, link, fixtures, programs
        self.work = machine.work
        self.port: dict[str, int] = {}
        self.process: dict[str, subprocess.Popen] = {}
        self.fingerprint: dict[str, str] = {}

    def start(self, kind: str) -> None:
        if kind in self.process:
            return
        self.port[kind] = free_port()
        command = getattr(self, f"_{kind.partition('-')[0]}")(kind, self.port[kind])
        child = self.machine.spawn([*self.link.server, *command])
        self.process[kind] = child
        self._await(child, self.port[kind])
        if kind.startswith("sampand"):
            self._login(kind)

    def close(self) -> None:
        for child in self.process.values():
            self.machine.end(child)
        self.process = {}

    def _await(self, child: subprocess.Popen, port: int) -> None:
        probe = f"exec 3<>/dev/tcp/{self.link.host}/{port}"
        for _ in range(200):
            done = subprocess.run([*self.link.client, "bash", "-c", probe], check=False,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if done.returncode == 0:
                return
            if child.poll() is not None:
                break
            time.sleep(0.05)
        log = (self.work / "servers.log").read_text(errors="replace")
        raise Failed(f"a server did not come up: {log[-800:]}")

    # ---- ours

    def home(self, kind: str) -> Path:
        return self.data(kind) / "homes" / USER

    def data(self, kind: str) -> Path:
        # By the name of the server, so that both links find the same home.
        return self.work / f"data-{kind}"

    def _sampand(self, kind: str, port: int) -> list[str]:
        """`sampand-full` and `sampand-relaxed`: what is acknowledged is on disk, or may not be."""
        data, program = self.data(kind), str(self.programs / "sampand")
        settings = self.work / f"{kind}.toml"
        if not data.exists():
            data.mkdir(mode=0o700)
            settings.write_text(f'durability = "{kind.partition("-")[2]}"\n')
            (self.work / "password").write_text("crossing\n")
            (self.work / "password").chmod(0o600)
            common = words("--data", data, "--config", settings)
            shell(f"{words(program)} user add {USER} --password-stdin {common} "
                  f"< {self.work / 'password'}")
            self.fixtures.fill(self.home(kind))
            shell(f"{words(program)} quota scan {USER} {common}")
        self.fingerprint[kind] = shell(
            words(program, "fingerprint", "--data", data, "--config", settings)).split()[-1]
        return [program, "serve", "--listen", f"{self.link.host}:{port}",
                "--data", str(data), "--config", str(settings)]

    def sampan(self, kind: str, command: str, *rest) -> str:
        """A line for our client, logged in by its enrolled key."""
        parts = [self.programs / "sampan", command, "-P", self.port[kind],
                 "--fingerprint", self.fingerprint[kind], *rest]
        return f"SAMPAN_HOME={self.work / 'client'} {words(*parts)}"

    def place(self, path: str = "") -> str:
        return f"{USER}@{self.link.host}:{path}"

    def untimed(self, command: str) -> None:
        shell(f"{words(*self.link.client)} bash -c {words(command)}" if self.link.client else command)

    def _login(self, kind: str) -> None:
        (self.work / "client").mkdir(mode=0o700, exist_ok=True)
        self.untimed(self.sampan(kind, "login", "--password-file", self.work / "password",
                                 self.place()))

    # ---- the peers'

    def _sshd(self, kind: str, port: int) -> list[str]:
        for key in ("host", "user"):
            if not (self.work / f"ssh-{key}").exists():
                shell(words("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                            self.work / f"ssh-{key}"))
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        settings = self.work / f"sshd-{port}.conf"
        settings.write_text(
            f"Port {port}\nListenAddress {self.link.host}\nHostKey {self.work}/ssh-host\n"
            f"AuthorizedKeysFile {self.work}/ssh-user.pub\nStrictModes no\nUsePAM no\n"
            "PermitRootLogin prohibit-password\nPasswordAuthentication no\nPidFile none\n"
            "MaxStartups 2000:30:2000\nMaxSessions 2000\nUseDNS no\nPrintMotd no\n"
            f"Subsystem sftp {SFTP_SERVER}\n")
        return [find("sshd"), "-D", "-e", "-f", str(settings)]

    def _certificate(self) -> None:
        if not (self.work / "cert.pem").exists():
            shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
                  f"-subj /CN=localhost -keyout {self.work}/key.pem -out {self.work}/cert.pem")

    def _nginx(self, kind: str, port: int) -> list[str]:
        self._certificate()
        work, root = self.work, self.fixtures.peers
        user = "user root; " if os.geteuid() == 0 else ""
        settings = work / f"nginx-{port}.conf"
        settings.write_text(
            f"daemon off; {user}worker_processes 1; error_log {work}/nginx.err; "
            f"pid {work}/nginx-{port}.pid;\nevents {{ worker_connections 4096; }}\n"
            f"http {{ access_log off; sendfile on; client_body_temp_path {root}/.body; "
            f"proxy_temp_path {work}/p; fastcgi_temp_path {work}/f; uwsgi_temp_path {work}/u; "
            f"scgi_temp_path {work}/s; client_max_body_size 0;\n"
            f"server {{ listen {self.link.host}:{port} ssl; ssl_certificate {work}/cert.pem; "
            f"ssl_certificate_key {work}/key.pem; ssl_protocols TLSv1.3; root {root}; "
            "dav_methods PUT; autoindex on; } }\n")
        return [find("nginx"), "-c", str(settings)]

    def _vsftpd(self, kind: str, port: int) -> list[str]:
        self._certificate()
        settings = self.work / f"vsftpd-{port}.conf"
        settings.write_text(
            f"listen=YES\nlisten_address={self.link.host}\nlisten_port={port}\nbackground=NO\n"
            "anonymous_enable=YES\nlocal_enable=NO\nwrite_enable=YES\n"
            f"anon_root={self.work}\nallow_writeable_chroot=YES\nanon_upload_enable=YES\n"
            "anon_mkdir_write_enable=YES\nanon_other_write_enable=YES\nanon_umask=022\n"
            "anon_world_readable_only=NO\nno_anon_password=YES\nssl_enable=YES\n"
            "allow_anon_ssl=YES\nforce_anon_data_ssl=YES\nforce_anon_logins_ssl=YES\n"
            f"rsa_cert_file={self.work}/cert.pem\nrsa_private_key_file={self.work}/key.pem\n"
            "require_ssl_reuse=NO\nssl_ciphers=HIGH\nseccomp_sandbox=NO\nisolate_network=NO\n"
            "isolate=NO\nmax_per_ip=0\nxferlog_enable=NO\nsetproctitle_enable=NO\n"
            "pasv_min_port=30000\npasv_max_port=39999\n")
        return [find("vsftpd"), str(settings)]
