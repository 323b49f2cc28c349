use super::Local;
use crate::store::conformance::{self, Fixture, every_property};

/// Staging is empty and nothing is reserved, once uploads are given up: no test may leave a trace.
async fn leaves_nothing(mut local: Local) {
    let accounts = local.accounts().all().await.unwrap();
    for account in accounts {
        for upload in local.store().uploads(account.id).await.unwrap() {
            let key = sampan_protocol::ChangeKey {
                instance: sampan_protocol::InstanceId([0; 16]),
                sequence: 1,
                answered: 0,
            };
            local.store().abort(account.id, key, upload.upload).await.unwrap();
        }
        let usage = local.store().usage(account.id).await.unwrap();
        assert_eq!((usage.reserved, usage.reserved_entries), (0, 0));
        assert_eq!((usage.used, usage.entries), local.counted(account.id).await);
    }
    local.close().await;
    local.open().await;
    let inner = local.local().inner.clone();
    local.close().await;
    let rest: Vec<_> = std::fs::read_dir(local.path().join("staging"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    drop(inner);
    assert!(rest.is_empty(), "left in staging: {rest:?}");
}

macro_rules! tests {
    ($($property:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $property() {
                let mut local = Local::new().await;
                conformance::$property(&mut local).await;
                leaves_nothing(local).await;
            }
        )*
    };
}

every_property!(tests);
