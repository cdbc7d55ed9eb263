//! Waiting for copies: how far they are, and what became of them.

use std::fmt::Write as _;
use std::future::Future;

use store::Cid;
use tokio::sync::watch::Receiver;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::conversation::{Gone, Speaker, failure, watch};
use crate::api::message::{
    CopiesAsked, CopiesMade, CopiesWait, Event, Failure, FailureKind, Item, Phase, Placed, Progress,
};
use crate::replication::ReplicationError;
use crate::replication::report;
use crate::service::Service;
use crate::service::peers::no_node;

/// A content whose copies are waited for.
type Waited = (Cid, Receiver<report::Placed>);

/// Why nothing more is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All is there.
    Reached,
    /// Nothing more is tried for now.
    Over,
    /// The time is over.
    Late,
}

impl Service {
    /// Has copies of these contents made now, and waits for them as far as `asked`. What is there then is
    /// told, also where it is not all: a failure of the kind [`FailureKind::Partial`] then.
    pub(in crate::service) fn wait_for_copies(
        &self,
        roots: &[Cid],
        asked: &CopiesAsked,
        speaker: &Speaker,
    ) -> Result<(), Failure> {
        if asked.wait == CopiesWait::None || roots.is_empty() {
            return Ok(());
        }
        // From here on all that was to be added is, and told: whoever hears no more than this knows it.
        speaker.send(&Event::Waiting {
            phase: Phase::Copying,
            detail: String::new(),
        })?;
        // Also without a node: a guest came before.
        let joined = self.joining.current().ok_or_else(no_node)?;
        let replication = joined.replication().ok_or_else(no_node)?;
        let waited: Vec<Waited> = joined.wait_for(async {
            let mut waited = Vec::new();
            for root in roots {
                waited.push((*root, replication.place(*root).await));
            }
            waited
        });
        let seen = waited.clone();
        let tick = || Some(progress(&seen));
        let cancel = CancellationToken::new();
        let wait = || {
            // The timer needs the runtime from its beginning.
            joined.wait_for(async {
                let deadline = Instant::now() + asked.timeout;
                let wait = wait(waited, asked.wait, deadline);
                cancel.run_until_cancelled(wait).await
            })
        };
        let ends = watch(speaker, tick, || cancel.cancel(), wait).ok_or(Gone)??;
        let mut partial = Vec::new();
        for (cid, placed, end) in ends {
            let told = told(cid, &placed, end == End::Reached);
            if end != End::Reached {
                partial.push(why(&told, end, asked));
            }
            speaker.item(Item::Placed(told))?;
        }
        partial_failure(partial)
    }
}

/// Waits for each, until all have ended, or `deadline` has come.
async fn wait(
    waited: Vec<Waited>,
    goal: CopiesWait,
    deadline: Instant,
) -> Result<Vec<(Cid, report::Placed, End)>, ReplicationError> {
    let mut ends = Vec::with_capacity(waited.len());
    for (cid, mut placed) in waited {
        let end = end_of(&mut placed, goal, tokio::time::sleep_until(deadline)).await?;
        let last = placed.borrow().clone();
        ends.push((cid, last, end));
    }
    Ok(ends)
}

async fn end_of(
    placed: &mut Receiver<report::Placed>,
    goal: CopiesWait,
    late: impl Future<Output = ()>,
) -> Result<End, ReplicationError> {
    let ended = |placed: &report::Placed| is_reached(placed, goal) || placed.over;
    let end = tokio::select! {
        biased;
        seen = placed.wait_for(ended) => {
            let seen = seen.map_err(|_| ReplicationError::Ending)?;
            if is_reached(&seen, goal) { End::Reached } else { End::Over }
        }
        () = late => End::Late,
    };
    Ok(end)
}

fn is_reached(placed: &report::Placed, goal: CopiesWait) -> bool {
    let there = match goal {
        CopiesWait::None => return true,
        CopiesWait::Quorum => placed.at_quorum,
        CopiesWait::All => placed.at_target,
    };
    placed.segments > 0 && there == placed.segments
}

fn made(placed: &report::Placed) -> CopiesMade {
    CopiesMade {
        segments: placed.segments,
        at_quorum: placed.at_quorum,
        at_target: placed.at_target,
        bytes: placed.bytes.0,
        total: placed.bytes.1,
    }
}

fn told(cid: Cid, placed: &report::Placed, complete: bool) -> Placed {
    Placed {
        cid,
        complete,
        copies: made(placed),
        reasons: placed.reasons.clone(),
    }
}

/// How far all of them are together.
fn progress(waited: &[Waited]) -> Event {
    let mut all = CopiesMade::default();
    for (_, placed) in waited {
        let one = made(&placed.borrow());
        all.segments += one.segments;
        all.at_quorum += one.at_quorum;
        all.at_target += one.at_target;
        all.bytes += one.bytes;
        all.total += one.total;
    }
    if all.segments == 0 {
        return Event::Waiting {
            phase: Phase::Copying,
            detail: String::new(),
        };
    }
    Event::Progress(Progress {
        bytes: all.bytes,
        total: Some(all.total),
        copies: Some(all),
        ..Progress::default()
    })
}

