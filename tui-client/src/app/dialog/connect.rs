//! Where to connect to, and as whom.
//!
//! A place that is typed or pasted whole fills the fields below it. The dialog stays open while it
//! connects, so that a wrong password costs a password and not the rest.
//!
//! Invariant: the password is in its field or in the running attempt, nowhere else.

use std::ffi::OsStr;

use sampan_protocol::{DEFAULT_PORT, PathError, RemotePath};

use super::field::Field;
use super::form::{Answer, Button, Control, Form};
use crate::address::{Account, AddressError, Place, Server};
use crate::app::connection::{AttemptId, Login, Secret};
use crate::catalogue::screen as text;
use crate::failure::{Failure, Situation};

const PLACE: usize = 0;
const USER: usize = 1;
const HOST: usize = 2;
const PORT: usize = 3;
const PASSWORD: usize = 4;

/// Where to, and as whom.
#[derive(Clone, Debug)]
pub struct ConnectDialog {
    /// Place, user, host, port, password.
    pub form: Form,
    /// The attempt that runs.
    pub attempt: Option<AttemptId>,
    /// Why the last attempt failed.
    pub failure: Option<Failure>,
    /// Why what is filled in is not enough.
    pub problem: Option<Problem>,
    folder: RemotePath,
}

/// Why what is filled in is not enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No user.
    NoUser,
    /// No host.
    NoHost,
    /// A port that is none.
    Port,
    /// No key is enrolled: a password is needed.
    NoPassword,
    /// The place is none.
    Place(AddressError),
    /// The place's path is none.
    Path(PathError),
}

impl Default for ConnectDialog {
    fn default() -> Self {
        let fields = vec![
            Field::new(text::FIELD_PLACE, ""),
            Field::new(text::FIELD_USER, ""),
            Field::new(text::FIELD_HOST, ""),
            Field::new(text::FIELD_PORT, &DEFAULT_PORT.to_string()),
            Field::secret(text::FIELD_PASSWORD),
        ];
        let buttons =
            vec![Button::new(text::CONNECT, Answer::Yes), Button::new(text::CANCEL, Answer::No)];
        Self {
            form: Form::fill_in(fields, buttons),
            attempt: None,
            failure: None,
            problem: None,
            folder: RemotePath::home(),
        }
    }
}

impl ConnectDialog {
    /// With an account filled in and the focus on the password.
    pub fn for_account(account: &Account, folder: RemotePath) -> Self {
        let mut dialog = Self { folder, ..Self::default() };
        dialog.fill(account);
        let place = account.show(&dialog.folder);
        dialog.form.fields[PLACE].set(&place);
        dialog.form.focus = Control::Field(PASSWORD);
        dialog
    }

    fn fill(&mut self, account: &Account) {
        let fields = &mut self.form.fields;
        fields[USER].set(&account.user);
        fields[HOST].set(&account.server.host);
        fields[PORT].set(&account.server.port.to_string());
    }

    /// A field was edited: a whole place fills the others.
    pub fn edited(&mut self, field: usize) {
        self.problem = None;
        if field != PLACE {
            return;
        }
        let written = self.form.fields[PLACE].value().to_owned();
        let place = Place::parse(OsStr::new(&written), None);
        if let Ok(place) = place
            && let Ok(folder) = place.path()
        {
            self.folder = folder;
            self.fill(&place.account);
        }
    }

    /// What is filled in, as a login.
    pub fn login(&self) -> Result<Login, Problem> {
        let value = |field: usize| self.form.fields[field].value().trim();
        if value(USER).is_empty() && value(HOST).is_empty() && !value(PLACE).is_empty() {
            let place = Place::parse(OsStr::new(value(PLACE)), None).map_err(Problem::Place)?;
            place.path().map_err(Problem::Path)?;
        }
        if value(USER).is_empty() {
            return Err(Problem::NoUser);
        }
        if value(HOST).is_empty() {
            return Err(Problem::NoHost);
        }
        let port: u16 = value(PORT).parse().map_err(|_| Problem::Port)?;
        let host = value(HOST);
        // A bare IPv6 address needs no brackets in a field of its own.
        let is_bare = host.parse::<std::net::Ipv6Addr>().is_ok();
        let host = if is_bare { format!("[{host}]") } else { host.to_owned() };
        let server = Server::parse(&host, Some(port)).map_err(Problem::Place)?;
        let account = Account { user: value(USER).to_owned(), server };
        let password = self.form.fields[PASSWORD].value();
        let password = (!password.is_empty()).then(|| Secret::new(password.to_owned()));
        Ok(Login { account, password, folder: self.folder.clone() })
    }

