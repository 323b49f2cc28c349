//! The data folder, held open: what is checked is what is used.

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self as unix, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use sampan_protocol::Escaped;
use tokio::net::{UnixListener, UnixStream};

use super::StateError;

/// Version of the layout.
const FORMAT: &str = "1";
const FORMAT_FILE: &str = "format";
const SOCKET: &str = "admin.sock";

/// What may lie in a folder that has no format yet: homes that an administrator put there, what a
/// first start left behind, and what a fresh file system has.
const HARMLESS: [&[u8]; 5] = [b"homes", b"staging", b"lock", b"tls", b"lost+found"];

/// Whether a first start that was cut short left this: the format on its way to its name.
fn is_staged_format(name: &[u8]) -> bool {
    let pid = name.strip_prefix(b".format.");
    pid.is_some_and(|pid| !pid.is_empty() && pid.iter().all(u8::is_ascii_digit))
}

/// Most bytes that are read of a file of ours.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// `DATA`, checked and open.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    fd: OwnedFd,
}

impl DataFolder {
    /// Opens the folder; makes it if it is missing.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| match error
            .kind()
        {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                StateError::NotAFolder { path: path.to_owned() }
            }
            _ => StateError::io("make the folder", path)(error),
        })?;
        Self::open_existing(path)
    }

    /// Opens the folder, which must be there.
    pub fn open_existing(path: &Path) -> Result<Self, StateError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = unix::open(path, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOENT => StateError::Missing { path: path.to_owned() },
            Errno::NOTDIR => StateError::NotAFolder { path: path.to_owned() },
            // A data folder lets nobody else in, so this is how somebody else's looks.
            Errno::ACCESS => not_owner(path)
                .unwrap_or_else(|| StateError::io("open the folder", path)(error.into())),
            error => StateError::io("open the folder", path)(error.into()),
        })?;
        let folder = Self { path: path.to_owned(), fd };
        folder.check_owner_and_mode()?;
        folder.check_format()?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn check_owner_and_mode(&self) -> Result<(), StateError> {
        let stat = unix::fstat(&self.fd).map_err(|error| self.failed("look at")(error.into()))?;
        let user = rustix::process::geteuid().as_raw();
        if stat.st_uid != user {
            return Err(StateError::NotOwner { path: self.path.clone(), owner: stat.st_uid, user });
        }
        let others = stat.st_mode & 0o077;
        if others == 0 {
            return Ok(());
        }
        // A folder that `mkdir` just made is closed; one that was in use is not silently changed.
        if self.names()?.is_empty() {
            return unix::fchmod(&self.fd, Mode::RWXU)
                .map_err(|error| self.failed("set the mode of")(error.into()));
        }
        Err(StateError::TooOpen { path: self.path.clone(), mode: stat.st_mode & 0o777 })
    }

    fn check_format(&self) -> Result<(), StateError> {
        match self.read(FORMAT_FILE)? {
            Some(text) if text.trim_ascii() == FORMAT.as_bytes() => Ok(()),
            Some(text) => Err(StateError::Format {
                path: self.path.clone(),
                found: Escaped(text.trim_ascii()).to_string(),
                known: FORMAT,
            }),
            None => {
                let names = self.names()?;
                let is_foreign = |name: &&Vec<u8>| {
                    !HARMLESS.contains(&name.as_slice()) && !is_staged_format(name)
                };
                if let Some(name) = names.iter().find(is_foreign) {
                    let found = Escaped(name).to_string();
                    return Err(StateError::Foreign { path: self.path.clone(), found });
                }
                self.write_atomically(FORMAT_FILE, format!("{FORMAT}\n").as_bytes())?;
                for left in names.iter().filter(|name| is_staged_format(name)) {
                    match unix::unlinkat(&self.fd, left.as_slice(), AtFlags::empty()) {
                        // Ours, which was renamed, or its own process was quicker.
                        Ok(()) | Err(Errno::NOENT) => {}
                        Err(error) => {
                            return Err(self.failed("clean up")(error.into()));
                        }
                    }
                }
                Ok(())
            }
        }
    }

    fn names(&self) -> Result<Vec<Vec<u8>>, StateError> {
        let entries = unix::Dir::read_from(&self.fd)
            .map_err(|error| self.failed("read the folder")(error.into()))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| self.failed("read the folder")(error.into()))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        Ok(names)
    }

    /// A subfolder of ours, 0700, made if missing, as a folder of its own.
    pub(super) fn subfolder(&self, name: &str) -> Result<Self, StateError> {
        let path = self.path.join(name);
        match unix::mkdirat(&self.fd, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(StateError::io("make the folder", &path)(error.into())),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = unix::openat(&self.fd, name, flags, Mode::empty())
            .map_err(|error| StateError::io("open the folder", &path)(error.into()))?;
        Ok(Self { path, fd })
    }

    /// A small file's bytes; `None` if it is not there.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = match unix::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.failed_on("read", name)(error.into())),
        };
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(self.failed_on("read", name))?;
        Ok(Some(bytes))
    }

    /// The permission bits of a file of ours.
    pub(super) fn mode_of(&self, name: &str) -> Result<u32, StateError> {
        let stat = unix::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| self.failed_on("look at", name)(error.into()))?;
        Ok(stat.st_mode & 0o777)
    }

    /// Puts a file, 0600, under its name: whole and on disk, or not at all.
    pub(super) fn write_atomically(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        // The pid keeps two first starts apart; what a crash left under it is overwritten.
        let staged = format!(".{name}.{}", std::process::id());
        self.write_staged(&staged, bytes).map_err(self.failed_on("write", name))?;
        unix::renameat(&self.fd, staged.as_str(), &self.fd, name)
            .and_then(|()| unix::fsync(&self.fd))
            .map_err(|error| self.failed_on("write", name)(error.into()))
    }

    fn write_staged(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut file = File::from(unix::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Opens or makes a file, 0600, to be read and written in place.
    pub(super) fn open_file(&self, name: &str) -> Result<File, StateError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = unix::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| self.failed_on("open", name)(error.into()))?;
        Ok(fd.into())
    }

    /// Listens for administrators. Only who holds the lock may, since an old socket is removed.
    pub fn bind_admin_socket(&self) -> Result<UnixListener, StateError> {
        match unix::unlinkat(&self.fd, SOCKET, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(self.failed_on("replace", SOCKET)(error.into())),
        }
        let socket =
            UnixListener::bind(self.socket_path()).map_err(self.failed_on("bind", SOCKET))?;
        // The folder's 0700 guards the instant between both.
        unix::chmodat(&self.fd, SOCKET, Mode::RUSR | Mode::WUSR, AtFlags::empty())
            .map_err(|error| self.failed_on("set the mode of", SOCKET)(error.into()))?;
        Ok(socket)
    }

    /// Calls the server that runs on this folder; `None` if none answers.
    pub async fn call_admin_socket(&self) -> Result<Option<UnixStream>, StateError> {
        match UnixStream::connect(self.socket_path()).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(source) => Err(self.failed_on("call", SOCKET)(source)),
        }
    }

    /// Takes the socket's name away; after that a command works on the folder itself.
    pub fn remove_admin_socket(&self) -> Result<(), StateError> {
        match unix::unlinkat(&self.fd, SOCKET, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed_on("remove", SOCKET)(error.into())),
        }
    }

    /// A socket's path has 107 bytes at most; through the open folder it is always short.
    fn socket_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", self.fd.as_raw_fd()))
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(io::Error) -> StateError + use<> {
        StateError::io(doing, &self.path)
    }

    fn failed_on(
        &self,
        doing: &'static str,
        name: &str,
    ) -> impl FnOnce(io::Error) -> StateError + use<> {
        StateError::io(doing, &self.path.join(name))
    }
}

