//! Which paths a source file names: a small reader of Rust's words, comments and `use` trees.
//!
//! It knows no types and expands no macro; it need not, for a module that is used must be named.
//! Tests are left out: they may wire layers together.

use std::iter::Peekable;
use std::path::Path;

/// A path as the source names it, from the crate's root on where it began with `self` or `super`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Name(String),
    /// `::`
    Into,
    Sign(char),
}

type Placed = (Word, usize);

/// Every path of two names or more, and every imported one, outside of tests.
pub(crate) fn paths(source: &str, module: &[String]) -> Vec<Named> {
    let words = without_tests(&words(source));
    let mut words = words.into_iter().peekable();
    let mut named = Vec::new();
    let mut after_into = false;
    while let Some((word, line)) = words.next() {
        match word {
            Word::Name(name) if name == "use" => {
                use_tree(&mut words, &mut Vec::new(), &mut named);
            }
            Word::Name(name) if !after_into => {
                let mut path = vec![name];
                while words.next_if(|(word, _)| *word == Word::Into).is_some() {
                    match words.next_if(|(word, _)| matches!(word, Word::Name(_))) {
                        Some((Word::Name(name), _)) => path.push(name),
                        _ => break,
                    }
                }
                if path.len() > 1 {
                    named.push(Named { path, line });
                }
            }
            other => after_into = other == Word::Into,
        }
    }
    for Named { path, .. } in &mut named {
        *path = from_root(path, module);
    }
    named
}

/// Whether the words `signs` stand in a row somewhere outside of tests, and on which lines.
pub(crate) fn rows_of_words(source: &str, row: &[&str]) -> Vec<usize> {
    let text = |word: &Word| match word {
        Word::Name(name) => name.clone(),
        Word::Into => "::".into(),
        Word::Sign(sign) => sign.to_string(),
    };
    let words = without_tests(&words(source));
    words
        .windows(row.len())
        .filter(|window| window.iter().zip(row).all(|((word, _), wanted)| text(word) == *wanted))
        .map(|window| window[0].1)
        .collect()
}

/// The module that a file under `src` holds: `a/b.rs` and `a/b/mod.rs` are both `a::b`.
pub(crate) fn module_of(below_src: &Path) -> Vec<String> {
    let mut module: Vec<String> = below_src
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        module.pop();
    }
    module
}

fn from_root(path: &[String], module: &[String]) -> Vec<String> {
    let mut base = module.to_vec();
    let mut rest = path;
    let mut relative = false;
    while let Some((first, later)) = rest.split_first() {
        match first.as_str() {
            "self" => {}
            "super" => drop(base.pop()),
            _ => break,
        }
        (relative, rest) = (true, later);
    }
    if !relative {
        return path.to_vec();
    }
    let mut full = vec!["crate".to_owned()];
    full.extend(base);
    full.extend_from_slice(rest);
    full
}

fn use_tree(
    words: &mut Peekable<impl Iterator<Item = Placed>>,
    prefix: &mut Vec<String>,
    named: &mut Vec<Named>,
) {
    let depth = prefix.len();
    let mut last_line = None;
    while let Some((word, line)) = words.next() {
        match word {
            Word::Name(name) if name == "as" => drop(words.next()),
            Word::Name(name) => {
                prefix.push(name);
                last_line = Some(line);
            }
            Word::Into => {}
            Word::Sign('{') => {
                use_tree(words, prefix, named);
                last_line = None;
            }
            Word::Sign(sign) => {
                if sign == '*' {
                    last_line = Some(line);
                }
                if let Some(line) = last_line
                    && sign != '*'
                {
                    named.push(Named { path: prefix.clone(), line });
                }
                match sign {
                    ',' => {
                        prefix.truncate(depth);
                        last_line = None;
                    }
                    '}' | ';' => break,
                    _ => {}
                }
            }
        }
    }
    prefix.truncate(depth);
}

/// Leaves out each item under `#[cfg(test)]`.
fn without_tests(words: &[Placed]) -> Vec<Placed> {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let is = |placed: &Placed, wanted: &str| match &placed.0 {
        Word::Name(name) => name == wanted,
        Word::Sign(sign) => wanted.len() == 1 && wanted.starts_with(*sign),
        Word::Into => false,
    };
    let mut kept = Vec::new();
    let mut rest = words;
    while let Some((first, later)) = rest.split_first() {
        let marked = rest.len() >= attribute.len()
            && rest.iter().zip(attribute).all(|(placed, wanted)| is(placed, wanted));
        if marked {
            rest = after_item(&rest[attribute.len()..]);
        } else {
            kept.push(first.clone());
            rest = later;
        }
    }
    kept
}

/// What follows an item that ends with its block or with a semicolon.
fn after_item(mut rest: &[Placed]) -> &[Placed] {
    let mut depth = 0_usize;
    while let Some(((word, _), later)) = rest.split_first() {
        rest = later;
        match word {
            Word::Sign('{' | '(' | '[') => depth += 1,
            Word::Sign('}' | ')' | ']') => {
                depth = depth.saturating_sub(1);
                if depth == 0 && *word == Word::Sign('}') {
                    return rest;
                }
            }
            Word::Sign(';') if depth == 0 => return rest,
            _ => {}
        }
    }
    rest
}

