//! The admin socket: one request and one answer a connection, each `length u32 LE | MessagePack`.
//! Before the answer to a count of a home comes how far it is, now and then; if the caller goes
//! meanwhile, the count ends.
//!
//! The socket lies in the data folder, which is 0700, and is 0600 itself; beyond that the kernel is
//! asked who calls (HARDENING S24).
//!
//! Invariant: a caller costs bounded memory, for a bounded time, and is heard only if it is root or
//! the server's own user.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Uid;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::Administration;
use super::message::{AdminAnswer, AdminRequest};
use crate::shutdown::Shutdown;
use crate::state::{DataFolder, StateError};
use crate::store::ScanProgress;

/// Bytes of a request.
const MAX_REQUEST_BYTES: usize = 64 << 10;
/// Bytes of an answer: some hundred thousand accounts.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Callers at once; more wait.
const MAX_CALLERS: usize = 8;
/// How often a caller hears how far a count is.
const COUNTING_EVERY: Duration = Duration::from_secs(1);
/// For a caller to say what it wants, and for it to take the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a running server could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The connection failed.
    #[error("the running server did not answer: {0}; see its log, or stop it and try again")]
    Io(#[from] io::Error),
    /// The answer is none.
    #[error("the running server answered something else: restart it, it may be of another version")]
    NotUnderstood(#[source] rmp_serde::decode::Error),
}

/// Asks a running server; `counting` hears how far a count is: entries and round.
pub async fn call(
    mut server: UnixStream,
    request: &AdminRequest,
    counting: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<AdminAnswer, CallError> {
    write(&mut server, request).await?;
    loop {
        let bytes = read(&mut server, MAX_ANSWER_BYTES).await?;
        match rmp_serde::from_slice(&bytes).map_err(CallError::NotUnderstood)? {
            AdminAnswer::Counting { entries, round } => counting(entries, round),
            answer => return Ok(answer),
        }
    }
}

/// The server's end of the socket.
pub struct AdminSocket {
    folder: Arc<DataFolder>,
    socket: UnixListener,
}

impl AdminSocket {
    /// Binds it. The folder must be claimed by this process.
    pub fn bind(folder: Arc<DataFolder>) -> Result<Self, StateError> {
        let socket = folder.bind_admin_socket()?;
        Ok(Self { folder, socket })
    }

    /// Answers until the server stops, then takes the socket's name away.
    pub async fn serve(self, administration: Administration, shutdown: Shutdown) {
        let mut callers = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.begun() => break,
                Some(ended) = callers.join_next(), if !callers.is_empty() => note_panic(&ended),
                accepted = self.socket.accept(), if callers.len() < MAX_CALLERS => match accepted {
                    Ok((caller, _)) => {
                        callers.spawn(serve_caller(caller, administration.clone()));
                    }
                    Err(error) => {
                        tracing::warn!("the admin socket cannot accept: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        if let Err(error) = self.folder.remove_admin_socket() {
            tracing::warn!("{error}");
        }
        while let Some(ended) = callers.join_next().await {
            note_panic(&ended);
        }
    }
}

fn note_panic(ended: &Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!("an admin request panicked: {error}");
    }
}

async fn serve_caller(mut caller: UnixStream, administration: Administration) {
    if let Err(error) = try_serve_caller(&mut caller, administration).await {
        tracing::warn!("an admin request failed: {error}");
    }
}

async fn try_serve_caller(
    caller: &mut UnixStream,
    administration: Administration,
) -> io::Result<()> {
    let uid = caller.peer_cred()?.uid();
    if !may_call(uid, rustix::process::geteuid()) {
        let why = format!("user {uid} is neither root nor the server's own user");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let bytes = timeout(PATIENCE, read(caller, MAX_REQUEST_BYTES)).await??;
    let request = rmp_serde::from_slice(&bytes).map_err(io::Error::other)?;
    let answer = match request {
        AdminRequest::ScanQuota { .. } => count(caller, administration, request).await?,
        request => administration.perform(request).await,
    };
    timeout(PATIENCE, write(caller, &answer)).await?
}

/// Carries a count out, and tells the caller how far it is. Ends it if the caller goes.
async fn count(
    caller: &mut UnixStream,
    administration: Administration,
    request: AdminRequest,
) -> io::Result<AdminAnswer> {
    let progress = Arc::new(ScanProgress::default());
    let counting = administration.perform_watched(request, Arc::clone(&progress));
    tokio::pin!(counting);
    let mut pause = interval(COUNTING_EVERY);
    pause.tick().await;
    loop {
        let mut more = [0];
        tokio::select! {
            answer = &mut counting => return Ok(answer),
            _ = pause.tick() => {
                let (entries, round) = (progress.entries(), progress.round());
                let said = AdminAnswer::Counting { entries, round };
                timeout(PATIENCE, write(caller, &said)).await??;
            }
            // A caller has nothing more to say.
            gone = caller.read(&mut more) => {
                gone?;
                return Err(io::Error::other("the caller went while a home was counted"));
            }
        }
    }
}

/// Who is heard.
fn may_call(caller: u32, own: Uid) -> bool {
    caller == 0 || caller == own.as_raw()
}

async fn write<T: Serialize>(stream: &mut UnixStream, message: &T) -> io::Result<()> {
    let bytes = rmp_serde::to_vec_named(message).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_le_bytes()).await?;
    stream.write_all(&bytes).await?;
    stream.flush().await
}

async fn read(stream: &mut UnixStream, most: usize) -> io::Result<Vec<u8>> {
    let length = stream.read_u32_le().await? as usize;
    if length > most {
        return Err(io::Error::other(format!("{length} bytes are more than {most}")));
    }
    // Memory grows with what arrives, not with what is claimed.
    let mut bytes = Vec::new();
    stream.take(length as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// So that a test can speak it without the types above.
#[cfg(test)]
fn framed<T: Serialize>(message: &T) -> Vec<u8> {
    let bytes = rmp_serde::to_vec_named(message).unwrap();
    let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    [&length[..], &bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HARDENING S24: who calls is asked of the kernel, and only two are heard.
    #[test]
    fn s24_only_root_and_the_own_user_are_heard() {
        let own = Uid::from_raw(1000);
        assert!(may_call(0, own) && may_call(1000, own));
        assert!(!may_call(1001, own) && !may_call(65534, own));
        assert!(!may_call(1000, Uid::ROOT));
    }

    #[tokio::test]
    async fn messages_are_bounded_by_what_arrives() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        far.write_all(&framed(&AdminRequest::Status)).await.unwrap();
        let bytes = read(&mut near, MAX_REQUEST_BYTES).await.unwrap();
        assert!(matches!(rmp_serde::from_slice(&bytes), Ok(AdminRequest::Status)));

        far.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
        let error = read(&mut near, MAX_REQUEST_BYTES).await.unwrap_err();
        assert!(error.to_string().contains("4294967295 bytes"), "{error}");

        far.write_all(&[9, 0, 0, 0, 1]).await.unwrap();
        drop(far);
        let error = read(&mut near, MAX_REQUEST_BYTES).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
