//! What the sources say: texts in quotes, functions, and the texts by which programs refuse.
//!
//! It knows as much of Rust as that takes: comments, quotes, and that the repository is formatted.

use std::fs;
use std::path::Path;

/// Functions of the catalogue of the commands that refuse nothing: they ask, tell and count.
const NO_REFUSALS: &[&str] = &[
    "told",
    "unknown_server",
    "yes_or_no",
    "password_of",
    "key_refused",
    "the_terminal",
    "quota",
    "unfinished",
    "logged_in",
    "logged_out",
    "forgotten",
    "whole",
    "group",
    "phase",
    "link",
    "skip_word",
    "would_carry",
    "summary",
    "facts",
    "conflict",
    "conflict_choices",
    "demo_begins",
    "demo_kept",
    "the_demo_server",
];

/// A text by which a program can refuse.
pub(super) struct Refusal {
    /// Its file below the repository; in the catalogue of the commands `FILE fn NAME`.
    pub(super) place: String,
    /// With `…` for what depends on the case.
    pub(super) text: String,
}

/// A function in a source file.
pub(super) struct Function {
    /// From its attributes to its end.
    text: String,
    /// The functions of the same file that it calls.
    called: String,
}

impl Function {
    /// The function `FILE.rs::NAME`.
    pub(super) fn find(repository: &Path, path: &str) -> Option<Self> {
        let (file, name) = path.split_once(".rs::")?;
        let source = fs::read_to_string(repository.join(format!("{file}.rs"))).ok()?;
        let mut all = functions(&source);
        let at = all.iter().position(|(found, _)| found == name)?;
        let (_, mut function) = all.swap_remove(at);
        let is_called = |name: &str| function.text.contains(&format!("{name}("));
        let called: Vec<_> = all.iter().filter(|(name, _)| is_called(name)).collect();
        function.called = called.iter().map(|(_, called)| called.text.as_str()).collect();
        Some(function)
    }

    /// What it asserts, itself and through what it calls in its file.
    pub(super) fn asserts(&self) -> String {
        format!("{}\n{}", self.text, self.called)
    }

    pub(super) fn is_test(&self) -> bool {
        self.text.contains("#[test]") || self.text.contains("#[tokio::test")
    }

    /// Whether the word or number stands in its body.
    pub(super) fn holds_word(&self, word: &str) -> bool {
        let text = self.asserts();
        let body = text.split_once('{').map_or("", |(_, body)| body);
        body.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|found| found == word)
    }
}

/// All functions of a formatted source, nested ones too, with the attributes above them.
fn functions(source: &str) -> Vec<(String, Function)> {
    let lines: Vec<_> = source.lines().collect();
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let Some((before, after)) = line.split_once("fn ") else { continue };
        let indent = line.len() - line.trim_start().len();
        let is_head = before
            .trim()
            .split(' ')
            .all(|word| ["", "pub", "async", "const", "pub(crate)", "pub(super)"].contains(&word));
        let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !is_head || name.is_empty() {
            continue;
        }
        let above = lines[..number].iter().rposition(|line| line.trim().is_empty());
        let end = format!("{:indent$}}}", "");
        let below = lines[number..].iter().position(|line| *line == end);
        let Some(below) = below else { continue };
        let text = lines[above.map_or(0, |line| line + 1)..=number + below].join("\n");
        found.push((name, Function { text, called: String::new() }));
    }
    found
}

/// Every text in quotes, as it would be printed but for its placeholders.
pub(super) fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let before = &rest[..at];
        let is_raw = before.ends_with('r') || before.ends_with('#');
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("//") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let hashes = before.len() - before.trim_end_matches('#').len();
            let is_raw = is_raw && before.trim_end_matches('#').ends_with('r');
            let end = if is_raw { raw_end(quoted, hashes) } else { quoted_end(quoted) };
            let text = &quoted[..end];
            found.push(if is_raw { text.to_owned() } else { unescaped(text) });
            rest = quoted.get(end + 1..).unwrap_or_default();
        } else if rest.starts_with("'\"'") || rest.starts_with("'/'") {
            rest = &rest[3..];
        } else {
            rest = &rest[1..];
        }
    }
    found
}

fn raw_end(quoted: &str, hashes: usize) -> usize {
    quoted.find(&format!("\"{}", "#".repeat(hashes))).unwrap_or(quoted.len())
}

fn quoted_end(quoted: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            '"' if !is_escaped => return at,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    quoted.len()
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('\\', Some('\n')) => while rest.next_if(|c| c.is_whitespace()).is_some() {},
            ('\\', Some('n')) => {
                rest.next();
                plain.push('\n');
            }
            ('\\', Some('"' | '\\')) => plain.extend(rest.next()),
            _ => plain.push(c),
        }
    }
    plain
}

