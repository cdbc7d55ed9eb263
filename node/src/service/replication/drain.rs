//! `drain`: a node that is to be taken out tells the others, and waits until nothing on it is needed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use store::Cid;
use store::pin;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::conversation::{Gone, Speaker, failure, watch};
use crate::api::message::{
    DrainChange, Drained, Event, Failure, FailureKind, Item, Obstacle, Phase, StuckContent,
};
use crate::draining;
use crate::node::Joined;
use crate::replication::report::Draining;
use crate::replication::{Replication, ReplicationError};
use crate::service::Service;

/// Between two looks how far it is.
const LOOK: Duration = Duration::from_millis(500);
/// Contents that are nowhere else, named.
const NAMED: usize = 16;

impl Service {
    pub(super) fn drain(&self, change: DrainChange, speaker: &Speaker) -> Result<(), Failure> {
        match change {
            DrainChange::Begin { timeout } => self.begin_drain(timeout, speaker),
            DrainChange::Show => {
                let (joined, replication) = self.member()?;
                let seen = joined.wait_for(replication.drain(false))?;
                if !seen.is_leaving {
                    speaker.item(Item::Drained(Box::default()))?;
                    return Err(failure(FailureKind::NotFound, "this node is not draining")
                        .with_hint("`store drain` begins"));
                }
                self.tell_drained(&joined, &seen, None, speaker)
            }
            DrainChange::Cancel => {
                draining::end(&self.repo)?;
                if let Some(joined) = self.joining.node() {
                    joined.wait_for(joined.set_leaving(false));
                }
                speaker.item(Item::Drained(Box::default()))?;
                Ok(())
            }
        }
    }

    fn begin_drain(&self, timeout: Option<Duration>, speaker: &Speaker) -> Result<(), Failure> {
        let (joined, replication) = self.member()?;
        let swarm = self.network_name(self.swarm_key()?.as_ref());
        // On disk first: who is told that it goes must not see it come back otherwise.
        draining::begin(&self.repo, &swarm)?;
        let seen = Arc::new(Mutex::new(Draining::default()));
        let tick = || {
            let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            Some(waiting(&seen))
        };
        let cancel = CancellationToken::new();
        let wait = || {
            let told = joined.set_leaving(true);
            // The timer needs the runtime from its beginning.
            joined.wait_for(async {
                let deadline = timeout.map(|timeout| Instant::now() + timeout);
                let wait = async {
                    // Who knows gives up no copy for ours. Only then is asked what they have.
                    told.await;
                    wait(&replication, deadline, &seen).await
                };
                cancel.run_until_cancelled(wait).await
            })
        };
        let seen = watch(speaker, tick, || cancel.cancel(), wait).ok_or(Gone)??;
        self.tell_drained(&joined, &seen, timeout, speaker)
    }

    fn tell_drained(
        &self,
        joined: &Joined,
        seen: &Draining,
        timeout: Option<Duration>,
        speaker: &Speaker,
    ) -> Result<(), Failure> {
        let (count, first) = self.only_here(joined)?;
        let told = Drained::of(seen, count, first);
        let failure = incomplete(&told, seen.is_over, timeout);
        speaker.item(Item::Drained(Box::new(told)))?;
        failure.map_or(Ok(()), Err)
    }

