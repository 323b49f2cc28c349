//! How values lie inside database columns: MessagePack with field names, so that fields can be
//! added.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{Result, StoreError};

pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("plain values written to memory have no way to fail")
}

/// The same without names: for large values that live no longer than a change.
pub(super) fn encode_short<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec(value).expect("plain values written to memory have no way to fail")
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    rmp_serde::from_slice(bytes).map_err(|error| StoreError::Corrupt(error.to_string()))
}
