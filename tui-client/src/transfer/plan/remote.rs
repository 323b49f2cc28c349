//! Looking at the server while planning.

use std::collections::HashMap;
use std::sync::Arc;

use sampan_protocol::limits::MAX_PACK_MEMBERS;
use sampan_protocol::message::{StatMany, StatResult};
use sampan_protocol::{Attributes, ErrorCode, Name, RemotePath};

use crate::failure::{Failure, Situation};
use crate::remote::{AskedResults, CallError, Remote, Session, persist_on, refused};
use crate::transfer::job::Context;

/// Frames of an answer that may wait.
const FRAMES: usize = 8;

/// A folder's entries by name.
pub(super) type Entries = HashMap<Name, Attributes>;

/// What lies at each of `paths`; `None` where nothing does.
pub(super) async fn look_at_many(
    remote: &Remote,
    paths: &[RemotePath],
) -> Vec<Result<Option<Attributes>, Failure>> {
    let mut looks = Vec::with_capacity(paths.len());
    for paths in paths.chunks(MAX_PACK_MEMBERS) {
        let request = StatMany { paths: paths.to_vec() };
        let stat = |session: Session| stat_many(session, &request);
        match persist_on(&remote.control(), stat).await {
            Ok(found) => {
                let found = paths.iter().zip(found);
                looks.extend(found.map(|(path, found)| {
                    found.map_err(|situation| Failure::new(situation, remote.show(path)))
                }));
            }
            Err(error) => {
                let failed = |path| Err(error.clone().about(remote.show(path)));
                looks.extend(paths.iter().map(failed));
            }
        }
    }
    looks
}

async fn stat_many(
    session: Session,
    request: &StatMany,
) -> Result<Vec<Result<Option<Attributes>, Situation>>, CallError> {
    let unsaid = || Err(Situation::Unexpected("the server did not say what is there".to_owned()));
    let mut answers = session.stream(request, FRAMES).await?;
    let mut asked = AskedResults::new(request.paths.len());
    while let Some((page, _)) = answers.next().await? {
        asked.take(page.results.into_iter().map(|result| (result.index, result)))?;
    }
    let look = |result: Option<StatResult>| {
        let Some(StatResult { attributes, refusal, .. }) = result else { return unsaid() };
        match (attributes, refusal) {
            (Some(attributes), _) => Ok(Some(attributes)),
            (None, Some(refusal)) if refusal.code == ErrorCode::NOT_FOUND => Ok(None),
            (None, Some(refusal)) => Err(refused(&refusal)),
            (None, None) => unsaid(),
        }
    };
    Ok(asked.into_results().into_iter().map(look).collect())
}

/// A folder's entries by name; `None` if there is no such folder.
pub(super) async fn entries_if_there(
    context: Arc<Context>,
    path: RemotePath,
) -> Result<Option<Entries>, Failure> {
    match context.remote.list_all(&path).await {
        Ok((entries, _)) => {
            Ok(Some(entries.into_iter().map(|entry| (entry.name, entry.attributes)).collect()))
        }
        Err(failure) if matches!(failure.situation, Situation::NotFound(_)) => Ok(None),
        Err(failure) => Err(failure),
    }
}
