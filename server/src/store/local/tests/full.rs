//! A database that cannot grow: SQLite says `SQLITE_FULL` itself, in the middle of a statement or of
//! a group of transactions, where no call of ours is.

use futures_util::future::join_all;
use sampan_protocol::Mode;

use super::Local;
use super::faults::is_told_full;
use super::scenario::{again, check_books, check_staging};
use crate::store::conformance::{member, path, root_of, user};
use crate::store::{StoreError, Target};

/// Pages that the database may have from now on, beyond those it has; `None` for as many as SQLite
/// can.
async fn let_grow(local: &Local, pages: Option<u32>) {
    let inner = local.local().inner.clone();
    let limit = move |connection: &rusqlite::Connection| {
        let count: u32 =
            connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        let most = pages.map_or(u32::MAX - 1, |pages| count + pages);
        connection.query_row(&format!("PRAGMA max_page_count = {most}"), [], |_| Ok(())).unwrap();
        Ok(())
    };
    tokio::task::spawn_blocking(move || inner.db.write("limiting it", limit))
        .await
        .unwrap()
        .unwrap();
}

fn is_full<T>(result: &Result<T, StoreError>) -> bool {
    result.as_ref().is_err_and(is_told_full)
}

/// Whether nothing of it may be there.
fn is_refused<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Refused { .. }))
}

/// HARDENING 2.11: a full database is a message and never a corruption; nothing that was refused is
/// there, what was answered stays, and the same requests succeed once there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hardening_2_11_a_full_database_is_a_message() {
    for pages in [0, 1, 2, 5] {
        let mut local = Local::new().await;
        let anna = user(&local).await;
        anna.put("d/f", b"old", Target::Absent).await.unwrap();
        let_grow(&local, Some(pages)).await;

        // One alone, until no more fit; then many in one transaction.
        let long = "x".repeat(200);
        let folder = |number: u32| path(&format!("{number} {long}"));
        let (mut made, mut refused) = (Vec::new(), Vec::new());
        for number in 0..2000 {
            let key = anna.key();
            let answer = anna.store.mkdir(anna.id, key, &folder(number), false, Mode::FOLDER).await;
            if answer.is_ok() {
                made.push(number);
            } else {
                assert!(is_full(&answer), "{answer:?}");
                refused.push((number, key, is_refused(&answer)));
                break;
            }
        }
        assert!(!refused.is_empty(), "the database was never full");
        let many = join_all((3000..3100).map(|number| {
            let (key, at) = (anna.key(), folder(number));
            let (store, id) = (anna.store.clone(), anna.id);
            async move { (number, key, store.mkdir(id, key, &at, false, Mode::FOLDER).await) }
        }));
        for (number, key, answer) in many.await {
            if answer.is_ok() {
                made.push(number);
            } else {
                assert!(is_full(&answer), "{answer:?}");
                refused.push((number, key, is_refused(&answer)));
            }
        }
        let overwrite = anna.put("d/f", b"newer", Target::Any).await;
        assert!(overwrite.is_ok() || is_full(&overwrite), "{overwrite:?}");
        let expected: &[u8] = if overwrite.is_ok() { b"newer" } else { b"old" };
        assert_eq!(anna.get("d/f").await.unwrap(), expected);
        let packed = anna.pack(anna.key(), vec![member("p", b"1", Target::Absent)]).await;
        assert!(packed.is_ok() || is_full(&packed), "{packed:?}");

        // What is there is what was answered.
        let names = anna.names("").await;
        for number in &made {
            assert!(names.contains(&format!("{number} {long}")), "{number}");
        }
        for (number, ..) in refused.iter().filter(|(.., nothing)| *nothing) {
            assert!(!names.contains(&format!("{number} {long}")), "{number}");
        }

        let_grow(&local, None).await;
        for (number, key, _) in &refused {
            let at = folder(*number);
            anna.store.mkdir(anna.id, *key, &at, false, Mode::FOLDER).await.unwrap();
        }
        let by =
            anna.store.open_upload(anna.id, anna.upload("d/f", 6, Target::Any)).await.unwrap().by;
        anna.write_all(by, b"newest").await.unwrap();
        anna.store.commit(anna.id, anna.key(), by, root_of(b"newest")).await.unwrap();
        check_books(&local, &anna).await;
        check_staging(&mut local, &anna).await;
        let anna = again(&local, anna);
        assert_eq!(anna.get("d/f").await.unwrap(), b"newest");
        local.close().await;
        let database = rusqlite::Connection::open(local.path().join("sampand.db")).unwrap();
        let sound: String =
            database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
    }
}
