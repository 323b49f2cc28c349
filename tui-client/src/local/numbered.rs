//! Keeping both: `NAME (2).EXT`.
//!
//! EXT is what follows the last dot, and the `.tar` before it belongs to it, so that `a.tar.gz` is kept
//! beside as `a (2).tar.gz`.
//!
//! Pure, and byte for byte: names need not be text. Nothing here says that a name is free.

use sampan_protocol::Name;
use sampan_protocol::limits::MAX_NAME_BYTES;

/// An extension longer than this is taken for a part of the name.
const MAX_EXTENSION_BYTES: usize = 32;

/// `NAME (number).EXT`. A name that would be too long loses the end of NAME, whole characters where
/// it is text.
pub fn numbered(name: &Name, number: u64) -> Name {
    let bytes = name.as_bytes();
    let (stem, extension) = bytes.split_at(extension_at(bytes));
    let mark = format!(" ({number})");
    let room = MAX_NAME_BYTES - mark.len() - extension.len();
    let stem = shortened(stem, room);
    let candidate = [stem, mark.as_bytes(), extension].concat();
    Name::new(&candidate).expect("a name with a mark in it is no longer than its bound")
}

/// Where the last dot is that has a name before it and an extension after it; else the end.
fn extension_at(name: &[u8]) -> usize {
    let dot = name.iter().rposition(|byte| *byte == b'.').unwrap_or(0);
    let only_dots_before = name[..dot].iter().all(|byte| *byte == b'.');
    let is_extension = (2..=MAX_EXTENSION_BYTES).contains(&(name.len() - dot));
    if only_dots_before || !is_extension {
        return name.len();
    }
    // Of `.tar.gz` the archive is one thing, unless it is the whole name.
    match name[..dot].strip_suffix(b".tar") {
        Some(stem) if !stem.iter().all(|byte| *byte == b'.') => stem.len(),
        _ => dot,
    }
}

fn shortened(stem: &[u8], room: usize) -> &[u8] {
    if stem.len() <= room {
        return stem;
    }
    match std::str::from_utf8(stem) {
        Ok(text) => &stem[..text.floor_char_boundary(room)],
        Err(_) => &stem[..room],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(name: &[u8]) -> Vec<u8> {
        numbered(&Name::new(name).unwrap(), 2).as_bytes().to_vec()
    }

    #[test]
    fn the_mark_stands_before_the_extension() {
        let cases: [(&[u8], &[u8]); 13] = [
            (b"a.txt", b"a (2).txt"),
            (b"a", b"a (2)"),
            (b"a.tar.gz", b"a (2).tar.gz"),
            (b"a.b.tar.zst", b"a.b (2).tar.zst"),
            (b".tar.gz", b".tar (2).gz"),
            (b"a.tar", b"a (2).tar"),
            (b"tar.gz", b"tar (2).gz"),
            (b".bashrc", b".bashrc (2)"),
            (b"..a", b"..a (2)"),
            (b".a.b", b".a (2).b"),
            (b"a.", b"a. (2)"),
            (b"a (2).txt", b"a (2) (2).txt"),
            (b"\xff\xfe.\xfd", b"\xff\xfe (2).\xfd"),
        ];
        for (name, expected) in cases {
            assert_eq!(second(name), expected, "{name:?}");
        }
    }

    #[test]
    fn a_long_name_gives_way_at_whole_characters() {
        let long = second(&[b'a'; 255]);
        assert_eq!((long.len(), &long[251..]), (255, &b" (2)"[..]));
        let with_extension = second(&[&[b'a'; 250][..], b".jpeg"].concat());
        assert_eq!(with_extension.len(), 255);
        assert!(with_extension.ends_with(b"a (2).jpeg"));
        let wide = second("é".repeat(127).as_bytes());
        assert_eq!(String::from_utf8(wide).unwrap(), format!("{} (2)", "é".repeat(125)));
        let broken = second(&[0xff; 255]);
        assert_eq!(broken.len(), 255);
        let all_extension = second(&[b"a.", &[b'b'; 253][..]].concat());
        assert_eq!(all_extension.len(), 255);
    }

    proptest::proptest! {
        #[test]
        fn any_name_and_number_make_a_name_of_their_own(
            bytes in proptest::collection::vec(1_u8..=255, 1..=255),
            number in 2_u64..,
        ) {
            let bytes: Vec<u8> = bytes.into_iter().map(|byte| if byte == b'/' { b'_' } else { byte }).collect();
            if let Ok(name) = Name::new(&bytes) {
                proptest::prop_assert_ne!(numbered(&name, number), name);
            }
        }
    }
}
