//! What the screen says.

use std::time::Duration;

use jiff::Timestamp as Moment;
use jiff::tz::TimeZone;
use sampan_protocol::message::QuotaAnswer;
use sampan_protocol::path::NameError;
use sampan_protocol::{Attributes, ByteSize, EntryKind, Mode, Timestamp};

use crate::address::{Account, Server};
use crate::app::changes::{Kind, Running};
use crate::app::dialog::connect::Problem;
use crate::app::key::{Code, Key};
use crate::app::layout::SMALLEST;
use crate::app::order::Order;
use crate::app::transfers::{Ended, Overall, State};
use crate::transfer::Direction;

/// What a button says, and its letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ButtonText {
    /// A word or two.
    pub label: &'static str,
    /// The letter that is shown with it.
    pub letter: char,
    /// Letters that work as well.
    pub also: &'static [char],
}

impl ButtonText {
    const fn new(letter: char, label: &'static str, also: &'static [char]) -> Self {
        Self { label, letter, also }
    }

    /// Whether a letter means this button.
    pub fn takes(&self, letter: char) -> bool {
        self.letter == letter || self.also.contains(&letter)
    }

    /// With its letter, and a column on both sides for the marks of the focus.
    pub fn shown(&self) -> String {
        format!(" {} ", self.shown_bare())
    }

    /// With its letter.
    pub fn shown_bare(&self) -> String {
        format!("({}) {}", self.letter, self.label)
    }
}

pub const TRUST: ButtonText = ButtonText::new('y', "Trust it", &['t']);
pub const DO_NOT_TRUST: ButtonText = ButtonText::new('n', "Do not connect", &[]);
pub const OVERWRITE: ButtonText = ButtonText::new('y', "Overwrite", &['o']);
pub const SKIP: ButtonText = ButtonText::new('n', "Skip", &['s']);
pub const KEEP_BOTH: ButtonText = ButtonText::new('k', "Keep both", &[]);
pub const IF_NEWER: ButtonText = ButtonText::new('w', "If newer", &[]);
pub const WHOLE_BATCH: ButtonText = ButtonText::new('a', "All conflicts of this copy", &[]);
pub const DELETE: ButtonText = ButtonText::new('y', "Delete", &[]);
pub const KEEP: ButtonText = ButtonText::new('n', "Keep", &[]);
pub const LEAVE: ButtonText = ButtonText::new('y', "Leave", &[]);
pub const STAY: ButtonText = ButtonText::new('n', "Stay", &[]);
pub const STOP: ButtonText = ButtonText::new('y', "Stop them", &[]);
pub const GO_ON: ButtonText = ButtonText::new('n', "Go on", &[]);
pub const CLOSE: ButtonText = ButtonText::new('o', "OK", &['y', 'n', 'q']);
pub const CONNECT: ButtonText = ButtonText::new('y', "Connect", &['c']);
pub const CANCEL: ButtonText = ButtonText::new('n', "Cancel", &[]);
pub const MAKE: ButtonText = ButtonText::new('y', "Make", &[]);
pub const RENAME: ButtonText = ButtonText::new('y', "Rename", &[]);

pub const FIELD_PLACE: &str = "Place";
pub const FIELD_USER: &str = "User";
pub const FIELD_HOST: &str = "Host";
pub const FIELD_PORT: &str = "Port";
pub const FIELD_PASSWORD: &str = "Password";
pub const FIELD_NAME: &str = "Name";

pub const TITLE_CONNECT: &str = "Connect";
pub const TITLE_IDENTITY: &str = "Unknown server";
pub const TITLE_OVERWRITE: &str = "Overwrite?";
pub const TITLE_DELETE: &str = "Delete?";
pub const TITLE_NEW_FOLDER: &str = "New folder";
pub const TITLE_RENAME: &str = "Rename";
pub const TITLE_QUIT: &str = "Leave?";
pub const TITLE_STOP: &str = "Stop?";
pub const TITLE_HELP: &str = "Help";
pub const TITLE_FAILURE: &str = "This did not work";

pub const CONNECT_HINT: &str =
    "A whole place, such as sampan://USER@HOST/FOLDER, or user and host. Enter connects.";