/// The refusal of a folder that another user owns, if that is what it is.
fn not_owner(path: &Path) -> Option<StateError> {
    let stat = unix::stat(path).ok()?;
    let user = rustix::process::geteuid().as_raw();
    let (path, owner) = (path.to_owned(), stat.st_uid);
    (owner != user).then_some(StateError::NotOwner { path, owner, user })
}

impl AsFd for DataFolder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_missing_folder_is_made_closed() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        DataFolder::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("format")), 0o600);
        DataFolder::open(&path).unwrap();
    }

    #[test]
    fn an_empty_open_folder_is_closed_and_a_used_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open.clone()).unwrap();
        DataFolder::open(folder.path()).unwrap();
        assert_eq!(mode(folder.path()), 0o700);

        std::fs::set_permissions(folder.path(), open).unwrap();
        let error = DataFolder::open(folder.path()).unwrap_err();
        assert!(matches!(error, StateError::TooOpen { mode: 0o755, .. }), "{error}");
        assert!(error.to_string().contains("chmod 700"));
    }

    #[test]
    fn a_foreign_folder_and_another_format_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        std::fs::create_dir(folder.path().join("homes")).unwrap();
        std::fs::create_dir(folder.path().join("lost+found")).unwrap();
        std::fs::write(folder.path().join("thesis.tex"), "").unwrap();
        let error = DataFolder::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("thesis.tex"), "{error}");
        assert!(!folder.path().join("format").exists());

        std::fs::remove_file(folder.path().join("thesis.tex")).unwrap();
        DataFolder::open(folder.path()).unwrap();
        std::fs::write(folder.path().join("format"), "2\n").unwrap();
        let error = DataFolder::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("format `2`"), "{error}");
    }

    /// A crash between making the format's file and naming it.
    #[test]
    fn what_a_first_start_left_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        for left in [".format.1", ".format.4194304"] {
            std::fs::write(folder.path().join(left), "1").unwrap();
        }
        DataFolder::open(folder.path()).unwrap();
        let names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|name| name.unwrap().file_name())
            .collect();
        assert_eq!(names, ["format"]);

        std::fs::remove_file(folder.path().join("format")).unwrap();
        std::fs::write(folder.path().join(".format.old"), "mine").unwrap();
        let error = DataFolder::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(".format.old"), "{error}");
    }

    #[tokio::test]
    async fn a_long_path_does_not_hinder_the_socket() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("d".repeat(200));
        let folder = DataFolder::open(&path).unwrap();
        assert!(folder.call_admin_socket().await.unwrap().is_none());
        let socket = folder.bind_admin_socket().unwrap();
        assert_eq!(mode(&path.join("admin.sock")), 0o600);
        assert!(folder.call_admin_socket().await.unwrap().is_some());
        drop(socket);
        assert!(folder.call_admin_socket().await.unwrap().is_none(), "nobody listens");
        let again = folder.bind_admin_socket().unwrap();
        folder.remove_admin_socket().unwrap();
        assert!(folder.call_admin_socket().await.unwrap().is_none());
        drop(again);
    }
}
