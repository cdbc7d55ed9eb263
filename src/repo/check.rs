//! Whether the small families agree with each other: index, links, parents, sums and pins. Reads no
//! block, so that it is over in seconds; whether the bytes are right is for [`crate::scrub`].

use super::Repo;
use crate::blockstore::schema::{self, Children, Entry, INDEX, KEEP, LINKS, PARENTS};
use crate::blockstore::{RocksStore, StoreError};
use crate::cid;
use crate::keep::{DIRECT, RECURSIVE};
use crate::scrub::{Finding, Kind};

/// Of one sort, so many findings are listed; the rest is counted.
const LISTED: usize = 1000;

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What is wrong, 1,000 of each sort at most.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub more: u64,
    /// Rows that were read.
    pub rows: u64,
    /// How many of them were mended.
    pub mended: u64,
}

impl Checked {
    fn push(&mut self, finding: Finding) {
        let same = self.findings.iter().filter(|f| f.kind == finding.kind);
        if same.count() < LISTED {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }
}

impl Repo {
    /// Checks that the small families agree; with `repair`, makes anew what follows from others: who
    /// links to whom, and the sums. `go_on` is asked now and then.
    pub fn check(&self, repair: bool, go_on: &dyn Fn() -> bool) -> Result<Checked, StoreError> {
        let mut check = Check {
            store: self.blocks(),
            repair,
            go_on,
            checked: Checked::default(),
        };
        check.log_loss()?;
        check.tables()?;
        check.index()?;
        check.links()?;
        check.parents()?;
        check.pins()?;
        check.sums()?;
        Ok(check.checked)
    }
}

struct Check<'a> {
    store: &'a RocksStore,
    repair: bool,
    go_on: &'a dyn Fn() -> bool,
    checked: Checked,
}

/// Called with each row's key and value.
type Each<'a, T> = dyn FnMut(&mut T, &[u8], &[u8]) -> Result<(), StoreError> + 'a;