/// Names and signs, without comments, strings and numbers' insides.
fn words(source: &str) -> Vec<Placed> {
    let characters: Vec<char> = source.chars().collect();
    let mut words = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(&character) = characters.get(at) {
        let next = characters.get(at + 1).copied();
        let start = at;
        match character {
            '/' if next == Some('/') => at = find(&characters, at, |c| c == '\n'),
            '/' if next == Some('*') => at = end_of_comment(&characters, at),
            '"' => at = end_of_string(&characters, at),
            '\'' => at = end_of_quote(&characters, at),
            ':' if next == Some(':') => {
                words.push((Word::Into, line));
                at += 2;
            }
            _ if character.is_alphanumeric() || character == '_' => {
                at = find(&characters, at, |c| !(c.is_alphanumeric() || c == '_'));
                let name: String = characters[start..at].iter().collect();
                let prefixed = matches!(name.as_str(), "r" | "b" | "br" | "c" | "cr");
                match characters.get(at) {
                    Some('"') if prefixed && !name.contains('r') => {
                        at = end_of_string(&characters, at);
                    }
                    Some('"' | '#') if prefixed && is_raw(&characters, at) => {
                        at = end_of_raw_string(&characters, at);
                    }
                    _ => words.push((Word::Name(name), line)),
                }
            }
            _ => {
                if !character.is_whitespace() {
                    words.push((Word::Sign(character), line));
                }
                at += 1;
            }
        }
        line += characters[start..at].iter().filter(|c| **c == '\n').count();
    }
    words
}

fn find(characters: &[char], from: usize, stop: impl Fn(char) -> bool) -> usize {
    let found = characters[from..].iter().position(|character| stop(*character));
    found.map_or(characters.len(), |offset| from + offset)
}

fn end_of_comment(characters: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    loop {
        match (characters.get(at), characters.get(at + 1)) {
            (Some('/'), Some('*')) => (depth, at) = (depth + 1, at + 2),
            (Some('*'), Some('/')) => (depth, at) = (depth - 1, at + 2),
            (Some(_), _) => at += 1,
            (None, _) => return at,
        }
        if depth == 0 {
            return at;
        }
    }
}

fn end_of_string(characters: &[char], quote: usize) -> usize {
    let mut at = quote + 1;
    while let Some(character) = characters.get(at) {
        match character {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    characters.len()
}

/// A character, or only the tick of a lifetime.
fn end_of_quote(characters: &[char], quote: usize) -> usize {
    match (characters.get(quote + 1), characters.get(quote + 2)) {
        (Some('\\'), _) => (find(characters, quote + 3, |c| c == '\'') + 1).min(characters.len()),
        (Some(_), Some('\'')) => quote + 3,
        _ => quote + 1,
    }
}

fn is_raw(characters: &[char], hashes: usize) -> bool {
    characters.get(find(characters, hashes, |c| c != '#')) == Some(&'"')
}

fn end_of_raw_string(characters: &[char], hashes: usize) -> usize {
    let quote = find(characters, hashes, |c| c != '#');
    let count = quote - hashes;
    let mut at = quote + 1;
    loop {
        at = find(characters, at, |c| c == '"') + 1;
        let closing = characters.get(at..at + count);
        if at > characters.len() || closing.is_some_and(|row| row.iter().all(|c| *c == '#')) {
            return (at + count).min(characters.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(source: &str) -> Vec<(String, usize)> {
        let module = ["store".to_owned(), "local".to_owned()];
        paths(source, &module).into_iter().map(|n| (n.path.join("::"), n.line)).collect()
    }

    #[test]
    fn use_trees_are_unfolded() {
        let source =
            "use tokio;\nuse a::{self, b::{c, d as e},\n f};\nuse g::*;\npub(crate) use super::h;";
        let expected = [
            ("tokio", 1),
            ("a::self", 2),
            ("a::b::c", 2),
            ("a::b::d", 2),
            ("a::f", 3),
            ("g", 4),
            ("crate::store::h", 5),
        ];
        assert_eq!(named(source), expected.map(|(path, line)| (path.to_owned(), line)));
    }

    #[test]
    fn paths_in_code_are_seen_and_words_in_text_are_not() {
        let source = "// std::fs\n/* std::fs /* std::net */ */\nlet s = \"std::fs\\\"\"; let r = r#\"std::fs\"#;\nlet c = '\"'; fn f<'a>(x: &'a str) { std::fs::read(x); }\nself::x::y();";
        let expected = [("std::fs::read", 4), ("crate::store::local::x::y", 5)];
        assert_eq!(named(source), expected.map(|(path, line)| (path.to_owned(), line)));
    }

    #[test]
    fn tests_are_left_out() {
        let source = "use a::b;\n#[cfg(test)]\nuse c::d;\n#[cfg(test)]\n#[path = \"x\"]\nmod tests { use e::f; fn g() { h::i() } }\nuse j::k;";
        assert_eq!(named(source), [("a::b", 1), ("j::k", 7)].map(|(p, l)| (p.to_owned(), l)));
    }

    #[test]
    fn rows_of_words_are_found() {
        let source = "fn view(\n  app: &mut App) {}\nfn see(app: &App) {} // &mut App";
        assert_eq!(rows_of_words(source, &["&", "mut", "App"]), [2]);
    }

    #[test]
    fn files_are_modules() {
        let module = |file: &str| module_of(Path::new(file)).join("::");
        assert_eq!(module("lib.rs"), "");
        assert_eq!(module("store/mod.rs"), "store");
        assert_eq!(module("store/local/publish.rs"), "store::local::publish");
    }
}
