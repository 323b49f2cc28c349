//! `sampan login` and `sampan logout`: a key of this machine's, so that later runs need no password.
//!
//! Invariant: a key that this machine could not keep is revoked again; one that the server would
//! still take is never forgotten here.

use std::slice;

use rand::RngExt;
use sampan_protocol::ErrorCode;
use sampan_protocol::login_key::LoginKey;
use sampan_protocol::message::{EnrolKey, KeyLife, RevokeKey};
use serde_bytes::ByteBuf;
use zeroize::Zeroizing;

use super::args::Login;
use super::exit::Code;
use super::operands::Places;
use super::output::Output;
use super::report::tell;
use super::{Stop, session};
use crate::catalogue::cli as text;
use crate::failure::Failure;
use crate::remote::Remote;
use crate::state::{State, StoredKey};

/// Longest label that a server takes.
const MAX_LABEL_BYTES: usize = 128;

/// Enrols a key by password. A key that is stored already is enrolled again instead of a second one.
pub(super) async fn log_in(login: Login) -> Result<Code, Stop> {
    let Places { account, .. } = Places::read(slice::from_ref(&login.place), login.link.port)?;
    let state = State::from_environment()?;
    let seed = match state.login_key(&account)? {
        Some(stored) => stored,
        None => Zeroizing::new(rand::rng().random::<[u8; 32]>()),
    };
    let remote = session::connect_by_password(&account, &login.link).await?;
    let enrol = EnrolKey {
        public_key: ByteBuf::from(LoginKey::from_seed(&seed).public().0.to_vec()),
        life: KeyLife::UntilRevoked,
        label: label(),
    };
    remote.call(&enrol).await.map_err(|error| error.about(&account))?;
    if let Err(failure) = state.store_login_key(&account, &seed) {
        revoke(&remote, &seed).await?;
        return Err(failure.into());
    }
    remote.close().await;
    let mut output = Output::standard();
    output.line(&text::logged_in(&account))?;
    output.flush()?;
    Ok(Code::Done)
}

/// Revokes the stored key, then forgets it.
pub(super) async fn log_out(login: Login) -> Result<Code, Stop> {
    let Places { account, .. } = Places::read(slice::from_ref(&login.place), login.link.port)?;
    let state = State::from_environment()?;
    let Some(seed) = state.login_key(&account)? else {
        tell(&text::no_key(&account));
        return Ok(Code::NoSuchFile);
    };
    let remote = session::connect(&account, &login.link).await?;
    revoke(&remote, &seed).await?;
    state.remove_login_key(&account)?;
    remote.close().await;
    let mut output = Output::standard();
    output.line(&text::logged_out(&account))?;
    output.flush()?;
    Ok(Code::Done)
}

/// A key that is not enrolled any more needs no revoking.
async fn revoke(remote: &Remote, seed: &StoredKey) -> Result<(), Failure> {
    let fingerprint = LoginKey::from_seed(seed).public().fingerprint();
    let request = RevokeKey { fingerprint: ByteBuf::from(fingerprint.0.to_vec()) };
    match remote.call(&request).await {
        Err(error) if !error.is(ErrorCode::KEY_NOT_FOUND) => Err(error.about(remote.account())),
        _ => Ok(()),
    }
}

/// The host's name: what tells keys apart in a list of them. Nothing, where it is not known.
fn label() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    let end = name.floor_char_boundary(MAX_LABEL_BYTES);
    name[..end].to_owned()
}
