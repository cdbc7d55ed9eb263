//! A short history by a seed over a whole swarm: contents are added while members die. The long form is
//! `bench copies histories`.

use std::time::Duration;

use crate::fleet::history::{History, history};
use crate::net::Net;

#[test]
fn what_a_quorum_acknowledged_outlives_a_minute_of_faults() {
    let is_apart = Net::is_possible();
    if !is_apart {
        println!(
            "SKIPPED: network namespaces cannot be made here: on loopback, without the partition"
        );
    }
    let plan = History {
        span: Duration::from_secs(60),
        // An hour is 30 s: all that is not scaled, as knowing who is dead, takes longer than at 60.
        scale: 120,
        contents: 14,
        mib: 42,
        is_apart,
    };
    if let Err(why) = history(&plan, 1) {
        panic!("{why}");
    }
}