/// What is missing of one, and why.
fn why(placed: &Placed, end: End, asked: &CopiesAsked) -> String {
    let CopiesMade {
        segments,
        at_quorum,
        at_target,
        ..
    } = placed.copies;
    let (there, goal) = match asked.wait {
        CopiesWait::All => (at_target, "all copies"),
        _ => (at_quorum, "copies for a quorum"),
    };
    let mut text = if segments == 0 {
        format!("`{}`: no copy was made", placed.cid)
    } else {
        let parts = if segments == 1 {
            "part has"
        } else {
            "parts have"
        };
        format!(
            "`{}` is here, but only {there} of {segments} {parts} {goal}",
            placed.cid
        )
    };
    if end == End::Late {
        let timeout = store_config::Duration(asked.timeout);
        let _ = write!(text, " after {timeout}");
    }
    if !placed.reasons.is_empty() {
        text.push_str(": ");
        text.push_str(&placed.reasons.join("; "));
    }
    text
}

fn partial_failure(partial: Vec<String>) -> Result<(), Failure> {
    let more = partial.len().saturating_sub(1);
    let Some(mut message) = partial.into_iter().next() else {
        return Ok(());
    };
    if more > 0 {
        let _ = write!(message, "; and {more} more");
    }
    Err(failure(FailureKind::Partial, message)
        .with_hint("the repair loop goes on by itself; `store status CID` says how far it is"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::watch;

    use super::*;

    /// Never, for a test.
    fn never() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    fn cid() -> Cid {
        store::cid::parse("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e").unwrap()
    }

    fn placed(at_quorum: usize, at_target: usize) -> report::Placed {
        report::Placed {
            segments: 3,
            at_quorum,
            at_target,
            bytes: (10, 20),
            reasons: vec!["two members are too few for three copies".into()],
            over: false,
        }
    }

    #[tokio::test]
    async fn a_quorum_is_there_before_all_are() {
        let (sender, receiver) = watch::channel(report::Placed::default());
        let quorum = tokio::spawn(wait(
            vec![(cid(), receiver.clone())],
            CopiesWait::Quorum,
            never(),
        ));
        let all = tokio::spawn(wait(vec![(cid(), receiver)], CopiesWait::All, never()));
        sender.send_replace(placed(3, 1));
        let ends = quorum.await.unwrap().unwrap();
        assert_eq!(ends, [(cid(), placed(3, 1), End::Reached)]);
        sender.send_replace(placed(3, 3));
        assert_eq!(all.await.unwrap().unwrap()[0].2, End::Reached);
    }

    #[tokio::test]
    async fn what_ends_before_it_is_there_is_partial() {
        let (sender, receiver) = watch::channel(placed(2, 0));
        let late = wait(
            vec![(cid(), receiver.clone())],
            CopiesWait::Quorum,
            Instant::now(),
        );
        let ends = late.await.unwrap();
        assert_eq!(ends[0].2, End::Late);
        let over = report::Placed {
            over: true,
            ..placed(3, 2)
        };
        sender.send_replace(over.clone());
        let ends = wait(vec![(cid(), receiver.clone())], CopiesWait::All, never());
        assert_eq!(ends.await.unwrap(), [(cid(), over, End::Over)]);
        drop(sender);
        let ended = wait(vec![(cid(), receiver)], CopiesWait::All, never());
        assert_eq!(
            ended.await.unwrap()[0].2,
            End::Over,
            "it ended before the node did"
        );
    }

    #[tokio::test]
    async fn a_node_that_ends_is_no_success() {
        let (sender, receiver) = watch::channel(placed(2, 0));
        drop(sender);
        let ended = wait(vec![(cid(), receiver)], CopiesWait::All, never()).await;
        assert!(matches!(ended, Err(ReplicationError::Ending)), "{ended:?}");
    }

    #[test]
    fn a_partial_says_what_is_missing_and_why() {
        let asked = CopiesAsked {
            wait: CopiesWait::All,
            timeout: Duration::from_secs(5),
            ..CopiesAsked::default()
        };
        let told = told(cid(), &placed(3, 1), false);
        let failure = partial_failure(vec![why(&told, End::Late, &asked), "x".into()]).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Partial);
        assert_eq!(
            failure.message,
            format!(
                "`{}` is here, but only 1 of 3 parts have all copies after 5s: two members are too few for \
                 three copies; and 1 more",
                cid()
            )
        );
        assert!(failure.hint.unwrap().contains("repair loop goes on"));
        assert!(partial_failure(Vec::new()).is_ok());
    }

    #[test]
    fn progress_is_of_all_together() {
        let (_keep, receiver) = watch::channel(placed(2, 1));
        let Event::Progress(told) = progress(&[(cid(), receiver.clone()), (cid(), receiver)])
        else {
            panic!("nothing to count")
        };
        let copies = told.copies.unwrap();
        assert_eq!(
            (copies.segments, copies.at_quorum, copies.at_target),
            (6, 4, 2)
        );
        assert_eq!((told.bytes, told.total), (20, Some(40)));
    }
}
