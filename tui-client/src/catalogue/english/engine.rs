//! What failures and commands say.

use sampan_protocol::{Attributes, ByteSize};

use super::counted::counted;
use crate::address::AddressError;
use crate::failure::{Side, Situation};

/// What happened, without a full stop.
pub fn what_happened(situation: &Situation) -> String {
    use Situation as S;
    let fixed = match situation {
        S::HostNotFound => "no such host",
        S::ConnectionRefused => "nobody listens there",
        S::TimedOut(limit) => return format!("no answer within {} s", limit.as_secs_f32()),
        S::Unreachable(reason) => return format!("it cannot be reached: {reason}"),
        S::NotSampan => "something answers there, but it is not a Sampan server",
        S::SecureChannel(reason) => return format!("no secure channel could be made: {reason}"),
        S::ProtocolBroken(Some(noticed)) => {
            return format!("the server does not keep to the protocol: {noticed}");
        }
        S::ProtocolBroken(None) => {
            "the server says that this program does not keep to the protocol"
        }
        S::LinkLost => "the link was lost and did not come back in time",
        S::OtherVersion(message) => {
            return format!("it speaks another version of the protocol: {message}");
        }
        S::Busy { message, .. } => return format!("the server takes no login now: {message}"),
        S::KeyRefused => {
            "this machine's key is not accepted any more: it was revoked, or the password was \
             changed"
        }
        S::PasswordUnusable => {
            "the password cannot be right: it holds a character that no password can have, such \
             as an emoji"
        }
        S::LoginRefused => {
            "the login was refused: name or password are wrong, or the account is closed"
        }
        S::TooManyTries(_) => "the login was refused: too many tries failed",
        S::PasswordNeeded => "a password is needed, and there is no terminal to ask on",
        S::ServerUnproven => "the server did not prove that it knows this account",
        S::IdentityChanged { pinned, seen, stored } => {
            return format!(
                "this is not the server of before: its key is {seen}, but {pinned} is stored in \
                 {stored}"
            );
        }
        S::FingerprintDiffers { given, seen } => {
            return format!(
                "the server's key is {seen}, but {given} was given (--fingerprint, or typed)"
            );
        }
        S::IdentityUnknown { seen } => {
            return format!(
                "this server is not known yet, and there is no terminal to ask on; its key is \
                 {seen}"
            );
        }
        S::Declined => "stopped, as you answered no",
        S::NotFound(Side::Local) => "no such file or folder",
        S::NotFound(Side::Remote) => "no such file or folder on the server",
        S::NoMatch => "nothing on the server matches this pattern",
        S::Exists(_) => "it exists already",
        S::SameTarget { first, second } => {
            return format!("two of the sources would have this name: {first} and {second}");
        }
        S::KindDiffers(_) => "a file and a folder would take each other's place",
        S::NotEmpty(_) => "the folder is not empty",
        S::NotAFolder(_) => "it is not a folder",
        S::IsAFolder(_) => "it is a folder",
        S::IsALink(_) => "a symbolic link stands in the way, and links are not followed",
        S::NotAFile(_) => "it is a socket, FIFO or device, which is never opened",
        S::PermissionDenied(Side::Local) => "permission denied",
        S::PermissionDenied(Side::Remote) => "permission denied on the server",
        S::NameNotStorable(Side::Local) => "the local disk cannot hold this name",
        S::NameNotStorable(Side::Remote) => "the server cannot hold this name",
        S::AboveHome => "this leads above the home, which cannot be left",
        S::HomeItself => "this is the home itself, which is neither moved nor removed",
        S::InvalidTarget => "nothing takes the home's place, and no folder goes inside itself",
        S::LinkRefused => "it is a symbolic link, and --links fail was given",
        S::LinkToNowhere => "the symbolic link leads to nothing that is there",
        S::NoSuchUpload => "there is no such unfinished upload",
        S::LinkLoop => "the link leads back to a folder that holds it",
        S::OtherFileSystem => "it lies on another file system",
        S::SourceChanged(_) => "it changed while it was read, every time",
        S::TargetChanged(_) => "another file appeared at the target meanwhile",
        S::NotVerified => "what arrived differs from what was sent, every time",
        S::TakenOver => "another process took this transfer over",
        S::AlreadyRunning { process } => {
            return format!("the same command runs already, as process {process}");
        }
        S::OverQuota { needed, available } => {
            return format!(
                "the quota does not suffice: {} are needed, {} are available",
                ByteSize(*needed),
                ByteSize(*available)
            );
        }
        S::TooManyFiles { needed, available } => {
            return format!(
                "the quota's number of files does not suffice: {}, {}",
                counted(*needed, "is needed", "are needed"),
                counted(*available, "is available", "are available")
            );
        }
        S::TooManyUploads => "the account has too many unfinished uploads",
        S::DiskFull(Side::Local) => "the local disk is full",
        S::DiskFull(Side::Remote) => "the server's disk is full",
        S::DiskFailed(Side::Local, reason) => return format!("the local disk failed: {reason}"),
        S::DiskFailed(Side::Remote, reason) => {
            return format!("the server's disk failed: {reason}");
        }
        S::Refused { code, message } if message.is_empty() => {
            return format!("the server refused with code {}", code.0);
        }
        S::Refused { code, message } => {
            return format!("the server refused (code {}): {message}", code.0);
        }
        S::Interrupted => "stopped",
        S::Unexpected(text) => return format!("something unexpected: {text}"),
    };
    fixed.to_owned()
}

