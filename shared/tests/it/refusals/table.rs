//! The tables as they are written: sections that begin with `# `, rows of three lines (what is
//! wrong; the code and what is said; the test), an empty line between rows.

use std::fmt;

use super::source::{Refusal, normal, pieces_of};

/// One program's refusals, or the wire's.
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    /// What the column of codes is called.
    pub(super) code: &'static str,
    /// The crate whose `tests/it` short names of tests mean.
    home: &'static str,
    pub(super) rows: Vec<Row>,
}

/// One wrong input.
pub(super) struct Row {
    section: String,
    pub(super) wrong: String,
    pub(super) code: String,
    pub(super) says: String,
    pub(super) test: String,
}

impl Table {
    /// All of them, in the page's order.
    pub(super) fn all() -> Vec<Self> {
        vec![
            Self {
                title: "sampan",
                about: "The client's commands and its screen. A line on standard error is `sampan: \
                        ` and what is said, with the file or server it is about; the code is the \
                        exit code.",
                code: "exit",
                home: "tui-client",
                rows: rows(include_str!("sampan.txt")),
            },
            Self {
                title: "sampand",
                about: "The server's commands. A line on standard error is `sampand: ` and what is \
                        said; the code is the exit code.",
                code: "exit",
                home: "server",
                rows: rows(include_str!("sampand.txt")),
            },
            Self {
                title: "The wire",
                about: "What the server answers to a client, by [PROTOCOL.md](../shared/PROTOCOL.md). \
                        A code is an error code; a `goodbye` with its reason, and a `close`, end the connection. The \
                        sentence is for logs: `sampan` has its own for each code. Each test is a \
                        client that was written to be wrong, at a real server.",
                code: "code",
                home: "server",
                rows: rows(include_str!("wire.txt")),
            },
        ]
    }

    pub(super) fn is_wire(&self) -> bool {
        self.code == "code"
    }

    /// The rows by section, in order.
    pub(super) fn sections(&self) -> Vec<(&str, Vec<&Row>)> {
        let mut sections: Vec<(&str, Vec<&Row>)> = Vec::new();
        for row in &self.rows {
            match sections.last_mut() {
                Some((section, rows)) if *section == row.section => rows.push(row),
                _ => sections.push((&row.section, vec![row])),
            }
        }
        sections
    }

    /// Where a test's function stands: `a::b` is `b` in `tests/it/a.rs` of the table's crate.
    pub(super) fn path_of(&self, test: &str) -> String {
        if test.contains('/') {
            return test.to_owned();
        }
        let (module, function) = test.rsplit_once("::").expect("a test is MODULE::FUNCTION");
        format!("{}/tests/it/{}.rs::{function}", self.home, module.replace("::", "/"))
    }
}

fn rows(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut section = String::new();
    let mut lines = text.lines().filter(|line| !line.is_empty());
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("# ") {
            title.clone_into(&mut section);
            continue;
        }
        let said = lines.next().unwrap_or_else(|| panic!("`{line}` has no code"));
        let by = lines.next().unwrap_or_else(|| panic!("`{line}` has no test"));
        let (code, says) = said.split_once(' ').unwrap_or((said, ""));
        assert!(by.contains("::") && !by.contains(' '), "`{by}` is no test of `{line}`");
        rows.push(Row {
            section: section.clone(),
            wrong: line.to_owned(),
            code: code.to_owned(),
            says: says.to_owned(),
            test: by.to_owned(),
        });
    }
    rows
}

impl Row {
    /// What the test's source must hold for the code.
    pub(super) fn code_in_a_test(&self) -> String {
        match self.code.as_str() {
            "goodbye" => {
                let reasons = ["Done", "ServerClosing", "SessionEnded", "Idle", "ProtocolError"];
                let number: usize = self.says.parse().expect("a goodbye has a reason");
                format!("GoodbyeReason::{}", reasons[number])
            }
            "close" => String::new(),
            code if code.chars().all(|c| c.is_ascii_digit()) => code.to_owned(),
            code => format!("ErrorCode::{code}"),
        }
    }

    /// The fixed parts of what is said.
    pub(super) fn pieces(&self) -> impl Iterator<Item = String> + use<> {
        pieces_of(self.says.strip_prefix("error: ").unwrap_or(&self.says)).into_iter()
    }

    /// Whether one of these texts is some of what is said, or holds some of it.
    pub(super) fn is_asserted_by(&self, literals: &[String]) -> bool {
        let pieces: Vec<_> = self.pieces().collect();
        let asserted = literals.iter().flat_map(|literal| pieces_of(&normal(literal)));
        let asserted: Vec<_> = asserted.filter(|piece| piece.len() >= 5).collect();
        let is_in_both = |said: &str, piece: &str| {
            said.contains(piece) || piece.contains(said) || has_words_of(piece, said)
        };
        pieces.iter().any(|said| asserted.iter().any(|piece| is_in_both(said, piece)))
    }

    /// Whether what is said holds every fixed part of `text`, in its order.
    pub(super) fn covers(&self, text: &str) -> bool {
        let mut rest = self.says.as_str();
        pieces_of(text).iter().all(|piece| match rest.split_once(piece.as_str()) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    }
}

/// Whether three words of `said` follow each other in `text` too.
fn has_words_of(text: &str, said: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        let trimmed =
            text.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
        trimmed.map(str::to_owned).collect()
    };
    let text = words(text);
    words(said).windows(3).any(|three| text.windows(3).any(|other| other == three))
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.wrong, self.test)
    }
}

/// A refusal that has no row.
pub(super) struct Unseen {
    /// The text as it stands in the source, the place of several, or a code.
    pub(super) text: String,
    pub(super) why: String,
}

impl Unseen {
    pub(super) fn all() -> Vec<Self> {
        let mut lines = include_str!("unseen.txt").lines().filter(|line| !line.is_empty());
        let mut all = Vec::new();
        while let Some(text) = lines.next() {
            let why = lines.next().unwrap_or_else(|| panic!("`{text}` has no reason"));
            all.push(Self { text: text.to_owned(), why: why.to_owned() });
        }
        all
    }

    /// Whether the entry is for this text: by its words, or by where it stands.
    pub(super) fn covers(&self, refusal: &Refusal) -> bool {
        refusal.text == self.text || refusal.place.starts_with(&self.text)
    }

    /// The code that cannot be provoked, if the entry is about one.
    pub(super) fn code(&self) -> Option<&str> {
        self.text.strip_prefix("code ")
    }
}
