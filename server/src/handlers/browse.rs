//! Looking at a home.

use futures_util::{StreamExt, stream};
use sampan_protocol::limits::MAX_PACK_MEMBERS;
use sampan_protocol::message::{
    List, ListPage, Stat, StatAnswer, StatMany, StatManyPage, StatResult,
};
use serde_bytes::ByteBuf;

use super::{Outcome, at_most, refusal_in_row};
use crate::context::Context;
use crate::session::{Answer, Answers};
use crate::store;

/// Results in one frame: with their versions far below what a header may have.
const RESULTS_PER_PAGE: usize = 256;

/// Files that are looked at side by side: what a disk's queue likes.
const STATS_AT_ONCE: usize = 8;

pub(crate) async fn stat(context: Context, request: Stat) -> Outcome<StatAnswer> {
    let attributes = context.store().stat(context.account(), &request.path).await?;
    Ok(StatAnswer { attributes })
}

pub(crate) async fn stat_many(
    context: Context,
    request: StatMany,
    mut answers: Answers<StatMany>,
) -> Outcome<Answer<StatManyPage>> {
    at_most(request.paths.len() as u64, MAX_PACK_MEMBERS as u64, "paths of one request")?;
    let context = &context;
    let mut pages = stream::iter(request.paths.into_iter().enumerate())
        .map(async |(index, path)| {
            let index = u32::try_from(index).expect("so many paths fit into no frame");
            match context.store().stat(context.account(), &path).await {
                Ok(attributes) => StatResult { index, attributes: Some(attributes), refusal: None },
                Err(error) => {
                    let refusal = Some(refusal_in_row(error));
                    StatResult { index, attributes: None, refusal }
                }
            }
        })
        .buffered(STATS_AT_ONCE)
        .chunks(RESULTS_PER_PAGE);
    let mut last = StatManyPage { results: Vec::new() };
    while let Some(results) = pages.next().await {
        let full = std::mem::replace(&mut last, StatManyPage { results });
        if !full.results.is_empty() {
            answers.send(full).await?;
        }
    }
    Ok(last.into())
}

/// Pages go out as the directory is read; the last frame is an empty page.
pub(crate) async fn list(
    context: Context,
    request: List,
    mut answers: Answers<List>,
) -> Outcome<Answer<ListPage>> {
    let cursor = request.cursor.as_ref().map(|cursor| cursor.as_slice());
    let mut pages = context.store().list(context.account(), &request.path, cursor).await?;
    while let Some(page) = pages.recv().await {
        let store::ListPage { entries, cursor, unreadable } = page?;
        if entries.is_empty() && unreadable == 0 {
            // All that it named is gone; only the last page is empty.
            continue;
        }
        let cursor = Some(ByteBuf::from(cursor));
        answers.send(ListPage { entries, cursor, unreadable }).await?;
    }
    Ok(ListPage { entries: Vec::new(), cursor: None, unreadable: 0 }.into())
}