/// Why something is no place. What it holds is escaped.
pub fn address_problem(problem: &AddressError) -> String {
    use AddressError as A;
    match problem {
        A::NotAPlace(written) => format!(
            "`{written}` is no place on a server; write USER@HOST:PATH or \
             sampan://USER@HOST[:PORT]/PATH"
        ),
        A::Password => "a place must not hold a password, which other users could see; leave it \
                        out and you are asked, or use --password-file"
            .to_owned(),
        A::SavedServer(written) => format!(
            "`{written}` names no user; NAME:PATH is reserved for saved servers, write \
             USER@HOST:PATH"
        ),
        A::User(written) => format!("`{written}` names no user before the @"),
        A::Host(written) => format!(
            "`{written}` names no host after the @; an IPv6 address stands in brackets: \
             USER@[::1]:PATH"
        ),
        A::Port(written) => format!("`{written}` is no port; ports are 1 to 65535"),
        A::PortsDiffer { place, option } => {
            format!("the place says port {place} and -P says {option}")
        }
    }
}

/// How a target that exists is another one than the source, as far as that is known: contents were
/// compared only where size and time are equal.
pub fn how_it_differs(source: &Attributes, target: &Attributes) -> &'static str {
    match (source.size == target.size, source.mtime == target.mtime) {
        (true, false) => "of the same size and another time",
        (true, true) | (false, _) => "with other content",
    }
}

/// The path of a place as it is shown: the host before it may hold brackets.
pub(super) fn path_of(subject: &str) -> &str {
    let place = subject.split_once("://").map_or(subject, |(_, place)| place);
    place.split_once('/').map_or("", |(_, path)| path)
}

