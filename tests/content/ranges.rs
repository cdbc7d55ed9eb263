//! Every range of a file is right, and costs only the nodes that hold it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use store::cid::Cid;
use store::dag::SourceError;
use store::unixfs::read::{Range, Reader, stat};

use crate::fixture::{Dag, noise};

/// The shape of a file: leaves of both kinds, and nodes with bytes of their own before their
/// children, as trickle layouts have them.
#[derive(Clone, Debug)]
enum Shape {
    Raw(usize),
    Leaf(usize),
    Inner(usize, Vec<Shape>),
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        (0_usize..60).prop_map(Shape::Raw),
        (0_usize..60).prop_map(Shape::Leaf),
    ];
    leaf.prop_recursive(5, 120, 12, |inner| {
        let own = prop_oneof![2 => Just(0_usize), 1 => 1_usize..20];
        (own, prop::collection::vec(inner, 0..12)).prop_map(|(own, below)| Shape::Inner(own, below))
    })
}

/// A file that was built, and where in it each node's bytes are.
#[derive(Default)]
struct Built {
    dag: Dag,
    bytes: Vec<u8>,
    nodes: Vec<(Cid, std::ops::Range<usize>)>,
}

impl Built {
    fn build(&mut self, shape: &Shape) -> (Cid, u64) {
        let start = self.bytes.len();
        let cid = match shape {
            Shape::Raw(size) => {
                let data = self.own(*size);
                self.dag.raw(data)
            }
            Shape::Leaf(size) => {
                let data = self.own(*size);
                self.dag.leaf(&data)
            }
            Shape::Inner(own, below) => {
                let data = self.own(*own);
                let children: Vec<_> = below.iter().map(|shape| self.build(shape)).collect();
                self.dag.file(&data, &children)
            }
        };
        self.nodes.push((cid, start..self.bytes.len()));
        (cid, (self.bytes.len() - start) as u64)
    }

    fn own(&mut self, size: usize) -> Vec<u8> {
        let data = noise(size, 1 + 2 * self.bytes.len() as u64);
        self.bytes.extend_from_slice(&data);
        data
    }

    /// The nodes that hold bytes of a range; the root is always read.
    fn needed(&self, root: Cid, range: &std::ops::Range<usize>) -> BTreeSet<Cid> {
        let holds = |node: &std::ops::Range<usize>| {
            !node.is_empty()
                && !range.is_empty()
                && node.start < range.end
                && range.start < node.end
        };
        let needed = self
            .nodes
            .iter()
            .filter(|(_, node)| holds(node))
            .map(|(cid, _)| *cid);
        needed.chain([root]).collect()
    }
}

fn read(dag: &Dag, root: &Cid, range: Range) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    for part in Reader::open(dag, root, range)? {
        let part = part?;
        assert!(!part.is_empty(), "a part without bytes");
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

proptest! {
    #[test]
    fn any_range_of_any_tree_is_right_and_costs_only_what_holds_it(
        shape in shape(),
        cuts in prop::collection::vec((0_u64..2000, prop::option::of(0_u64..2000)), 1..8),
    ) {
        let mut built = Built::default();
        let (root, size) = built.build(&shape);
        prop_assert_eq!(stat(&built.dag, &root).unwrap().size, size);
        built.dag.take_asked();
        prop_assert_eq!(&read(&built.dag, &root, Range::default()).unwrap(), &built.bytes);
        let all = 0..built.bytes.len();
        prop_assert_eq!(built.dag.take_asked(), built.needed(root, &all));
        for (offset, length) in cuts {
            let start = built.bytes.len().min(offset as usize);
            let end = length.map_or(all.end, |length| all.end.min(start + length as usize));
            let range = Range { offset, length };
            prop_assert_eq!(&read(&built.dag, &root, range).unwrap(), &built.bytes[start..end]);
            prop_assert_eq!(built.dag.take_asked(), built.needed(root, &(start..end)));
        }
    }
}

/// Leaves of `leaf` bytes, `width` to a node, in as many levels as it takes.
fn balanced(built: &mut Built, size: usize, leaf: usize, width: usize) -> Cid {
    let bytes = noise(size, 7);
    let mut level: Vec<(Cid, std::ops::Range<usize>)> = (0..size)
        .step_by(leaf)
        .map(|at| (at, size.min(at + leaf)))
        .map(|(at, end)| (built.dag.raw(bytes[at..end].to_vec()), at..end))
        .collect();
    while level.len() > 1 {
        built.nodes.extend(level.iter().cloned());
        level = level
            .chunks(width)
            .map(|children| {
                let range = children[0].1.start..children[children.len() - 1].1.end;
                let sizes: Vec<_> = children
                    .iter()
                    .map(|(cid, r)| (*cid, r.len() as u64))
                    .collect();
                (built.dag.file(b"", &sizes), range)
            })
            .collect();
    }
    built.bytes = bytes;
    level[0].0
}

#[test]
fn a_thousand_ranges_of_a_hundred_mebibytes_touch_only_what_they_need() {
    let mut built = Built::default();
    let root = balanced(&mut built, 100 << 20, 64 << 10, 40);
    let random = noise(16_000, 99);
    for pair in random.chunks(16) {
        let number = |at: usize| u64::from_le_bytes(pair[at..at + 8].try_into().unwrap()) as usize;
        let start = number(0) % built.bytes.len();
        // Mostly a few leaves, now and then many.
        let length = number(8)
            % if number(8) % 50 == 0 {
                20 << 20
            } else {
                300 << 10
            };
        let end = built.bytes.len().min(start + length);
        let range = Range {
            offset: start as u64,
            length: Some(length as u64),
        };
        assert!(
            read(&built.dag, &root, range).unwrap() == built.bytes[start..end],
            "{range:?}"
        );
        assert_eq!(
            built.dag.take_asked(),
            built.needed(root, &(start..end)),
            "{range:?}"
        );
    }
}

#[test]
fn leaves_are_asked_for_sixteen_at_a_time() {
    let mut built = Built::default();
    let root = balanced(&mut built, 100 * 1000, 1000, 100);
    assert_eq!(
        read(&built.dag, &root, Range::default()).unwrap(),
        built.bytes
    );
    let calls: Vec<usize> = built.dag.take_calls().iter().map(Vec::len).collect();
    assert_eq!(calls, [1, 16, 16, 16, 16, 16, 16, 4]);
}

#[test]
fn no_more_than_sixteen_mebibytes_are_asked_for_at_once() {
    let mut built = Built::default();
    let root = balanced(&mut built, 20 << 21, 2 << 20, 100);
    assert!(read(&built.dag, &root, Range::default()).unwrap() == built.bytes);
    let calls: Vec<usize> = built.dag.take_calls().iter().map(Vec::len).collect();
    assert_eq!(calls, [1, 8, 8, 4]);
}

#[test]
fn a_file_of_one_leaf_repeated_is_asked_for_once_a_window() {
    let dag = Dag::default();
    let zeros = dag.raw(vec![0; 1000]);
    let root = dag.file(b"", &[(zeros, 1000); 32]);
    assert_eq!(
        read(&dag, &root, Range::default()).unwrap(),
        vec![0; 32_000]
    );
    assert_eq!(dag.take_calls(), [vec![root], vec![zeros], vec![zeros]]);
}
