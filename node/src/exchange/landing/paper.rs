//! [`Paper`]: the file that a download is written to.
//!
//! A large one goes past the page cache: its pages are given up once they are on disk. Else a download of many
//! gigabytes drives out what others read, and the kernel has to find a fresh page for each of its own; in
//! a virtual machine, the host has to find it as well.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::Advice;
use rustix::io::{Errno, ReadWriteFlags};

/// Contents of so many bytes and more are not kept in the page cache. What is smaller costs little to
/// keep, and is more likely to be read at once.
const UNCACHED_FROM: u64 = 256 << 20;

/// `RWF_DONTCACHE` (Linux 6.14, `include/uapi/linux/fs.h`), for which rustix has no name.
const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Paper {
    file: Arc<File>,
    large: bool,
    /// The kernel gives up each page by itself as soon as it is on disk.
    gives_up: AtomicBool,
}

impl Paper {
    /// For a content of `size` bytes.
    pub(super) fn new(file: Arc<File>, size: u64) -> Self {
        let large = size >= UNCACHED_FROM;
        Self {
            file,
            large,
            gives_up: AtomicBool::new(large),
        }
    }

    /// Writes all of `bytes` at `offset`.
    pub(super) fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() && self.gives_up.load(Ordering::Relaxed) {
            let slices = [IoSlice::new(bytes)];
            match rustix::io::pwritev2(&*self.file, &slices, offset, DONTCACHE) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(Errno::INTR) => {}
                // An older kernel, or a file system that cannot.
                Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                    self.gives_up.store(false, Ordering::Relaxed);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.file.write_all_at(bytes, offset)
    }

    /// Fills `bytes` from `offset` on.
    pub(super) fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    /// Gives the file its length.
    pub(super) fn set_len(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        if self.large && !self.gives_up.load(Ordering::Relaxed) {
            // A wish: where it is not granted, nothing is lost.
            let _ = rustix::fs::fadvise(&*self.file, 0, None, Advice::DontNeed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::MemfdFlags;

    use super::*;

    /// Writes two pieces, the later one first, and reads them back.
    fn two_pieces(file: File, size: u64) -> Paper {
        let paper = Paper::new(Arc::new(file), size);
        let (first, second) = (vec![1; 10_000], vec![2; 70_001]);
        paper.write_all_at(&second, 10_000).unwrap();
        paper.write_all_at(&first, 0).unwrap();
        paper.sync().unwrap();
        let mut all = vec![0; 80_001];
        paper.read_exact_at(&mut all, 0).unwrap();
        assert_eq!(all, [first, second].concat());
        assert_eq!(paper.file.metadata().unwrap().len(), 80_001);
        paper
    }

    #[test]
    fn a_large_content_is_written_as_a_small_one_is() {
        two_pieces(tempfile::tempfile().unwrap(), UNCACHED_FROM);
        let small = two_pieces(tempfile::tempfile().unwrap(), UNCACHED_FROM - 1);
        assert!(!small.gives_up.into_inner());
    }

    #[test]
    fn where_pages_cannot_be_given_up_it_is_written_as_ever() {
        // Files in memory have nothing else to be kept in.
        let file = rustix::fs::memfd_create("paper", MemfdFlags::CLOEXEC).unwrap();
        let paper = two_pieces(File::from(file), UNCACHED_FROM);
        assert!(!paper.gives_up.into_inner());
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = Paper::new(Arc::new(full), UNCACHED_FROM).write_all_at(b"bytes", 0);
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
