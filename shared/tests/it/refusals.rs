//! The bad-input table of the product: what each wrong input gets, from which program, with which
//! code, and the test of it. `assets/REFUSALS.md` is generated from `refusals/*.txt`.
//!
//! Nothing here is taken on trust: a row's words must stand in the program's own texts and in the
//! test that it names, and every text by which a program can refuse must have a row, or an entry
//! that says why nobody sees it.

mod source;
mod table;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sampan_protocol::ErrorCode;

use self::source::{
    Function, is_said_by, literals, product_literals, refusals_in_code, texts_of_variants,
};
use self::table::{Row, Table, Unseen};

const PAGE: &str = "assets/REFUSALS.md";

/// What the readers of arguments and of TOML say: libraries with texts of their own, which only the
/// tests hold.
const LIBRARIES: &[&str] = &[
    "unrecognized subcommand",
    "unexpected argument",
    "found",
    "invalid value",
    "for '--",
    "TOML parse",
];

fn repository() -> PathBuf {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR"));
    shared.parent().expect("the crate lies in the repository").to_owned()
}

fn page() -> String {
    let mut page = String::from(
        "# What is refused, and how\n\n\
         Every bad input that the two programs and the protocol know, with the words and the code \
         that it gets and the test that shows it. `…` stands for what depends on the case. This \
         page is generated from `shared/tests/it/refusals/` by\n\n\
         ```sh\n\
         cargo test -p sampan-protocol --test it -- --ignored write_the_refusals\n\
         ```\n\n\
         and a test fails while it is not what the tables say, while what is said does not stand \
         in the program, while the test named beside it does not assert the code and some of the \
         words (on the wire: the code), and while a refusal in the sources has \
         no row. Tests without a path lie in `tests/it` of the program's crate; those called \
         `system_…` need the second command of the front page.\n",
    );
    for table in Table::all() {
        let _ = write!(page, "\n## {}\n\n{}\n", table.title, table.about);
        for (section, rows) in table.sections() {
            let _ = write!(page, "\n### {section}\n\n| wrong | {} | said | test |\n", table.code);
            page.push_str("| --- | --- | --- | --- |\n");
            for row in rows {
                let Row { wrong, code, says, test, .. } = row;
                let (wrong, says) = (cell(wrong), cell(says));
                let _ = writeln!(page, "| {wrong} | {code} | {says} | `{test}` |");
            }
        }
    }
    page.push_str(
        "\n## What nobody sees\n\nTexts and codes of refusals without a row, and why.\n\n",
    );
    page.push_str("| text or code | why there is no row |\n| --- | --- |\n");
    for Unseen { text, why } in Unseen::all() {
        let _ = writeln!(page, "| {} | {} |", cell(&text), cell(&why));
    }
    page
}

/// Text inside a table of Markdown.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('*', "\\*")
}

#[test]
fn the_page_is_what_the_tables_say() {
    let written = fs::read_to_string(repository().join(PAGE)).unwrap_or_default();
    assert!(
        written == page(),
        "{PAGE} is stale: run `cargo test -p sampan-protocol --test it -- --ignored \
         write_the_refusals`"
    );
}

/// Writes the page.
#[test]
#[ignore = "writes assets/REFUSALS.md; run it by name after a change of a table"]
fn write_the_refusals() {
    fs::write(repository().join(PAGE), page()).unwrap();
}

/// Each row's test is there, is a test, and asserts the row's code and some of its words.
#[test]
fn each_row_is_what_its_test_asserts() {
    let mut wrong = Vec::new();
    let variants = texts_of_variants(&repository());
    for table in Table::all() {
        for row in &table.rows {
            let Some(test) = Function::find(&repository(), &table.path_of(&row.test)) else {
                wrong.push(format!("{row}: there is no such test"));
                continue;
            };
            if !test.is_test() {
                wrong.push(format!("{row}: it is no test"));
            }
            let code = row.code_in_a_test();
            let is_coded = if table.is_wire() {
                test.asserts().contains(&code)
            } else {
                // Below the commands there are no exit codes: `cli::exit` has a test of its own.
                row.test.contains('/') || test.holds_word(&code)
            };
            if !is_coded {
                wrong.push(format!("{row}: its test does not assert the code {}", row.code));
            }
            let mut asserted = literals(&test.asserts());
            let is_named = |name: &str| test.asserts().contains(&format!("::{name}"));
            asserted
                .extend(variants.iter().filter(|(name, _)| is_named(name)).map(|v| v.1.clone()));
            if !table.is_wire() && !row.says.is_empty() && !row.is_asserted_by(&asserted) {
                wrong.push(format!("{row}: its test asserts no word of `{}`", row.says));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Each row's words are a program's own, not this table's invention.
#[test]
fn each_row_says_what_the_program_says() {
    let said = product_literals(&repository());
    let mut wrong = Vec::new();
    for row in Table::all().iter().flat_map(|table| &table.rows) {
        let is_library = |piece: &str| LIBRARIES.iter().any(|text| piece.starts_with(text));
        for piece in row.pieces().filter(|piece| !is_library(piece) && !is_said_by(piece, &said)) {
            wrong.push(format!("{row}: no program says `{piece}`"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Every text by which a program can refuse has a row, or a reason why nobody sees it.
#[test]
fn every_refusal_in_the_sources_has_a_row() {
    let (tables, unseen) = (Table::all(), Unseen::all());
    let rows: Vec<_> = tables.iter().flat_map(|table| &table.rows).collect();
    let refusals = refusals_in_code(&repository());
    assert!(refusals.len() > 200, "only {} refusals were found", refusals.len());
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for refusal in &refusals {
        let excused: Vec<_> = unseen.iter().filter(|entry| entry.covers(refusal)).collect();
        for entry in &excused {
            used.insert(entry.text.clone());
        }
        if excused.is_empty() && !rows.iter().any(|row| row.covers(&refusal.text)) {
            wrong.push(format!("{}: `{}` has no row", refusal.place, refusal.text));
        }
    }
    for entry in unseen.iter().filter(|entry| entry.code().is_none()) {
        if !used.contains(&entry.text) {
            wrong.push(format!("nothing is called `{}` any more", entry.text));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Every error code is provoked from a real server by a test, or it is said why it cannot be; every
/// exit code has a row of each program that can end with it.
#[test]
fn every_code_has_a_row() {
    let tables = Table::all();
    let unseen = Unseen::all();
    let is_excused = |code: &str| unseen.iter().any(|entry| entry.code() == Some(code));
    for (_, name) in ErrorCode::ALL {
        let mut rows = tables.iter().filter(|table| table.is_wire()).flat_map(|table| &table.rows);
        let has_row = rows.any(|row| row.code == *name && !row.test.contains('/'));
        assert!(has_row != is_excused(name), "{name}: exactly one, a row or a reason");
    }
    for table in tables.iter().filter(|table| !table.is_wire()) {
        for code in ["1", "2", "3", "4", "5", "6", "7", "130"] {
            let has_row = table.rows.iter().any(|row| row.code == code);
            let excused = is_excused(&format!("{} {code}", table.title));
            assert!(has_row != excused, "{} {code}: exactly one, a row or a reason", table.title);
        }
    }
}
