//! A lane against an answerer at the other end of a pipe.

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use store::Cid;
use store::wire::{Ask, Extent, Leaf, MAX_REQUEST_SIZE, Part, Urgency};
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::*;
use crate::framing::read_message;
use crate::metrics::Metrics;

/// The far end: reads what is asked, writes what the test says.
struct Answerer {
    io: Compat<DuplexStream>,
}

impl Answerer {
    async fn asked(&mut self) -> Ask {
        read_message(&mut self.io, MAX_REQUEST_SIZE, Ask::decode)
            .await
            .unwrap()
    }

    async fn get(&mut self) -> u64 {
        match self.asked().await {
            Ask::Get { id, .. } => id,
            Ask::Cancel { .. } => panic!("a Get was expected"),
        }
    }

    async fn answer(&mut self, id: u64, response: Response) {
        let encoded = Part { id, response }.encode().unwrap();
        self.io.write_all(&encoded.head).await.unwrap();
        for block in encoded.payload {
            self.io.write_all(&block).await.unwrap();
        }
        self.io.flush().await.unwrap();
    }
}

struct Near {
    orders: mpsc::Sender<Order>,
    lanes: Lanes,
    peer: PeerId,
    run: JoinHandle<()>,
}

impl Near {
    fn get(&self, id: u64, leaves: u32) -> Parts {
        let (to_parts, parts) = mpsc::channel(leaves as usize + 1);
        let order = Order::Get {
            id,
            request: request(leaves),
            parts: to_parts,
        };
        self.orders.try_send(order).unwrap();
        let orders = Some(self.orders.clone());
        Parts {
            parts,
            cancel: Cancel { orders, id },
        }
    }
}

fn lane() -> (Near, Answerer) {
    lane_closing_after(Duration::from_secs(60))
}

fn lane_closing_after(idle: Duration) -> (Near, Answerer) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (orders, mut queue) = mpsc::channel(8);
    let (peer, lanes) = (PeerId::random(), Lanes::default());
    let kept = Lane {
        orders: orders.clone(),
        next: Arc::default(),
    };
    lock(&lanes).insert(peer, kept);
    let ours = Arc::clone(&lanes);
    let run = tokio::spawn(async move {
        let (reader, writer) = near.compat().split();
        let lane = lane::Conversation {
            peer,
            lanes: ours,
            metrics: Metrics::default(),
            idle,
            pending: lane::Pending::new(),
            throttle: Bandwidth::default().download(peer),
        };
        lane.run(reader, writer, &mut queue).await;
    });
    let near = Near {
        orders,
        lanes,
        peer,
        run,
    };
    (near, Answerer { io: far.compat() })
}

fn request(count: u32) -> Request {
    let node: Cid = store::cid::parse("bafkqabtimvwgy3yk").unwrap();
    let (first, max_bytes, urgency) = (0, 1 << 20, Urgency::Download);
    Request::Get {
        root: node,
        extents: vec![Extent { node, first, count }],
        max_bytes,
        urgency,
    }
}

fn leaves(count: u8) -> Response {
    let leaf = |byte| Leaf::Have(vec![byte; 3].into());
    Response::Leaves((0..count).map(leaf).collect())
}

#[tokio::test]
async fn answers_come_in_parts_between_each_other() {
    let (near, mut far) = lane();
    let (mut one, mut two) = (near.get(1, 3), near.get(2, 1));
    assert_eq!((far.get().await, far.get().await), (1, 2));
    far.answer(1, leaves(2)).await;
    far.answer(2, leaves(1)).await;
    far.answer(1, Response::Leaves(vec![Leaf::Cut])).await;
    assert_eq!(one.next().await, Some(Ok(leaves(2))));
    assert_eq!(
        one.next().await,
        Some(Ok(Response::Leaves(vec![Leaf::Cut])))
    );
    assert_eq!(one.next().await, None);
    assert_eq!(two.next().await, Some(Ok(leaves(1))));
    assert_eq!(two.next().await, None);
}

#[tokio::test]
async fn what_is_not_wanted_any_more_is_cancelled() {
    let (near, mut far) = lane();
    let one = near.get(1, 3);
    assert_eq!(far.get().await, 1);
    one.cancel().from(2);
    assert_eq!(far.asked().await, Ask::Cancel { id: 1, from: 2 });
    drop(one);
    assert_eq!(far.asked().await, Ask::Cancel { id: 1, from: 0 });
    // One that is over is not cancelled: the next that is asked is the next request.
    far.answer(1, Response::Leaves(vec![Leaf::Cut; 3])).await;
    let mut two = near.get(2, 1);
    assert_eq!(far.get().await, 2);
    far.answer(2, Response::NotFound).await;
    assert_eq!(two.next().await, Some(Ok(Response::NotFound)));
    assert_eq!(two.next().await, None);
    drop(two);
    let _three = near.get(3, 1);
    assert_eq!(far.get().await, 3);
}

#[tokio::test]
async fn a_reader_that_stands_still_holds_up_nobody() {
    let (near, mut far) = lane();
    let (_standing, mut other) = (near.get(1, 4096), near.get(2, 1));
    assert_eq!((far.get().await, far.get().await), (1, 2));
    for _ in 0..4096 / 4 {
        far.answer(1, leaves(4)).await;
    }
    far.answer(2, leaves(1)).await;
    assert_eq!(other.next().await, Some(Ok(leaves(1))));
}

/// Breaks the protocol in one way: what all requests under way hear of it.
async fn violation(id: u64, response: Response) -> Option<Result<Response, RequestError>> {
    let (near, mut far) = lane();
    let (mut one, mut two) = (near.get(1, 2), near.get(2, 2));
    assert_eq!((far.get().await, far.get().await), (1, 2));
    far.answer(id, response).await;
    let (heard, too) = (one.next().await, two.next().await);
    assert!(
        matches!(&too, Some(Err(RequestError::Malformed { .. }))),
        "{too:?}"
    );
    near.run.await.unwrap();
    heard
}

#[tokio::test]
async fn whoever_breaks_the_protocol_is_heard_no_more() {
    let malformed = |heard: &Option<_>| matches!(heard, Some(Err(RequestError::Malformed { .. })));
    assert!(malformed(&violation(7, leaves(1)).await), "of no request");
    assert!(malformed(&violation(1, leaves(3)).await), "too many leaves");
    assert!(malformed(&violation(1, leaves(0)).await), "an empty part");
    assert!(
        malformed(&violation(1, Response::Have(Vec::new())).await),
        "of another question"
    );
}

#[tokio::test]
async fn a_stream_that_ends_fails_what_is_under_way() {
    let (near, mut far) = lane();
    let mut one = near.get(1, 2);
    assert_eq!(far.get().await, 1);
    drop(far);
    let peer = near.peer;
    assert_eq!(
        one.next().await,
        Some(Err(RequestError::ConnectionClosed { peer }))
    );
    near.run.await.unwrap();
}

#[tokio::test]
async fn a_lane_without_orders_closes() {
    let (near, mut far) = lane_closing_after(Duration::from_millis(1));
    let mut one = near.get(1, 1);
    assert_eq!(far.get().await, 1);
    far.answer(1, leaves(1)).await;
    assert_eq!(
        one.next().await,
        Some(Ok(leaves(1))),
        "not while something is under way"
    );
    near.run.await.unwrap();
    assert!(lock(&near.lanes).is_empty());
    let mut rest = Vec::new();
    assert_eq!(
        far.io.read_to_end(&mut rest).await.unwrap(),
        0,
        "the stream is closed"
    );
}
