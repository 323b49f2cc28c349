//! Changes that need no bulk. The store answers a repeated change with its first answer.

use std::time::Instant;

use sampan_protocol::Mode;
use sampan_protocol::message::{Changed, Mkdir, Remove, Removed, Rename, SetAttributes};

use super::{Outcome, target_of};
use crate::context::Context;
use crate::store;

pub(crate) async fn mkdir(context: Context, request: Mkdir) -> Outcome<Changed> {
    let Mkdir { change, path, parents, mode } = request;
    let mode = mode.unwrap_or(Mode::FOLDER);
    let folder = context.store().mkdir(context.account(), change, &path, parents, mode).await?;
    tracing::info!(%path, "made a folder");
    Ok(changed(&context, folder))
}

pub(crate) async fn rename(context: Context, request: Rename) -> Outcome<Changed> {
    let Rename { change, from, to, version, if_target } = request;
    let (shown_from, shown_to) = (from.to_string(), to.to_string());
    let rename = store::Rename { from, to, version, if_target: target_of(if_target) };
    let renamed = context.store().rename(context.account(), change, rename).await?;
    tracing::info!(path = shown_from, to = shown_to, "renamed");
    Ok(changed(&context, renamed))
}

pub(crate) async fn remove(context: Context, request: Remove) -> Outcome<Removed> {
    let Remove { change, path, recursive, version } = request;
    let started = Instant::now();
    let (store, account) = (context.store(), context.account());
    let removed = store.remove(account, change, &path, recursive, version.as_ref()).await?;
    let store::Removed { entries, bytes } = removed;
    let seconds = started.elapsed().as_secs_f64();
    tracing::info!(%path, entries, bytes, seconds, "removed");
    Ok(Removed { entries, bytes, durability: context.shared.durability() })
}

pub(crate) async fn set_attributes(context: Context, request: SetAttributes) -> Outcome<Changed> {
    let SetAttributes { change, path, mode, mtime } = request;
    let (store, account) = (context.store(), context.account());
    let set = store.set_attributes(account, change, &path, mode, mtime).await?;
    tracing::info!(%path, "set attributes");
    Ok(changed(&context, set))
}

fn changed(context: &Context, changed: store::Changed) -> Changed {
    Changed { attributes: changed.attributes, durability: context.shared.durability() }
}