impl Check<'_> {
    /// Calls `each` with all rows of a family; a damaged table is a finding.
    fn scan(&mut self, family: &str, each: &mut Each<'_, Self>) -> Result<(), StoreError> {
        let mut failed = None;
        let store = self.store;
        let scanned = store.table_scan(family, &[], &mut |key, value| {
            self.checked.rows += 1;
            match each(self, key, value) {
                // Another table, which is told of when its own rows are read.
                Ok(()) | Err(StoreError::Damaged { .. }) => {}
                Err(error) => failed = Some(error),
            }
            failed.is_none() && (self.go_on)()
        });
        if let Err(error) = scanned {
            self.checked.push(damaged(family, &error));
        }
        failed.map_or(Ok(()), Err)
    }

    fn log_loss(&mut self) -> Result<(), StoreError> {
        let Some(text) = self.store.table_get(schema::META, schema::LOG_LOSS)? else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        self.checked.push(Finding::about(Kind::Log, text));
        if self.repair {
            let change = (schema::LOG_LOSS.to_vec(), None);
            self.store.table_write(schema::META, &[change])?;
            self.checked.mended += 1;
        }
        Ok(())
    }

    /// Reads each family that is not looked at otherwise, and each table's own parts that only single
    /// questions need.
    fn tables(&mut self) -> Result<(), StoreError> {
        let looked_at = [schema::BLOCKS, INDEX, LINKS, PARENTS, KEEP];
        for family in schema::ALL {
            if !looked_at.contains(&family) {
                self.scan(family, &mut |_, _, _| Ok(()))?;
            }
        }
        for (table, error) in self.store.probe_tables()? {
            let reason = format!("table {table}: {error}");
            self.checked.push(Finding::about(Kind::Table, reason));
        }
        Ok(())
    }

    fn index(&mut self) -> Result<(), StoreError> {
        self.scan(INDEX, &mut |check, key, value| {
            let Some(entry) = Entry::decode(value) else {
                let finding = Finding::of(Kind::Links, key, "its index entry is malformed");
                check.checked.push(finding);
                return check.mend(key);
            };
            if !entry.stored && !entry.referenced {
                let finding = Finding::of(Kind::Dangling, key, "an index entry of nothing");
                check.checked.push(finding);
            }
            let links = entry.children == Children::Stored;
            if links && check.store.table_get(LINKS, key)?.is_none() {
                let finding = Finding::of(Kind::Links, key, "its links are lost");
                check.checked.push(finding);
                check.mend(key)?;
            }
            Ok(())
        })
    }

    /// Last, since mending the rest changes what there is to count.
    fn sums(&mut self) -> Result<(), StoreError> {
        let (told, counted) = match self.store.recount(self.repair) {
            Ok(sums) => sums,
            // A damaged index has been told of.
            Err(StoreError::Damaged { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        if counted != told {
            let reason = format!(
                "{} blocks of {} bytes are stored, and the sums say {} of {}",
                counted.stored, counted.stored_bytes, told.stored, told.stored_bytes
            );
            self.checked.push(Finding::about(Kind::Sums, reason));
            self.checked.mended += u64::from(self.repair);
        }
        Ok(())
    }

    /// Each node's links: its entry says that it has some, and each child knows its parent.
    fn links(&mut self) -> Result<(), StoreError> {
        self.scan(LINKS, &mut |check, key, value| {
            let Some(links) = schema::decode_links(value) else {
                let finding = Finding::of(Kind::Links, key, "its links are malformed");
                check.checked.push(finding);
                return check.mend(key);
            };
            let known = match check.entry(key)? {
                Known::Malformed => return Ok(()),
                Known::Entry(entry) => entry.children == Children::Stored,
                Known::Nothing => false,
            };
            if !known {
                // A block may have been removed since this row was read.
                if check.store.table_get(LINKS, key)?.is_some() {
                    let finding = Finding::of(Kind::Orphan, key, "links without an index entry");
                    check.checked.push(finding);
                    check.mend(key)?;
                }
                return Ok(());
            }
            let rows: Vec<Vec<u8>> = schema::held(&links)
                .iter()
                .map(|child| schema::parent_row(child, key))
                .collect();
            for row in &rows {
                if check.store.table_get(PARENTS, row)?.is_none()
                    && check.store.table_get(LINKS, key)?.is_some()
                {
                    let reason = "a child of it does not know it";
                    check.checked.push(Finding::of(Kind::Links, key, reason));
                    if check.repair {
                        let rows = rows.iter().map(|row| (row.clone(), Some(Vec::new())));
                        check
                            .store
                            .table_write(PARENTS, &rows.collect::<Vec<_>>())?;
                        check.checked.mended += 1;
                    }
                    break;
                }
            }
            Ok(())
        })
    }

    /// Each row of parents: the parent is there.
    fn parents(&mut self) -> Result<(), StoreError> {
        // Whether the parent's links have it is not asked: one row too many keeps a block for longer
        // than need be, and the rows of one node stand too far apart to decode it for each of them.
        self.scan(PARENTS, &mut |check, row, _| {
            let size = schema::multihash_size(row);
            let Some((child, parent)) = size.and_then(|size| row.split_at_checked(size)) else {
                let finding = Finding::about(Kind::Links, "a malformed row of parents");
                check.checked.push(finding);
                return check.delete(PARENTS, row);
            };
            if check.entry(parent)? != Known::Nothing
                || check.store.table_get(PARENTS, row)?.is_none()
            {
                return Ok(());
            }
            let reason = "it knows a parent that is not there";
            check.checked.push(Finding::of(Kind::Links, child, reason));
            check.delete(PARENTS, row)
        })
    }

    fn pins(&mut self) -> Result<(), StoreError> {
        self.scan(KEEP, &mut |check, key, mut value| {
            if !matches!(key.first(), Some(&(RECURSIVE | DIRECT))) {
                return Ok(());
            }
            let root = schema::take_bytes(&mut value).and_then(|cid| cid::from_bytes(cid).ok());
            let Some(root) = root else {
                let finding = Finding::about(Kind::Pin, "a pin whose root cannot be read");
                check.checked.push(finding);
                return Ok(());
            };
            let multihash = root.hash().to_bytes();
            if check.entry(&multihash)? == Known::Nothing && cid::identity_data(&root).is_none() {
                let finding = Finding::of(Kind::Missing, &multihash, "the root of a pin");
                check.checked.push(finding);
            }
            Ok(())
        })
    }

    fn entry(&self, key: &[u8]) -> Result<Known, StoreError> {
        let value = self.store.table_get(INDEX, key)?;
        Ok(value.map_or(Known::Nothing, |value| {
            Entry::decode(&value).map_or(Known::Malformed, Known::Entry)
        }))
    }

    /// Makes anew what follows from a block's bytes; without them, its links are of no block.
    fn mend(&mut self, key: &[u8]) -> Result<(), StoreError> {
        if self.repair && self.store.mend(key)? {
            self.checked.mended += 1;
        }
        Ok(())
    }

    fn delete(&mut self, family: &str, row: &[u8]) -> Result<(), StoreError> {
        if self.repair {
            self.store.table_write(family, &[(row.to_vec(), None)])?;
            self.checked.mended += 1;
        }
        Ok(())
    }
}

/// What the index says of a block.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    /// It is told of when the index's own rows are read.
    Malformed,
    Entry(Entry),
}

fn damaged(family: &str, error: &StoreError) -> Finding {
    Finding::about(Kind::Table, format!("family `{family}`: {error}"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tempfile::tempdir;

    use super::*;
    use crate::block::Block;
    use crate::blockstore::{Blockstore, Write};
    use crate::cid::{Codec, Version};
    use crate::dag::{Link, pb};
    use crate::pin::Wanted;
    use crate::repo::RepoOptions;

    /// A row, its new value, and what that is found to be.
    type Damage<'a> = (&'a str, Vec<u8>, Option<&'a [u8]>, Kind);

    fn kinds(repo: &Repo, repair: bool) -> Vec<Kind> {
        let checked = repo.check(repair, &|| true).unwrap();
        checked.findings.iter().map(|found| found.kind).collect()
    }

    fn set(repo: &Repo, family: &str, key: &[u8], value: Option<&[u8]>) {
        let change = (key.to_vec(), value.map(<[u8]>::to_vec));
        repo.blocks().table_write(family, &[change]).unwrap();
    }

    #[test]
    fn what_disagrees_is_found_and_made_anew() {
        let dir = tempdir().unwrap();
        let options = RepoOptions {
            low_memory: true,
            ..RepoOptions::default()
        };
        let repo = Repo::open(&dir.path().join("repo"), &options).unwrap();
        let leaf = Block::hash(Version::V1, Codec::Raw, Bytes::from_static(b"leaf")).unwrap();
        let link = Link {
            cid: *leaf.cid(),
            name: "".into(),
            tsize: 4,
        };
        let node = pb::Node {
            links: vec![link],
            data: None,
        };
        let node = Block::hash(Version::V1, Codec::DagPb, node.encode()).unwrap();
        let blocks = [leaf.clone(), node.clone()];
        repo.blocks().put_many(&blocks, Write::Logged).unwrap();
        repo.pins().add(&Wanted::new(*node.cid(), 1)).unwrap();
        assert_eq!(kinds(&repo, false), []);

        let key = |block: &Block| block.cid().hash().to_bytes();
        let row = schema::parent_row(&key(&leaf), &key(&node));
        let nowhere = schema::parent_row(&key(&leaf), &[0x12, 0x01, 7]);
        let entry = repo.blocks().table_get(INDEX, &key(&node)).unwrap();
        let damages: [Damage<'_>; 6] = [
            (PARENTS, row.clone(), None, Kind::Links),
            (PARENTS, nowhere, Some(&[]), Kind::Links),
            (PARENTS, vec![0x12], Some(&[]), Kind::Links),
            (LINKS, key(&node), None, Kind::Links),
            (LINKS, key(&node), Some(b"\xff"), Kind::Links),
            (INDEX, key(&node), Some(b"\xff\xff"), Kind::Links),
        ];
        for (family, key, value, kind) in damages {
            set(&repo, family, &key, value);
            let found = kinds(&repo, false);
            // An entry that cannot be read is not counted either.
            let told = |&k: &Kind| k == kind || family == INDEX && k == Kind::Sums;
            assert!(
                !found.is_empty() && found.iter().all(told),
                "{family}: {found:?}"
            );
            assert!(!kinds(&repo, true).is_empty());
            assert_eq!(kinds(&repo, false), [], "{family}");
        }
        assert_eq!(repo.blocks().table_get(INDEX, &key(&node)).unwrap(), entry);
        assert!(repo.blocks().table_get(PARENTS, &row).unwrap().is_some());

        // A root that is gone is no matter of making anew.
        repo.blocks().delete_many(&[*node.cid()]).unwrap();
        assert_eq!(kinds(&repo, true), [Kind::Missing]);
        assert_eq!(kinds(&repo, true), [Kind::Missing]);
    }

    #[test]
    fn wrong_sums_are_counted_again() {
        let dir = tempdir().unwrap();
        let path = dir.path().join("repo");
        let repo = Repo::open(&path, &RepoOptions::default()).unwrap();
        let leaf = Block::hash(Version::V1, Codec::Raw, Bytes::from_static(b"leaf")).unwrap();
        repo.blocks().put_many(&[leaf], Write::Logged).unwrap();
        set(&repo, schema::META, schema::TOTALS, Some(&[9; 32]));
        drop(repo);
        let repo = Repo::open(&path, &RepoOptions::default()).unwrap();
        assert_eq!(kinds(&repo, false), [Kind::Sums]);
        assert_eq!(kinds(&repo, true), [Kind::Sums]);
        assert_eq!(kinds(&repo, false), []);
        assert_eq!(repo.blocks().live_bytes(), 4);
    }
}
