//! One attempt to connect, and what a connection tells.
//!
//! Invariant: no connection is open while a person is asked about the server's key.

use sampan_protocol::transport::Fingerprint;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::queue::Queue;
use super::runner::Report;
use crate::app::connection::{AttemptId, Login, Trust};
use crate::app::event::{ConnectOutcome, Event};
use crate::failure::{Failure, Situation};
use crate::remote::{
    Endpoint, FIRST_CONTACT, Identity, Patience, Remote, RetryFor, Secret, identify,
};
use crate::state::State;

/// Connects and tells how it went.
pub(super) async fn attempt(
    attempt: AttemptId,
    login: Login,
    trust: Trust,
    state: State,
    reports: mpsc::Sender<Report>,
) {
    let report = match connect(login, trust, &state).await {
        Ok(Contact::Open(remote, queue)) => Report::Connected { attempt, remote, queue },
        Ok(Contact::Unknown(fingerprint)) => {
            let fingerprint = fingerprint.to_string();
            let outcome = ConnectOutcome::IdentityUnknown { fingerprint };
            Report::Event(Event::Connection { attempt, outcome })
        }
        Err(failure) => {
            let outcome = ConnectOutcome::Failed(failure);
            Report::Event(Event::Connection { attempt, outcome })
        }
    };
    // A loop that has ended wants no connection; dropping it closes it.
    let _ending = reports.send(report).await;
}

enum Contact {
    Open(Remote, Queue),
    Unknown(Fingerprint),
}

async fn connect(login: Login, trust: Trust, state: &State) -> Result<Contact, Failure> {
    let Login { account, password, .. } = login;
    // A missing password is known before anybody is called.
    let secret = match password {
        Some(password) => Secret::Password(Zeroizing::new(password.reveal().to_owned())),
        None => match state.login_key(&account)? {
            Some(key) => Secret::Key(key),
            None => return Err(Failure::new(Situation::PasswordNeeded, &account)),
        },
    };
    let identity = match trust {
        Trust::Known => identify(state, &account.server, None, FIRST_CONTACT).await?,
        Trust::Confirmed { fingerprint } => {
            let parsed = fingerprint.parse().map_err(|_| {
                let text = "it is no fingerprint".to_owned();
                Failure::new(Situation::Unexpected(text), &fingerprint)
            })?;
            state.known_servers().set(&account.server, &fingerprint)?;
            Identity::accepted(parsed)
        }
    };
    let (trust, stored) = match identity {
        Identity::Known { trust, stored } => (trust, stored),
        Identity::Unknown(fingerprint) => return Ok(Contact::Unknown(fingerprint)),
    };
    let endpoint = Endpoint {
        account,
        trust,
        stored,
        timeout: FIRST_CONTACT,
        // A person at the screen decides how long to wait, by leaving.
        retry_for: RetryFor::Forever,
        patience: Patience::default(),
    };
    let remote = Remote::connect(endpoint, secret).await?;
    let queue = Queue::open(state, remote.account())?;
    Ok(Contact::Open(remote, queue))
}

/// Tells every change of the link.
pub(super) async fn watch_link(remote: Remote, reports: mpsc::Sender<Report>) {
    let mut link = remote.link();
    while link.changed().await.is_ok() {
        let state = link.borrow_and_update().clone();
        if reports.send(Report::Event(Event::Link(state))).await.is_err() {
            return;
        }
    }
}
