//! Names for a file that is kept beside another one of its name: `NAME (2).EXT`.

use sampan_protocol::Name;
use sampan_protocol::limits::MAX_NAME_BYTES;

/// The `number`th name like `name`. The extension is what follows the last dot, unless the name
/// begins with it; what is too long loses bytes before the number, never inside a character.
pub(super) fn numbered(name: &Name, number: u32) -> Name {
    let bytes = name.as_bytes();
    let dot = bytes.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0);
    let (stem, extension) = bytes.split_at(dot.unwrap_or(bytes.len()));
    let suffix = [format!(" ({number})").as_bytes(), extension].concat();
    // An extension that fills the name is none.
    let (stem, suffix) = if suffix.len() < MAX_NAME_BYTES {
        (stem, suffix)
    } else {
        (bytes, format!(" ({number})").into_bytes())
    };
    let mut keep = stem.len().min(MAX_NAME_BYTES - suffix.len());
    while keep > 1 && keep < stem.len() && stem[keep] & 0xc0 == 0x80 {
        keep -= 1;
    }
    Name::new(&[&stem[..keep], &suffix].concat()).unwrap_or_else(|_| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_their_number_before_the_extension() {
        let long = "x".repeat(255);
        let wide = "あ".repeat(85);
        let cases = [
            ("a.txt", "a (2).txt".to_owned()),
            ("a.tar.gz", "a.tar (2).gz".to_owned()),
            ("a", "a (2)".to_owned()),
            (".profile", ".profile (2)".to_owned()),
            (&long, format!("{} (2)", &long[..251])),
            (&wide, format!("{} (2)", "あ".repeat(83))),
        ];
        for (name, expected) in cases {
            let numbered = numbered(&Name::new(name.as_bytes()).unwrap(), 2);
            assert_eq!(numbered.as_bytes(), expected.as_bytes(), "{name}");
        }
        let dotted = format!("a.{}", "x".repeat(253));
        let name = numbered(&Name::new(dotted.as_bytes()).unwrap(), 10);
        assert_eq!(name.as_bytes().len(), 255);
        assert!(name.as_bytes().ends_with(b"x (10)"));
    }
}
