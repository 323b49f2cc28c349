//! Columns that text takes on a terminal, and cutting it without splitting what people see as one
//! character.
//!
//! Invariant: what leaves [`fit`] takes exactly as many columns as asked for.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Stands for what was cut off.
const ELLIPSIS: &str = "…";

/// Columns that `text` takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// At most `columns`, with an ellipsis at the end if something is missing.
pub fn truncate(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    match columns.checked_sub(1) {
        None => String::new(),
        Some(room) => take(text, room).to_owned() + ELLIPSIS,
    }
}

/// At most `columns`, with an ellipsis at the start if something is missing: for paths.
pub fn truncate_start(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    ELLIPSIS.to_owned() + take_back(text, room)
}

/// At most `columns`, with an ellipsis before the end, so that a file's suffix stays.
pub fn truncate_middle(text: &str, columns: usize) -> String {
    const KEPT: usize = 5;
    if width(text) <= columns {
        return text.to_owned();
    }
    if columns < 3 * KEPT {
        return truncate(text, columns);
    }
    let end = take_back(text, KEPT);
    let room = columns - 1 - width(end);
    format!("{}{ELLIPSIS}{end}", take(text, room))
}

/// Exactly `columns`: cut like [`truncate_middle`], or filled with spaces at the end.
pub fn fit(text: &str, columns: usize) -> String {
    let mut cut = truncate_middle(text, columns);
    pad(&mut cut, columns);
    cut
}

/// Exactly `columns`, filled with spaces at the start.
pub fn fit_right(text: &str, columns: usize) -> String {
    let cut = truncate(text, columns);
    " ".repeat(columns - width(&cut)) + &cut
}

/// Fills with spaces up to `columns`.
fn pad(text: &mut String, columns: usize) {
    let missing = columns.saturating_sub(width(text));
    text.extend(std::iter::repeat_n(' ', missing));
}

/// As many graphemes from the start as fit.
pub fn take(text: &str, columns: usize) -> &str {
    let mut used = 0;
    let mut end = 0;
    for (index, grapheme) in text.grapheme_indices(true) {
        used += width(grapheme);
        if used > columns {
            break;
        }
        end = index + grapheme.len();
    }
    &text[..end]
}

/// As many graphemes from the end as fit.
pub fn take_back(text: &str, columns: usize) -> &str {
    let mut used = 0;
    let mut start = text.len();
    for (index, grapheme) in text.grapheme_indices(true).rev() {
        used += width(grapheme);
        if used > columns {
            break;
        }
        start = index;
    }
    &text[start..]
}

/// Lines of at most `columns`, broken at spaces, and inside words only where one is longer.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            let mut word = word;
            let gap = usize::from(!line.is_empty());
            if width(&line) + gap + width(word) > columns && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            while width(word) > columns {
                // A grapheme wider than the whole line would never fit: take it all the same.
                let head = match take(word, columns) {
                    "" => word.graphemes(true).next().unwrap_or(word),
                    head => head,
                };
                lines.push(head.to_owned());
                word = &word[head.len()..];
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARD: [&str; 7] = [
        "plain-name.txt",
        "你好世界的文件名字很长.txt",
        "e\u{301}te\u{301}-naïve-café-combining.md",
        "👩‍🚀👨‍👩‍👧‍👦🇩🇪-family.png",
        "❤️☎️-variation.png",
        "\\x1b[31mred\\u{202e}.exe",
        "",
    ];

    #[test]
    fn what_is_fitted_takes_exactly_its_columns() {
        for text in HARD {
            for columns in 0..40 {
                assert_eq!(width(&fit(text, columns)), columns, "{text} in {columns}");
                assert_eq!(width(&fit_right(text, columns)), columns, "{text} in {columns}");
                assert!(width(&truncate_start(text, columns)) <= columns, "{text} in {columns}");
            }
        }
    }

    #[test]
    fn no_character_is_split() {
        for text in HARD {
            let whole: Vec<&str> = text.graphemes(true).collect();
            for columns in 1..40 {
                let cut = truncate_middle(text, columns);
                let cut = cut.graphemes(true).filter(|grapheme| *grapheme != ELLIPSIS);
                assert!(cut.clone().all(|grapheme| whole.contains(&grapheme)), "{text} {columns}");
            }
        }
    }

    #[test]
    fn cuts_are_marked() {
        assert_eq!(truncate("abcdef", 4), "abc…");
        assert_eq!(truncate_start("/home/anna/docs", 8), "…na/docs");
        assert_eq!(truncate_middle("a-very-long-file-name.txt", 16), "a-very-lon…e.txt");
        assert_eq!(truncate("你好世界", 4), "你…");
        assert_eq!(fit("你好世界", 4), "你… ");
    }

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("a\n\nb", 8), ["a", "", "b"]);
        assert_eq!(wrap("SHA256:abcdefgh ok", 8), ["SHA256:a", "bcdefgh", "ok"]);
        assert_eq!(wrap("你好 世界", 1), ["你", "好", "世", "界", ""]);
    }
}