pub const CONNECTING: &str = "Connecting … Esc gives up.";
pub const IDENTITY_ADVICE: &str = "Compare this with the line that `sampand fingerprint` prints on \
                                   the server. Trust it only if both are equal: it is remembered, \
                                   and another key will be refused.";
pub const NEW_FILE: &str = "new";
pub const EXISTING_FILE: &str = "there already";
pub const FACT_PLACE: &str = "where";
pub const FACT_SIZE: &str = "size";
pub const FACT_CHANGED: &str = "changed";
pub const QUIT_QUESTION: &str = "Leave Sampan?";
pub const QUIT_TRANSFERS: &str = "Transfers are running. They go on where they are when you \
                                  connect to this account again.";
pub const QUIT_CHANGES: &str = "Changes are still being made. They stop where they are.";
pub const STOP_QUESTION: &str = "Stop all transfers?";
pub const STOP_CONSEQUENCE: &str = "What is across stays. What is not is given up.";

pub const BAR_HELP: &str = "Help";
pub const BAR_RENAME: &str = "Rename";
pub const BAR_COPY: &str = "Copy";
pub const BAR_MOVE: &str = "Move";
pub const BAR_NEW_FOLDER: &str = "NewDir";
pub const BAR_DELETE: &str = "Delete";
pub const BAR_QUIT: &str = "Quit";

pub const DOES_HELP: &str = "this help";
pub const DOES_RENAME: &str = "rename what is under the cursor";
pub const DOES_COPY: &str = "copy to the other pane's folder: upload or download";
pub const DOES_MOVE: &str = "move there; each file goes only after its copy is verified";
pub const DOES_NEW_FOLDER: &str = "new folder";
pub const DOES_DELETE: &str = "delete, after a question";
pub const DOES_QUIT: &str = "leave; asks if something runs";
pub const DOES_SWITCH_PANE: &str = "other pane";
pub const DOES_UP: &str = "up";
pub const DOES_DOWN: &str = "down";
pub const DOES_PAGE_UP: &str = "a page up";
pub const DOES_PAGE_DOWN: &str = "a page down";
pub const DOES_FIRST: &str = "first row";
pub const DOES_LAST: &str = "last row";
pub const DOES_OPEN: &str = "open the folder";
pub const DOES_PARENT: &str = "folder above; the cursor goes to where it came from";
pub const DOES_MARK: &str = "mark or unmark, and go down";
pub const DOES_STEP_BACK: &str = "no marks; with a digit after it, the F-key of that number";
pub const DOES_RELOAD: &str = "read the folder again";
pub const DOES_TOGGLE_ORDER: &str = "sort names naturally or byte by byte";
pub const DOES_CONNECT: &str = "connect to a server";
pub const DOES_STOP_TRANSFERS: &str = "stop all transfers, after a question";
pub const DOES_ENTER_PANEL: &str = "look at the transfers: why some failed, try again, stop";
pub const DOES_LEAVE_PANEL: &str = "back to the pane";
pub const DOES_WHY: &str = "why transfers failed, and what helps";
pub const DOES_RETRY: &str = "carry again what failed";
pub const DOES_ASK_TO_QUIT: &str = "close the dialog, else ask whether to leave";

pub const HELP_PANEL: &str = "At the transfers, after w";
pub const HELP_POINTER: &str = "The pointer";
pub const HELP_MOUSE: &[(&str, &str)] = &[
    ("Click", "cursor there; in the first two columns: mark or unmark"),
    ("Double click", "open the folder"),
    ("Wheel", "scroll the pane under the pointer"),
    ("Drag unmarked", "mark every row between; into the other pane: copy that one row"),
    ("Drag marked", "carry to the other pane, a folder or `..`; with Ctrl: move"),
];
pub const HELP_NOTES: &[&str] = &[
    "Without marks, the row under the cursor is meant.",
    "Within one side, what is carried moves; between the sides it is copied.",
    "Every question takes the letter of its button, y for yes and n for no, and Esc for no.",
];

pub const NOT_CONNECTED: &str = "Not connected. C connects to a server.";
pub const NOT_CONNECTED_LINES: [&str; 2] = ["Not connected.", "Press C, Enter or click here."];
pub const NOTHING_UNDER_CURSOR: &str = "Nothing is marked, and no file is under the cursor.";
pub const ALREADY_THERE: &str = "It is there already.";
pub const LINKS_ARE_NOT_FOLLOWED: &str = "This is a link. Links are shown and not followed.";
pub const NO_VIEWER_YET: &str = "This is a file. F5 copies it to the other side.";
pub const BUSY_WITH_OTHER_ACCOUNT: &str =
    "Something runs with this account. Wait, or stop it with x.";
