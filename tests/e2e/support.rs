//! Running `store` as a person or a script would: commands with a time limit, nodes that are ended
//! with the test, and files to add.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};
use store::block::Block;
use store::cid::{Codec, Version};
use tempfile::TempDir;

/// No command of a test may take longer: a hang is a failure, not a wait.
const COMMAND_LIMIT: Duration = Duration::from_secs(300);
/// A node that takes longer to start, or to stop when asked, is broken.
const NODE_LIMIT: Duration = Duration::from_secs(30);

/// Keeps a command to loopback, on a port of its own.
pub const ALONE: [&str; 3] = ["--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"];

/// The program under test: the one that this build made.
pub fn program() -> PathBuf {
    if let Some(path) = option_env!("CARGO_BIN_EXE_store") {
        return path.into();
    }
    // An example is not told; it lies in a folder beside the program.
    let here = std::env::current_exe().unwrap();
    let program = here.ancestors().nth(2).unwrap().join("store");
    assert!(
        program.exists(),
        "{} is not there: cargo build --workspace",
        program.display()
    );
    program
}

/// A directory of the test's own, with room for repos and files; gone afterwards.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The same in the directory `dir`.
    pub fn within(dir: &Path) -> Self {
        Self(TempDir::new_in(dir).unwrap())
    }

    /// In memory, where there is such a directory: for many small files, each synced, about whose
    /// durability nothing is asked.
    pub fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            return Self::within(memory);
        }
        Self::new()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A command on the repo `repo` of this place, that knows nothing of the machine's settings.
    pub fn store(&self, repo: &str) -> Command {
        command(program(), &self.path(repo))
    }

    /// A node on the repo `repo` of this place: loopback, a free port, no mDNS.
    pub fn node(&self, repo: &str, more: &[&str]) -> Node {
        let mut command = self.store(repo);
        command.arg("run").args(ALONE).args(more);
        Node::start(command)
    }

    /// A file of `size` pseudo-random bytes.
    pub fn file(&self, name: &str, seed: u64, size: u64) -> PathBuf {
        let path = self.path(name);
        write_noise(&path, seed, size);
        path
    }
}

/// `program` on `repo`, away from the settings of whoever runs the tests.
pub fn command(program: impl AsRef<OsStr>, repo: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STORE_") {
            command.env_remove(name);
        }
    }
    command.env("STORE_PATH", repo).env("XDG_CONFIG_HOME", repo);
    command.stdin(Stdio::null());
    command
}

/// How a command ended and what it printed.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub elapsed: Duration,
}

impl Finished {
    /// Standard output as text, without the last line's end. The command must have ended well.
    pub fn text(&self) -> String {
        assert!(self.status.success(), "{}: {}", self.status, self.stderr);
        String::from_utf8(self.stdout.clone())
            .unwrap()
            .trim_end()
            .to_owned()
    }

    /// The exit code. The command must have ended by itself, and without a panic.
    pub fn code(&self) -> i32 {
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self.status
            .code()
            .unwrap_or_else(|| panic!("{}: {}", self.status, self.stderr))
    }

