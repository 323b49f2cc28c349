//! Keys that log in instead of a password.

use std::time::SystemTime;

use sampan_protocol::Timestamp;
use sampan_protocol::login_key::{KeyFingerprint, PublicKey};
use sampan_protocol::message::{
    Empty, EnrolKey, KeyEnrolled, KeyLife, KeyRow, KeysAnswer, ListKeys, RevokeKey,
};
use serde_bytes::ByteBuf;

use super::{HandlerError, Outcome, at_most};
use crate::account::KnownKey;
use crate::context::Context;
use crate::store::EnrolledKey;

/// Bytes of a key's label.
const MAX_LABEL_BYTES: u64 = 128;

/// Lasting keys of one account.
const MAX_LASTING_KEYS: u64 = 100;

pub(crate) async fn enrol(context: Context, request: EnrolKey) -> Outcome<KeyEnrolled> {
    let EnrolKey { public_key, life, label } = request;
    at_most(label.len() as u64, MAX_LABEL_BYTES, "bytes of a key's label")?;
    let public = PublicKey::from_bytes(&public_key)
        .ok_or_else(|| HandlerError::Malformed("a public key has 32 bytes".into()))?;
    let fingerprint = public.fingerprint();
    match life {
        KeyLife::Session => {
            // Enrolling again changes the life.
            context.shared.accounts.revoke_key(context.account(), public.0).await?;
            let known = KnownKey { public, generation: context.who.generation };
            context.shared.session_keys.enrol(context.account(), known);
        }
        KeyLife::UntilRevoked => {
            enrol_lasting(&context, public, label).await?;
            context.shared.session_keys.revoke(context.account(), fingerprint);
            tracing::info!(key = %fingerprint, "enrolled a key");
        }
    }
    Ok(KeyEnrolled { fingerprint: ByteBuf::from(fingerprint.0) })
}

async fn enrol_lasting(context: &Context, public: PublicKey, label: String) -> Outcome<()> {
    let (accounts, account) = (&context.shared.accounts, context.account());
    let keys = accounts.keys(account).await?;
    if keys.iter().all(|key| key.public_key != public.0) {
        at_most(keys.len() as u64 + 1, MAX_LASTING_KEYS, "keys of an account")?;
    }
    let enrolled = Timestamp::from(SystemTime::now());
    let key = EnrolledKey { public_key: public.0, label, enrolled, used: None };
    // A new password since this session's login has voided all keys, this one too.
    if accounts.enrol_key_of(account, context.who.generation, key).await? {
        Ok(())
    } else {
        Err(HandlerError::SessionEnded)
    }
}

pub(crate) async fn revoke(context: Context, request: RevokeKey) -> Outcome<Empty> {
    let fingerprint = KeyFingerprint::from_bytes(&request.fingerprint)
        .ok_or_else(|| HandlerError::Malformed("a fingerprint has 32 bytes".into()))?;
    let (accounts, account) = (&context.shared.accounts, context.account());
    let mut found = context.shared.session_keys.revoke(account, fingerprint);
    let keys = accounts.keys(account).await?;
    let is_meant = |key: &&EnrolledKey| PublicKey(key.public_key).fingerprint() == fingerprint;
    if let Some(key) = keys.iter().find(is_meant) {
        found |= accounts.revoke_key(account, key.public_key).await?;
    }
    if !found {
        return Err(HandlerError::KeyNotFound);
    }
    tracing::info!(key = %fingerprint, "revoked a key");
    Ok(Empty {})
}

pub(crate) async fn list(context: Context, _: ListKeys) -> Outcome<KeysAnswer> {
    let keys = context.shared.accounts.keys(context.account()).await?;
    Ok(KeysAnswer { keys: keys.into_iter().map(row).collect() })
}

fn row(key: EnrolledKey) -> KeyRow {
    let EnrolledKey { public_key, label, enrolled, used } = key;
    let fingerprint = ByteBuf::from(PublicKey(public_key).fingerprint().0);
    KeyRow { fingerprint, label, enrolled, used }
}
