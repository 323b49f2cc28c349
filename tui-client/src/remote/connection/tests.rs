use sampan_protocol::frame::FrameLimits;
use sampan_protocol::message::{Ping, Stat};
use sampan_protocol::testing::secured_pair;
use sampan_protocol::{Name, RemotePath};

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
        let call = session.begin::<Ping>(1)?;
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
