//! The question about a target that exists and differs.

use std::io;

use jiff::tz::TimeZone;
use sampan_protocol::Attributes;

use crate::catalogue::cli as text;
use crate::catalogue::engine::how_it_differs;
use crate::cli::ask::Terminal;
use crate::cli::row::local_time;
use crate::transfer::{ItemId, Resolution};

/// Two things that cannot both have a name.
#[derive(Clone, Debug)]
pub(super) struct Conflict {
    pub(super) item: ItemId,
    /// Where it lies, shown, and what it is.
    pub(super) from: (String, Attributes),
    pub(super) to: (String, Attributes),
}

/// What the person said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) resolution: Resolution,
    /// Also for all later ones.
    pub(super) for_all: bool,
}

/// Asks until the answer is one. A person who ends the input leaves everything as it is.
pub(super) async fn ask(terminal: Terminal, conflict: Conflict) -> io::Result<Answer> {
    let zone = TimeZone::system();
    let facts = |(location, attributes): &(String, Attributes)| {
        text::facts(attributes.size, &local_time(attributes.mtime, &zone), location)
    };
    let how = how_it_differs(&conflict.from.1, &conflict.to.1);
    terminal.show(&text::conflict(how, &facts(&conflict.to), &facts(&conflict.from)))?;
    loop {
        match terminal.ask(&text::conflict_choices()).await? {
            None => return Ok(Answer { resolution: Resolution::Skip, for_all: true }),
            Some(typed) => {
                if let Some(answer) = read(&typed) {
                    return Ok(answer);
                }
            }
        }
    }
}

/// A letter or its word, with a capital for all. The letters are the screen's; nothing that only
/// begins like an answer is one, for it may replace a file.
fn read(typed: &str) -> Option<Answer> {
    let for_all = typed.chars().next()?.is_ascii_uppercase();
    let resolution = match typed.to_ascii_lowercase().as_str() {
        "y" | "yes" | "o" | "overwrite" => Resolution::Overwrite,
        "n" | "no" | "s" | "skip" => Resolution::Skip,
        "w" | "newer" => Resolution::Newer,
        "r" | "rename" => Resolution::Rename,
        _ => return None,
    };
    Some(Answer { resolution, for_all })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_answers() {
        let one = |resolution| Some(Answer { resolution, for_all: false });
        let all = |resolution| Some(Answer { resolution, for_all: true });
        let table = [
            ("o", one(Resolution::Overwrite)),
            ("skip", one(Resolution::Skip)),
            ("no", one(Resolution::Skip)),
            ("N", all(Resolution::Skip)),
            ("Y", all(Resolution::Overwrite)),
            ("w", one(Resolution::Newer)),
            ("Rename", all(Resolution::Rename)),
            ("", None),
            ("none of it", None),
            ("not newer", None),
        ];
        for (typed, expected) in table {
            assert_eq!(read(typed), expected, "{typed}");
        }
    }
}
