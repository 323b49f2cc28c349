//! Limits and use, as the account sees them.

use sampan_protocol::message::{Fits, FitsAnswer, QuotaAnswer, QuotaRequest};

use super::Outcome;
use crate::context::Context;
use crate::store::Usage;

pub(crate) async fn quota(context: Context, _: QuotaRequest) -> Outcome<QuotaAnswer> {
    let usage = context.store().usage(context.account()).await?;
    Ok(QuotaAnswer {
        limit: usage.limits.bytes,
        used: usage.used,
        reserved: usage.reserved,
        available: available_bytes(&usage),
        max_entries: usage.limits.entries,
        entries: usage.entries,
        reserved_entries: usage.reserved_entries,
        as_of: usage.as_of,
    })
}

pub(crate) async fn fits(context: Context, request: Fits) -> Outcome<FitsAnswer> {
    let usage = context.store().usage(context.account()).await?;
    Ok(missing(&usage, &request))
}

fn missing(usage: &Usage, request: &Fits) -> FitsAnswer {
    let missing_bytes = request.bytes.saturating_sub(available_bytes(usage));
    FitsAnswer {
        missing_bytes,
        missing_entries: request.entries.saturating_sub(available_entries(usage)),
        disk_full: missing_bytes > 0 && usage.disk_free < quota_bytes(usage),
    }
}

/// What the quota leaves or what the disk takes, whichever is less.
fn available_bytes(usage: &Usage) -> u64 {
    quota_bytes(usage).min(usage.disk_free)
}

fn quota_bytes(usage: &Usage) -> u64 {
    left(usage.limits.bytes, usage.used, usage.reserved)
}

fn available_entries(usage: &Usage) -> u64 {
    left(usage.limits.entries, usage.entries, usage.reserved_entries)
}

/// A limit may lie below what is held, if it was lowered.
fn left(limit: Option<u64>, used: u64, reserved: u64) -> u64 {
    limit.map_or(u64::MAX, |limit| limit.saturating_sub(used.saturating_add(reserved)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::QuotaLimits;

    #[test]
    fn what_is_left() {
        let usage = Usage {
            limits: QuotaLimits { bytes: Some(100), entries: Some(5) },
            used: 60,
            reserved: 10,
            entries: 5,
            reserved_entries: 1,
            disk_free: 1000,
            as_of: None,
        };
        assert_eq!((available_bytes(&usage), available_entries(&usage)), (30, 0));
        let small_disk = Usage { disk_free: 7, ..usage };
        assert_eq!(available_bytes(&small_disk), 7);
        let unlimited = Usage { limits: QuotaLimits::default(), ..usage };
        assert_eq!((available_bytes(&unlimited), available_entries(&unlimited)), (1000, u64::MAX));

        // What is missing, and whether the disk lacks it: a full disk is nobody's quota.
        let of = |usage: &Usage, bytes| {
            let FitsAnswer { missing_bytes, disk_full, .. } =
                missing(usage, &Fits { bytes, entries: 0 });
            (missing_bytes, disk_full)
        };
        assert_eq!([of(&usage, 30), of(&usage, 31)], [(0, false), (1, false)]);
        assert_eq!([of(&small_disk, 7), of(&small_disk, 31)], [(0, false), (24, true)]);
        assert_eq!([of(&unlimited, 1000), of(&unlimited, 1001)], [(0, false), (1, true)]);
    }
}
