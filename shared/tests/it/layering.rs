//! The rules of the land: which part of the repository may name which. Each rule that is broken is
//! told with file, line and the path that breaks it.

mod source;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use source::{module_of, paths, rows_of_words};

/// Who may not name what.
struct Rule {
    law: &'static str,
    /// Folders and files it holds for, from the repository's root.
    within: &'static [&'static str],
    /// Those among them that may.
    except: &'static [&'static str],
    /// Paths and what is below them; one that begins with `*::` is sought at a path's end.
    forbidden: &'static [&'static str],
    /// Names below those that are mere vocabulary.
    but: &'static [&'static str],
}

const SOURCES: &[&str] = &["shared/src", "server/src", "tui-client/src"];

const RULES: &[Rule] = &[
    Rule {
        law: "the protocol crate knows neither of the others",
        within: &["shared/src"],
        except: &[],
        forbidden: &["sampan_server", "sampan_client", "sampan"],
        but: &[],
    },
    Rule {
        law: "the server does not know the client",
        within: &["server/src"],
        except: &[],
        forbidden: &["sampan_client", "sampan"],
        but: &[],
    },
    Rule {
        law: "the client does not know the server; only `demo` starts one",
        within: &["tui-client/src"],
        except: &["tui-client/src/cli/demo.rs", "tui-client/src/cli/demo"],
        forbidden: &["sampan_server"],
        but: &[],
    },
    Rule {
        law: "in the protocol crate only `transport` does I/O; the rest is values and pure machines",
        within: &["shared/src"],
        except: &["shared/src/transport", "shared/src/testing.rs"],
        forbidden: &[
            "tokio",
            "tokio_rustls",
            "rustls",
            "rustls_native_certs",
            "rcgen",
            "socket2",
            "std::io",
            "std::net",
            "std::thread",
            "crate::transport",
        ],
        but: &[],
    },
    Rule {
        law: "the protocol crate opens no file, and asks neither environment nor processes",
        within: &["shared/src"],
        except: &[],
        forbidden: &["std::fs", "tokio::fs", "std::env", "std::process", "tokio::process"],
        but: &[],
    },
    Rule {
        law: "storage, quota and accounts know no message and no wire error code",
        within: &[
            "server/src/store",
            "server/src/quota",
            "server/src/quota.rs",
            "server/src/account",
            "server/src/upload",
            "server/src/upload.rs",
        ],
        except: &[],
        forbidden: &[
            "sampan_protocol::message",
            "sampan_protocol::wire",
            "sampan_protocol::frame",
            "sampan_protocol::error",
            "sampan_protocol::ErrorCode",
            "sampan_protocol::Refusal",
            "sampan_protocol::transport",
            "crate::session",
            "crate::handlers",
            "crate::cli",
            "crate::listener",
        ],
        but: &[],
    },
    Rule {
        law: "handlers know no socket and no frame",
        within: &["server/src/handlers"],
        except: &[],
        forbidden: &[
            "sampan_protocol::transport",
            "sampan_protocol::frame",
            "tokio::net",
            "std::net",
            "rustls",
            "tokio_rustls",
            "socket2",
            "crate::listener",
        ],
        but: &[],
    },
    Rule {
        law: "upload and quota rules are pure: no task, no disk, no database",
        within: &[
            "server/src/quota",
            "server/src/quota.rs",
            "server/src/upload",
            "server/src/upload.rs",
        ],
        except: &[],
        forbidden: &[
            "tokio",
            "std::fs",
            "std::io",
            "std::net",
            "rusqlite",
            "rustix",
            "crate::store::local",
        ],
        but: &[],
    },
    Rule {
        law: "the app's state knows no terminal, no network, no disk and no task",
        within: &["tui-client/src/app"],
        except: &[],
        forbidden: &[
            "ratatui",
            "crossterm",
            "indicatif",
            "tokio",
            "rustls",
            "std::fs",
            "std::io",
            "std::net",
            "std::thread",
            "rustix",
            "sampan_protocol::transport",
            "crate::ui",
            "crate::runtime",
            "crate::cli",
        ],
        but: &["std::net::IpAddr", "std::net::Ipv4Addr", "std::net::Ipv6Addr"],
    },
    Rule {
        law: "the view only draws: no task, no disk, no connection",
        within: &["tui-client/src/ui"],
        except: &[],
        forbidden: &[
            "tokio",
            "std::fs",
            "std::net",
            "std::thread",
            "sampan_protocol::transport",
            "crate::remote",
            "crate::runtime",
            "crate::cli",
        ],
        but: &["crate::remote::LinkState"],
    },
    Rule {
        law: "the engine knows no screen and no command line",
        within: &[
            "tui-client/src/transfer",
            "tui-client/src/remote",
            "tui-client/src/local",
            "tui-client/src/local.rs",
            "tui-client/src/place.rs",
            "tui-client/src/place",
            "tui-client/src/state",
            "tui-client/src/state.rs",
            "tui-client/src/disk.rs",
        ],
        except: &[],
        forbidden: &[
            "ratatui",
            "crossterm",
            "indicatif",
            "clap",
            "crate::app",
            "crate::ui",
            "crate::runtime",
            "crate::cli",
        ],
        but: &[],
    },
    Rule {
        law: "time and randomness enter pure code as arguments",
        within: &[
            "shared/src",
            "server/src/quota",
            "server/src/quota.rs",
            "server/src/upload",
            "server/src/upload.rs",
            "tui-client/src/app",
            "tui-client/src/ui",
        ],
        except: &["shared/src/transport", "shared/src/testing.rs"],
        forbidden: &[
            "*::SystemTime::now",
            "*::Instant::now",
            "*::Timestamp::now",
            "*::Zoned::now",
            "rand",
        ],
        but: &[],
    },
    Rule {
        law: "one place maps errors to the wire's codes",
        within: &["server/src"],
        except: &["server/src/session/reply.rs"],
        forbidden: &["sampan_protocol::ErrorCode", "sampan_protocol::error"],
        but: &[],
    },
    Rule {
        law: "users' files only in `store` and `local`, the program's own only in `state`",
        within: &["server/src", "tui-client/src"],
        except: &[
            "server/src/store",
            "server/src/state",
            "tui-client/src/local",
            "tui-client/src/state",
            "tui-client/src/state.rs",
            // The calls that `local` and `state` make.
            "tui-client/src/disk.rs",
            // The terminal device, a password file that the person names, and the host's name.
            "server/src/cli/password.rs",
            "tui-client/src/cli/ask.rs",
            "tui-client/src/cli/session.rs",
            "tui-client/src/cli/login.rs",
            "tui-client/src/runtime/terminal/give_back.rs",
            // The demo's sample files, and their removal.
            "tui-client/src/cli/demo",
            "tui-client/src/cli/leftovers.rs",
        ],
        forbidden: &["std::fs", "tokio::fs", "rustix::fs", "crate::disk"],
        but: &[],
    },
    Rule {
        law: "SQL only in the server's store",
        within: SOURCES,
        except: &["server/src/store"],
        forbidden: &["rusqlite"],
        but: &[],
    },
    Rule {
        law: "no queue without a bound",
        within: SOURCES,
        except: &[],
        forbidden: &["*::unbounded_channel", "*::mpsc::unbounded", "*::UnboundedSender"],
        but: &[],
    },
];

