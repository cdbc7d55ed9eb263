//! The fuzzers' corpus, run by the stable compiler with every other test.

use std::path::Path;

#[path = "../fuzz/decoders.rs"]
#[allow(unreachable_pub, reason = "the fuzzers see it as their own module")]
mod decoders;

/// Feeds each file of the corpus to its decoder, whole and cut off at every length.
fn feed(corpus: &str, decode: fn(&[u8])) {
    let folder = Path::new("tests/fuzz/corpus").join(corpus);
    let mut fed = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for end in 0..=bytes.len() {
            decode(&bytes[..end]);
        }
        fed += 1;
    }
    assert!(fed > 10, "the corpus has {fed} files");
}

#[test]
fn no_dag_pb_node_of_the_corpus_panics() {
    feed("dag_pb", decoders::dag_pb);
}

#[test]
fn no_unixfs_message_of_the_corpus_panics() {
    feed("unixfs", decoders::unixfs);
}

#[test]
fn no_request_of_the_corpus_panics() {
    feed("request", decoders::request);
}

#[test]
fn no_response_of_the_corpus_panics() {
    feed("response", decoders::response);
}

#[test]
fn no_message_of_members_of_the_corpus_panics() {
    feed("member", decoders::member);
}

#[test]
fn no_pin_record_of_the_corpus_panics() {
    feed("pin", decoders::pin);
}

#[test]
fn no_message_of_replication_of_the_corpus_panics() {
    feed("replica", decoders::replica);
}

#[test]
fn no_car_of_the_corpus_panics() {
    feed("car", decoders::car);
}

#[test]
fn no_proof_of_the_corpus_panics() {
    feed("proof", decoders::proof);
}
