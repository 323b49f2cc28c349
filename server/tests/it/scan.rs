//! `sampand quota scan`, with a server and without one: the same words.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::process::Signal;
use sampan_server::control::{AdminAnswer, AdminRequest, AdminSocket};
use tokio::time::timeout;

use crate::cli::without_moment;
use crate::harness::{PATIENCE, TestServer};
use crate::program::{ADD, Data, ran};

fn scans(data: &Data) {
    assert_eq!(data.run_with(&ADD, "secret\n").code, 0);
    let bert = ["user", "add", "bert", "--password-stdin"];
    assert_eq!(data.run_with(&bert, "secret\n").code, 0);
    let home = data.path().join("homes/anna");
    let scan = |arguments: &[&str]| {
        let mut ran = data.run(&[&["quota", "scan"], arguments].concat());
        ran.out = without_moment(&ran.out);
        ran
    };
    let same = "anna: 0 B in 0 files and folders as of (moment), as the ledger said\n";
    assert_eq!(scan(&["anna"]), ran(0, same, ""));
    fs::create_dir(home.join("d")).unwrap();
    fs::write(home.join("d/f"), [0; 1500]).unwrap();
    symlink("/etc/passwd", home.join("d/l\x1bnk")).unwrap();
    let found = "anna: 1.50 kB in 3 files and folders as of (moment); the ledger said 0 B in 0, and \
                 is corrected\n";
    let named = "sampand: homes/anna/d/l\\x1bnk is a symbolic link: counts without bytes\n";
    assert_eq!(scan(&["anna"]), ran(0, found, named));
    let shown = without_moment(&data.run(&["quota", "show", "anna"]).out);
    assert!(
        shown.ends_with("anna  none   1.50 kB  0 B        -          3      none       (moment)\n"),
        "{shown}"
    );
    fs::remove_file(home.join("d/l\x1bnk")).unwrap();
    fs::write(home.join("d/f"), "12345").unwrap();
    let all = scan(&["--json"]);
    assert_eq!((all.code, all.err.as_str()), (0, ""));
    assert_eq!(
        all.out,
        "{\"name\":\"anna\",\"used\":5,\"files\":2,\"used_before\":1500,\"files_before\":3,\
         \"as_of\":\"(moment)\",\"unusual\":[],\"unusual_count\":0}\n\
         {\"name\":\"bert\",\"used\":0,\"files\":0,\"used_before\":0,\"files_before\":0,\
         \"as_of\":\"(moment)\",\"unusual\":[],\"unusual_count\":0}\n"
    );
    let missing = "sampand: there is no account `carl`; `sampand user list` lists them\n";
    assert_eq!(scan(&["carl"]), ran(7, "", missing));
}

#[test]
fn homes_are_counted_without_a_server() {
    let data = Data::new();
    scans(&data);
    let home = data.path().join("homes/anna");
    // One that cannot be counted holds up no other, and its reason is the command's.
    fs::rename(&home, data.path().join("homes/away")).unwrap();
    fs::write(data.path().join("homes/bert/f"), "1").unwrap();
    let some = data.run(&["quota", "scan"]);
    assert_eq!(some.code, 1, "{some:?}");
    assert!(some.out.starts_with("bert: 1 B in 1 file or folder as of"), "{some:?}");
    assert!(some.err.contains("the disk failed while opening a home"), "{some:?}");
    fs::rename(data.path().join("homes/away"), &home).unwrap();
    assert_eq!(data.run(&["quota", "scan", "anna"]).code, 0);
}

#[test]
fn homes_are_counted_through_a_server() {
    let data = Data::new();
    let server = data.serve();
    scans(&data);
    let (status, log) = server.signal(Signal::TERM);
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("home counted"), "{log}");
}

/// What lies in a home that is taken, and that no user put there, is named.
#[test]
fn a_home_that_is_taken_is_looked_through() {
    let data = Data::new();
    fs::create_dir_all(data.path().join("homes/anna/d")).unwrap();
    fs::write(data.path().join("homes/anna/d/f"), "12345").unwrap();
    symlink("..", data.path().join("homes/anna/up")).unwrap();
    fs::set_permissions(data.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let refused = data.run_with(&ADD, "secret\n");
    assert_eq!(refused.code, 1, "{refused:?}");
    let take = [&ADD[..], &["--take-home"]].concat();
    let added = "anna added, quota none, max files none\nhome taken: 3 files and folders, 5 B\n";
    let named = "sampand: homes/anna/up is a symbolic link: counts without bytes\n";
    assert_eq!(data.run_with(&take, "secret\n"), ran(0, added, named));
}

/// A caller that goes ends its count, and the server serves on.
#[tokio::test]
async fn a_count_whose_caller_goes_is_ended() {
    use tokio::io::AsyncWriteExt;

    let server = TestServer::start().await;
    server.add("anna").await;
    let folder = server.data().folder.clone();
    let socket = AdminSocket::bind(folder.clone()).unwrap();
    let shutdown = server.running().shutdown();
    let serving = tokio::spawn(socket.serve(server.administration(), shutdown.clone()));
    for number in 0..200 {
        let at = server.home("anna").join(number.to_string());
        fs::create_dir(&at).unwrap();
        fs::write(at.join("f"), "1").unwrap();
    }
    // `{"ScanQuota": {"name": "anna"}}`
    let request = b"\x81\xa9ScanQuota\x81\xa4name\xa4anna";
    let mut caller = folder.call_admin_socket().await.unwrap().unwrap();
    let length = u32::try_from(request.len()).unwrap();
    caller.write_all(&length.to_le_bytes()).await.unwrap();
    caller.write_all(request).await.unwrap();
    drop(caller);
    let caller = folder.call_admin_socket().await.unwrap().unwrap();
    let request = AdminRequest::ScanQuota { name: "anna".to_owned() };
    let mut silent = |_, _| {};
    let counting = sampan_server::control::call(caller, &request, &mut silent);
    match timeout(PATIENCE, counting).await.unwrap().unwrap() {
        AdminAnswer::Scanned(row) => assert_eq!((row.used, row.files), (200, 400)),
        other => panic!("{other:?}"),
    }
    drop(folder);
    shutdown.begin();
    timeout(PATIENCE, serving).await.unwrap().unwrap();
    let mut server = server;
    server.stop().await;
    server.finish().await;
}
