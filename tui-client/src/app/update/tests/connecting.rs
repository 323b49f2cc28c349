//! Connecting, the unknown server, the lost link.

use super::*;
use crate::app::connection::{AttemptId, Trust};
use crate::app::dialog::ConnectDialog;
use crate::app::pane::Reading;
use crate::failure::{Failure, Situation};
use crate::transfer::{BatchId, Event as Told, Summary};

fn attempt(effects: &[Effect]) -> (AttemptId, Trust) {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Connect { attempt, trust, .. } => Some((*attempt, trust.clone())),
        _ => None,
    });
    found.expect("an attempt to connect")
}

fn asking() -> Bench {
    let mut bench = Bench::offline(&twelve());
    let dialog = ConnectDialog::for_account(&account(), RemotePath::home());
    let turn = begin(&mut bench.app, Opening::Ask(Some(Box::new(dialog))), bench.now);
    assert!(matches!(&turn.effects[..], [Effect::List { pane: PaneId::Left, .. }]));
    bench
}

#[test]
fn a_first_contact_asks_for_the_key_with_no_connection_held() {
    let mut bench = asking();
    bench.press("w o r d Enter");
    let (tried, trust) = attempt(&bench.taken());
    assert_eq!(trust, Trust::Known);
    let fingerprint = "SHA256:abc".to_owned();
    let outcome = ConnectOutcome::IdentityUnknown { fingerprint: fingerprint.clone() };
    bench.event(Event::Connection { attempt: tried, outcome });
    assert!(matches!(bench.dialog(), Dialog::Identity(_)));

    bench.press("y");
    let effects = bench.taken();
    let (again, trust) = attempt(&effects);
    assert_eq!(trust, Trust::Confirmed { fingerprint });
    assert_ne!(again, tried);
    let kept = effects.iter().any(|effect| match effect {
        Effect::Connect { login, .. } => login.password.as_ref().unwrap().reveal() == "word",
        _ => false,
    });
    assert!(kept, "the password is not asked for twice");

    bench.event(Event::Connection { attempt: again, outcome: ConnectOutcome::Open(live()) });
    assert!(bench.app.dialogs.is_empty());
    let effects = bench.taken();
    assert!(matches!(&effects[..], [Effect::List { pane: PaneId::Right, .. }, Effect::AskQuota]));
}

#[test]
fn what_failed_for_one_account_is_not_kept_for_another() {
    let mut bench = Bench::offline(&twelve());
    let now = bench.now;
    let open = |bench: &mut Bench, user: &str| {
        let server = Server { host: "box".to_owned(), port: 7227 };
        let account = Account { user: user.to_owned(), server };
        begin(
            &mut bench.app,
            Opening::Open { account, folder: RemotePath::home(), link: live() },
            now,
        );
    };
    open(&mut bench, "anna");
    bench.app.transfers.begin(BatchId(1), crate::app::testing::order(), now);
    let ended = Told::Summary { batch: BatchId(1), summary: Summary::default() };
    bench.app.transfers.apply(ended, now);
    open(&mut bench, "anna");
    assert!(!bench.app.transfers.is_empty());
    open(&mut bench, "bob");
    assert!(bench.app.transfers.is_empty());
}

#[test]
fn a_key_that_is_not_trusted_ends_the_attempt() {
    for no in ["n", "Enter", "Esc"] {
        let mut bench = asking();
        bench.press("w Enter");
        let (tried, _) = attempt(&bench.taken());
        let outcome = ConnectOutcome::IdentityUnknown { fingerprint: "SHA256:x".into() };
        bench.event(Event::Connection { attempt: tried, outcome });
        bench.press(no);
        assert_eq!(bench.taken(), [Effect::AbortConnect], "{no}");
        assert!(matches!(bench.dialog(), Dialog::Connect(dialog) if dialog.attempt.is_none()));
        assert_eq!(bench.app.connection, Connection::Absent);
    }
}

#[test]
fn a_wrong_password_is_asked_for_again() {
    let mut bench = asking();
    bench.press("w Enter");
    let (tried, _) = attempt(&bench.taken());
    let failure = Failure::new(Situation::LoginRefused, "anna@box");
    bench.event(Event::Connection { attempt: tried, outcome: ConnectOutcome::Failed(failure) });
    assert!(matches!(bench.dialog(), Dialog::Connect(dialog) if dialog.failure.is_some()));
    bench.press("r i g h t Enter");
    attempt(&bench.taken());
}

#[test]
fn a_late_outcome_of_an_attempt_given_up_changes_nothing() {
    let mut bench = asking();
    bench.press("w Enter");
    let (tried, _) = attempt(&bench.taken());
    bench.press("Esc");
    assert_eq!(bench.taken(), [Effect::AbortConnect]);
    bench.event(Event::Connection { attempt: tried, outcome: ConnectOutcome::Open(live()) });
    assert_eq!(bench.app.connection, Connection::Absent);
    assert_eq!(bench.taken(), []);
}

#[test]
fn without_a_connection_the_remote_pane_asks_for_one() {
    for keys in ["C", "Tab Enter"] {
        let mut bench = Bench::offline(&twelve());
        bench.press(keys);
        assert!(matches!(bench.dialog(), Dialog::Connect(_)), "{keys}");
    }
    let mut bench = Bench::offline(&twelve());
    bench.press("Down F5");
    assert_eq!(bench.taken(), []);
    assert!(bench.app.notice.is_some());
}

#[test]
fn a_lost_link_counts_down_and_goes_on_by_itself() {
    let mut bench = Bench::new(&twelve(), &[file("there", 1)]);
    let next = bench.now + Duration::from_secs(3);
    let reason = Failure::new(Situation::LinkLost, "box:7227");
    bench.event(Event::Link(LinkState::Reconnecting { attempt: 2, next, reason }));
    assert!(bench.app.connection.is_broken());
    assert_eq!(bench.app.connection.seconds_to_next_try(bench.now), Some(3));
    assert!(bench.app.wakes_at(bench.now).is_some(), "the countdown moves");
    bench.wait(Duration::from_millis(1500));
    assert_eq!(bench.app.connection.seconds_to_next_try(bench.now), Some(2));
    bench.press("Tab Down Up");
    assert_eq!(bench.right().rows().len(), 1, "what was read stays in view");

    bench.taken();
    bench.event(Event::Link(live()));
    assert!(!bench.app.connection.is_broken());
    let effects = bench.taken();
    assert!(matches!(&effects[..], [Effect::List { pane: PaneId::Right, .. }, Effect::AskQuota]));
    assert_eq!(bench.right().reading, Reading::Reloading);
}

#[test]
fn another_account_has_to_wait_for_what_runs() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("Down F5 C");
    assert!(bench.app.dialogs.is_empty());
    assert!(bench.app.notice.is_some());
}