pub const LINK_IS_BACK: &str = "The link is back.";
pub const NOTHING_FAILED: &str = "Nothing failed.";
pub const NO_TRANSFERS: &str = "There are no transfers. F5 copies to the other side.";
pub const NO_COPY_WITHIN_A_SIDE: &str =
    "Copying within one side is not there yet. F6 moves; F5 copies to the other side.";
pub const PANEL_BAR: &str = " ↑↓ scroll  Enter why  r try again  x stop  Esc back ";
pub const RETRY_HINT: &str = " · w, then r, tries again";
pub const NOTHING_RUNS: &str = "Nothing runs.";
pub const READING: &str = "reading …";
pub const EMPTY: &str = "empty";
pub const HEAD_NAME: &str = "Name";
pub const HEAD_SIZE: &str = "Size";
pub const HEAD_CHANGED: &str = "Changed";
pub const FOLDER_SIZE: &str = "folder";
pub const LINK_SIZE: &str = "link";
pub const OTHER_SIZE: &str = "other";
pub const QUOTA: &str = "quota";
pub const DISK: &str = "disk";
pub const ALL: &str = "All";
pub const SERVER_SIDE: &str = "server";
pub const FAILED: &str = "failed";

/// The terminal has too few cells.
pub fn too_small(columns: u16, rows: u16) -> String {
    format!(
        "Sampan needs {}×{} cells; this terminal has {columns}×{rows}. Transfers go on.",
        SMALLEST.columns, SMALLEST.rows
    )
}

/// A local path in a question.
pub fn on_this_machine(path: &str) -> String {
    format!("this machine: {path}")
}

/// A remote path when no account is known.
pub fn on_server(path: &str) -> String {
    format!("server: {path}")
}

/// The first contact.
pub fn identity_unknown(server: &Server) -> String {
    format!("{server} is not known yet. Its key has the fingerprint")
}

/// Head of the overwrite question.
pub fn target_exists(name: &str) -> String {
    format!("{name} exists already, with other content.")
}

/// How the file that is there compares with the new one.
pub fn age(new: &Attributes, old: &Attributes) -> String {
    match new.mtime.cmp(&old.mtime) {
        std::cmp::Ordering::Less => "(newer)".to_owned(),
        std::cmp::Ordering::Equal => "(same moment)".to_owned(),
        std::cmp::Ordering::Greater => "(older)".to_owned(),
    }
}

/// Head of the delete question.
pub fn delete_question(count: usize) -> String {
    match count {
        1 => "Delete this one from".to_owned(),
        _ => format!("Delete these {} from", grouped(count as u64)),
    }
}

/// One of those to be deleted.
pub fn delete_item(name: &str, attributes: &Attributes) -> String {
    match attributes.kind {
        EntryKind::File => format!("  {name} · {}", ByteSize(attributes.size)),
        EntryKind::Folder => format!("  {name}/ · folder"),
        EntryKind::Link => format!("  {name} · link"),
        EntryKind::Other => format!("  {name}"),
    }
}

/// More than are listed.
pub fn and_more(count: usize) -> String {
    format!("  and {} more", grouped(count as u64))
}

/// What deleting means.
pub fn delete_consequence(any_folder: bool) -> &'static str {
    if any_folder {
        "Folders go with all that is in them. This cannot be undone."
    } else {
        "This cannot be undone."
    }
}

/// What is filled in is no place.
pub fn problem(problem: &Problem) -> String {
    match problem {
        Problem::NoUser => "Name a user.".to_owned(),
        Problem::NoHost => "Name a host.".to_owned(),
        Problem::Port => "A port is a number from 1 to 65535.".to_owned(),
        Problem::NoPassword => "Type the password.".to_owned(),
        Problem::Place(error) => error.to_string(),
        Problem::Path(error) => error.to_string(),
    }
}

/// What is filled in is no name.
pub fn name_problem(problem: NameError) -> String {
    problem.to_string()
}

