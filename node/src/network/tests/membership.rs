//! Who is there, as real nodes find out.

use tokio::runtime::{Builder, Runtime};

use super::fixture::{Node, knowing, memory, start, within};
use crate::PeerId;
use crate::members::{Health, Member, Settings, Sight};
use crate::network::{NetworkConfig, Role};

/// Twenty times as fast.
fn quick(config: NetworkConfig) -> NetworkConfig {
    let tag = [("zone".to_owned(), "test".to_owned())];
    NetworkConfig {
        members: Settings::scaled(20.0),
        tags: store::wire::member::Tags::new(tag).unwrap(),
        ..config
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

impl Node {
    async fn member(&self, peer: PeerId) -> Option<Member> {
        let (members, _) = self.network.members().await;
        members
            .into_iter()
            .find(|member| member.peer() == Some(peer))
    }

    /// Waits until it thinks so of `peer`.
    async fn thinks(&self, peer: PeerId, what: impl Fn(Health) -> bool) {
        within(async {
            while !self
                .member(peer)
                .await
                .is_some_and(|member| what(member.health))
            {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Waits until it is connected to so many members, and has probed each.
    async fn knows(&self, count: usize) -> Sight {
        within(async {
            loop {
                let (members, sight) = self.network.members().await;
                let others = members.iter().filter(|member| !member.local);
                if others.filter(|member| member.rtt.is_some()).count() == count {
                    return sight;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

#[test]
fn a_killed_member_is_gone_and_one_that_says_goodbye_has_left_at_once() {
    let (stays, ends) = (runtime(), runtime());
    let (a, b) = stays.block_on(async {
        let a = start(quick(memory())).await;
        let b = start(quick(knowing(&a).await)).await;
        (a, b)
    });
    // C knows A only, and comes to know B by what A tells.
    let to_a = stays.block_on(knowing(&a));
    let c = ends.block_on(start(quick(to_a)));
    let killed = c.network.peer_id();
    stays.block_on(async {
        let sight = a.knows(2).await;
        assert_eq!((sight.usual, sight.in_sight), (3, 3));
        b.knows(2).await;
        let told = a.member(killed).await.unwrap().record;
        assert_eq!(told.tags.get("zone"), Some("test"));
        assert!(!told.addresses.is_empty());
    });
    ends.block_on(c.knows(2));

    // As by SIGKILL: no task of it runs any more.
    ends.shutdown_background();
    stays.block_on(async {
        let gone = |health| matches!(health, Health::Gone(_));
        a.thinks(killed, gone).await;
        b.thinks(killed, gone).await;
        let (_, sight) = a.network.members().await;
        assert_eq!((sight.usual, sight.in_sight, sight.vanished), (3, 2, 1));

        let left = b.network.peer_id();
        b.stop().await;
        // It told so before it was gone, so there is nothing to wait for.
        let health = a.member(left).await.unwrap().health;
        assert!(matches!(health, Health::Left(_)), "{health:?}");
    });
    drop(c);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_is_the_same_member() {
    let a = start(quick(memory())).await;
    let b = start(quick(knowing(&a).await)).await;
    let peer = b.network.peer_id();
    a.knows(1).await;
    let version = a.member(peer).await.unwrap().record.version;
    let home = b.stop().await;
    a.thinks(peer, |health| matches!(health, Health::Left(_)))
        .await;
    let b = home.start(quick(knowing(&a).await)).await;
    a.thinks(peer, |health| health == Health::Alive).await;
    assert!(a.member(peer).await.unwrap().record.version > version);
    drop(b);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_no_members() {
    let a = start(quick(memory())).await;
    let b = start(quick(knowing(&a).await)).await;
    let client = start(NetworkConfig {
        role: Role::Client,
        ..quick(knowing(&a).await)
    })
    .await;
    client.connected(1).await;
    a.knows(1).await;
    b.knows(1).await;
    assert!(a.member(client.network.peer_id()).await.is_none());
}
