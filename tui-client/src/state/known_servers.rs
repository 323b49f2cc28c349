//! Pins: which key a server showed when it was first met.
//!
//! One line a server, `HOST:PORT FINGERPRINT`; lines that begin with `#` and empty ones are kept. An
//! administrator may write the file by hand.
//!
//! Invariant: a file that cannot be read or understood is an error, never an empty list: a lost pin
//! would turn a changed server into a new one.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::private::{PrivateFolder, own_file, parts, read};
use crate::address::Server;
use crate::disk::Disk;
use crate::failure::{Failure, Situation};
use crate::place::shown;

/// The file of pins.
#[derive(Clone, Debug)]
pub struct KnownServers {
    disk: Disk,
    path: PathBuf,
}

/// A server's pinned key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// `SHA256:` and base64, as it stands in the file.
    pub fingerprint: String,
    /// Where it stands, for messages: `FILE, line N`.
    pub stored: String,
}

impl KnownServers {
    pub(super) fn at(disk: Disk, path: PathBuf) -> Self {
        Self { disk, path }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is pinned for `server`.
    pub fn pin(&self, server: &Server) -> Result<Option<Pin>, Failure> {
        let name = server.to_string();
        for (number, line) in self.lines()?.iter().enumerate() {
            if let Some((host, fingerprint)) = self.entry(number, line)?
                && host.eq_ignore_ascii_case(&name)
            {
                let stored = format!("{}, line {}", shown(&self.path), number + 1);
                return Ok(Some(Pin { fingerprint: fingerprint.to_owned(), stored }));
            }
        }
        Ok(None)
    }

    /// Pins `fingerprint`, instead of what was pinned for `server`.
    pub fn set(&self, server: &Server, fingerprint: &str) -> Result<(), Failure> {
        self.change(server, |lines| lines.push(format!("{server} {fingerprint}")))
    }

    /// Forgets `server`; says whether it was known.
    pub fn forget(&self, server: &Server) -> Result<bool, Failure> {
        if self.pin(server)?.is_none() {
            return Ok(false);
        }
        self.change(server, |_| {})?;
        Ok(true)
    }

    fn change(&self, server: &Server, add: impl FnOnce(&mut Vec<String>)) -> Result<(), Failure> {
        let failed = |error: Errno| own_file(&self.path, error);
        let (folder, file) = parts(&self.path);
        let folder = PrivateFolder::create(&self.disk, folder).map_err(failed)?;
        let _lock = self.lock(&folder).map_err(failed)?;
        let name = server.to_string();
        let mut lines = Vec::new();
        for (number, line) in self.lines()?.into_iter().enumerate() {
            let is_this = self
                .entry(number, &line)?
                .is_some_and(|(host, _)| host.eq_ignore_ascii_case(&name));
            if !is_this {
                lines.push(line);
            }
        }
        add(&mut lines);
        let mut content = lines.join("\n");
        if !content.is_empty() {
            content.push('\n');
        }
        folder.replace(file, content.as_bytes()).map_err(failed)
    }

    /// Held while the file is read and replaced, so that two programs do not lose each other's pin.
    fn lock(&self, folder: &PrivateFolder<'_>) -> Result<OwnedFd, Errno> {
        let lock = self.path.with_extension("lock");
        let file = folder.open_file(lock.file_name().unwrap_or_default())?;
        self.disk.lock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }

    fn lines(&self) -> Result<Vec<String>, Failure> {
        match read(&self.disk, &self.path) {
            Ok(Some(bytes)) => {
                let text = String::from_utf8(bytes).map_err(|_| self.malformed("it is no text"))?;
                Ok(text.lines().map(str::to_owned).collect())
            }
            Ok(None) => Ok(Vec::new()),
            Err(error) => Err(own_file(&self.path, error)),
        }
    }

    fn entry<'a>(
        &self,
        number: usize,
        line: &'a str,
    ) -> Result<Option<(&'a str, &'a str)>, Failure> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(host), Some(fingerprint), None) if fingerprint.starts_with("SHA256:") => {
                Ok(Some((host, fingerprint)))
            }
            _ => Err(self.malformed(&format!("line {} is not `HOST:PORT SHA256:…`", number + 1))),
        }
    }

    fn malformed(&self, text: &str) -> Failure {
        Failure::new(Situation::Unexpected(text.to_owned()), shown(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::state::State;

    fn server(written: &str) -> Server {
        Server::parse(written, None).unwrap()
    }

    #[test]
    fn a_pin_is_kept_replaced_and_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let known = State::under(home.path()).known_servers();
        assert_eq!(known.pin(&server("h")).unwrap(), None);
        known.set(&server("h"), "SHA256:a").unwrap();
        known.set(&server("[::1]:9"), "SHA256:b").unwrap();
        known.set(&server("h"), "SHA256:c").unwrap();

        let pin = known.pin(&server("h")).unwrap().unwrap();
        assert_eq!(pin.fingerprint, "SHA256:c");
        assert_eq!(pin.stored, format!("{}, line 2", known.path().display()));
        assert_eq!(
            fs::read_to_string(known.path()).unwrap(),
            "[::1]:9 SHA256:b\nh:7227 SHA256:c\n"
        );

        assert!(known.forget(&server("h")).unwrap());
        assert!(!known.forget(&server("h")).unwrap());
        assert!(known.pin(&server("[::1]:9")).unwrap().is_some());
    }

    #[test]
    fn what_a_person_wrote_stays() {
        let home = tempfile::tempdir().unwrap();
        let known = State::under(home.path()).known_servers();
        fs::write(known.path(), "# office\nH:7227  SHA256:a\n\nother:1 SHA256:x\n").unwrap();
        assert_eq!(known.pin(&server("h")).unwrap().unwrap().fingerprint, "SHA256:a");
        known.forget(&server("h")).unwrap();
        assert_eq!(fs::read_to_string(known.path()).unwrap(), "# office\n\nother:1 SHA256:x\n");
    }

    #[test]
    fn a_file_that_is_no_list_of_pins_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        let known = State::under(home.path()).known_servers();
        for content in ["h:7227\n", "h:7227 MD5:x\n", "h:1 SHA256:x extra\n"] {
            fs::write(known.path(), content).unwrap();
            let failure = known.pin(&server("h")).unwrap_err();
            assert!(matches!(failure.situation, Situation::Unexpected(_)), "{failure:?}");
        }
        fs::write(known.path(), b"\xff").unwrap();
        known.pin(&server("h")).unwrap_err();
    }
}
