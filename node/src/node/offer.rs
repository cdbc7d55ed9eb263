//! What this node offers the swarm: the space that it has, and how busy it is. Looked at now and then, and told
//! by its member record.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use store::repo::Repo;

use crate::members::Offer;
use crate::metrics::OUT;
use crate::network::Network;
use crate::node::room::Room;

/// Between two looks: records tell of it in steps, and seldom.
const PAUSE: Duration = Duration::from_secs(15);

/// Tells it until the swarm ends.
pub(super) async fn tell(network: Network, repo: Weak<Repo>, room: Arc<Room>) {
    let bytes = || {
        network
            .metrics()
            .swarm()
            .exchange_bytes
            .get_or_create(&OUT)
            .get()
    };
    let mut last = (Instant::now(), bytes());
    loop {
        let Some(repo) = repo.upgrade() else {
            return;
        };
        // On a thread that may block: it asks the database and the file system.
        let room = Arc::clone(&room);
        let look = move || room.count(&repo).and_then(|()| room.look(&repo));
        let space = tokio::task::spawn_blocking(look).await;
        let now = (Instant::now(), bytes());
        let (time, served) = (now.0 - last.0, now.1.saturating_sub(last.1));
        last = now;
        match space {
            Ok(Ok((capacity, free))) => {
                let served = served.checked_div(time.as_secs()).unwrap_or(0);
                network
                    .offer(Offer {
                        capacity,
                        free,
                        served,
                    })
                    .await;
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot look how much space there is; it is tried again");
            }
            // The runtime is ending.
            Err(_) => return,
        }
        tokio::select! {
            () = network.closed() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}
