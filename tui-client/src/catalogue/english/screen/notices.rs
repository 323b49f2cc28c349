//! Words in the status line, and what is said instead of a screen.

use crate::app::layout::SMALLEST;

pub const NOT_CONNECTED: &str = "Not connected. C connects to a server.";
pub const NOTHING_UNDER_CURSOR: &str = "Nothing is marked, and no file is under the cursor.";
pub const ALREADY_THERE: &str = "It is there already.";
pub const LINKS_ARE_NOT_FOLLOWED: &str = "This is a link. Links are shown and not followed.";
pub const NO_VIEWER_YET: &str = "This is a file. F5 copies it to the other side.";

pub const BUSY_WITH_OTHER_ACCOUNT: &str =
    "Something runs with this account. Wait, or stop it with x.";
pub const NOTHING_FAILED: &str = "Nothing failed.";
pub const NO_TRANSFERS: &str = "There are no transfers. F5 copies to the other side.";

pub const NO_COPY_WITHIN_A_SIDE: &str =
    "Copying within one side is not there yet. F6 moves; F5 copies to the other side.";
pub const NOTHING_RUNS: &str = "Nothing runs.";

/// The terminal has too few cells.
pub fn too_small(columns: u16, rows: u16) -> String {
    format!(
        "Sampan needs {}×{} cells; this terminal has {columns}×{rows}. Transfers go on.",
        SMALLEST.columns, SMALLEST.rows
    )
}
