//! A million pins, learned by a new member.

use std::time::{Duration, Instant};

use bytes::Bytes;
use store::wire::LENGTH_SIZE;
use store::wire::member::{MAX_FETCH, MemberRequest, MemberResponse, Told};
use store::wire::reconcile::{Question, Verdict};

use super::*;

const PINS: u32 = 1_000_000;
const OWNERS: usize = 100;

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let text = line.unwrap().trim().trim_end_matches(" kB");
    text.parse::<u64>().unwrap() << 10
}

/// Of owners in turn, as their members sign them; written without a check, which is not what is measured.
fn fill(member: &Member) {
    let keys: Vec<_> = (0..OWNERS).map(|_| Keypair::generate_ed25519()).collect();
    let numbers: Vec<_> = (0..PINS).collect();
    for numbers in numbers.chunks(4096) {
        let sign = |&n: &u32| {
            let key = &keys[n as usize % OWNERS];
            let record = record(key, n, 1);
            let signed = sign(key, "main", &record);
            Row::new(record, signed, NOW)
        };
        let rows: Vec<_> = std::thread::scope(|scope| {
            let halves: Vec<_> = numbers
                .chunks(2048)
                .map(|half| scope.spawn(move || half.iter().map(sign).collect::<Vec<_>>()))
                .collect();
            let halves = halves.into_iter().flat_map(|half| half.join().unwrap());
            halves.collect()
        });
        let mut edit = Edit::default();
        for row in &rows {
            edit.put(row, None);
        }
        member
            .pins
            .state()
            .write(&member.pins.records, edit)
            .unwrap();
    }
}

/// Both sides of one conversation, with all that passes between them as bytes.
#[derive(Default)]
struct Talk {
    messages: usize,
    bytes: usize,
    answering: Duration,
}

impl Talk {
    fn compare(&mut self, from: &Pins, questions: Vec<Question>) -> Vec<Verdict> {
        let request = MemberRequest::Compare(questions).encode().unwrap();
        self.pass(&request);
        let start = Instant::now();
        let MemberRequest::Compare(questions) = MemberRequest::decode(&body(&request)).unwrap()
        else {
            unreachable!("it was one")
        };
        let verdicts = questions.iter().map(|question| answer(from, question));
        let verdicts = MemberResponse::Compared(verdicts.collect::<Result<_, _>>().unwrap());
        let response = verdicts.encode().unwrap();
        self.answering += start.elapsed();
        self.pass(&response);
        match MemberResponse::decode(&body(&response)).unwrap() {
            MemberResponse::Compared(verdicts) => verdicts,
            _ => unreachable!("it was one"),
        }
    }

    /// The protocol has 64 records in a message; those of members, whose frames these are, have half of that.
    fn fetch(&mut self, from: &Pins, keys: &[[u8; 32]]) -> Vec<Signed> {
        self.bytes += keys.len() * 34;
        let start = Instant::now();
        let records = from.fetch(keys).unwrap();
        let told = |record: &Signed| Told {
            record: record.clone(),
            gone: false,
        };
        let messages: Vec<_> = records
            .chunks(MAX_FETCH)
            .map(|records| MemberResponse::Records(records.iter().map(told).collect()))
            .map(|records| records.encode().unwrap())
            .collect();
        self.answering += start.elapsed();
        let mut records = Vec::new();
        for message in messages {
            self.pass(&message);
            let MemberResponse::Records(told) = MemberResponse::decode(&body(&message)).unwrap()
            else {
                unreachable!("it was one")
            };
            records.extend(told.into_iter().map(|told| told.record));
        }
        records
    }

    fn pass(&mut self, message: &Bytes) {
        self.messages += 1;
        self.bytes += message.len();
    }
}

fn body(message: &Bytes) -> Bytes {
    message.slice(LENGTH_SIZE..)
}

/// Compares until nothing differs; returns the comparisons and their rounds.
fn learn(to: &Pins, from: &Pins, talk: &mut Talk) -> (usize, usize) {
    let (mut comparisons, mut rounds) = (0, 0);
    while sum(to) != sum(from) {
        comparisons += 1;
        let mut comparison = Comparison::of_all();
        loop {
            let questions = comparison.questions(to).unwrap();
            if questions.is_empty() {
                break;
            }
            rounds += 1;
            let verdicts = talk.compare(from, questions);
            let found = comparison.answers(to, verdicts).unwrap().unwrap();
            let keys = found.iter().filter_map(|found| match found {
                Difference::Theirs(item) => Some(item.key),
                Difference::Ours(_) | Difference::OursBelow(_) => None,
            });
            let keys: Vec<_> = keys.collect();
            for keys in keys.chunks(store::wire::replica::MAX_PINS) {
                let taken = to.take(talk.fetch(from, keys), NOW).unwrap();
                assert_eq!((taken.new, taken.bad), (keys.len(), 0));
            }
        }
    }
    (comparisons, rounds)
}

/// docs/benchmarks.md has what it printed.
#[test]
#[ignore = "a minute or two, and 2 GiB of disk: cargo test --workspace --lib -- --ignored --nocapture a_million_pins"]
fn a_million_pins_are_learned_within_a_minute() {
    let old = Member::new();
    let start = Instant::now();
    fill(&old);
    println!(
        "made {PINS} pins of {OWNERS} owners in {:.1?}",
        start.elapsed()
    );
    let old = old.restart(NOW);
    let before = resident();
    let new = Member::new();

    let (start, mut talk) = (Instant::now(), Talk::default());
    let (comparisons, rounds) = learn(&new.pins, &old.pins, &mut talk);
    new.pins.expire(NOW).unwrap();
    let took = start.elapsed();
    let Talk {
        messages,
        bytes,
        answering,
    } = talk;
    println!(
        "learned in {took:.1?}, of which the other member answered for {answering:.1?}; {messages} messages, \
         {} MiB, {rounds} rounds in {comparisons} comparisons",
        bytes >> 20
    );
    println!(
        "memory: {} KiB of ours for each member; the process {} MiB before, {} MiB after",
        new.pins.bytes() >> 10,
        before >> 20,
        resident() >> 20
    );
    assert_eq!(new.pins.len(), PINS as usize);
    assert!(took < Duration::from_secs(60), "{took:?}");

    let mut longest = Duration::ZERO;
    let start = Instant::now();
    for n in (0..PINS).step_by(1009) {
        let one = Instant::now();
        assert_eq!(new.copies(n), Some(3));
        longest = longest.max(one.elapsed());
    }
    let each = start.elapsed() / PINS.div_ceil(1009);
    println!("policy of one root: {each:.1?} on average, {longest:.1?} at most");
    assert!(each < Duration::from_millis(10));

    let start = Instant::now();
    let new = new.restart(NOW + 1);
    println!("opened again in {:.1?}", start.elapsed());
    let mut talk = Talk::default();
    learn(&new.pins, &old.pins, &mut talk);
    assert_eq!(talk.messages, 0, "the same sums");
}
