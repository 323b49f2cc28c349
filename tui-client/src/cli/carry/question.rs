//! The question about a target that exists and differs.

use std::io;

use jiff::tz::TimeZone;
use sampan_protocol::Attributes;

use crate::catalogue::cli as text;
use crate::cli::ask::Terminal;
use crate::cli::row::local_time;
use crate::place::Location;
use crate::transfer::{ItemId, Resolution};

/// Two things that cannot both have a name.
#[derive(Clone, Debug)]
pub(super) struct Conflict {
    pub(super) item: ItemId,
    pub(super) from: (Location, Attributes),
    pub(super) to: (Location, Attributes),
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
    let facts = |(location, attributes): &(Location, Attributes)| {
        text::facts(attributes.size, &local_time(attributes.mtime, &zone), location)
    };
    terminal.show(&text::conflict(&facts(&conflict.to), &facts(&conflict.from)))?;
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

/// The first letter decides, a capital one for all.
fn read(typed: &str) -> Option<Answer> {
    let letter = typed.chars().next()?;
    let resolution = match letter.to_ascii_lowercase() {
        'o' => Resolution::Overwrite,
        's' => Resolution::Skip,
        'n' => Resolution::Newer,
        'r' => Resolution::Rename,
        _ => return None,
    };
    Some(Answer { resolution, for_all: letter.is_ascii_uppercase() })
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
            ("N", all(Resolution::Newer)),
            ("Rename", all(Resolution::Rename)),
            ("", None),
            ("yes", None),
        ];
        for (typed, expected) in table {
            assert_eq!(read(typed), expected, "{typed}");
        }
    }
}
