//! The server's TLS key and certificate.
//!
//! The certificate is written first: a certificate without a key is an unfinished first start, and
//! both are made anew. A key without its certificate is not: clients may have pinned it, so that is
//! an error for a person to look at.

use sampan_protocol::transport::ServerIdentity;
use zeroize::Zeroizing;

use super::{DataFolder, DataLock, StateError};

const FOLDER: &str = "tls";
const KEY: &str = "key.pem";
const CERTIFICATE: &str = "certificate.pem";

impl DataFolder {
    /// The identity that lies here; `None` before the first start.
    pub fn identity(&self) -> Result<Option<ServerIdentity>, StateError> {
        let folder = self.subfolder(FOLDER)?;
        let Some(key) = folder.read(KEY)?.map(Zeroizing::new) else { return Ok(None) };
        let mode = folder.mode_of(KEY)?;
        if mode & 0o077 != 0 {
            return Err(StateError::TooOpen { path: folder.path().join(KEY), mode });
        }
        let certificate = folder.read(CERTIFICATE)?.unwrap_or_default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ServerIdentity::from_pem(&Zeroizing::new(text(&key)), &text(&certificate))
            .map(Some)
            .map_err(|error| identity_failed(&folder, &error))
    }

    /// The identity that lies here, made if there is none yet. The lock shows that nobody else makes
    /// one now.
    pub fn identity_or_new(&self, _lock: &DataLock) -> Result<ServerIdentity, StateError> {
        if let Some(identity) = self.identity()? {
            return Ok(identity);
        }
        let folder = self.subfolder(FOLDER)?;
        let identity =
            ServerIdentity::generate().map_err(|error| identity_failed(&folder, &error))?;
        folder.write_atomically(CERTIFICATE, identity.certificate_pem().as_bytes())?;
        folder.write_atomically(KEY, identity.key_pem().as_bytes())?;
        Ok(identity)
    }
}

fn identity_failed(folder: &DataFolder, error: &dyn std::error::Error) -> StateError {
    StateError::Identity { path: folder.path().to_owned(), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> (tempfile::TempDir, DataFolder) {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&parent.path().join("data")).unwrap();
        (parent, folder)
    }

    #[test]
    fn an_identity_is_made_once_and_kept_secret() {
        let (_parent, folder) = folder();
        assert!(folder.identity().unwrap().is_none());
        let lock = folder.lock().unwrap();
        let made = folder.identity_or_new(&lock).unwrap().fingerprint();
        assert_eq!(folder.identity_or_new(&lock).unwrap().fingerprint(), made);
        assert_eq!(folder.identity().unwrap().unwrap().fingerprint(), made);
        let key = folder.path().join("tls/key.pem");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

        fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(folder.identity(), Err(StateError::TooOpen { mode: 0o640, .. })));
    }

    #[test]
    fn an_unfinished_first_start_is_begun_again_and_a_lost_certificate_is_not() {
        let (_parent, folder) = folder();
        let lock = folder.lock().unwrap();
        let first = folder.identity_or_new(&lock).unwrap().fingerprint();
        fs::remove_file(folder.path().join("tls/key.pem")).unwrap();
        let second = folder.identity_or_new(&lock).unwrap().fingerprint();
        assert_ne!(first, second);

        fs::remove_file(folder.path().join("tls/certificate.pem")).unwrap();
        let error = folder.identity_or_new(&lock).unwrap_err().to_string();
        assert!(error.contains("certificate"), "{error}");
    }
}
