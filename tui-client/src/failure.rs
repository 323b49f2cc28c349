//! What can go wrong, as a situation: the one word that messages, exit codes and retries are
//! decided by.
//!
//! Invariant: a failure names its subject, already escaped; `message` alone turns it into a
//! sentence, and `cli::exit` alone into an exit code.

use std::fmt;
use std::time::Duration;

use sampan_protocol::ErrorCode;

/// Something did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub situation: Situation,
    /// To what: a path or a host, shown with its side (`sampan://…` or a local path), escaped.
    pub subject: String,
}

/// On which side something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// This machine.
    Local,
    /// The server.
    Remote,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Situation {
    /// The host's name is unknown.
    HostNotFound,
    /// Nobody listens there.
    ConnectionRefused,
    /// No answer in time.
    TimedOut(Duration),
    /// There is no way there, or it was closed at once; the text is the system's, escaped.
    Unreachable(String),
    /// Something answered that does not speak Sampan.
    NotSampan,
    /// The secure channel could not be made; the text is from the TLS library, escaped.
    SecureChannel(String),
    /// One of the two programs does not keep to the protocol. What we noticed, escaped; `None` if
    /// the server noticed.
    ProtocolBroken(Option<String>),
    /// The link was lost and did not come back in time.
    LinkLost,
    /// It speaks another version of the protocol; the text is the server's, escaped.
    OtherVersion(String),
    /// The server takes nobody now.
    Busy {
        /// The server's sentence, escaped.
        message: String,
        /// When to come again, if it says so.
        retry_after: Option<Duration>,
    },
    /// Name or password are wrong, or the account is closed.
    LoginRefused,
    /// Too many tries failed; for so long not even the right password helps.
    TooManyTries(Duration),
    /// This machine's key is not, or no longer, enrolled.
    KeyRefused,
    /// The password holds characters that none can hold.
    PasswordUnusable,
    /// A password is needed, and there is nobody to ask.
    PasswordNeeded,
    /// The server did not prove that it knows the password.
    ServerUnproven,
    /// The server's key is another one than the pinned one.
    IdentityChanged {
        /// The pinned fingerprint.
        pinned: String,
        /// What the server showed.
        seen: String,
        /// Where the pin is stored: file and line.
        stored: String,
    },
    /// The server's key is another one than the person gave.
    FingerprintDiffers {
        /// The given fingerprint.
        given: String,
        /// What the server showed.
        seen: String,
    },
    /// The server's key is unknown, and there is nobody to ask.
    IdentityUnknown {
        /// What the server showed.
        seen: String,
    },
    /// The person said no.
    Declined,

    /// No such file or folder.
    NotFound(Side),
    /// A pattern stands for nothing on the server.
    NoMatch,
    /// The target exists.
    Exists(Side),
    /// Two sources of one command would have one name at the target. Both are shown, escaped.
    SameTarget {
        /// The one that is carried.
        first: String,
        /// The one that is not.
        second: String,
    },
    /// A file is in the way of a folder, or a folder of a file.
    KindDiffers(Side),
    /// A folder holds something.
    NotEmpty(Side),
    /// A folder was needed.
    NotAFolder(Side),
    /// A file was needed.
    IsAFolder(Side),
    /// A link stands in the way; links are not followed.
    IsALink(Side),
    /// A socket, FIFO or device.
    NotAFile(Side),
    /// The operating system does not allow it.
    PermissionDenied(Side),
    /// The disk there cannot hold the name.
    NameNotStorable(Side),
    /// The path leads above the home.
    AboveHome,
    /// The home itself, which nobody removes or moves.
    HomeItself,
    /// In the home's place, or a folder into itself.
    InvalidTarget,
    /// A link in a tree, and links are to fail.
    LinkRefused,
    /// A link that is followed leads to nothing.
    LinkToNowhere,
    /// No unfinished upload has this id.
    NoSuchUpload,
    /// A link that is followed leads back to a folder that holds it.
    LinkLoop,
    /// The path leaves the file system of the home.
    OtherFileSystem,
    /// The file changed while it was read, also when read again.
    SourceChanged(Side),
    /// What lies at the target is not what was decided about.
    TargetChanged(Side),
    /// What arrived is not what was sent, also when sent again.
    NotVerified,
    /// Another process took the transfer over.
    TakenOver,
    /// The same command runs already.
    AlreadyRunning {
        /// Its process.
        process: u32,
    },

    /// The account's quota does not suffice.
    OverQuota {
        /// Bytes needed.
        needed: u64,
        /// Bytes available.
        available: u64,
    },
    /// The account's number of files does not suffice.
    TooManyFiles {
        /// Files and folders needed.
        needed: u64,
        /// Files and folders available.
        available: u64,
    },
    /// Too many unfinished uploads.
    TooManyUploads,
    /// The disk is full.
    DiskFull(Side),
    /// The disk failed; the text is the operating system's.
    DiskFailed(Side, String),

    /// The server refused with a code that has no situation of its own here.
    Refused {
        /// The code.
        code: ErrorCode,
        /// The server's sentence, escaped.
        message: String,
    },
    /// The person stopped it.
    Interrupted,
    /// Nothing of this program's fault is known to lead here; the text says what was found.
    Unexpected(String),
}

impl Failure {
    /// `situation`, about `subject`, which is shown through the escaper by the caller.
    pub fn new(situation: Situation, subject: impl fmt::Display) -> Self {
        Self { situation, subject: subject.to_string() }
    }
}
