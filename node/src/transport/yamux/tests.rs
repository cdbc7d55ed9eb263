use futures::future::poll_fn;
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt};
use libp2p::yamux;

use super::super::tests::{pipe, run};
use super::*;

/// More than a stream's first window, so that windows have to be opened anew.
const BYTES: usize = 3 << 20;
const STREAMS: u8 = 4;

/// Each end opens streams, sends on each what only it sends, and reads all that the other sends.
async fn trade(near: StreamMuxerBox, far: StreamMuxerBox) {
    let ends = run([near, far], one_end).await;
    let sums = |ends: Vec<Vec<u8>>| {
        let mut firsts: Vec<_> = ends
            .iter()
            .map(|bytes| {
                assert!(bytes.len() == BYTES && bytes.iter().all(|byte| *byte == bytes[0]));
                bytes[0]
            })
            .collect();
        firsts.sort_unstable();
        firsts
    };
    let all: Vec<u8> = (0..STREAMS).collect();
    assert_eq!(ends.map(sums), [all.clone(), all]);
}

async fn one_end(muxer: super::super::tests::Shared) -> Vec<Vec<u8>> {
    let send = async {
        for number in 0..STREAMS {
            let mut stream = muxer.open().await;
            stream.write_all(&vec![number; BYTES]).await.unwrap();
            stream.close().await.unwrap();
        }
    };
    let receive = async {
        let mut all = Vec::new();
        for _ in 0..STREAMS {
            let mut bytes = Vec::new();
            muxer.take().await.read_to_end(&mut bytes).await.unwrap();
            all.push(bytes);
        }
        all
    };
    futures::join!(send, receive).1
}

#[tokio::test]
async fn trades_with_its_like() {
    let (near, far) = pipe();
    trade(
        StreamMuxerBox::new(Yamux::start(near, Mode::Client)),
        StreamMuxerBox::new(Yamux::start(far, Mode::Server)),
    )
    .await;
}

#[tokio::test]
async fn dials_stock() {
    let (near, far) = pipe();
    let stock = yamux::Config::default().upgrade_inbound(far, "/yamux/1.0.0");
    trade(
        StreamMuxerBox::new(Yamux::start(near, Mode::Client)),
        StreamMuxerBox::new(stock.await.unwrap()),
    )
    .await;
}

#[tokio::test]
async fn is_dialed_by_stock() {
    let (near, far) = pipe();
    let stock = yamux::Config::default().upgrade_outbound(near, "/yamux/1.0.0");
    trade(
        StreamMuxerBox::new(stock.await.unwrap()),
        StreamMuxerBox::new(Yamux::start(far, Mode::Server)),
    )
    .await;
}

#[tokio::test]
async fn bulk_goes_in_frames_of_64_kib() {
    let (near, mut far) = pipe();
    let mut muxer = Yamux::start(near, Mode::Client);
    let mut stream = poll_fn(|context| muxer.poll_outbound_unpin(context))
        .await
        .unwrap();
    let write = async {
        stream.write_all(&vec![7; 2 * FRAME]).await.unwrap();
        futures::future::pending::<()>().await;
    };
    let drive = poll_fn(|context| muxer.poll_unpin(context).map(|_| ()));
    let read = async {
        let mut payloads = Vec::new();
        while payloads.len() < 2 {
            // yamux' spec.md: version, type, flags (2), stream (4), length (4), big endian.
            let mut header = [0; 12];
            far.read_exact(&mut header).await.unwrap();
            let length = u32::from_be_bytes(header[8..].try_into().unwrap());
            if header[1] == 0 && length > 0 {
                far.read_exact(&mut vec![0; length as usize]).await.unwrap();
                payloads.push(length as usize);
            }
        }
        payloads
    };
    tokio::select! {
        () = write => unreachable!("it waits for ever"),
        () = drive => panic!("the connection ended"),
        payloads = read => assert_eq!(payloads, [FRAME, FRAME]),
    }
}
