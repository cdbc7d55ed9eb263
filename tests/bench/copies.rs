//! `bench copies …`: replication between real processes of one private swarm, with faults. `histories`, `sight` and `fetch`
//! need root (see `net.rs`), the others are on loopback.

mod fetch;
mod histories;
mod large;
mod liars;
mod quorum;
mod rot;
mod sight;

/// The words after `bench copies`.
pub(super) struct Words<'a>(&'a [String]);

impl Words<'_> {
    fn number(&self, name: &str, default: u64) -> u64 {
        self.find(name).unwrap_or(default)
    }

    fn find(&self, name: &str) -> Option<u64> {
        let at = self.0.iter().position(|word| word == name)?;
        let text = self.0.get(at + 1).expect("an option has a number");
        Some(text.parse().expect("a number"))
    }

    /// That of `--mib`, or of `--gib`.
    fn mib(&self, default: u64) -> u64 {
        let gib = self.find("--gib").map(|gib| gib * 1024);
        self.find("--mib").or(gib).unwrap_or(default)
    }
}

/// Runs one of them. Ends the process with code 1 where copies are not as they should be.
pub(super) fn run(args: &[String]) {
    if let [first, words @ ..] = args
        && first == "liar"
    {
        return fetch::be_liar(words);
    }
    let words = Words(args);
    let is_well = match args.first().map(String::as_str) {
        Some("histories") => histories::run(&words),
        Some("quorum") => quorum::run(&words),
        Some("large") => large::run(&words),
        Some("sight") => sight::run(&words),
        Some("rot") => rot::run(&words),
        Some("liars") => liars::run(&words),
        Some("fetch") => fetch::run(&words),
        _ => panic!("bench copies histories|quorum|large|sight|rot|liars|fetch"),
    };
    if !is_well {
        std::process::exit(1);
    }
}