    /// The lines of standard error that report the failure.
    pub fn errors(&self) -> Vec<&str> {
        self.stderr
            .lines()
            .filter(|line| line.starts_with("error:"))
            .collect()
    }
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Finished {
    let started = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    let status = wait(&mut child, COMMAND_LIMIT);
    let elapsed = started.elapsed();
    let (stdout, stderr) = (stdout.join().unwrap(), text(&stderr.join().unwrap()));
    let status = status.unwrap_or_else(|| panic!("{command:?} did not end: {stderr}"));
    Finished {
        status,
        stdout,
        stderr,
        elapsed,
    }
}

/// Runs a command that must end well, and gives its output as text.
pub fn output(command: &mut Command) -> String {
    finish(command).text()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// Waits for the child's end; ends it by force after `limit` and returns `None`.
pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if started.elapsed() > limit {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        // There is no portable wait with a limit; the exit is what is waited for, not the time.
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until `fact` gives something, looking again and again, for at most `limit`.
pub fn eventually<T>(what: &str, limit: Duration, mut fact: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = fact() {
            return found;
        }
        assert!(
            started.elapsed() < limit,
            "after {limit:?} still not: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends `signal` to a child.
pub fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// A running `store run`. Ended by force when dropped.
pub struct Node {
    child: Child,
    /// Its addresses with its peer id, as printed.
    pub addresses: Vec<String>,
    log: Receiver<String>,
}

impl Node {
    /// Starts `command`, which must be a `store run`, and waits until it says `ready`.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = lines(child.stdout.take().unwrap());
        let log = lines(child.stderr.take().unwrap());
        let mut addresses = Vec::new();
        loop {
            match printed.recv_timeout(NODE_LIMIT) {
                Ok(line) if line == "ready" => {
                    return Self {
                        child,
                        addresses,
                        log,
                    };
                }
                Ok(line) => addresses.push(line),
                Err(error) => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    let log: Vec<String> = log.iter().collect();
                    panic!("{command:?} is not ready ({error}): {addresses:?} {log:#?}");
                }
            }
        }
    }

    /// The first address that begins with `prefix`.
    pub fn address(&self, prefix: &str) -> &str {
        let found = self
            .addresses
            .iter()
            .find(|address| address.starts_with(prefix));
        found.unwrap_or_else(|| panic!("no {prefix} among {:?}", self.addresses))
    }

    /// Its address on loopback by TCP.
    pub fn tcp(&self) -> &str {
        self.address("/ip4/127.0.0.1/tcp/")
    }

    /// The process.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// What it logged since the last call.
    pub fn log(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    /// Asks it to stop (SIGTERM), and waits for its end.
    pub fn stop(self) -> ExitStatus {
        self.end(Signal::TERM)
    }

    /// Sends it a signal that ends it, and waits for its end.
    pub fn end(mut self, by: Signal) -> ExitStatus {
        signal(&self.child, by);
        wait(&mut self.child, NODE_LIMIT).expect("a node stops when it is asked to")
    }

    /// Ends it as a crash would (SIGKILL).
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a pipe as they come. A test that does not read them misses the oldest... never: the
/// bound is far above what any test prints, and reaching it would only stop the reading.
fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = sync_channel(100_000);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    receive
}

/// Pseudo-random bytes of a seed: not compressible, the same on every machine (`SplitMix64`).
pub struct Noise {
    state: u64,
    left: u64,
}

impl Noise {
    pub fn new(seed: u64, size: u64) -> Self {
        Self {
            state: seed,
            left: size,
        }
    }
}

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let size = usize::try_from(self.left.min(buffer.len() as u64)).unwrap();
        for piece in buffer[..size].chunks_mut(8) {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            piece.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..piece.len()]);
        }
        self.left -= size as u64;
        Ok(size)
    }
}

/// Writes `size` pseudo-random bytes to `path`.
pub fn write_noise(path: &Path, seed: u64, size: u64) {
    let mut file = File::create(path).unwrap();
    let mut noise = Noise::new(seed, size);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = noise.read(&mut buffer).unwrap();
        if n == 0 {
            break;
        }
        file.write_all(&buffer[..n]).unwrap();
    }
}

/// SHA-256 of a file.
pub fn sha256(path: &Path) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut file = File::open(path).unwrap();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer).unwrap();
        if n == 0 {
            return hash.finalize().into();
        }
        hash.update(&buffer[..n]);
    }
}

/// `cmp`, or `diff -r --no-dereference` for directories.
pub fn same(left: &Path, right: &Path) {
    let mut compare = if left.is_dir() {
        Command::new("diff")
    } else {
        Command::new("cmp")
    };
    if left.is_dir() {
        compare.args(["-r", "--no-dereference"]);
    }
    let result = finish(compare.arg(left).arg(right));
    let printed = String::from_utf8_lossy(&result.stdout);
    assert!(
        result.status.success(),
        "{} and {} differ: {printed}{}",
        left.display(),
        right.display(),
        result.stderr
    );
}

/// The leaves of a file, as `add` makes them.
pub fn leaves(file: &Path) -> Vec<String> {
    let bytes = std::fs::read(file).unwrap();
    let leaf = |chunk: &[u8]| {
        let block = Block::hash(Version::V1, Codec::Raw, chunk.to_vec().into());
        block.unwrap().cid().to_string()
    };
    bytes.chunks(1 << 20).map(leaf).collect()
}

/// The most memory that a process has had resident, in MiB (`VmHWM`); `None` once it has ended.
pub fn peak_mib(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

/// The metrics of a node on loopback.
pub struct Metrics(String);

impl Metrics {
    /// At a port that is free now.
    pub fn free() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self(listener.local_addr().unwrap().to_string())
    }

    /// The flags of a node that shows them.
    pub fn flags(&self) -> [&str; 2] {
        ["--metrics", &self.0]
    }

    /// Bytes of blocks that it has sent.
    pub fn sent(&self) -> u64 {
        self.number("store_exchange_bytes_total{direction=\"out\"}")
    }

    /// Bytes of blocks that have come to it.
    pub fn received(&self) -> u64 {
        self.number("store_exchange_bytes_total{direction=\"in\"}")
    }

    fn number(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(&self.0).unwrap();
        let host = &self.0;
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        // A number that was never counted is not shown.
        let line = text.lines().find(|line| line.starts_with(name));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}
