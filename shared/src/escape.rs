//! The one escaper: bytes from the other side as text that cannot drive a terminal or forge a log.
//!
//! Shown as they are: printable characters of valid UTF-8. Everything else becomes visible:
//! control bytes and invalid UTF-8 as `\xHH`, control and invisible format characters (C1, bidi
//! overrides, zero-width marks, line separators) as `\u{HEX}`, the backslash as `\\`. So two
//! different names never look the same through it, and what it prints can be told back.
//!
//! Zero-width joiner and variation selectors stay, for they make up emoji and scripts; they do not
//! reorder or hide text.
//!
//! Invariant: the output holds no control character and no bidirectional override.

use std::fmt::{self, Write};

/// Bytes that are shown through the escaper.
#[derive(Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            chunk.valid().chars().try_for_each(|character| escape_character(character, f))?;
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

/// Text from the other side, such as a server's message, through the escaper.
pub fn escaped_text(text: &str) -> String {
    Escaped(text.as_bytes()).to_string()
}

fn escape_character(character: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match character {
        '\\' => f.write_str("\\\\"),
        '\0'..='\x1f' | '\x7f' => write!(f, "\\x{:02x}", u32::from(character)),
        hidden if is_hidden(hidden) => write!(f, "\\u{{{:x}}}", u32::from(hidden)),
        visible => f.write_char(visible),
    }
}

/// Characters that a terminal obeys, or that hide or reorder what stands beside them.
fn is_hidden(character: char) -> bool {
    matches!(character,
        '\u{80}'..='\u{9f}'          // C1 controls
        | '\u{ad}'                   // soft hyphen
        | '\u{61c}'                  // Arabic letter mark
        | '\u{180e}'                 // Mongolian vowel separator
        | '\u{200b}' | '\u{200e}' | '\u{200f}' // zero-width space, direction marks
        | '\u{2028}'..='\u{202e}'    // separators, bidi embeddings and overrides
        | '\u{2060}'..='\u{206f}'    // word joiner, bidi isolates, deprecated controls
        | '\u{feff}'                 // byte order mark
        | '\u{fff9}'..='\u{fffb}'    // interlinear annotation
        | '\u{e0000}'..='\u{e007f}'  // tags
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_golden_names() {
        let cases: [(&[u8], &str); 10] = [
            (b"plain.txt", "plain.txt"),
            ("ж 你好 👩‍🚀 e\u{301}".as_bytes(), "ж 你好 👩‍🚀 e\u{301}"),
            (b"\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
            (b"a\nb\tc\rd\x7f", "a\\x0ab\\x09c\\x0dd\\x7f"),
            ("\u{9b}2J".as_bytes(), "\\u{9b}2J"),
            ("evil\u{202e}txt.exe".as_bytes(), "evil\\u{202e}txt.exe"),
            ("a\u{200b}b\u{feff}".as_bytes(), "a\\u{200b}b\\u{feff}"),
            (b"\xff\xfeok\xc3", "\\xff\\xfeok\\xc3"),
            (b"back\\slash", "back\\\\slash"),
            (b"\\x1b", "\\\\x1b"),
        ];
        for (bytes, shown) in cases {
            assert_eq!(Escaped(bytes).to_string(), shown);
        }
    }

    #[test]
    fn s2_nothing_escapes_the_escaper() {
        let every: Vec<u8> = (0..=255).collect();
        let shown = Escaped(&every).to_string();
        assert!(!shown.chars().any(char::is_control));
        for character in '\0'..=char::MAX {
            let shown = escaped_text(character.encode_utf8(&mut [0; 4]));
            assert!(!shown.chars().any(|c| c.is_control() || is_hidden(c)), "{character:?}");
        }
    }
}
