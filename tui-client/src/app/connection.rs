//! To whom the screen is connected, and how well.
//!
//! ```text
//! Absent ──connect──▶ Connecting ──open──▶ Open (live ⇄ silent ⇄ reconnecting, or down)
//!    ▲                    │ │  ▲
//!    └──failed, refused───┘ └──┘ unknown identity: closed, asked, pinned, tried again
//! ```

use std::fmt;
use std::time::Instant;

use sampan_protocol::RemotePath;
use zeroize::Zeroize;

use crate::address::Account;
use crate::remote::LinkState;

/// Which attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptId(pub u64);

/// Where to, as whom, and to which folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// The account.
    pub account: Account,
    /// Its password; `None` if a key is enrolled.
    pub password: Option<Secret>,
    /// The folder to open.
    pub folder: RemotePath,
}

/// Which server key will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The pinned one, or one that the system's roots verify.
    Known,
    /// The one that the person just confirmed; it gets pinned.
    Confirmed {
        /// Its fingerprint.
        fingerprint: String,
    },
}

/// Text that is wiped when it is dropped and never shown.
#[derive(Clone, PartialEq, Default)]
pub struct Secret(String);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// To whom, and how well.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Connection {
    /// To nobody.
    #[default]
    Absent,
    /// An attempt is under way.
    Connecting {
        /// Which.
        attempt: AttemptId,
        /// What was asked for.
        login: Login,
    },
    /// To an account.
    Open {
        /// Whose.
        account: Account,
        /// How the link is.
        link: LinkState,
    },
}

impl Connection {
    /// The account that the remote pane shows.
    pub fn account(&self) -> Option<&Account> {
        match self {
            Self::Open { account, .. } => Some(account),
            Self::Absent | Self::Connecting { .. } => None,
        }
    }

    /// The link, if there is a connection.
    pub fn link(&self) -> Option<&LinkState> {
        match self {
            Self::Open { link, .. } => Some(link),
            Self::Absent | Self::Connecting { .. } => None,
        }
    }

    /// Whether transfers cannot move for the link's sake.
    pub fn is_broken(&self) -> bool {
        matches!(self.link(), Some(LinkState::Reconnecting { .. } | LinkState::Down { .. }))
    }

    /// Whole seconds until the next try, rounded up; `None` if none is planned.
    pub fn seconds_to_next_try(&self, now: Instant) -> Option<u64> {
        match self.link() {
            Some(LinkState::Reconnecting { next, .. }) => {
                let left = next.saturating_duration_since(now);
                Some(left.as_secs() + u64::from(left.subsec_nanos() > 0))
            }
            _ => None,
        }
    }
}