    /// Contents that are pinned here, and that nobody wants copies of: how many, and the first.
    fn only_here(&self, joined: &Joined) -> Result<(usize, Vec<Cid>), Failure> {
        let (mut count, mut first) = (0, Vec::new());
        let (now, wanted) = (pin::now(), joined.pins());
        let mut failed = None;
        self.repo.pins().for_each(&mut |pin| {
            let policy = wanted.as_ref().map(|it| it.policy(&pin.root, now));
            match policy.transpose() {
                Ok(None | Some(None)) => {
                    count += 1;
                    if first.len() < NAMED {
                        first.push(pin.root);
                    }
                }
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
            failed.is_none()
        })?;
        failed.map_or(Ok((count, first)), |error| Err(error.into()))
    }
}

/// Looks until it is over, or `deadline` has come; what was seen last.
async fn wait(
    replication: &Replication,
    deadline: Option<Instant>,
    seen: &Mutex<Draining>,
) -> Result<Draining, ReplicationError> {
    let mut anew = true;
    loop {
        let now = replication.drain(anew).await?;
        // Before its own record has changed it is not leaving yet.
        anew &= !now.is_leaving;
        seen.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&now);
        if now.is_over || deadline.is_some_and(|it| it <= Instant::now()) {
            return Ok(now);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn waiting(seen: &Draining) -> Event {
    let Draining {
        held,
        needed,
        unconfirmed,
        blind,
        ..
    } = seen;
    let detail = if !seen.is_leaving {
        String::new()
    } else if needed.0 > 0 {
        let mebibytes = needed.1.div_ceil(1 << 20);
        let blind = if *blind {
            ", and too many members are out of sight"
        } else {
            ""
        };
        format!(
            "of {} of {} parts, {mebibytes} MiB, copies are missing elsewhere{blind}",
            needed.0, held.0
        )
    } else {
        format!("{unconfirmed} parts are being confirmed by those that have them")
    };
    Event::Waiting {
        phase: Phase::Draining,
        detail,
    }
}

/// Why the node cannot be stopped yet, if it cannot.
fn incomplete(told: &Drained, is_over: bool, timeout: Option<Duration>) -> Option<Failure> {
    if told.complete {
        return None;
    }
    let partial = |message: String, hint: &str| {
        Some(failure(FailureKind::Partial, message).with_hint(hint.to_owned()))
    };
    if !is_over {
        let after = timeout.map(|it| format!(" after {}", store_config::Duration(it)));
        let after = after.unwrap_or_default();
        let message = if told.needed_segments > 0 {
            format!(
                "copies of {} parts are still missing elsewhere{after}",
                told.needed_segments
            )
        } else {
            format!(
                "the copies of {} parts have not been confirmed yet{after}",
                told.unconfirmed_segments
            )
        };
        return partial(message, "it goes on by itself; `store drain` waits for it");
    }
    if let Some(content) = told.stuck.first() {
        let more = match told.stuck.len() {
            1 => String::new(),
            count => format!("; and {} further contents", count - 1),
        };
        return partial(
            format!("this node is still needed: {}{more}", stuck(content)),
            "add a member or room, or want fewer copies (`store pin set CID --replicas N`): it goes on by itself \
             then. `store drain --cancel` lets this node stay",
        );
    }
    let cid = told.only_here_first.first().map(Cid::to_string);
    let count = told.only_here;
    partial(
        format!(
            "{count} contents are pinned on this node, and nobody wants copies of them: `{}`, …",
            cid.unwrap_or_default()
        ),
        "`store pin set CID --replicas 1` keeps them on another member, `store pin rm CID` gives them up; all else that \
         it has is elsewhere",
    )
}

fn stuck(content: &StuckContent) -> String {
    let StuckContent {
        cid,
        copies,
        wanted,
        hosts,
        ..
    } = content;
    let why = match content.why {
        Obstacle::Hosts => format!(
            "the other members that may have it are on {} hosts",
            hosts.unwrap_or_default()
        ),
        Obstacle::Full => "the members that lack it have no room".to_owned(),
        Obstacle::Refused => "the members that lack it did not take it".to_owned(),
    };
    format!("of `{cid}` {copies} of {wanted} copies are elsewhere, and {why}")
}

#[cfg(test)]
mod tests {
    use store::cid;

    use super::*;

    fn told(complete: bool) -> Drained {
        Drained {
            draining: true,
            complete,
            ..Drained::default()
        }
    }

    #[test]
    fn what_keeps_a_node_is_said_with_its_reason() {
        assert!(incomplete(&told(true), true, None).is_none());
        let cid =
            cid::parse("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e").unwrap();
        let content = StuckContent {
            cid,
            segments: 1,
            copies: 2,
            wanted: 3,
            why: Obstacle::Hosts,
            hosts: Some(2),
        };
        let stuck = Drained {
            stuck: vec![content; 3],
            ..told(false)
        };
        let failure = incomplete(&stuck, true, None).unwrap();
        assert_eq!(failure.kind, FailureKind::Partial);
        assert_eq!(
            failure.message,
            format!(
                "this node is still needed: of `{cid}` 2 of 3 copies are elsewhere, and the other members that may \
                 have it are on 2 hosts; and 2 further contents"
            )
        );
        let late = Drained {
            needed_segments: 4,
            ..told(false)
        };
        let failure = incomplete(&late, false, Some(Duration::from_secs(5))).unwrap();
        assert_eq!(
            failure.message,
            "copies of 4 parts are still missing elsewhere after 5s"
        );
        let alone = Drained {
            only_here: 1,
            only_here_first: vec![cid],
            ..told(false)
        };
        let failure = incomplete(&alone, true, None).unwrap();
        assert!(failure.message.contains("pinned on this node"));
    }
}
