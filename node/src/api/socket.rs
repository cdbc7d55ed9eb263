//! Where the socket of a repo is: in the repo, or where the system keeps sockets if the repo's path is
//! too long for one, or its file system has no sockets. In that case the file `api` in the repo says where.
//!
//! Only the holder of the repo's lock makes and removes these files, so that what it finds is stale.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use store::block::Block;
use store::cid::{Codec, Version};

/// The file in the repo that has the path of a socket elsewhere.
const POINTER: &str = "api";
/// The socket's name.
const SOCKET: &str = "api.sock";
/// The kernel takes 108 bytes with the closing NUL (`sun_path`); some systems four fewer.
const MAX_SOCKET_PATH: usize = 100;

/// A listening socket; its files go when it is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// The file that leads to a socket outside of the repo.
    pointer: Option<PathBuf>,
}

impl Socket {
    /// Listens for commands on the repo at `repo`, whose lock the caller holds.
    pub fn listen(repo: &Path) -> io::Result<Self> {
        let mut refused = None;
        for path in candidates(repo) {
            match bind(&path, repo) {
                Ok(listener) => {
                    let pointer = point(repo, &path)?;
                    return Ok(Self {
                        listener,
                        path,
                        pointer,
                    });
                }
                Err(error) => {
                    tracing::debug!(path = %path.display(), %error, "no socket here");
                    refused = Some(error);
                }
            }
        }
        Err(refused.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    }

    /// The listener.
    #[must_use]
    pub const fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The pointer first: whoever reads it must find the socket. Both are only hints, and the next
        // holder of the lock replaces them.
        if let Some(pointer) = &self.pointer {
            let _ = fs::remove_file(pointer);
        }
        let _ = fs::remove_file(&self.path);
    }
}

/// Connects to whoever holds the lock of the repo at `repo`; fails with `NotFound` or
/// `ConnectionRefused` where nobody listens.
pub fn connect(repo: &Path) -> io::Result<UnixStream> {
    let elsewhere = match fs::read(repo.join(POINTER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        read => Some(read?),
    };
    let Some(path) = elsewhere else {
        let path = repo.join(SOCKET);
        if path.as_os_str().len() > MAX_SOCKET_PATH {
            return Err(io::ErrorKind::NotFound.into());
        }
        return UnixStream::connect(path);
    };
    let path = path.strip_suffix(b"\n").unwrap_or(&path);
    UnixStream::connect(Path::new(std::ffi::OsStr::from_bytes(path)))
}

/// Places for the socket, the best first.
fn candidates(repo: &Path) -> Vec<PathBuf> {
    let uid = rustix::process::getuid().as_raw();
    let name = format!("store-{uid}-{}", digest(repo));
    let mut places = vec![repo.join(SOCKET)];
    let shared = [
        PathBuf::from(format!("/run/user/{uid}")),
        "/run".into(),
        std::env::temp_dir(),
    ];
    places.extend(shared.into_iter().map(|base| base.join(&name).join(SOCKET)));
    places.retain(|path| path.as_os_str().len() <= MAX_SOCKET_PATH);
    places
}

/// Names the repo in twelve letters: one socket for each repo of a user.
fn digest(repo: &Path) -> String {
    let path = fs::canonicalize(repo).unwrap_or_else(|_| repo.to_path_buf());
    let bytes = path.as_os_str().as_bytes().to_vec();
    let block =
        Block::hash(Version::V1, Codec::Raw, bytes.into()).expect("a path is a small block");
    let text = block.cid().to_string();
    text[text.len() - 12..].to_owned()
}

fn bind(path: &Path, repo: &Path) -> io::Result<UnixListener> {
    let directory = path.parent().unwrap_or(repo);
    if directory != repo {
        own_directory(directory)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Makes a directory that only we can enter. In a place like `/tmp` anybody may have made one of that
/// name before: it must be ours, and no symlink.
fn own_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(path)?;
    let ours = found.uid() == rustix::process::geteuid().as_raw();
    if !found.is_dir() || !ours || found.mode() & 0o077 != 0 {
        let message = format!("`{}` belongs to somebody else", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(())
}

/// Makes the pointer say where the socket is, if it must. Replaced in one step: a reader sees the old
/// path or the new one. A socket in the repo needs none, and so spares every short command a sync.
fn point(repo: &Path, socket: &Path) -> io::Result<Option<PathBuf>> {
    let pointer = repo.join(POINTER);
    if socket.parent() == Some(repo) {
        return match fs::remove_file(pointer) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(None),
        };
    }
    let new = pointer.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(socket.as_os_str().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&new, &pointer)?;
    Ok(Some(pointer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repo_has_its_socket_inside() {
        let repo = tempfile::tempdir().unwrap();
        let socket = Socket::listen(repo.path()).unwrap();
        assert_eq!(socket.path(), repo.path().join("api.sock"));
        assert_eq!(fs::metadata(socket.path()).unwrap().mode() & 0o777, 0o600);
        connect(repo.path()).unwrap();
        drop(socket);
        assert_eq!(
            connect(repo.path()).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert!(!repo.path().join("api.sock").exists());
    }

    #[test]
    fn a_long_path_has_its_socket_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let repo = dir.path().join("d".repeat(100)).join("e".repeat(100));
        fs::create_dir_all(&repo).unwrap();
        let socket = Socket::listen(&repo).unwrap();
        assert!(!socket.path().starts_with(&repo));
        let directory = socket.path().parent().unwrap().to_path_buf();
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
        connect(&repo).unwrap();
        drop(socket);
        fs::remove_dir(directory).unwrap();
    }

    #[test]
    fn a_stale_socket_is_replaced() {
        let repo = tempfile::tempdir().unwrap();
        let stale = Socket::listen(repo.path()).unwrap();
        // As kill -9 leaves it: files, and nobody behind them.
        rustix::net::shutdown(&stale.listener, rustix::net::Shutdown::Both).unwrap();
        assert_eq!(
            connect(repo.path()).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        let fresh = Socket::listen(repo.path()).unwrap();
        connect(repo.path()).unwrap();
        drop(fresh);
    }

    #[test]
    fn a_directory_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        assert!(own_directory(&open).is_err());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(own_directory(&link).is_err());
    }
}
