//! `sampan uploads`: what is unfinished and holds quota, and how to give it up.

use std::ffi::OsString;
use std::slice;

use sampan_protocol::message::{AbortUpload, ListUploads, Unfinished};
use sampan_protocol::{RemotePath, UploadId};

use super::args::Uploads;
use super::exit::Code;
use super::operands::Places;
use super::output::Output;
use super::report::Report;
use super::{Stop, json, session};
use crate::catalogue::cli as text;
use crate::failure::{Failure, Side, Situation};
use crate::remote::{CallError, Remote};

/// Pages of unfinished uploads that may wait to be printed.
const PAGES: usize = 2;

/// Lists the unfinished uploads, or gives up those that are named.
pub(super) async fn run(uploads: Uploads) -> Result<Code, Stop> {
    let Some((place, ids)) = uploads.operands.split_last() else {
        return Err(Stop::Usage(text::no_place()));
    };
    let ids = read_ids(ids, uploads.abort)?;
    let Places { account, places } = Places::read(slice::from_ref(place), uploads.link.port)?;
    let below = places.into_iter().next().map_or_else(RemotePath::home, |(_, path)| path);
    let remote = session::connect(&account, &uploads.link).await?;
    let mut report = Report::new(Some(&account), Side::Remote);
    if uploads.abort {
        // Giving up is the same whether the upload is there or not, so that it may be repeated; a
        // person who mistypes a number wants to know.
        let there = unfinished(&remote, &RemotePath::home()).await?;
        for upload in ids {
            if !there.iter().any(|unfinished| unfinished.upload == upload) {
                report.failure(&Failure::new(Situation::NoSuchUpload, text::upload(upload)));
                continue;
            }
            let aborted = remote.change(|change| AbortUpload { change, upload }).await;
            if let Err(error) = aborted {
                report.failure(&error.about(text::upload(upload)));
            }
        }
    } else {
        list(&remote, &below, uploads.json).await?;
    }
    remote.close().await;
    Ok(report.code())
}

fn read_ids(ids: &[OsString], aborts: bool) -> Result<Vec<UploadId>, Stop> {
    if aborts == ids.is_empty() {
        return Err(Stop::Usage(text::ids_go_with_abort()));
    }
    let id = |written: &OsString| {
        let number = written.to_str().and_then(|text| text.parse().ok());
        number.map(UploadId).ok_or_else(|| Stop::Usage(text::no_upload_id(written)))
    };
    ids.iter().map(id).collect()
}

/// Those to a place, or to what is in it.
async fn unfinished(remote: &Remote, below: &RemotePath) -> Result<Vec<Unfinished>, Failure> {
    let pages = remote.persist(|session| async move {
        let mut answers = session.stream(&ListUploads {}, PAGES).await?;
        let mut uploads = Vec::new();
        while let Some((page, _)) = answers.next().await? {
            let meant = |upload: &Unfinished| upload.path == *below || upload.path.is_within(below);
            uploads.extend(page.uploads.into_iter().filter(meant));
        }
        Ok::<_, CallError>(uploads)
    });
    pages.await.map_err(|error| error.about(remote.account()))
}

async fn list(remote: &Remote, below: &RemotePath, as_json: bool) -> Result<(), Stop> {
    let mut output = Output::standard();
    for upload in unfinished(remote, below).await? {
        if as_json {
            output.line(&json::upload(&upload).to_string())?;
        } else {
            output.line(&text::unfinished(&upload))?;
        }
    }
    output.flush()
}
