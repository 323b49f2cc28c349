//! What scripts read: one JSON object a line.
//!
//! Names are bytes and JSON is text. So a name goes out as text, with U+FFFD for what is none, and
//! `…_b64` holds its bytes whenever the text does not tell them.
//!
//! Invariant: a line holds one whole object, whatever a name holds, and nothing that drives a
//! terminal; sizes are bytes, times RFC 3339 in UTC, modes four octal digits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp as Moment;
use sampan_protocol::escape::escaped_text;
use sampan_protocol::message::{QuotaAnswer, Unfinished};
use sampan_protocol::{Attributes, Entry, EntryKind, RemotePath, Timestamp};
use serde_json::{Value, json};

/// An object that is put together field by field; they stay in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Line(String);

impl Line {
    /// An event's line.
    pub(super) fn event(name: &str) -> Self {
        Self::default().with("event", name)
    }

    /// Adds a field.
    #[must_use]
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.push(&Value::from(key));
        self.0.push(':');
        self.push(&value.into());
        self
    }

    /// Adds a value as JSON that is safe to look at: what a terminal would obey, or what would hide
    /// or reorder what stands beside it, is written by its number. It stays the same value.
    fn push(&mut self, value: &Value) {
        let mut units = [0; 2];
        // Outside its strings JSON has no such characters, and inside it has none below a space.
        for character in value.to_string().chars() {
            if is_shown(character) {
                self.0.push(character);
                continue;
            }
            for unit in character.encode_utf16(&mut units) {
                self.0.push_str("\\u");
                let digits = [12, 8, 4, 0].map(|shift| u32::from(*unit >> shift) & 15);
                self.0.extend(digits.iter().filter_map(|digit| char::from_digit(*digit, 16)));
            }
        }
    }

    /// Adds bytes that should be text: `key`, and `key_b64` if they are none.
    #[must_use]
    pub(super) fn with_bytes(self, key: &str, bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.with(key, text),
            Err(_) => self
                .with(key, String::from_utf8_lossy(bytes))
                .with(&format!("{key}_b64"), STANDARD.encode(bytes)),
        }
    }

    /// Adds what is known of a file.
    #[must_use]
    pub(super) fn with_attributes(self, attributes: &Attributes) -> Self {
        self.with("kind", kind(attributes.kind))
            .with("size", attributes.size)
            .with("mtime", utc(attributes.mtime))
            .with("mode", format!("{:04o}", attributes.mode.bits()))
    }
}

/// Whether the one escaper shows a character as it is. JSON itself sees to the backslash.
fn is_shown(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    let text = character.encode_utf8(&mut [0; 4]).to_owned();
    escaped_text(&text) == text
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "{" } else { &self.0 })?;
        f.write_str("}")
    }
}

/// A listing's entry. `folder` says where it lies, if more than one place was asked about.
pub(super) fn entry(entry: &Entry, folder: Option<&RemotePath>) -> Line {
    let line = Line::default().with_bytes("name", entry.name.as_bytes());
    let line = match folder {
        Some(folder) => line.with_bytes("folder", &folder.to_bytes()),
        None => line,
    };
    line.with_attributes(&entry.attributes)
}

/// Limits and use.
pub(super) fn quota(quota: &QuotaAnswer) -> Line {
    Line::default()
        .with("quota", quota.limit)
        .with("used", quota.used)
        .with("in_flight", quota.reserved)
        .with("available", quota.available)
        .with("max_files", quota.max_entries)
        .with("files", quota.entries)
        .with("files_in_flight", quota.reserved_entries)
}

/// What a folder holds, itself included.
pub(super) fn sum(path: &RemotePath, bytes: u64, files: u64) -> Line {
    Line::default().with_bytes("path", &path.to_bytes()).with("size", bytes).with("files", files)
}

/// An unfinished upload.
pub(super) fn upload(upload: &Unfinished) -> Line {
    Line::default()
        .with("id", upload.upload.0)
        .with_bytes("path", &upload.path.to_bytes())
        .with("size", upload.size)
        .with("staged", upload.staged)
        .with("reserved", upload.reserved)
        .with("opened", utc(upload.opened))
        .with("expires", utc(upload.expires))
}

fn kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Folder => "folder",
        EntryKind::Link => "link",
        EntryKind::Other => "other",
    }
}

/// RFC 3339 in UTC with nanoseconds as needed; `null` for a time beyond the years that it can say.
fn utc(time: Timestamp) -> Value {
    let nanos = i32::try_from(time.nanos()).unwrap_or_default();
    Moment::new(time.seconds(), nanos).map_or(Value::Null, |moment| json!(moment.to_string()))
}

#[cfg(test)]
mod tests {
    use sampan_protocol::{Mode, Name, Version};

    use super::*;

    fn file(name: &[u8], seconds: i64, nanos: u32) -> Entry {
        Entry {
            name: Name::new(name).unwrap(),
            attributes: Attributes {
                kind: EntryKind::File,
                size: 1234,
                mtime: Timestamp::new(seconds, nanos).unwrap(),
                mode: Mode::new(0o644),
                version: Version::default(),
            },
        }
    }

    #[test]
    fn entries_keep_the_contract() {
        assert_eq!(
            entry(&file(b"a.txt", 1_700_000_000, 5), None).to_string(),
            r#"{"name":"a.txt","kind":"file","size":1234,"mtime":"2023-11-14T22:13:20.000000005Z","mode":"0644"}"#
        );
    }

    #[test]
    fn s2_hostile_names_stay_on_their_line_and_can_be_told_back() {
        let line = entry(&file(b"a\n\x1b[31m\"\\", 0, 0), None).to_string();
        assert!(!line.contains('\n') && !line.contains('\x1b'), "{line}");
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["name"], "a\n\u{1b}[31m\"\\");
        assert!(read.get("name_b64").is_none());

        let hostile = "\u{9b}2J\u{7f}\u{85}\u{202e}\u{2028}\u{feff}\u{e0041}";
        let line = entry(&file(hostile.as_bytes(), 0, 0), None).to_string();
        assert!(line.is_ascii() && !line.contains('\x7f'), "{line}");
        assert!(line.contains(r#""\u009b2J\u007f\u0085\u202e\u2028\ufeff\udb40\udc41""#), "{line}");
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["name"], hostile);
        let plain = "你好 👩\u{200d}🚀 \\";
        let line = entry(&file(plain.as_bytes(), 0, 0), None).to_string();
        assert!(line.contains("你好 👩\u{200d}🚀"), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["name"], plain);

        let line = entry(&file(b"\xff\xfe", 0, 0), None).to_string();
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["name"], "\u{fffd}\u{fffd}");
        assert_eq!(read["name_b64"], "//4=");
    }

    #[test]
    fn times_before_the_epoch_and_beyond_all_years() {
        let mtime = |seconds, nanos| utc(Timestamp::new(seconds, nanos).unwrap());
        assert_eq!(mtime(-1, 500_000_000), json!("1969-12-31T23:59:59.5Z"));
        assert_eq!(mtime(0, 0), json!("1970-01-01T00:00:00Z"));
        assert_eq!(mtime(i64::MAX, 0), Value::Null);
    }

    #[test]
    fn a_limit_that_is_not_set_is_null() {
        let answer = QuotaAnswer {
            limit: None,
            used: 1,
            reserved: 2,
            available: 3,
            max_entries: Some(9),
            entries: 4,
            reserved_entries: 5,
            as_of: None,
        };
        assert_eq!(
            quota(&answer).to_string(),
            r#"{"quota":null,"used":1,"in_flight":2,"available":3,"max_files":9,"files":4,"files_in_flight":5}"#
        );
    }
}
