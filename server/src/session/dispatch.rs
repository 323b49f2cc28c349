//! Which operation is whose: one line each.

use std::marker::PhantomData;

use sampan_protocol::message::{Op, Request};
use sampan_protocol::wire::decode_args;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::answers::{Answer, Answers, Part, Parts};
use super::reply;
use super::serving::{Ended, Incoming, Route, Serving};
use crate::context::Context;
use crate::handlers::{Outcome, browse, change, download, keys, link, pack, quota, upload};

/// Frames of one request that may wait for its handler.
const PARTS: usize = 4;

impl Serving {
    /// Starts the handler of a request.
    pub(super) async fn dispatch(&mut self, request: Incoming<'_>) -> Result<(), Ended> {
        match request.lane.op {
            Op::PING => self.whole(request, link::ping).await,
            Op::ENROL_KEY => self.whole(request, keys::enrol).await,
            Op::REVOKE_KEY => self.whole(request, keys::revoke).await,
            Op::LIST_KEYS => self.whole(request, keys::list).await,

            Op::STAT => self.whole(request, browse::stat).await,
            Op::STAT_MANY => self.streamed(request, browse::stat_many).await,
            Op::LIST => self.streamed(request, browse::list).await,

            Op::MKDIR => self.whole(request, change::mkdir).await,
            Op::RENAME => self.whole(request, change::rename).await,
            Op::REMOVE => self.whole(request, change::remove).await,
            Op::SET_ATTRIBUTES => self.whole(request, change::set_attributes).await,

            Op::OPEN_UPLOAD => self.whole(request, upload::open).await,
            Op::WRITE_BLOCK => self.parted(request, Route::Block, upload::write_block).await,
            Op::COMMIT_UPLOAD => self.whole(request, upload::commit).await,
            Op::ABORT_UPLOAD => self.whole(request, upload::abort).await,
            Op::UPLOAD_ROW => self.streamed(request, upload::row).await,
            Op::LIST_UPLOADS => self.streamed(request, upload::list).await,
            Op::COPY_BLOCK => self.whole(request, upload::copy_block).await,
            Op::PACK => self.parted(request, Route::Pack, pack::pack).await,

            Op::READ => self.streamed(request, download::read).await,
            Op::READ_ROW => self.streamed(request, download::read_row).await,
            Op::READ_PACK => self.streamed(request, download::read_pack).await,
            Op::SUM => self.whole(request, download::sum).await,

            Op::QUOTA => self.whole(request, quota::quota).await,
            Op::FITS => self.whole(request, quota::fits).await,

            Op::HELLO | Op::SCRAM_PROOF => self.broken(&request.lane, "logged in already").await,
            op => self.turn_away(&request.lane, request.is_last, reply::unsupported(op)).await,
        }
    }

    /// One frame asks, one answers.
    async fn whole<R, F>(
        &mut self,
        request: Incoming<'_>,
        handler: impl FnOnce(Context, R) -> F,
    ) -> Result<(), Ended>
    where
        R: Request + 'static,
        F: Future<Output = Outcome<R::Answer>> + Send + 'static,
    {
        let args = match whole_args(&request) {
            Ok(args) => args,
            Err(why) => return self.broken(&request.lane, &why).await,
        };
        let work = handler(self.context.clone(), args);
        self.start::<R, _>(request, async { Ok(work.await?.into()) });
        Ok(())
    }

    /// One frame asks, several answer.
    async fn streamed<R, F>(
        &mut self,
        request: Incoming<'_>,
        handler: impl FnOnce(Context, R, Answers<R>) -> F,
    ) -> Result<(), Ended>
    where
        R: Request + 'static,
        F: Future<Output = Outcome<Answer<R::Answer>>> + Send + 'static,
    {
        let args = match whole_args(&request) {
            Ok(args) => args,
            Err(why) => return self.broken(&request.lane, &why).await,
        };
        let answers = Answers { lane: request.lane.clone(), request: PhantomData };
        let work = handler(self.context.clone(), args, answers);
        self.start::<R, _>(request, work);
        Ok(())
    }

    /// Several frames ask, several answer.
    async fn parted<R, F>(
        &mut self,
        request: Incoming<'_>,
        route: impl FnOnce(mpsc::Sender<Part<R>>) -> Route,
        handler: impl FnOnce(Context, Parts<R>, Answers<R>) -> F,
    ) -> Result<(), Ended>
    where
        R: Request + 'static,
        F: Future<Output = Outcome<Answer<R::Answer>>> + Send + 'static,
    {
        let args = match decode_args(request.args) {
            Ok(args) => args,
            Err(error) => return self.broken(&request.lane, &error.to_string()).await,
        };
        let (sender, queue) = mpsc::channel(PARTS);
        let first = Part { args, body: request.body.clone(), is_last: request.is_last };
        if sender.try_send(first).is_err() {
            return Err(Ended::Broken);
        }
        if !request.is_last {
            self.routes.insert(request.lane.id, route(sender));
        }
        let answers = Answers { lane: request.lane.clone(), request: PhantomData };
        let work = handler(self.context.clone(), Parts { queue }, answers);
        self.start::<R, _>(request, work);
        Ok(())
    }

    fn start<R, F>(&mut self, request: Incoming<'_>, work: F)
    where
        R: Request + 'static,
        F: Future<Output = Outcome<Answer<R::Answer>>> + Send + 'static,
    {
        let Incoming { lane, permits, .. } = request;
        let task = async move {
            let done = reply::finish::<R>(lane, work.await).await;
            drop(permits);
            done
        };
        self.tasks.spawn(task.in_current_span());
    }
}

fn whole_args<R: Request>(request: &Incoming<'_>) -> Result<R, String> {
    if !request.is_last {
        return Err("the operation takes one frame".to_owned());
    }
    decode_args(request.args).map_err(|error| error.to_string())
}
