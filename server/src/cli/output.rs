//! Standard output: tables for people, one JSON object a line for programs.

use std::io::{self, Write};

use sampan_protocol::{ByteSize, Timestamp};
use serde::Serialize;

use super::exit::CliError;

/// Prints lines.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CliError::Output)
}

/// Says on standard error what is no data.
pub(super) fn complain(what: std::fmt::Arguments<'_>) {
    // A standard error that is closed leaves the exit code to speak.
    let (Ok(()) | Err(_)) = io::stderr().write_fmt(what);
}

/// Prints each row as one JSON object.
pub(super) fn print_json<T: Serialize>(rows: impl IntoIterator<Item = T>) -> Result<(), CliError> {
    let mut text = String::new();
    for row in rows {
        text += &serde_json::to_string(&row).map_err(|error| CliError::Output(error.into()))?;
        text.push('\n');
    }
    print(&text)
}

/// `1 file or folder`, `3 files and folders`.
pub(super) fn files_and_folders(number: u64) -> String {
    match number {
        1 => "1 file or folder".to_owned(),
        _ => format!("{number} files and folders"),
    }
}

/// Prints rows in columns, as wide as needed; the first row is the heading.
pub(super) fn print_table<const N: usize>(rows: &[[String; N]]) -> Result<(), CliError> {
    print(&table(rows))
}

fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// A limit of bytes as a person reads it.
pub(super) fn size_or_none(limit: Option<u64>) -> String {
    limit.map_or_else(|| "none".to_owned(), |bytes| ByteSize(bytes).to_string())
}

/// A limit of files as a person reads it.
pub(super) fn count_or_none(limit: Option<u64>) -> String {
    limit.map_or_else(|| "none".to_owned(), |count| count.to_string())
}

/// A moment in RFC 3339, UTC, to the second.
pub(super) fn moment(time: Timestamp) -> String {
    jiff::Timestamp::from_second(time.seconds())
        .map_or_else(|_| time.seconds().to_string(), |moment| moment.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_needed() {
        let rows = [["NAME", "USED"], ["anna", "1.00 kB"], ["bartholomew", "-"]];
        let rows = rows.map(|row| row.map(ToOwned::to_owned));
        assert_eq!(table(&rows), "NAME         USED\nanna         1.00 kB\nbartholomew  -\n");
    }

    #[test]
    fn moments_are_utc() {
        let moment = |seconds| moment(Timestamp::new(seconds, 5).unwrap());
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
        assert_eq!(moment(i64::MAX), i64::MAX.to_string());
    }
}
