"""What is aimed at: our time as a part of a named peer's, in the same run.

Peers answer before the data is on disk and we do not; so durable is held against durable, and
relaxed against peers as they come.
"""
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    case: str
    op: str
    ours: str
    peer: str
    ratio: float
    measure: str = "wall"  # or cpu, first


OURS, RELAXED = "sampan", "sampan, relaxed"
LOOPBACK = [
    # A: one file
    *(Goal("file", "get", RELAXED, *goal) for goal in (
        ("sftp aes128-gcm", 0.55), ("sftp chacha20", 0.40), ("cat, tar over ssh", 0.80),
        ("curl + nginx", 0.80))),
    *(Goal("file", "put", RELAXED, *goal) for goal in (
        ("sftp aes128-gcm", 0.55), ("cat, tar over ssh", 0.65), ("curl + nginx", 0.85))),
    Goal("file", "get", RELAXED, "sftp aes128-gcm", 0.65, "cpu"),
    Goal("file", "put", RELAXED, "sftp aes128-gcm", 0.65, "cpu"),
    Goal("file", "put", OURS, "sftp -f aes128-gcm", 0.55),
    Goal("file", "put", OURS, "cat, tar over ssh, sync", 0.65),
    # B: a tree of small files
    *(Goal("tree", "put_tree", RELAXED, *goal) for goal in (
        ("cat, tar over ssh", 0.70), ("rsync", 0.50), ("sftp aes128-gcm", 0.20), ("cp", 2.00))),
    *(Goal("tree", "get_tree", RELAXED, *goal) for goal in (
        ("cat, tar over ssh", 0.60), ("rsync", 0.50), ("sftp aes128-gcm", 0.15))),
    Goal("tree", "put_tree", OURS, RELAXED, 1.60),
    Goal("tree", "put_tree", OURS, "cat, tar over ssh, sync", 0.70),
    Goal("tree", "put_tree", OURS, "rsync --fsync", 0.50),
    Goal("tree", "put_tree", OURS, "sftp -f aes128-gcm", 0.20),
    # C: one folder of many names
    Goal("list", "ls", OURS, "sftp aes128-gcm", 0.25),
    Goal("list", "ls", OURS, "curl + nginx", 1.00),
    Goal("list", "ls_long", OURS, "sftp aes128-gcm", 0.25),
    Goal("list", "ls_long", OURS, "lftp FTPS", 0.60),
    Goal("list", "ls_long", OURS, "cp", 1.00),
    # E: login
    Goal("login", "login", OURS, "sftp aes128-gcm", 0.15),
    # G: half is there, and is verified
    Goal("resume", "resume_put", RELAXED, "rsync", 0.60),
    Goal("resume", "resume_put", RELAXED, "sftp aes128-gcm", 0.90),
    Goal("resume", "resume_get", RELAXED, "rsync", 0.60),
    Goal("resume", "resume_get", RELAXED, "lftp FTPS", 1.20),
    # H: one in a hundred pieces of 128 KiB changed
    Goal("delta", "delta", RELAXED, "rsync", 0.35),
]
SSH_PEERS = ("sftp chacha20", "sftp aes128-gcm", "rsync", "cat, tar over ssh")
LONG_WAY = [
    *(Goal("file", op, RELAXED, peer, 0.25) for op in ("get", "put") for peer in SSH_PEERS),
    Goal("file", "get", RELAXED, "lftp FTPS, 8 at once", 0.70),
    Goal("file", "put", RELAXED, "curl + nginx", 0.40),
    Goal("tree", "put_tree", RELAXED, "cat, tar over ssh", 0.50),
    Goal("tree", "put_tree", RELAXED, "rsync", 0.40),
    Goal("tree", "put_tree", RELAXED, "sftp aes128-gcm", 0.03),
    Goal("tree", "get_tree", RELAXED, "cat, tar over ssh", 0.50),
    Goal("tree", "get_tree", RELAXED, "rsync", 0.40),
    Goal("tree", "get_tree", RELAXED, "sftp aes128-gcm", 0.03),
    Goal("login", "login", OURS, "sftp aes128-gcm", 0.20),
]