/// How names are sorted now.
pub fn order(order: Order) -> &'static str {
    match order {
        Order::Natural => "Names are sorted naturally: 2 before 10.",
        Order::Bytes => "Names are sorted byte by byte: 10 before 2.",
    }
}

/// A moment in full, down to the second.
pub fn moment(time: Timestamp, zone: &TimeZone) -> String {
    formatted(time, zone, "%Y-%m-%d %H:%M:%S")
}

/// A moment in so many columns, or in the next shape that is narrower.
pub fn moment_in(time: Timestamp, zone: &TimeZone, columns: usize) -> String {
    let format = match columns {
        16.. => "%Y-%m-%d %H:%M",
        10..16 => "%Y-%m-%d",
        _ => "%d%b%y",
    };
    formatted(time, zone, format)
}

fn formatted(time: Timestamp, zone: &TimeZone, format: &str) -> String {
    let nanos = i32::try_from(time.nanos()).unwrap_or(0);
    match Moment::new(time.seconds(), nanos) {
        Ok(moment) => moment.to_zoned(zone.clone()).strftime(format).to_string(),
        // Before the year -9999 or behind 9999: no calendar of ours.
        Err(_) => "?".to_owned(),
    }
}

/// A size for a narrow column: `12.3M`.
pub fn size_short(bytes: u64) -> String {
    let full = ByteSize(bytes).to_string();
    let (number, unit) = full.split_once(' ').unwrap_or((&full, ""));
    match unit.strip_suffix('B') {
        Some("") | None => number.to_owned(),
        Some(prefix) => format!("{number}{prefix}"),
    }
}

/// A size for people and for reckoning: `1.20 MB (1,200,000)`.
pub fn size_both(bytes: u64) -> String {
    match bytes {
        0..1000 => ByteSize(bytes).to_string(),
        _ => format!("{} ({})", ByteSize(bytes), grouped(bytes)),
    }
}

/// Digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Permissions, as `ls -l` shows them.
pub fn mode(mode: Mode) -> String {
    let bits = mode.bits();
    let sign = |shift: u32, sign| if bits >> shift & 1 == 1 { sign } else { '-' };
    (0..9).rev().map(|shift| sign(shift, ['x', 'w', 'r'][shift as usize % 3])).collect()
}

/// How much is marked.
pub fn marked(marked: usize, of: usize, bytes: u64) -> String {
    format!("{}/{} marked · {}", grouped(marked as u64), grouped(of as u64), ByteSize(bytes))
}

/// How many rows there are.
pub fn count(files: usize, unreadable: u64) -> String {
    let rows = match files {
        1 => "1 item".to_owned(),
        _ => format!("{} items", grouped(files as u64)),
    };
    match unreadable {
        0 => rows,
        _ => format!("{rows} · {} unreadable", grouped(unreadable)),
    }
}

/// What a pane is about to show.
pub fn reading(rows: usize) -> String {
    match rows {
        0 => READING.to_owned(),
        _ => format!("{READING} {}", grouped(rows as u64)),
    }
}

/// How far down the cursor is.
pub fn position(cursor: usize, rows: usize) -> String {
    match rows.checked_sub(1) {
        None | Some(0) => "100 %".to_owned(),
        Some(last) => format!("{} %", cursor.min(last) * 100 / last),
    }
}

/// How much of the quota is taken, from the longest form to the shortest.
pub fn quota(answer: &QuotaAnswer) -> [String; 3] {
    let taken = answer.used.saturating_add(answer.reserved);
    let usual = match answer.limit {
        Some(limit) => bytes_of(taken, limit),
        None => format!("none · {} used", ByteSize(taken)),
    };
    let short = match answer.limit {
        Some(limit) => format!("{}/{}", size_short(taken), size_short(limit)),
        None => format!("none · {}", size_short(taken)),
    };
    match answer.reserved {
        0 => [usual.clone(), usual, short],
        reserved => [format!("{usual} · {} in flight", ByteSize(reserved)), usual, short],
    }
}

/// How much the disk still takes.
pub fn disk_free(bytes: u64) -> String {
    format!("{} free", ByteSize(bytes))
}

/// What is carried: `12 items · 3.4 GB → sampan://anna@box/docs`.
pub fn carried(count: usize, bytes: u64, target: Option<&str>, moves: bool) -> String {
    let what = match count {
        1 => "1 item".to_owned(),
        _ => format!("{} items", grouped(count as u64)),
    };
    let verb = if moves { "move " } else { "" };
    let target = target.map(|target| format!(" → {target}")).unwrap_or_default();
    format!("{verb}{what} · {}{target}", ByteSize(bytes))
}

