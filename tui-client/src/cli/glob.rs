//! `-g`: patterns of names, as shells know them.
//!
//! `*` stands for any characters, `?` for one, `[abc]`, `[a-z]` and `[!a-z]` for one of a class, in
//! which a `]` that stands first is meant itself. A `[` that nothing closes stands for itself, and so
//! does everything else, the backslash included: what is special is written in a class, as `[*]`. A
//! name that begins with a dot needs a pattern that does.
//!
//! A character is one of Unicode where both the name and the pattern are UTF-8, else a byte. A letter
//! with an accent that is written as two characters is two.
//!
//! Invariant: no name is without a meaning, whatever its bytes; matching takes no more steps than the
//! product of both lengths, whatever the pattern.

/// One name of a path that stands for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    bytes: Vec<Token<u8>>,
    /// The same in characters, if it is text.
    characters: Option<Vec<Token<char>>>,
    is_ascii: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<T> {
    Itself(T),
    One,
    Many,
    Class { is_negated: bool, ranges: Vec<(T, T)> },
}

impl Pattern {
    /// The pattern that is written so; `None` for a name that stands for itself.
    pub(super) fn read(written: &[u8]) -> Option<Self> {
        let bytes = tokens(written)?;
        let text = std::str::from_utf8(written).ok();
        let characters = text.and_then(|text| tokens(&text.chars().collect::<Vec<_>>()));
        Some(Self { bytes, characters, is_ascii: written.is_ascii() })
    }

    /// Whether it stands for `name`.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        let is_all_ascii = self.is_ascii && name.is_ascii();
        match (&self.characters, std::str::from_utf8(name)) {
            (Some(tokens), Ok(text)) if !is_all_ascii => {
                stand_for(tokens, &text.chars().collect::<Vec<_>>())
            }
            _ => stand_for(&self.bytes, name),
        }
    }
}

/// A pattern's parts, in bytes or in characters; `None` if each of them stands for itself.
fn tokens<T: Copy + Ord + From<u8>>(written: &[T]) -> Option<Vec<Token<T>>> {
    let is = |unit: T, sign: u8| unit == T::from(sign);
    let mut tokens = Vec::new();
    let mut rest = written;
    while let Some((first, after)) = rest.split_first() {
        let (token, left) = match *first {
            unit if is(unit, b'*') => (Token::Many, after),
            unit if is(unit, b'?') => (Token::One, after),
            unit if is(unit, b'[') => class(after).unwrap_or((Token::Itself(unit), after)),
            unit => (Token::Itself(unit), after),
        };
        // Anything and again anything is anything.
        if token != Token::Many || tokens.last() != Some(&Token::Many) {
            tokens.push(token);
        }
        rest = left;
    }
    let is_one = tokens.iter().any(|token| !matches!(token, Token::Itself(_)));
    is_one.then_some(tokens)
}

fn stand_for<T: Copy + Ord + From<u8>>(tokens: &[Token<T>], name: &[T]) -> bool {
    let dot = T::from(b'.');
    if name.first() == Some(&dot) && tokens.first() != Some(&Token::Itself(dot)) {
        return false;
    }
    let (mut token, mut at) = (0, 0);
    // Where to go on if what follows the last `*` does not fit: there it takes one more.
    let mut again = None;
    while at < name.len() {
        match tokens.get(token) {
            Some(Token::Many) => {
                token += 1;
                again = Some((token, at));
            }
            Some(one) if one.takes(name[at]) => {
                token += 1;
                at += 1;
            }
            _ => {
                let Some((next, end)) = again else { return false };
                again = Some((next, end + 1));
                (token, at) = (next, end + 1);
            }
        }
    }
    tokens[token..].iter().all(|left| *left == Token::Many)
}

impl<T: Copy + Ord> Token<T> {
    /// Whether it stands for this one.
    fn takes(&self, unit: T) -> bool {
        match self {
            Self::Itself(own) => *own == unit,
            Self::One => true,
            Self::Many => false,
            Self::Class { is_negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&unit)) != *is_negated
            }
        }
    }
}