/// What to do next, if there is something. `place` is `USER@HOST`, ready to be typed.
pub fn what_next(situation: &Situation, subject: &str, place: &str) -> Option<String> {
    use Situation as S;
    let fixed = match situation {
        S::HostNotFound => "check the spelling of the host",
        S::ConnectionRefused => "check the host and the port, and that `sampand serve` runs",
        S::TimedOut(_) | S::Unreachable(_) => {
            "check the network, or wait longer with --timeout SECONDS"
        }
        S::NotSampan => "check the port; Sampan's usual one is 7227",
        S::LinkLost => "run the same command again, or wait longer with --retry-for",
        S::SecureChannel(_) => "check host and port, or ask the administrator",
        S::ProtocolBroken(_) | S::OtherVersion(_) => {
            "bring the older of the two programs up to date"
        }
        S::Busy { retry_after: Some(wait), .. } | S::TooManyTries(wait) => {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            return Some(format!("try again in {seconds} s"));
        }
        S::Busy { retry_after: None, .. } => "try again later",
        S::KeyRefused => {
            return Some(format!(
                "run `sampan login {place}` to enrol it again, or use --password-file FILE"
            ));
        }
        S::PasswordUnusable => "check what was typed, or what the file or variable holds",
        S::LoginRefused => "check name and password, or ask the administrator",
        S::PasswordNeeded => "use --password-file FILE or the variable SAMPAN_PASSWORD",
        S::ServerUnproven => "do not go on: it may be another machine in the server's place",
        S::IdentityChanged { .. } => {
            return Some(format!(
                "if its administrator confirms the new key, run `sampan forget {subject}` and \
                 connect again"
            ));
        }
        S::FingerprintDiffers { .. } => {
            "do not go on unless its administrator confirms the key, with `sampand fingerprint`"
        }
        S::IdentityUnknown { .. } => {
            "compare it with `sampand fingerprint` and pass it with --fingerprint, or trust it \
             unseen with --accept-new"
        }
        S::Exists(_) => {
            "choose another name; `put` and `get` take --on-conflict, `mv` takes --overwrite"
        }
        S::SameTarget { .. } => {
            "carry the second one into another folder; two files are both kept with --on-conflict \
             rename"
        }
        S::AboveHome => "leave out a `..`",
        S::HomeItself => "name what is in it",
        S::InvalidTarget => "choose another target",
        S::IsAFolder(_) => "name a file in it",
        S::Refused { .. } => "ask the administrator: the server's log says why",
        S::NotFound(Side::Remote) if path_of(subject).contains(['*', '?', '[']) => {
            "* ? and [ are taken as they stand unless -g is given"
        }
        S::NotFound(Side::Remote) => "check its spelling, or list its folder with `sampan ls`",
        S::NotFound(Side::Local) => "check its spelling",
        S::NoMatch => "check its spelling; a name that begins with a dot needs one that does",
        S::PermissionDenied(Side::Local) => "check the permissions of it and of its folder",
        S::PermissionDenied(Side::Remote) => {
            "ask the administrator: the server's own user may not do it"
        }
        S::NotAFile(_) => "name a file instead, for nothing else has bytes to give or take",
        S::NotAFolder(_) => "check the path",
        S::OtherFileSystem => "ask the administrator: a home ends where something is mounted",
        S::IsALink(_) => "name what it leads to, or remove the link",
        S::LinkLoop | S::LinkToNowhere => "remove the link, or leave it out with --links skip",
        S::LinkRefused => "--links skip leaves it out, --links follow carries what it leads to",
        S::NoSuchUpload => return Some(format!("`sampan uploads {place}` lists them")),
        S::NotEmpty(_) => "add -r to remove what is in it",
        S::KindDiffers(_) => "move one of them away, or choose another target",
        S::NameNotStorable(_) => "rename it, or choose another target",
        S::SourceChanged(_) => "wait until it is at rest, then run the same command again",
        S::TargetChanged(_) => "look at it, then run the same command again",
        S::NotVerified => "check memory and disks on both sides, then run the same command again",
        S::TakenOver => "let that process finish",
        S::AlreadyRunning { .. } => "wait until it ends, or stop it",
        S::OverQuota { .. } => {
            return Some(format!(
                "delete files, or see `sampan df {place}` and, for unfinished uploads, `sampan \
                 uploads {place}`"
            ));
        }
        S::TooManyFiles { .. } | S::TooManyUploads => {
            return Some(format!(
                "see `sampan df {place}` and, for unfinished uploads, `sampan uploads {place}`"
            ));
        }
        S::DiskFull(Side::Local) => "make room, then run the same command again to go on",
        S::DiskFull(Side::Remote) => "ask the administrator to make room, then try again",
        S::DiskFailed(Side::Local, _) => {
            "check the disk and the system's log, then run the same command again to go on"
        }
        S::DiskFailed(Side::Remote, _) => "ask the administrator to check it, then try again",
        S::Interrupted => "run the same command again to go on",
        _ => return None,
    };
    Some(fixed.to_owned())
}

/// A folder on the server names more than is taken in.
pub fn too_many_names(most: usize) -> String {
    format!("it names more than {most} things: its listing may have no end")
}