#[test]
fn nobody_names_what_it_must_not_know() {
    let mut broken = String::new();
    for rule in RULES {
        for file in rule.within.iter().flat_map(|place| rust_files(place)) {
            if rule.except.iter().any(|place| is_within(&file, place)) {
                continue;
            }
            for named in paths(&read(&file), &module_of(below_src(&file))) {
                let path = named.path.join("::");
                let is_any = |of: &[&str]| of.iter().any(|pattern| matches(&path, pattern));
                if is_any(rule.forbidden) && !is_any(rule.but) {
                    let file = file.display();
                    writeln!(broken, "{file}:{}: `{path}`: {}", named.line, rule.law).unwrap();
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{broken}");
}

#[test]
fn the_view_changes_nothing() {
    let mut broken = String::new();
    for file in rust_files("tui-client/src/ui") {
        for line in rows_of_words(&read(&file), &["&", "mut", "App"]) {
            writeln!(broken, "{}:{line}: the view takes `&mut App`", file.display()).unwrap();
        }
    }
    assert!(broken.is_empty(), "\n{broken}");
}

#[test]
fn crates_depend_on_each_other_only_as_the_house_says() {
    let shared = Manifest::read("shared");
    let server = Manifest::read("server");
    let client = Manifest::read("tui-client");
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        assert!(!shared.names(section, "sampan-server") && !shared.names(section, "sampan"));
        assert!(!server.names(section, "sampan"), "the server depends on the client");
    }
    let line = client.line("dependencies", "sampan-server").expect("`demo` links the server");
    assert!(
        line.contains("optional = true"),
        "only the feature `demo` may link the server: {line}"
    );
    let demo = client.line("features", "demo").expect("there is a feature `demo`");
    assert_eq!(demo.replace(' ', ""), r#"demo=["dep:sampan-server"]"#);
}

/// A rule about a folder that was renamed would hold for ever.
#[test]
fn the_rules_speak_of_places_that_exist() {
    for rule in RULES {
        assert!(
            rule.within.iter().any(|place| repository().join(place).exists()),
            "no place of the rule \"{}\" exists: {:?}",
            rule.law,
            rule.within
        );
    }
}

fn matches(path: &str, pattern: &str) -> bool {
    if let Some(end) = pattern.strip_prefix("*::") {
        return path == end || path.ends_with(&format!("::{end}"));
    }
    path.strip_prefix(pattern).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[test]
fn patterns_match_whole_names() {
    assert!(matches("tokio", "tokio") && matches("tokio::net::TcpStream", "tokio"));
    assert!(!matches("tokio_util::sync", "tokio"));
    assert!(
        matches("std::time::Instant::now", "*::Instant::now")
            && matches("Instant::now", "*::Instant::now")
    );
    assert!(!matches("MyInstant::now", "*::Instant::now"));
}

fn repository() -> PathBuf {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR"));
    shared.parent().expect("the crate lies in the repository").to_owned()
}

fn read(file: &Path) -> String {
    let path = repository().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The sources at or below `place`, without files of tests; none if the place does not exist.
fn rust_files(place: &str) -> Vec<PathBuf> {
    let root = repository();
    let mut open = vec![root.join(place)];
    let mut files = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder of the repository can be read");
            open.extend(entries.map(|entry| entry.expect("an entry can be read").path()));
        } else if path.exists() && path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.strip_prefix(&root).expect("it was found below the root");
            let is_test = file.iter().any(|part| part == "tests" || part == "tests.rs");
            if !is_test {
                files.push(file.to_owned());
            }
        }
    }
    files.sort();
    files
}

fn is_within(file: &Path, place: &str) -> bool {
    file.starts_with(place)
}

fn below_src(file: &Path) -> &Path {
    let mut parts = file.components();
    parts.by_ref().take(2).for_each(drop);
    parts.as_path()
}

struct Manifest {
    text: String,
}

impl Manifest {
    fn read(member: &str) -> Self {
        Self { text: read(&Path::new(member).join("Cargo.toml")) }
    }

    /// The line of `key` in `[section]`.
    fn line(&self, section: &str, key: &str) -> Option<&str> {
        let mut inside = false;
        self.text.lines().find(|line| {
            if line.starts_with('[') {
                inside = *line == format!("[{section}]");
            }
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            inside && name == key
        })
    }

    fn names(&self, section: &str, key: &str) -> bool {
        self.line(section, key).is_some()
    }
}
