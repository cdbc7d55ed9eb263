//! The collector: brings hashed batches back into order and builds the tree from them.

use std::collections::BTreeMap;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};

use super::batch::{Hashed, Head, Leaf, Step};
use super::watch::{self, Begun, STORED_EVERY, STORED_EVERY_LEAVES, Watch};
use super::{Added, ImportError, ImportOptions, Progress, joined};
use crate::block::Block;
use crate::blockstore::FileId;
use crate::cid::{Cid, Codec};
use crate::dag::Link;
use crate::dag::pb::Node;
use crate::unixfs::data::{Data, Kind, Metadata};
use crate::unixfs::dir;
use crate::unixfs::layout::{Layout, Part};
use crate::unixfs::links::Links;
use crate::unixfs::name::Name;
use crate::unixfs::origin::Origin;
use crate::unixfs::output::{BuildError, Output};
use crate::unixfs::profile::FileLayout;

pub(super) struct Collector<'a> {
    output: Output<'a>,
    options: &'a ImportOptions,
    watch: &'a dyn Watch,
    progress: Progress,
    /// Bytes and number of the new leaves since all were in the store.
    new: (u64, usize),
    /// The open directories; the first one is the wrapping one, if there is one.
    dirs: Vec<Dir>,
    file: Option<File>,
    added: Vec<Added>,
    done: bool,
}

/// The file whose leaves come.
struct File {
    name: Name,
    metadata: Metadata,
    origin: Option<Origin>,
    /// In which file its leaves are to stay.
    refer: Option<FileId>,
    /// Where its next leaf begins.
    offset: u64,
    layout: Layout,
    /// How many leaves it has.
    leaves: u64,
    /// The last of them: those since all were in the store, where somebody may want to know.
    recent: Vec<Part>,
    /// The first leaf of a file with metadata, until the next one: alone it is the root.
    first: Option<Leaf>,
}

