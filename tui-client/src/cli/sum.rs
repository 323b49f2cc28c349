//! `sampan sum`: the BLAKE3 of files, as `b3sum` prints it, so that one's output checks the other's.

use super::args::Sum;
use super::exit::Code;
use super::expand::operands;
use super::operands::Places;
use super::output::Output;
use super::report::Report;
use super::{Stop, session};
use crate::failure::Side;

/// Prints each file's hash and path; one that fails does not keep the others.
pub(super) async fn run(sum: Sum) -> Result<Code, Stop> {
    let Places { account, places } = Places::read(&sum.places, sum.link.port)?;
    let remote = session::connect(&account, &sum.link).await?;
    let mut report = Report::new(Some(&account), Side::Remote).expanding(sum.globs);
    let (files, failures) = operands(&remote, places, sum.globs).await;
    report.failures(&failures);
    let mut output = Output::standard();
    for file in &files {
        match remote.sum(&file.path).await {
            Ok(answer) => {
                let (escaped, name) = written(&file.path.to_bytes());
                output.write(if escaped { b"\\" } else { b"" })?;
                output.write(format!("{}  ", answer.root).as_bytes())?;
                output.foreign(&name)?;
                output.write(b"\n")?;
                // Each file may take long: what is known is shown.
                output.flush()?;
            }
            Err(failure) => report.failure(&failure),
        }
    }
    remote.close().await;
    Ok(report.code())
}

/// A path as `b3sum` writes it: with line ends and backslashes escaped, which a backslash before the
/// hash announces.
fn written(path: &[u8]) -> (bool, Vec<u8>) {
    let mut name = Vec::with_capacity(path.len());
    for byte in path {
        match byte {
            b'\\' => name.extend_from_slice(b"\\\\"),
            b'\n' => name.extend_from_slice(b"\\n"),
            b'\r' => name.extend_from_slice(b"\\r"),
            other => name.push(*other),
        }
    }
    (name.len() != path.len(), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_b3sum_does() {
        let cases: [(&[u8], bool, &[u8]); 4] = [
            (b"docs/a b.txt", false, b"docs/a b.txt"),
            (b"a\nb", true, b"a\\nb"),
            (b"a\\b\r", true, b"a\\\\b\\r"),
            (b"\xff\x1b[31m", false, b"\xff\x1b[31m"),
        ];
        for (path, escaped, name) in cases {
            assert_eq!(written(path), (escaped, name.to_vec()));
        }
    }
}
