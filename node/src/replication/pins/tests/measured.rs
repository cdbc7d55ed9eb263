//! A million pins, learned by a new member.

use std::time::{Duration, Instant};

use bytes::Bytes;
use store::wire::LENGTH_SIZE;
use store::wire::reconcile::{Question, Verdict};
use store::wire::replica::{MAX_PINS, ReplicaRequest, ReplicaResponse};

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

/// Processor time of this process.
fn spent() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    // utime and stime of proc(5), in hundredths of seconds.
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|n| n.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
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
        let response = self.ask(&ReplicaRequest::Compare(questions), |request| {
            let ReplicaRequest::Compare(questions) = request else {
                unreachable!("it was one")
            };
            let verdicts = questions.iter().map(|question| answer(from, question));
            ReplicaResponse::Verdicts(verdicts.collect::<Result<_, _>>().unwrap())
        });
        match response {
            ReplicaResponse::Verdicts(verdicts) => verdicts,
            other => unreachable!("{other:?}"),
        }
    }

    fn fetch(&mut self, from: &Pins, keys: &[[u8; 32]]) -> Vec<Signed> {
        let response = self.ask(&ReplicaRequest::Fetch(keys.to_vec()), |request| {
            let ReplicaRequest::Fetch(keys) = request else {
                unreachable!("it was one")
            };
            ReplicaResponse::Pins(from.fetch(&keys).unwrap())
        });
        match response {
            ReplicaResponse::Pins(records) => records,
            other => unreachable!("{other:?}"),
        }
    }

    fn ask(
        &mut self,
        request: &ReplicaRequest,
        answer: impl FnOnce(ReplicaRequest) -> ReplicaResponse,
    ) -> ReplicaResponse {
        let request = request.encode().unwrap();
        let start = Instant::now();
        let response = answer(ReplicaRequest::decode(&body(&request)).unwrap());
        let response = response.encode().unwrap();
        self.answering += start.elapsed();
        self.messages += 2;
        self.bytes += request.len() + response.len();
        ReplicaResponse::decode(&body(&response)).unwrap()
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
            for keys in keys.chunks(MAX_PINS) {
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
fn a_million_pins_are_learned() {
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

    let (start, used, mut talk) = (Instant::now(), spent(), Talk::default());
    let (comparisons, rounds) = learn(&new.pins, &old.pins, &mut talk);
    new.pins.expire(NOW).unwrap();
    let took = start.elapsed();
    let Talk {
        messages,
        bytes,
        answering,
    } = talk;
    println!(
        "learned in {took:.1?} ({:.1?} of processor time), of which the other member answered for {answering:.1?}; \
         {messages} messages, {} MiB, {rounds} rounds in {comparisons} comparisons",
        spent().saturating_sub(used),
        bytes >> 20
    );
    println!(
        "memory: {} KiB of ours for each member; the process {} MiB before, {} MiB after",
        new.pins.bytes() >> 10,
        before >> 20,
        resident() >> 20
    );
    assert_eq!(new.pins.len(), PINS as usize);

    let mut longest = Duration::ZERO;
    let start = Instant::now();
    for n in (0..PINS).step_by(1009) {
        let one = Instant::now();
        assert_eq!(new.copies(n), Some(3));
        longest = longest.max(one.elapsed());
    }
    let each = start.elapsed() / PINS.div_ceil(1009);
    println!("policy of one root: {each:.1?} on average, {longest:.1?} at most");

    let start = Instant::now();
    let new = new.restart(NOW + 1);
    println!("opened again in {:.1?}", start.elapsed());
    let mut talk = Talk::default();
    learn(&new.pins, &old.pins, &mut talk);
    assert_eq!(talk.messages, 0, "the same sums");
}
