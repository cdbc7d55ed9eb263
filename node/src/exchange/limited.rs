//! Bandwidth limits between whole nodes: bulk and whole answers count together.

use std::time::Instant;

use futures::future::{join, join_all};
use store::wire::{Extent, Request, Response, Urgency};

use super::bulk::Asker;
use super::whole::{add, bare, node};
use super::*;
use crate::transport::TransportKind;

const MIB: u64 = 1 << 20;
/// Bytes per second.
const LIMIT: u64 = 4 * MIB;
/// Bytes by bulk, and by whole answers.
const EACH: u64 = 6 * MIB;

fn limited(change: impl FnOnce(&mut store_config::Exchange)) -> Bandwidth {
    let mut config = store_config::Exchange::default();
    change(&mut config);
    Bandwidth::new(&config, || 0)
}

/// How long it takes to fetch [`EACH`] by bulk and as much by single answers, both at once.
async fn fetch(bandwidth: Bandwidth) -> f64 {
    let a = node(TransportKind::Memory, "/memory/0").await;
    let root = add(&a, EACH);
    let (network, _arrivals) = bare(TransportKind::Memory, "/memory/0").await;
    let peer = network
        .connect(a.network.addresses().await.remove(0))
        .await
        .unwrap();
    let asker = Asker::new(network, bandwidth, Reputation::default());
    let block = a.block(root, 0);
    let began = Instant::now();
    let whole = async {
        let request = || Request::Manifest {
            root: block,
            nodes: vec![block],
            max_bytes: u32::try_from(2 * MIB).unwrap(),
        };
        let mut bytes = 0;
        // Two at a time, as a session has them.
        while bytes < EACH {
            for answer in join_all((0..2).map(|_| asker.request(peer, request()))).await {
                bytes += answer.unwrap().payload_size() as u64;
            }
        }
        bytes
    };
    let bulk = async {
        let count = u32::try_from(EACH / MIB).unwrap();
        let (node, first) = (root, 0);
        let mut parts = asker.get(
            peer,
            Request::Get {
                root,
                extents: vec![Extent { node, first, count }],
                max_bytes: u32::try_from(EACH).unwrap(),
                urgency: Urgency::Download,
            },
        );
        let mut bytes = 0;
        while let Some(part) = parts.next().await {
            let part = part.unwrap();
            assert!(matches!(part, Response::Leaves(_)), "{part:?}");
            bytes += part.payload_size() as u64;
        }
        bytes
    };
    let (whole, bulk) = join(whole, bulk).await;
    assert_eq!((whole, bulk), (EACH, EACH));
    began.elapsed().as_secs_f64()
}

/// No more than the limit and a twentieth comes; that as much comes is `bandwidth::tests`' to show, for it
/// takes a machine that has nothing else to do.
#[tokio::test(flavor = "multi_thread")]
async fn download_limits_hold_for_bulk_and_answers_together() {
    let set = |change: fn(&mut store_config::Exchange)| limited(change);
    let all = set(|config| config.download_limit = "4MiB/s".parse().unwrap());
    let peer = set(|config| config.peer_download_limit = "4MiB/s".parse().unwrap());
    for took in join_all([fetch(all), fetch(peer)]).await {
        // The last block of either way has come when the next one would have to wait.
        let paid = 2 * EACH - 2 * MIB;
        let rate = paid as f64 / took;
        assert!(rate <= LIMIT as f64 * 1.05, "{rate} bytes per second");
    }
}
