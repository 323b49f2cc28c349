//! What an administrator or the clock asks for, on a disk that fails: accounts that come and go,
//! scans, uploads that expire. Each call, once, as for changes in [`super::faults`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use sampan_protocol::Timestamp;

use super::Local;
use super::faults::{FailAt, check_told};
use super::scenario::{again, check_books, check_staging};
use crate::store::conformance::{Fixture, User, new_account, user};
use crate::store::local::{Durability, LocalOptions};
use crate::store::{QuotaLimits, Result, Situation, StoreError, Target};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chore {
    Add,
    Remove,
    Purge,
    Limit,
    Scan,
    Expire,
}

const EXPIRY: Duration = Duration::from_hours(1);

impl Chore {
    async fn run(self, local: &Local, anna: &User) -> Result<()> {
        let accounts = local.accounts();
        match self {
            Self::Add => {
                drop(accounts.add(new_account("bert", QuotaLimits::default())).await?);
            }
            Self::Remove | Self::Purge => accounts.remove(anna.id, self == Self::Purge).await?,
            Self::Limit => {
                let limits = QuotaLimits { bytes: Some(1000), entries: Some(50) };
                drop(accounts.set_limits(anna.id, limits).await?);
            }
            Self::Scan => drop(anna.store.scan(anna.id, Arc::default()).await?),
            Self::Expire => {
                local.local().inner.expire_now().await?;
            }
        }
        Ok(())
    }

    /// What must hold once it was answered with success.
    async fn check_done(self, local: &Local, anna: &User) {
        let accounts = local.accounts();
        let home = |name: &str| local.path().join("homes").join(name);
        match self {
            Self::Add => {
                assert!(accounts.find("bert").await.unwrap().is_some() && home("bert").is_dir());
                assert_eq!(anna.held().await, (8, 4, 7, 1));
            }
            Self::Remove => {
                assert!(accounts.find("anna").await.unwrap().is_none());
                assert_eq!(std::fs::read(home("anna").join("d/f")).unwrap(), b"12345");
            }
            Self::Purge => {
                assert!(accounts.find("anna").await.unwrap().is_none());
                assert!(!home("anna").exists());
            }
            Self::Limit => {
                let limits = accounts.find("anna").await.unwrap().unwrap().limits;
                assert_eq!((limits.bytes, limits.entries), (Some(1000), Some(50)));
            }
            Self::Scan => assert_eq!(anna.held().await, (8 + 100, 5, 7, 1)),
            Self::Expire => assert_eq!(anna.held().await, (8, 4, 0, 0)),
        }
    }

    fn keeps_anna(self) -> bool {
        !matches!(self, Self::Remove | Self::Purge)
    }
}

/// HARDENING 2.6, 2.11: what an account has is whole or gone as a whole, the ledger equals the sum,
/// and doing it again on a disk that is well does it.
async fn survives_each_failing_call(chore: Chore, errno: Errno) {
    let faults = Arc::new(FailAt::default());
    let mut calls = 0;
    loop {
        let clock = Arc::new(AtomicI64::new(1_000_000));
        let now = clock.clone();
        let mut local = Local::in_memory(LocalOptions {
            durability: Durability::Relaxed,
            disk_floor: 0,
            upload_expiry: EXPIRY,
            clock: Arc::new(move || Timestamp::new(now.load(Ordering::Relaxed), 0).unwrap()),
            faults: Some(faults.clone()),
            ..LocalOptions::default()
        })
        .await;
        let anna = user(&local).await;
        anna.put("d/f", b"12345", Target::Absent).await.unwrap();
        anna.put("e/g", b"123", Target::Absent).await.unwrap();
        anna.store.open_upload(anna.id, anna.upload("u", 7, Target::Absent)).await.unwrap();
        match chore {
            Chore::Expire => {
                clock.fetch_add(2 * i64::try_from(EXPIRY.as_secs()).unwrap(), Ordering::Relaxed);
            }
            Chore::Scan => std::fs::write(local.path().join("homes/anna/h"), [0; 100]).unwrap(),
            _ => {}
        }
        faults.arm(calls, None, errno);
        let result = chore.run(&local, &anna).await;
        let Some(failed) = faults.disarm() else {
            local.close().await;
            break;
        };
        let what = format!("{chore:?}, call {calls}, {failed:?}, {result:?}");
        check_told(errno, &result, &what);
        if local.accounts().find("anna").await.unwrap().is_some_and(|anna| !anna.disabled) {
            assert_eq!(anna.get("d/f").await.unwrap(), b"12345", "{what}");
        }
        let mut tries = 0;
        loop {
            match chore.run(&local, &anna).await {
                Ok(()) => break,
                // It was done; only what came after failed.
                Err(StoreError::Refused { situation: Situation::AccountNotFound, .. })
                    if !chore.keeps_anna() =>
                {
                    break;
                }
                Err(StoreError::Refused { situation: Situation::AccountExists, .. })
                    if result.is_ok() =>
                {
                    break;
                }
                Err(error) => {
                    tries += 1;
                    assert!(tries < 4, "{what}, then {error:?}");
                }
            }
        }
        chore.check_done(&local, &anna).await;
        if chore.keeps_anna() {
            if chore == Chore::Scan {
                check_books(&local, &anna).await;
            }
            check_staging(&mut local, &anna).await;
            let anna = again(&local, anna);
            chore.check_done(&local, &anna).await;
        } else {
            local.restart().await;
            chore.check_done(&local, &anna).await;
        }
        local.close().await;
        calls += 1;
    }
    assert!(calls > 0, "{chore:?} made no call");
}

macro_rules! each_call {
    ($($test:ident = $chore:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                for errno in [Errno::IO, Errno::NOSPC, Errno::DQUOT] {
                    survives_each_failing_call(Chore::$chore, errno).await;
                }
            }
        )*
    };
}

each_call! {
    each_call_of_adding_an_account_fails = Add,
    each_call_of_removing_an_account_fails = Remove,
    each_call_of_removing_an_account_with_its_home_fails = Purge,
    each_call_of_setting_limits_fails = Limit,
    each_call_of_a_scan_fails = Scan,
    each_call_of_an_expiry_fails = Expire,
}
