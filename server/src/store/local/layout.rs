//! What lies in the data folder, and what it needs of its file system.
//!
//! ```text
//! homes/NAME       one folder an account: plain files
//! staging/uID      an unfinished upload: data, journal; `uID.N` after its bytes were given up N times
//! staging/pXXXX    a pack that is arriving
//! staging/gXXXX    what was removed or replaced, or a removed account's home, still to be deleted
//! sampand.db       accounts, ledger, uploads, intents, answers (SQLite, with -wal and -shm)
//! ```
//!
//! Homes and staging must lie on one file system and mount, which must be able to exchange two
//! names in one step: both are tried at every start. So does each account's home; what else an
//! administrator did to one, be it that it is gone, is a matter of its account alone.
//!
//! Invariant: everything in staging is named by an upload, an intent or an account that is being
//! removed, or may be deleted.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode as Bits, OFlags, openat};
use rustix::io::Errno;
use sampan_protocol::Mode;

use super::disk::{Disk, Open};

/// The open data folder.
pub(super) struct Layout {
    pub(super) homes: OwnedFd,
    pub(super) staging: OwnedFd,
    pub(super) database: PathBuf,
}

/// Why a store cannot be opened. Each says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The data folder or a folder in it cannot be opened or made.
    #[error("cannot open `{}`; check that it exists and belongs to the user who runs the server", .path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Homes and staging lie on different file systems.
    #[error(
        "`homes` and `staging` in `{}` lie on different file systems or mounts; a file is published by \
         a rename, so move both onto one and mount it at the data folder itself",
        .data.display()
    )]
    OtherFileSystem {
        /// The data folder.
        data: PathBuf,
    },
    /// An account's home is a mount of its own.
    #[error(
        "the home `{}` lies on another file system or mount than `staging`; a file is published by a \
         rename, so move it onto the one of the data folder and unmount the other",
        .home.display()
    )]
    HomeElsewhere {
        /// The home.
        home: PathBuf,
    },
    /// The file system cannot exchange two names.
    #[error(
        "the file system of `{}` cannot exchange two files in one step (renameat2 with \
         RENAME_EXCHANGE), which replacing a file safely needs; use ext4, XFS, Btrfs or ZFS 2.2",
        .data.display()
    )]
    NoExchange {
        /// The data folder.
        data: PathBuf,
    },
    /// The kernel has no `openat2`.
    #[error(
        "this kernel has no openat2, which keeps users in their homes; Linux 5.6 or newer is needed"
    )]
    NoOpenat2,
    /// The database was written by a newer program.
    #[error(
        "`{}` has format {found}, this program knows {known}; use the newer sampand that wrote it",
        .path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// There is no room for what the database needs beside it.
    #[error("the disk of `{}` is full; make room, then try again", .path.display())]
    DiskFull {
        /// The database.
        path: PathBuf,
    },
    /// The database cannot be opened.
    #[error(
        "cannot open the database `{}`; if it is damaged, put a backup of it in its place",
        .path.display()
    )]
    Database {
        /// The database.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What an earlier run left behind cannot be put in order.
    #[error("cannot finish what an earlier run left unfinished")]
    Recovery(#[from] crate::store::StoreError),
}

impl Layout {
    /// Opens the data folder; makes what is missing in it and tries its file system.
    pub(super) fn open(data: &Path, disk: &Disk) -> Result<Self, OpenError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Folder { path, source }
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root =
            openat(CWD, data, flags, Bits::empty()).map_err(|error| failed(data)(error.into()))?;
        let folder = |name: &str| {
            let made = disk.make_folder(&root, name.as_bytes(), Mode::new(0o700));
            match made {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                // Not through `open_beneath`: the folder may be a mount point of its own, which
                // is told apart below with a better sentence.
                _ => openat(&root, name, flags | OFlags::NOFOLLOW, Bits::empty())
                    .map_err(io::Error::from),
            }
            .map_err(failed(&data.join(name)))
        };
        let (homes, staging) = (folder("homes")?, folder("staging")?);

        let mounts = || Ok((disk.mount_of(&homes)?, disk.mount_of(&staging)?));
        let (of_homes, of_staging) = mounts().map_err(failed(data))?;
        if of_homes != of_staging {
            return Err(OpenError::OtherFileSystem { data: data.to_owned() });
        }
        match disk.open_beneath(&root, b"staging", Open::FolderToLook) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOSYS) => {
                return Err(OpenError::NoOpenat2);
            }
            opened => drop(opened.map_err(failed(data))?),
        }
        try_exchange(disk, &staging, data)?;
        Ok(Self { homes, staging, database: data.join("sampand.db") })
    }
}

/// Refuses homes of accounts that are mounts of their own.
pub(super) fn check_homes<'a>(
    layout: &Layout,
    disk: &Disk,
    data: &Path,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<(), OpenError> {
    for name in names {
        match disk.open_beneath(&layout.homes, name.as_bytes(), Open::FolderToLook) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::XDEV) => {
                return Err(OpenError::HomeElsewhere { home: data.join("homes").join(name) });
            }
            // Told to whoever opens it.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// The mode of what only the server sees.
const OWN: Mode = Mode::new(0o600);
/// Names that only the probe uses.
const PROBES: [&[u8]; 2] = [b"probe-1", b"probe-2"];

fn try_exchange(disk: &Disk, staging: &OwnedFd, data: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Folder { path: data.join("staging"), source };
    let remove = || {
        for probe in PROBES {
            match disk.unlink(staging, probe) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    };
    remove().map_err(failed)?;
    for probe in PROBES {
        disk.create(staging, probe, OWN).map_err(failed)?;
    }
    let exchanged = disk.exchange((staging, PROBES[0]), (staging, PROBES[1]));
    remove().map_err(failed)?;
    match exchanged {
        Ok(()) => Ok(()),
        Err(error)
            if matches!(
                Errno::from_io_error(&error),
                Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
            ) =>
        {
            Err(OpenError::NoExchange { data: data.to_owned() })
        }
        Err(error) => Err(failed(error)),
    }
}