/// A directory that is not complete.
#[derive(Default)]
struct Dir {
    name: Name,
    metadata: Metadata,
    links: Links,
    /// Bytes of the files in it.
    size: u64,
    /// Whether the source had an entry in it, though one that was left out.
    had_entry: bool,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        output: Output<'a>,
        options: &'a ImportOptions,
        watch: &'a dyn Watch,
    ) -> Self {
        let dirs = if options.wrap {
            vec![Dir {
                metadata: options.wrapper,
                ..Dir::default()
            }]
        } else {
            Vec::new()
        };
        let progress = Progress::default();
        Self {
            output,
            options,
            watch,
            progress,
            new: (0, 0),
            dirs,
            file: None,
            added: Vec::new(),
            done: false,
        }
    }

    /// Collects until all is done. If the reader ends before that, what comes back does not count.
    pub(super) fn run(
        mut self,
        batches: &Receiver<Hashed>,
        permit: &Sender<()>,
    ) -> Result<Vec<Added>, ImportError> {
        // Never more than there are permits.
        let mut early = BTreeMap::new();
        let mut next = 0;
        for batch in batches {
            early.insert(batch.number, batch.steps);
            while let Some(steps) = early.remove(&next) {
                next += 1;
                for step in steps {
                    self.step(step)?;
                }
                self.watch.progress(self.progress);
                // Without a reader nobody needs it.
                let _ = permit.send(());
            }
        }
        if !self.done {
            // Whatever ended it: what is complete need not be read again.
            self.stored()?;
            return Err(ImportError::Unbalanced);
        }
        Ok(self.added)
    }

    fn step(&mut self, step: Step<Leaf>) -> Result<(), ImportError> {
        match step {
            Step::Dir(name, metadata) => {
                self.enter();
                self.dirs.push(Dir {
                    name,
                    metadata,
                    ..Dir::default()
                });
            }
            Step::File(head) => self.file(*head)?,
            Step::Known(name, root) => {
                self.enter();
                self.progress.bytes += root.size;
                self.progress.files += 1;
                let link = Link {
                    cid: root.cid,
                    name,
                    tsize: root.tsize,
                };
                self.add(link, root.size, Kind::File);
            }
            Step::Leaf(leaf) => {
                self.next_leaf(leaf)?;
                if self.new.0 >= STORED_EVERY || self.new.1 >= STORED_EVERY_LEAVES {
                    self.stored()?;
                }
            }
            Step::FileEnd => self.file_end()?,
            Step::FileLost => self.file = None,
            Step::Symlink {
                name,
                metadata,
                target,
            } => {
                self.enter();
                self.symlink(name, metadata, &target)?;
            }
            Step::End => {
                let dir = self.dirs.pop().expect("the reader pairs them");
                self.leave(dir)?;
            }
            Step::Done => {
                if let Some(wrapper) = self.dirs.pop() {
                    self.leave(wrapper)?;
                }
                self.output.finish().map_err(BuildError::from)?;
                self.done = true;
            }
        }
        Ok(())
    }

    fn file(&mut self, head: Head) -> Result<(), BuildError> {
        self.enter();
        let mut file = File {
            name: head.name,
            metadata: head.metadata,
            origin: head.origin,
            refer: head.refer,
            offset: 0,
            layout: Layout::new(self.options.profile),
            leaves: head.begun.len() as u64,
            recent: Vec::new(),
            first: None,
        };
        for leaf in head.begun {
            file.layout.push(leaf, &mut self.output)?;
            file.offset += leaf.size;
            self.progress.bytes += leaf.size;
        }
        self.file = Some(file);
        Ok(())
    }

    fn next_leaf(&mut self, leaf: Leaf) -> Result<(), BuildError> {
        let file = self.file.as_mut().expect("the reader opens each file");
        let profile = &self.options.profile;
        let begins = file.leaves == 0 && file.first.is_none();
        let may_be_root = !profile.raw_leaves && profile.file_layout == FileLayout::Balanced;
        if begins && !file.metadata.is_none() && may_be_root {
            file.first = Some(leaf);
            return Ok(());
        }
        if let Some(first) = file.first.take() {
            self.leaf(first)?;
        }
        self.leaf(leaf)
    }

    fn file_end(&mut self) -> Result<(), BuildError> {
        let file = self.file.as_mut().expect("the reader opens each file");
        if let Some(only) = file.first.take() {
            let root = self.root_leaf(&only)?;
            self.leaf(root)?;
        }
        let file = self.file.take().expect("it was there above");
        let part = file.layout.finish(file.metadata, &mut self.output)?;
        let part = part.expect("each file has a leaf");
        self.progress.files += 1;
        if let Some(origin) = file.origin {
            self.watch.file(watch::File {
                origin,
                metadata: file.metadata,
                root: part,
                is_one_block: file.leaves == 1,
            });
        }
        let link = Link {
            cid: part.cid,
            name: file.name,
            tsize: part.tsize,
        };
        self.add(link, part.size, Kind::File);
        Ok(())
    }

    /// The leaf of a file that has no other, with what is said of the file.
    fn root_leaf(&self, leaf: &Leaf) -> Result<Leaf, BuildError> {
        let metadata = self.file.as_ref().map_or(Metadata::NONE, |f| f.metadata);
        let whole = "we made it of these parts";
        let node = Node::decode(leaf.block.data()).expect(whole);
        let data = Data::decode(&node.data.expect(whole)).expect(whole);
        let node = Node {
            links: Vec::new(),
            data: Some(data.with(metadata).encode()),
        };
        let form = self.options.profile.form;
        let block = Block::hash(form, Codec::DagPb, node.encode())?;
        Ok(Leaf {
            block,
            size: leaf.size,
        })
    }

    fn leaf(&mut self, leaf: Leaf) -> Result<(), BuildError> {
        let Leaf { block, size } = leaf;
        if size == 0 && self.options.profile.file_layout == FileLayout::Trickle {
            // A file without bytes: its root is a node without leaves.
            return Ok(());
        }
        let part = Part {
            cid: *block.cid(),
            tsize: block.data().len() as u64,
            size,
        };
        let file = self.file.as_mut().expect("the reader opens each file");
        match file.refer {
            // A reference to nothing takes more room than nothing does.
            Some(number) if size > 0 => self.output.refer(block, number, file.offset)?,
            _ => self.output.put(block)?,
        }
        file.offset += size;
        file.layout.push(part, &mut self.output)?;
        file.leaves += 1;
        if file.origin.is_some() {
            file.recent.push(part);
        }
        self.progress.bytes += size;
        self.new = (self.new.0 + size, self.new.1 + 1);
        Ok(())
    }

    /// Sees to it that all blocks so far are in the store, and tells.
    fn stored(&mut self) -> Result<(), ImportError> {
        self.output.finish().map_err(BuildError::from)?;
        self.new = (0, 0);
        let begun = self.file.as_mut().and_then(|file| {
            let origin = file.origin.as_ref()?;
            let before = file.leaves - file.recent.len() as u64;
            let leaves = std::mem::take(&mut file.recent);
            (!leaves.is_empty()).then_some((origin, before, leaves))
        });
        self.watch
            .stored(begun.as_ref().map(|(origin, before, leaves)| Begun {
                origin,
                before: *before,
                leaves,
            }))
    }

    fn symlink(&mut self, name: Name, metadata: Metadata, target: &Name) -> Result<(), BuildError> {
        let target = Bytes::copy_from_slice(target.as_bytes());
        let size = target.len() as u64;
        let node = Node {
            links: Vec::new(),
            data: Some(Data::symlink(target).with(metadata).encode()),
        };
        let link = self.output.node(self.options.profile.form, &node)?;
        self.add(Link { name, ..link }, size, Kind::Symlink);
        Ok(())
    }

    /// The innermost directory has an entry.
    fn enter(&mut self) {
        if let Some(dir) = self.dirs.last_mut() {
            dir.had_entry = true;
        }
    }

    /// The directory is complete.
    fn leave(&mut self, mut dir: Dir) -> Result<(), ImportError> {
        // As in Kubo: one whose only entries were left out is not empty, nor is one at the top.
        if !self.options.empty_dirs && !dir.had_entry && !self.dirs.is_empty() {
            return Ok(());
        }
        if let Some(twice) = dir.links.sort() {
            let names = self.dirs.iter().map(|d| &d.name).chain([&dir.name, &twice]);
            return Err(ImportError::Duplicate {
                path: joined(names),
            });
        }
        let link = dir::build(
            &mut self.output,
            &self.options.profile,
            dir.metadata,
            &dir.links,
        )?;
        self.add(
            Link {
                name: dir.name,
                ..link
            },
            dir.size,
            Kind::Directory,
        );
        Ok(())
    }

    /// Adds to the innermost directory, or to the result.
    fn add(&mut self, mut link: Link, size: u64, kind: Kind) {
        let Some(dir) = self.dirs.last_mut() else {
            self.added.push(Added {
                name: link.name,
                cid: link.cid,
                size,
                kind,
            });
            return;
        };
        if link.name.as_bytes().is_empty() {
            link.name = nameless(&link.cid);
        }
        // A symlink's target is no file's byte.
        if kind != Kind::Symlink {
            dir.size += size;
        }
        dir.links.push(&link);
    }
}

/// What has no name is wrapped under its CID, as in Kubo.
fn nameless(cid: &Cid) -> Name {
    cid.to_string().as_str().into()
}
