use sampan_protocol::frame::FrameLimits;
use sampan_protocol::message::{Pack, Ping, Stat, WriteBlock};
use sampan_protocol::testing::secured_pair;
use sampan_protocol::{ChangeKey, Epoch, InstanceId, Name, RemotePath, UploadId};

use super::*;

const HASTY: Patience = Patience {
    ping: Duration::from_millis(50),
    idle: Duration::from_millis(50),
    silent: Duration::from_millis(100),
    dead: Duration::from_millis(400),
};

/// A connection with a peer that answers nothing, and the task that drives it.
async fn to_a_mute(
    patience: Patience,
) -> (Session, tokio::task::JoinHandle<Ended>, FrameReader, FrameWriter) {
    let (mut client, mut server) = secured_pair().await;
    client.writer.set_limits(FrameLimits::AFTER_LOGIN);
    server.reader.set_limits(FrameLimits::AFTER_LOGIN);
    let (session, driver) = connection(client.reader, client.writer, patience);
    (session, tokio::spawn(driver.run()), server.reader, server.writer)
}

/// The peer takes much longer over all of it than a silence may last, and says nothing; only
/// when it takes nothing any more is it dead.
#[tokio::test]
async fn a_slow_line_is_not_a_dead_one() {
    let (session, driving, mut reader, _writer) = to_a_mute(HASTY).await;
    let body = Bytes::from(vec![7; 1 << 20]);
    let frames = 24;
    let sending = tokio::spawn(async move {
        let mut call = session.begin::<Ping>(1)?;
        for _ in 0..frames {
            call.send(&Ping {}, body.clone(), false).await?;
        }
        call.answers().next().await.map(drop)
    });
    let began = Instant::now();
    let mut taken = 0;
    let mut ticks = tokio::time::interval(HASTY.dead / 4);
    while taken < frames {
        ticks.tick().await;
        let frame = reader.next().await.unwrap().expect("the line is slow, not dead");
        taken += usize::from(!frame.body.is_empty());
    }
    assert!(began.elapsed() > 3 * HASTY.dead);
    // Now it is silent: the reader is there, and takes nothing.
    assert_eq!(driving.await.unwrap(), Ended::Dead);
    assert!(matches!(sending.await.unwrap(), Err(CallError::Lost)));
}

#[tokio::test]
async fn a_frame_that_is_too_long_fails_its_own_call_only() {
    let (session, _driving, mut reader, _writer) = to_a_mute(Patience::default()).await;
    let name = Name::new(&[b'x'; 255]).unwrap();
    let path = RemotePath::from_names(vec![name; 15]).unwrap();
    let paths = vec![path; 300];
    let long = sampan_protocol::message::StatMany { paths };
    let Err(CallError::Refused(refusal)) = session.call(&long).await else {
        panic!("a header over the limit must be refused");
    };
    assert_eq!(refusal.code, ErrorCode::LIMIT_EXCEEDED);
    let asking = session.stream(&Stat { path: RemotePath::home() }, 1).await.unwrap();
    let frame = reader.next().await.unwrap().unwrap();
    assert_eq!(Envelope::decode(&frame.header).unwrap().op, Op::STAT);
    drop(asking);
}

/// The server waits for the rest of a request: one whose sender went away is ended, also when the
/// queue is full, and no other request on the connection is hurt.
#[tokio::test]
async fn a_block_that_is_given_up_in_the_middle_is_ended() {
    let (session, _driving, mut reader, _writer) = to_a_mute(Patience::default()).await;
    let (upload, epoch) = (UploadId(7), Epoch(1));
    let piece = WriteBlock { upload, epoch, block: 3, offset: 0, hash: None };
    let body = Bytes::from(vec![7; 1 << 20]);
    let sending = async {
        let mut call = session.begin::<WriteBlock>(1).unwrap();
        // More than all buffers take.
        for _ in 0..1000 {
            call.send(&piece, body.clone(), false).await.unwrap();
        }
    };
    let filled = tokio::time::timeout(Duration::from_millis(500), sending).await;
    assert!(filled.is_err(), "it takes everything");
    let mut ended = None;
    while ended.is_none() {
        let frame = reader.next().await.unwrap().unwrap();
        let envelope = Envelope::decode(&frame.header).unwrap();
        assert_eq!(envelope.op, Op::WRITE_BLOCK);
        ended = (envelope.flags == Flags::REQUEST).then_some(frame.body.len());
    }
    assert_eq!(ended, Some(0), "nothing more of the block");
    let _asking = session.stream(&Ping {}, 1).await.unwrap();
    let frame = reader.next().await.unwrap().unwrap();
    assert_eq!(Envelope::decode(&frame.header).unwrap().op, Op::PING);
}

/// A last frame would have it published: what was given up must not be.
#[tokio::test]
async fn a_pack_that_is_given_up_in_the_middle_ends_with_its_connection() {
    let (session, driving, mut reader, _writer) = to_a_mute(Patience::default()).await;
    let change = ChangeKey { instance: InstanceId([1; 16]), sequence: 1, answered: 0 };
    let mut call = session.begin::<Pack>(1).unwrap();
    let pack = Pack { change, members: Vec::new() };
    call.send(&pack, Bytes::new(), false).await.unwrap();
    let frame = reader.next().await.unwrap().unwrap();
    assert_eq!(Envelope::decode(&frame.header).unwrap().flags, Flags::NONE);
    drop(call);
    assert_eq!(driving.await.unwrap(), Ended::Closed);
    let frame = reader.next().await.unwrap().unwrap();
    assert_eq!(Envelope::decode(&frame.header).unwrap().op, Op::GOODBYE);
    assert!(reader.next().await.unwrap().is_none());
}