    /// What is filled in is not enough: says so, and puts the focus there.
    pub fn refuse(&mut self, problem: Problem) {
        self.form.focus = Control::Field(match &problem {
            Problem::NoUser => USER,
            Problem::NoHost => HOST,
            Problem::Port => PORT,
            Problem::NoPassword => PASSWORD,
            Problem::Place(_) | Problem::Path(_) => PLACE,
        });
        self.problem = Some(problem);
    }

    /// The attempt failed: says so, and puts the focus where it helps.
    pub fn fail(&mut self, failure: Failure) {
        self.attempt = None;
        if failure.situation == Situation::PasswordNeeded {
            return self.refuse(Problem::NoPassword);
        }
        let field = match failure.situation {
            Situation::LoginRefused | Situation::KeyRefused | Situation::PasswordUnusable => {
                self.form.fields[PASSWORD].set("");
                PASSWORD
            }
            _ => HOST,
        };
        self.form.focus = Control::Field(field);
        self.failure = Some(failure);
    }

    /// An attempt began.
    pub fn begin(&mut self, attempt: AttemptId) {
        (self.attempt, self.failure, self.problem) = (Some(attempt), None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(values: [&str; 5]) -> ConnectDialog {
        let mut dialog = ConnectDialog::default();
        for (field, value) in values.iter().enumerate() {
            dialog.form.fields[field].set(value);
        }
        dialog
    }

    #[test]
    fn a_whole_place_fills_the_fields() {
        let mut dialog = ConnectDialog::default();
        dialog.form.paste("sampan://anna@box.example:7000/docs");
        dialog.edited(PLACE);
        let login = dialog.login().unwrap();
        assert_eq!(login.account.to_string(), "anna@box.example:7000");
        assert_eq!(login.folder.to_string(), "/docs");
        assert_eq!(login.password, None);
    }

    #[test]
    fn fields_alone_are_enough() {
        let login = filled(["", "anna", "box", "7227", "secret"]).login().unwrap();
        assert_eq!(login.account.to_string(), "anna@box");
        assert_eq!(login.password.unwrap().reveal(), "secret");
        let login = filled(["", "anna", "::1", "7000", ""]).login().unwrap();
        assert_eq!(login.account.to_string(), "anna@[::1]:7000");
    }

    #[test]
    fn what_is_missing_is_named() {
        let cases = [
            (["", "", "", "7227", ""], Problem::NoUser),
            (["", "anna", " ", "7227", ""], Problem::NoHost),
            (["", "anna", "box", "0x", ""], Problem::Port),
        ];
        for (values, problem) in cases {
            assert_eq!(filled(values).login(), Err(problem), "{values:?}");
        }
        assert!(matches!(filled(["a@", "", "", "1", ""]).login(), Err(Problem::Place(_))));
        let above = filled(["anna@box:../..", "", "", "1", ""]).login();
        assert_eq!(above, Err(Problem::Path(PathError::AboveHome)));
    }

    #[test]
    fn a_refused_password_is_asked_for_again_and_the_rest_stays() {
        let mut dialog = filled(["", "anna", "box", "7227", "wrong"]);
        dialog.begin(AttemptId(1));
        dialog.fail(Failure::new(Situation::LoginRefused, "anna@box"));
        assert_eq!(dialog.form.focus, Control::Field(PASSWORD));
        assert_eq!(dialog.form.fields[PASSWORD].value(), "");
        assert_eq!(dialog.form.fields[USER].value(), "anna");
    }

    #[test]
    fn no_password_is_shown_by_debug() {
        let login = filled(["", "anna", "box", "7227", "hidden-word"]).login().unwrap();
        assert!(!format!("{login:?}").contains("hidden-word"));
    }
}
