//! Names that are wide, combined, escaped or long leave every border where it belongs.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use super::{Journey, SIZE, Side, cells, columns, list_rows};
use crate::server::TestServer;

const ODD: [&[u8]; 9] = [
    "日本語の名前.txt".as_bytes(),
    "🚤 small boat.txt".as_bytes(),
    "👩‍🚀👨‍👩‍👧‍👦 crew.txt".as_bytes(),
    "e\u{301}te\u{301} combining.md".as_bytes(),
    "❤️☎️ variation.png".as_bytes(),
    b"bell \x07 and escape \x1b[31m.txt",
    b"not utf-8 \xff\xfe.bin",
    b"new\nline",
    &[b'x'; 255],
];

/// Every row of both lists begins and ends with a border, and nothing drives the terminal.
#[track_caller]
fn is_aligned(face: &vt100::Screen) {
    for side in [Side::Left, Side::Right] {
        let columns = columns(face, side);
        for y in list_rows(face, side) {
            let edges = [columns.start, columns.end - 1].map(|x| cells(face, y, x..x + 1));
            let is_border = |edge: &String| matches!(&**edge, "║" | "│");
            assert!(edges.iter().all(is_border), "row {y}:\n{}", face.contents());
        }
    }
}

#[test]
fn odd_names_are_aligned_and_escaped() {
    let server = TestServer::start();
    let user = server.user("ada");
    for name in ODD {
        fs::write(user.home().join(OsStr::from_bytes(name)), b"x").unwrap();
    }
    for size in [SIZE, (60, 20), (141, 30)] {
        let mut journey = Journey::of_size(&user, &[("日本", vec![]), ("plain", vec![])], size);
        journey
            .terminal
            .comes_to("all names", |face| super::counts(face, Side::Right).contains("9 items"));
        is_aligned(journey.terminal.face());
        let text = journey.terminal.face().contents();
        assert!(text.contains("🚤 small"), "{text}");
        assert!(text.contains('…'), "{text}");
        if size.0 >= 100 {
            let escaped = ["bell \\x07 and escape", "new\\x0aline", "not utf-8 \\xff\\xfe.bin"];
            let plain = ["日本語の名前.txt", "e\u{301}te\u{301} combining.md"];
            for shown in escaped.into_iter().chain(plain) {
                assert!(text.contains(shown), "{shown} is not there:\n{text}");
            }
        }
        // Up and down over every row: what is painted anew is aligned, too.
        journey.types("\t");
        for _ in ODD {
            journey.types("\x1b[B");
        }
        journey.types("\x1b[F ");
        journey.faces("1/9 marked");
        is_aligned(journey.terminal.face());
        journey.leaves();
    }
}