/// The class whose `[` was read, and what follows it; `None` if nothing closes it.
fn class<T: Copy + Ord + From<u8>>(written: &[T]) -> Option<(Token<T>, &[T])> {
    let is = |unit: &T, sign: u8| *unit == T::from(sign);
    let (is_negated, written) = match written {
        [first, rest @ ..] if is(first, b'!') || is(first, b'^') => (true, rest),
        rest => (false, rest),
    };
    // A first `]` is one of the class.
    let end = 1 + written.get(1..)?.iter().position(|unit| is(unit, b']'))?;
    let (mut inside, after) = (&written[..end], &written[end + 1..]);
    let mut ranges = Vec::new();
    while let [low, rest @ ..] = inside {
        let (range, left) = match rest {
            [dash, high, rest @ ..] if is(dash, b'-') => ((*low, *high), rest),
            rest => ((*low, *low), rest),
        };
        ranges.push(range);
        inside = left;
    }
    Some((Token::Class { is_negated, ranges }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern, names that it stands for, and names that it does not.
    type Row = (&'static [u8], &'static [&'static [u8]], &'static [&'static [u8]]);

    #[test]
    fn patterns_stand_for_names() {
        const TABLE: [Row; 22] = [
            (b"*", &[b"a", b"a b.txt", b"\xff\n\x1b[31m"], &[b".hidden"]),
            (b".*", &[b".hidden", b".a.b"], &[b"a.b"]),
            (b"*.txt", &[b"a.txt", b"a.txt.txt", b"\xff.txt"], &[b".txt", b"a.txtx", b"txt"]),
            (b"a*b*c", &[b"abc", b"aXbYc", b"abbcc"], &[b"ab", b"acb", b"xabc"]),
            (b"a**", &[b"a", b"ab"], &[b"ba"]),
            (b"?", &[b"a", b"\xff", "é".as_bytes(), "你".as_bytes()], &[b"ab", b".", b"e\xcc\x81"]),
            (b"??", &[b"ab", "né".as_bytes(), b"\xc3\xff"], &["é".as_bytes(), b"a"]),
            (
                "[äé]?".as_bytes(),
                &["éa".as_bytes(), "äö".as_bytes()],
                &["öa".as_bytes(), "é".as_bytes()],
            ),
            (
                "[à-ü]".as_bytes(),
                &["é".as_bytes(), "à".as_bytes()],
                &[b"a", "þ".as_bytes(), b"\xa0\xa0"],
            ),
            ("[!é]".as_bytes(), &[b"e", "è".as_bytes(), b"\xff"], &["é".as_bytes()]),
            ("é*".as_bytes(), &["é".as_bytes(), "éa".as_bytes(), b"\xc3\xa9\xff"], &[b"e"]),
            ("*é".as_bytes(), &["aé".as_bytes(), b"\xff\xc3\xa9"], &[b"\xc3\xa9\xff"]),
            // A name that is no text is matched byte by byte, and so is any by such a pattern.
            (b"[\xff]?", &[b"\xffa"], &["éa".as_bytes()]),
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
        for (written, matched, others) in TABLE {
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

    /// What a pattern stands for, said as plainly as it can be: by trying every length for each `*`.
    fn plainly(pattern: &[char], name: &[char]) -> bool {
        let Some((first, rest)) = pattern.split_first() else { return name.is_empty() };
        if *first == '*' {
            return (0..=name.len()).any(|taken| plainly(rest, &name[taken..]));
        }
        let Some((unit, left)) = name.split_first() else { return false };
        if *first == '?' {
            return plainly(rest, left);
        }
        let negated = matches!(rest.first(), Some('!' | '^'));
        let body = &rest[usize::from(negated)..];
        let end = (1..body.len()).find(|at| body[*at] == ']');
        let (true, Some(end)) = (*first == '[', end) else {
            return first == unit && plainly(rest, left);
        };
        let mut held = false;
        let mut at = 0;
        while at < end {
            let is_range = at + 2 < end && body[at + 1] == '-';
            let high = if is_range { body[at + 2] } else { body[at] };
            held |= body[at] <= *unit && *unit <= high;
            at += if is_range { 3 } else { 1 };
        }
        held != negated && plainly(&body[end + 1..], left)
    }

    proptest::proptest! {
        #[test]
        fn it_stands_for_what_it_plainly_says(
            written in "[ab.é你*?\\[\\]!^-]{1,9}",
            name in "[ab.é你\\[-]{1,7}",
        ) {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            if let Some(pattern) = Pattern::read(written.as_bytes()) {
                let is_hidden = name.starts_with('.') && !written.starts_with('.');
                let expected = !is_hidden && plainly(&letters(&written), &letters(&name));
                proptest::prop_assert_eq!(pattern.matches(name.as_bytes()), expected);
            } else {
                let expected = written == name;
                proptest::prop_assert_eq!(plainly(&letters(&written), &letters(&name)), expected);
            }
        }

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