/// A format string with `…` for each placeholder.
pub(super) fn normal(format: &str) -> String {
    let mut text = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        if let Some(literal) = after.strip_prefix('{') {
            text.push('{');
            rest = literal;
            continue;
        }
        text.push('…');
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text
}

/// The fixed parts of a text, without what joins them.
pub(super) fn pieces_of(text: &str) -> Vec<String> {
    let trimmed =
        text.split('…').map(|piece| piece.trim_matches(|c: char| " :;,()`'.\n".contains(c)));
    trimmed
        .filter(|piece| piece.chars().filter(|c| c.is_alphabetic()).count() > 1)
        .map(str::to_owned)
        .collect()
}

/// Whether the piece stands in one of the texts, or each half of it around a `; ` does.
pub(super) fn is_said_by(piece: &str, said: &[String]) -> bool {
    said.iter().any(|text| text.contains(piece))
        || piece.match_indices("; ").any(|(at, joint)| {
            is_said_by(&piece[..at], said) && is_said_by(&piece[at + joint.len()..], said)
        })
        || piece.match_indices(": ").any(|(at, joint)| {
            is_said_by(&piece[..at], said) && is_said_by(&piece[at + joint.len()..], said)
        })
}

/// Every text in the programs' own code.
pub(super) fn product_literals(repository: &Path) -> Vec<String> {
    let files = product_files(repository);
    files.iter().flat_map(|(_, source)| literals(source)).map(|text| normal(&text)).collect()
}

/// The sources of both programs and the protocol, without their tests.
fn product_files(repository: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for package in ["shared", "server", "tui-client"] {
        let mut folders = vec![repository.join(package).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("the sources can be listed") {
                let path = entry.expect("the sources can be listed").path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if path.is_dir() {
                    if !["tests", "conformance", "snapshots"].contains(&name.as_str()) {
                        folders.push(path);
                    }
                } else if is_source(&path) && !["tests.rs", "testing.rs"].contains(&&*name) {
                    files.push((below(repository, &path), without_tests(&path)));
                }
            }
        }
    }
    files.sort();
    files
}

fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

fn below(repository: &Path, path: &Path) -> String {
    path.strip_prefix(repository).unwrap_or(path).to_string_lossy().into_owned()
}

fn without_tests(path: &Path) -> String {
    let source = fs::read_to_string(path).expect("a source is text");
    source
        .split_once("\n#[cfg(test)]\nmod tests")
        .map_or(source.clone(), |(code, _)| code.to_owned())
}

/// What the variants of the programs' error types and situations say, by their names: a test that
/// holds a value instead of its sentence asserts this.
pub(super) fn texts_of_variants(repository: &Path) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    let name_at = |source: &str| -> String {
        source.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    for (file, source) in product_files(repository) {
        let mut rest = source.as_str();
        while let Some((_, after)) = rest.split_once("#[error(") {
            rest = after;
            let text = literals(after).into_iter().next().unwrap_or_default();
            let Some((_, variant)) = after.split_once(")]\n") else { continue };
            texts.push((name_at(variant.trim_start()), normal(&text)));
        }
        if file.ends_with("catalogue/english/engine.rs") {
            let mut rest = source.as_str();
            while let Some((_, after)) = rest.split_once("S::") {
                rest = after;
                let text = literals(after).into_iter().next().unwrap_or_default();
                texts.push((name_at(after), normal(&text)));
            }
        }
    }
    texts
}

/// The texts of error types, and of what the client's catalogue says of failures.
pub(super) fn refusals_in_code(repository: &Path) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for (file, source) in product_files(repository) {
        let mut rest = source.as_str();
        while let Some((_, after)) = rest.split_once("#[error(") {
            let text = literals(after).into_iter().next().unwrap_or_default();
            rest = after;
            if !after.starts_with("transparent") {
                refusals.push(Refusal { place: file.clone(), text: normal(&text) });
            }
        }
        if file.ends_with("catalogue/english/engine.rs")
            || file.ends_with("catalogue/english/cli.rs")
        {
            let all = functions(&source).into_iter();
            for (name, function) in all.filter(|(name, _)| !NO_REFUSALS.contains(&name.as_str())) {
                for text in literals(&function.text) {
                    refusals
                        .push(Refusal { place: format!("{file} fn {name}"), text: normal(&text) });
                }
            }
        }
    }
    refusals.retain(|refusal| !pieces_of(&refusal.text).is_empty());
    refusals
}