/// Nobody is connected.
pub fn status_absent() -> String {
    "not connected".to_owned()
}

/// An attempt is under way.
pub fn status_connecting(account: &Account) -> String {
    format!("{account} · connecting …")
}

/// The link works.
pub fn status_live(account: &Account, round_trip: Duration) -> String {
    format!("{account} · live · {}", short_time(round_trip))
}

/// Nothing was heard for a while.
pub fn status_silent(account: &Account, silence: Duration) -> String {
    format!("{account} · silent for {} s", silence.as_secs())
}

/// The link is gone and will be tried again.
pub fn status_reconnecting(account: &Account, attempt: u32, seconds: u64, why: &str) -> String {
    match seconds {
        0 => format!("{account} · link lost ({why}) · try {attempt} now"),
        _ => format!("{account} · link lost ({why}) · try {attempt} in {seconds} s"),
    }
}

/// The link is gone for good.
pub fn status_down(account: &Account, why: &str) -> String {
    format!("{account} · link down · C connects again · {why}")
}

/// What a pane's title says while the link is gone.
pub fn title_reconnecting(seconds: u64) -> String {
    match seconds {
        0 => "link lost · trying".to_owned(),
        _ => format!("link lost · {seconds} s"),
    }
}

/// What a pane's title says when the link is gone for good.
pub const TITLE_DOWN: &str = "link down";

fn short_time(time: Duration) -> String {
    match time.as_micros() {
        0..1000 => "<1 ms".to_owned(),
        1000..10_000 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        _ => format!("{} ms", time.as_millis()),
    }
}

/// Bytes a second.
pub fn rate(bytes: f64) -> String {
    format!("{}/s", ByteSize(whole(bytes)))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
fn whole(number: f64) -> u64 {
    number.clamp(0.0, u64::MAX as f64) as u64
}

/// Until something is done: `1:05`, `2:03:04`, or a dash.
pub fn left(time: Option<Duration>) -> String {
    /// Beyond this, nobody waits.
    const LONGEST: u64 = 99 * 3600;
    match time.map(|time| time.as_secs()) {
        Some(seconds @ 0..LONGEST) => clock(seconds),
        Some(_) | None => "–:––".to_owned(),
    }
}

fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// A share of a whole, rounded down: 100 % means done.
pub fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "100 %".to_owned(),
        _ => format!("{} %", u128::from(part.min(whole)) * 100 / u128::from(whole)),
    }
}

/// Part and whole in bytes.
pub fn bytes_of(part: u64, whole: u64) -> String {
    format!("{} of {}", ByteSize(part), ByteSize(whole))
}

/// What a transfer does.
pub fn state(state: State) -> &'static str {
    match state {
        State::Waiting => "waiting",
        State::Running => "running",
        State::Stalled => "stalled",
        State::Reconnecting => "reconnecting",
        State::Verifying => "verifying",
        State::Paused => "paused",
    }
}

/// The sign of a direction.
pub fn arrow(direction: Direction) -> &'static str {
    match direction {
        Direction::Upload => "↑",
        Direction::Download => "↓",
    }
}

/// Small files that travel together.
pub fn group(folder: &str, files: u64) -> String {
    format!("{folder} · {} files", grouped(files))
}

/// How many of how many, and what waits.
pub fn overall(all: &Overall) -> String {
    let planned = if all.planned { "" } else { "+" };
    let asking = match all.asking {
        0 => String::new(),
        asking => format!(" · {asking} to answer"),
    };
    format!("{}/{}{planned} files{asking}", grouped(all.settled), grouped(all.count))
}

/// How it all ended.
pub fn ended(ended: &Ended) -> String {
    let mut parts = Vec::new();
    let verb = if ended.failed > 0 { "ended" } else { "done" };
    parts.push(format!(
        "{verb}: {} across · {} in {}",
        grouped(ended.done),
        ByteSize(ended.bytes),
        clock(ended.took.as_secs())
    ));
    for (count, word) in
        [(ended.unchanged, "unchanged"), (ended.skipped, "skipped"), (ended.failed, FAILED)]
    {
        if count > 0 {
            parts.push(format!("{} {word}", grouped(count)));
        }
    }
    parts.join(" · ")
}

