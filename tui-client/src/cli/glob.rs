//! `-g`: patterns of names, as shells know them.
//!
//! `*` stands for any bytes, `?` for one byte, `[abc]`, `[a-z]` and `[!a-z]` for one byte of a class,
//! in which a `]` that stands first is meant itself. A `[` that nothing closes stands for itself, and
//! so does every other byte, the backslash included: what is special is written in a class, as `[*]`.
//! A name that begins with a dot needs a pattern that does.
//!
//! Invariant: names are bytes and so are patterns; matching takes no more steps than the product of
//! both lengths, whatever the pattern.

/// One name of a path that stands for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Token>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    One,
    Many,
    Class { is_negated: bool, ranges: Vec<(u8, u8)> },
}

impl Pattern {
    /// The pattern that is written so; `None` for a name that stands for itself.
    pub(super) fn read(written: &[u8]) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut rest = written;
        while let Some((first, after)) = rest.split_first() {
            let (token, left) = match first {
                b'*' => (Token::Many, after),
                b'?' => (Token::One, after),
                b'[' => class(after).unwrap_or((Token::Byte(b'['), after)),
                byte => (Token::Byte(*byte), after),
            };
            // Any bytes and again any bytes are any bytes.
            if token != Token::Many || tokens.last() != Some(&Token::Many) {
                tokens.push(token);
            }
            rest = left;
        }
        let is_one = tokens.iter().any(|token| !matches!(token, Token::Byte(_)));
        is_one.then_some(Self(tokens))
    }

    /// Whether it stands for `name`.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        if name.first() == Some(&b'.') && self.0.first() != Some(&Token::Byte(b'.')) {
            return false;
        }
        let tokens = &self.0;
        let (mut token, mut byte) = (0, 0);
        // Where to go on if what follows the last `*` does not fit: there it takes one byte more.
        let mut again = None;
        while byte < name.len() {
            match tokens.get(token) {
                Some(Token::Many) => {
                    token += 1;
                    again = Some((token, byte));
                }
                Some(one) if one.takes(name[byte]) => {
                    token += 1;
                    byte += 1;
                }
                _ => {
                    let Some((next, end)) = again else { return false };
                    again = Some((next, end + 1));
                    (token, byte) = (next, end + 1);
                }
            }
        }
        tokens[token..].iter().all(|left| *left == Token::Many)
    }
}

impl Token {
    /// Whether it stands for this one byte.
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Byte(own) => *own == byte,
            Self::One => true,
            Self::Many => false,
            Self::Class { is_negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != *is_negated
            }
        }
    }
}

/// The class whose `[` was read, and what follows it; `None` if nothing closes it.
fn class(written: &[u8]) -> Option<(Token, &[u8])> {
    let (is_negated, written) = match written {
        [b'!' | b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    // A first `]` is one of the class.
    let end = 1 + written.get(1..)?.iter().position(|byte| *byte == b']')?;
    let (mut inside, after) = (&written[..end], &written[end + 1..]);
    let mut ranges = Vec::new();
    while let [low, rest @ ..] = inside {
        (ranges, inside) = match rest {
            [b'-', high, rest @ ..] => (with(ranges, (*low, *high)), rest),
            rest => (with(ranges, (*low, *low)), rest),
        };
    }
    Some((Token::Class { is_negated, ranges }, after))
}

fn with(mut ranges: Vec<(u8, u8)>, range: (u8, u8)) -> Vec<(u8, u8)> {
    ranges.push(range);
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern, names that it stands for, and names that it does not.
    type Row = (&'static [u8], &'static [&'static [u8]], &'static [&'static [u8]]);

    #[test]
    fn patterns_stand_for_names_byte_by_byte() {
        let table: [Row; 15] = [
            (b"*", &[b"a", b"a b.txt", b"\xff\n\x1b[31m"], &[b".hidden"]),
            (b".*", &[b".hidden", b".a.b"], &[b"a.b"]),
            (b"*.txt", &[b"a.txt", b"a.txt.txt", b"\xff.txt"], &[b".txt", b"a.txtx", b"txt"]),
            (b"a*b*c", &[b"abc", b"aXbYc", b"abbcc"], &[b"ab", b"acb", b"xabc"]),
            (b"a**", &[b"a", b"ab"], &[b"ba"]),
            (b"?", &[b"a", b"\xff"], &[b"ab", b".", b"\xc3\xa9"]),
            (b"??.c", &[b"ab.c"], &[b".b.c", b"a.c"]),
            (b"[ab]1", &[b"a1", b"b1"], &[b"c1", b"[ab]1"]),
            (b"[a-c]", &[b"a", b"b", b"c"], &[b"d", b"-"]),
            (b"[!a-c]", &[b"d", b"-", b"]"], &[b"b", b".", b""]),
            (b"[^a]x", &[b"bx"], &[b"ax", b".x"]),
            (b"[]x]", &[b"]", b"x"], &[b"[]x]"]),
            (b"[!]]", &[b"a"], &[b"]"]),
            (b"[a-]", &[b"a", b"-"], &[b"b"]),
            (b"[*][?]*", &[b"*?", b"*?x"], &[b"a?", b"*a"]),
        ];
        for (written, matched, others) in table {
            let pattern = Pattern::read(written).unwrap_or_else(|| panic!("{written:?}"));
            for name in matched {
                assert!(pattern.matches(name), "{written:?} {name:?}");
            }
            for name in others {
                assert!(!pattern.matches(name), "{written:?} {name:?}");
            }
        }
    }

    #[test]
    fn what_nothing_closes_stands_for_itself() {
        for written in [&b"a"[..], b"[", b"[]", b"[!]", b"[a", b"a]", b"\\", b"a-b", b"{a,b}"] {
            assert_eq!(Pattern::read(written), None, "{written:?}");
        }
        assert!(Pattern::read(b"[a*").unwrap().matches(b"[abc"));
    }

    /// The worst of them: it would take as long as there are ways to divide the name.
    #[test]
    fn s10_no_pattern_takes_long() {
        let pattern = Pattern::read(&b"*a".repeat(127)).unwrap();
        let mut name = vec![b'a'; 255];
        name[254] = b'b';
        for _ in 0..1000 {
            assert!(!pattern.matches(&name));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_name_matches_itself_and_what_it_is_made_of(
            name in proptest::collection::vec(proptest::prelude::any::<u8>(), 1..30),
            at in 0_usize..30,
        ) {
            let at = at.min(name.len());
            let special = |byte: &u8| b"*?[".contains(byte);
            if !name.iter().any(special) {
                let hidden = name[0] == b'.';
                let written = [&name[..at], b"*"].concat();
                let expected = !hidden || at > 0;
                proptest::prop_assert_eq!(Pattern::read(&written).unwrap().matches(&name), expected);
            }
            // Whatever is written, it is read and matched without a panic.
            if let Some(pattern) = Pattern::read(&name) {
                let _matches = pattern.matches(&name);
            }
        }
    }
}
