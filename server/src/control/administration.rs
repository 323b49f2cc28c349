//! Carrying an administrator's request out.

use std::sync::Arc;

use sampan_protocol::Escaped;

use super::message::{
    AccountRow, AdminAnswer, AdminRefusal, AdminRequest, Limit, QuotaRow, RefusalKind, ScanRow,
    StatusRow, UnusualRow, UnusualRows,
};
use crate::account::AccountName;
use crate::context::Shared;
use crate::server::with_cause;
use crate::store::{
    Account, Accounts, HomeFound, NewAccount, Oddities, Oddity, OddityKind, QuotaLimits,
    ScanProgress, Scanned, Situation, Store, StoreError,
};

/// Does what administrators ask, on a store and, if one runs, on a server.
#[derive(Clone)]
pub struct Administration {
    store: Arc<dyn Store>,
    accounts: Arc<dyn Accounts>,
    live: Option<Arc<Shared>>,
}

/// Why not, inside this module.
enum Failed {
    Store(StoreError),
    Refused(AdminRefusal),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Administration {
    /// Without a server: on a folder that this process has claimed.
    pub fn direct(store: Arc<dyn Store>, accounts: Arc<dyn Accounts>) -> Self {
        Self { store, accounts, live: None }
    }

    /// In a running server.
    pub(crate) fn live(shared: Arc<Shared>) -> Self {
        let (store, accounts) = (Arc::clone(&shared.store), Arc::clone(&shared.accounts));
        Self { store, accounts, live: Some(shared) }
    }

    /// Carries a request out.
    pub async fn perform(&self, request: AdminRequest) -> AdminAnswer {
        self.perform_watched(request, Arc::default()).await
    }

    /// The same; says in `progress` how far the count of a home is. Whoever stops waiting ends such
    /// a count, and nothing is changed by it.
    pub async fn perform_watched(
        &self,
        request: AdminRequest,
        progress: Arc<ScanProgress>,
    ) -> AdminAnswer {
        let performed = match request {
            AdminRequest::AddUser { name, verifier, bytes, entries, take_home } => {
                let limits = QuotaLimits { bytes, entries };
                let verifier = verifier.into();
                self.add(NewAccount { name, verifier, limits, take_home }).await
            }
            AdminRequest::ListUsers => self.list().await,
            AdminRequest::SetPassword { name, verifier } => {
                self.change(&name, "password changed", async |account| {
                    self.accounts.set_verifier(account.id, verifier.into()).await.map(drop)
                })
                .await
            }
            AdminRequest::SetDisabled { name, disabled } => {
                let what = if disabled { "account disabled" } else { "account enabled" };
                self.change(&name, what, async |account| {
                    self.accounts.set_disabled(account.id, disabled).await.map(drop)
                })
                .await
            }
            AdminRequest::RemoveUser { name, purge } => self.remove(&name, purge).await,
            AdminRequest::SetQuota { name, bytes, entries } => {
                self.set_quota(&name, bytes, entries).await
            }
            AdminRequest::ShowQuota { name } => self.show_quota(name).await,
            AdminRequest::ScanQuota { name } => self.scan(name, progress).await,
            AdminRequest::Status => self.status().await,
        };
        performed.unwrap_or_else(|failed| AdminAnswer::Refused(refusal_of(failed)))
    }

    async fn add(&self, account: NewAccount) -> Result<AdminAnswer, Failed> {
        let name: AccountName = account.name.parse().map_err(|error| {
            Failed::Refused(AdminRefusal { kind: RefusalKind::Wrong, message: format!("{error}") })
        })?;
        let (_, found) = match self.accounts.add(account).await {
            Ok(added) => added,
            Err(error) => return Err(about(&name, error)),
        };
        let HomeFound { bytes, entries, oddities } = found;
        let unusual = oddities.count;
        tracing::info!(account = %name, bytes, entries, unusual, "account added");
        Ok(AdminAnswer::Added { bytes, entries, unusual: rows_of(oddities) })
    }

    async fn list(&self) -> Result<AdminAnswer, Failed> {
        let mut rows = Vec::new();
        for account in self.accounts.all().await? {
            let quota = self.quota_of(&account).await?;
            let Account { name, disabled, created, .. } = account;
            rows.push(AccountRow { name, disabled, created, quota });
        }
        Ok(AdminAnswer::Users(rows))
    }

    /// Changes what an account logs in with. First the store, which voids its keys, then its
    /// sessions: one that logs in between sees the change and ends itself.
    async fn change(
        &self,
        name: &str,
        what: &'static str,
        change: impl AsyncFnOnce(&Account) -> Result<(), StoreError>,
    ) -> Result<AdminAnswer, Failed> {
        let account = self.find(name).await?;
        change(&account).await?;
        self.end_sessions(&account);
        tracing::info!(account = account.name, "{what}");
        Ok(AdminAnswer::Done)
    }

    async fn remove(&self, name: &str, purge: bool) -> Result<AdminAnswer, Failed> {
        let account = self.find(name).await?;
        // Closed first, so that nobody writes into a home that goes.
        self.accounts.set_disabled(account.id, true).await?;
        self.end_sessions(&account);
        self.accounts.remove(account.id, purge).await?;
        self.end_sessions(&account);
        tracing::info!(account = account.name, purge, "account removed");
        Ok(AdminAnswer::Done)
    }

    async fn set_quota(
        &self,
        name: &str,
        bytes: Option<u64>,
        entries: Limit,
    ) -> Result<AdminAnswer, Failed> {
        let account = self.find(name).await?;
        let entries = match entries {
            Limit::Keep => account.limits.entries,
            Limit::Set(limit) => limit,
        };
        let limits = QuotaLimits { bytes, entries };
        let account = self.accounts.set_limits(account.id, limits).await?;
        tracing::info!(account = account.name, bytes, entries, "quota set");
        Ok(AdminAnswer::Quotas(vec![self.quota_of(&account).await?]))
    }

    async fn show_quota(&self, name: Option<String>) -> Result<AdminAnswer, Failed> {
        let accounts = match name {
            Some(name) => vec![self.find(&name).await?],
            None => self.accounts.all().await?,
        };
        let mut rows = Vec::new();
        for account in accounts {
            rows.push(self.quota_of(&account).await?);
        }
        Ok(AdminAnswer::Quotas(rows))
    }

    async fn quota_of(&self, account: &Account) -> Result<QuotaRow, StoreError> {
        let usage = self.store.usage(account.id).await?;
        Ok(QuotaRow {
            name: account.name.clone(),
            limit: usage.limits.bytes,
            used: usage.used,
            reserved: usage.reserved,
            max_files: usage.limits.entries,
            files: usage.entries,
            reserved_files: usage.reserved_entries,
            as_of: usage.as_of,
        })
    }

    async fn scan(&self, name: String, progress: Arc<ScanProgress>) -> Result<AdminAnswer, Failed> {
        let account = self.find(&name).await?;
        let scanned = self.store.scan(account.id, progress).await?;
        let Scanned { used_before, entries_before, used, entries, as_of, oddities } = scanned;
        let unusual = oddities.count;
        tracing::info!(
            account = name,
            used_before,
            entries_before,
            used,
            entries,
            unusual,
            "home counted"
        );
        Ok(AdminAnswer::Scanned(ScanRow {
            name,
            used,
            files: entries,
            used_before,
            files_before: entries_before,
            as_of,
            unusual: rows_of(oddities),
        }))
    }

    async fn status(&self) -> Result<AdminAnswer, Failed> {
        let staged = self.store.staged().await?;
        Ok(AdminAnswer::Status(StatusRow {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            accounts: self.accounts.all().await?.len() as u64,
            uploads: staged.uploads,
            staged: staged.bytes,
            sessions: self.live.as_ref().map(|live| live.sessions.count() as u64),
            uptime: self.live.as_ref().map(|live| live.started.elapsed().as_secs()),
        }))
    }

    async fn find(&self, name: &str) -> Result<Account, Failed> {
        self.accounts.find(name).await?.ok_or_else(|| {
            let name = name.escape_debug();
            let message = format!("there is no account `{name}`; `sampand user list` lists them");
            Failed::Refused(AdminRefusal { kind: RefusalKind::NotFound, message })
        })
    }

    fn end_sessions(&self, account: &Account) {
        if let Some(live) = &self.live {
            live.end_sessions(account.id);
        }
    }
}

fn rows_of(oddities: Oddities) -> UnusualRows {
    let row = |Oddity { path, kind }: Oddity| {
        let what = match kind {
            OddityKind::Unreadable => "may not be read: what is in it is not counted",
            OddityKind::Mount => "is a mount: what is mounted there is not counted",
            OddityKind::Link => "is a symbolic link: counts without bytes",
            OddityKind::Special => "is a socket, FIFO or device: counts without bytes",
        };
        UnusualRow { path: Escaped(&path).to_string(), what: what.to_owned() }
    };
    UnusualRows { named: oddities.found.into_iter().map(row).collect(), count: oddities.count }
}

/// A refusal that names the account it is about.
fn about(name: &AccountName, error: StoreError) -> Failed {
    let message = match &error {
        StoreError::Refused { situation: Situation::AccountExists, .. } => {
            format!("there is an account `{name}` already; choose another name")
        }
        StoreError::Refused { situation: Situation::HomeExists, .. } => {
            format!("homes/{name} lies there already: use --take-home to give it to the account")
        }
        _ => return Failed::Store(error),
    };
    Failed::Refused(AdminRefusal { kind: RefusalKind::Exists, message })
}

fn refusal_of(failed: Failed) -> AdminRefusal {
    let error = match failed {
        Failed::Refused(refusal) => return refusal,
        Failed::Store(error) => error,
    };
    let kind = match &error {
        StoreError::Refused { situation, .. } => match situation {
            Situation::AccountNotFound | Situation::NotFound => RefusalKind::NotFound,
            Situation::AccountExists | Situation::HomeExists | Situation::Exists => {
                RefusalKind::Exists
            }
            Situation::PermissionDenied | Situation::AccountBeingRemoved => RefusalKind::NotAllowed,
            Situation::DiskFull => RefusalKind::NoSpace,
            _ => RefusalKind::Wrong,
        },
        _ => RefusalKind::Failed,
    };
    AdminRefusal { kind, message: with_cause(&error) }
}