/// A batch ended.
pub fn batch_ended(done: u64, skipped: u64, failed: u64) -> String {
    let skipped = match skipped {
        0 => String::new(),
        skipped => format!(", {} skipped", grouped(skipped)),
    };
    match failed {
        0 => format!("Done: {} across{skipped}.", grouped(done)),
        _ => format!("{} across{skipped}, {} failed.", grouped(done), grouped(failed)),
    }
}

/// Transfers of an earlier run go on.
pub fn resumed(batches: usize) -> String {
    match batches {
        1 => "A copy of an earlier run goes on.".to_owned(),
        _ => format!("{batches} copies of an earlier run go on."),
    }
}

/// Another process holds the queue.
pub fn queue_elsewhere(process: u32) -> String {
    format!("Process {process} keeps this account's queue: copies end with this screen.")
}

/// A change that runs.
pub fn change(running: &Running) -> String {
    let what = match running.kind {
        Kind::NewFolder => "making a folder",
        Kind::Rename => "renaming",
        Kind::Remove => "deleting",
    };
    match running.total {
        1 => format!("{what} …"),
        total => format!("{what} … {} of {}", grouped(running.done), grouped(total as u64)),
    }
}

/// A key, as it is printed on keyboards.
pub fn key(key: Key) -> String {
    let name = match key.code {
        Code::Char(' ') => "Space".to_owned(),
        Code::Char(character) if key.ctrl => character.to_ascii_uppercase().to_string(),
        Code::Char(character) => character.to_string(),
        Code::F(number) => format!("F{number}"),
        Code::Enter => "Enter".to_owned(),
        Code::Esc => "Esc".to_owned(),
        Code::Backspace => "Backspace".to_owned(),
        Code::Tab => "Tab".to_owned(),
        Code::BackTab => "Shift-Tab".to_owned(),
        Code::Up => "↑".to_owned(),
        Code::Down => "↓".to_owned(),
        Code::Left => "←".to_owned(),
        Code::Right => "→".to_owned(),
        Code::Home => "Home".to_owned(),
        Code::End => "End".to_owned(),
        Code::PageUp => "PgUp".to_owned(),
        Code::PageDown => "PgDn".to_owned(),
        Code::Insert => "Insert".to_owned(),
        Code::Delete => "Del".to_owned(),
    };
    match (key.ctrl, key.alt) {
        (false, false) => name,
        (true, _) => format!("Ctrl-{name}"),
        (false, true) => format!("Alt-{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people_and_exact() {
        assert_eq!(size_both(999), "999 B");
        assert_eq!(size_both(1_234_567), "1.23 MB (1,234,567)");
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(size_short(12_345_678), "12.3M");
        assert_eq!(size_short(999), "999");
    }

    #[test]
    fn modes_are_shown_as_ls_does() {
        assert_eq!(mode(Mode::new(0o755)), "rwxr-xr-x");
        assert_eq!(mode(Mode::new(0o640)), "rw-r-----");
    }

    #[test]
    fn times_left_are_short_or_a_dash() {
        assert_eq!(left(Some(Duration::from_secs(65))), "1:05");
        assert_eq!(left(Some(Duration::from_secs(7384))), "2:03:04");
        assert_eq!(left(Some(Duration::MAX)), "–:––");
        assert_eq!(left(None), "–:––");
    }

    #[test]
    fn a_hundred_percent_is_not_said_before_the_end() {
        assert_eq!(percent(999_999, 1_000_000), "99 %");
        assert_eq!(percent(u64::MAX, u64::MAX), "100 %");
        assert_eq!(percent(0, 0), "100 %");
    }

    #[test]
    fn moments_fit_their_columns() {
        let time = Timestamp::new(1_773_324_306, 0).unwrap();
        let zone = TimeZone::UTC;
        assert_eq!(moment_in(time, &zone, 16), "2026-03-12 14:05");
        assert_eq!(moment_in(time, &zone, 10), "2026-03-12");
        assert_eq!(moment_in(time, &zone, 7), "12Mar26");
        assert_eq!(moment(Timestamp::new(i64::MAX, 0).unwrap(), &zone), "?");
    }
}
