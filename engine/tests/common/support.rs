//! What several behaviour tests share: batches, reads as plain values, waiting with a deadline, a
//! picture of a directory, and a second process made of the running test.
#![allow(dead_code)] // each test uses a part of it

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime};

use quipu::{Batch, Event, EventId, Log, Options, Position, ReadError, RecordedEvent, Version};

/// Small segments, so that a test rolls over often.
pub(crate) fn options() -> Options {
    Log::options().segment_bytes(64 << 10)
}

/// A batch of one event of type `T` without preconditions.
pub(crate) fn one(stream: &str, payload: impl AsRef<str>) -> Batch {
    Batch::new().event(stream, Event::new("T", payload.as_ref()))
}

/// An event as plain values: all that a caller put in, and where it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plain {
    pub(crate) position: u64,
    pub(crate) stream: String,
    pub(crate) version: u64,
    pub(crate) event_type: String,
    pub(crate) id: Option<EventId>,
    pub(crate) payload: String,
}

impl From<RecordedEvent> for Plain {
    fn from(event: RecordedEvent) -> Self {
        Self {
            position: event.position().as_u64(),
            stream: event.stream().to_owned(),
            version: event.version().as_u64(),
            event_type: event.event_type().to_owned(),
            id: event.id(),
            payload: String::from_utf8(event.payload().to_vec()).unwrap(),
        }
    }
}

/// All that a read gives, as plain values.
pub(crate) fn plain(
    events: impl IntoIterator<Item = Result<RecordedEvent, ReadError>>,
) -> Vec<Plain> {
    events.into_iter().map(|event| Plain::from(event.unwrap())).collect()
}

/// The payloads of a read.
pub(crate) fn payloads(
    events: impl IntoIterator<Item = Result<RecordedEvent, ReadError>>,
) -> Vec<String> {
    plain(events).into_iter().map(|event| event.payload).collect()
}

/// Checks that positions are dense from 0 and each stream's versions too; gives all events.
pub(crate) fn dense(log: &Log) -> Vec<Plain> {
    let events = plain(log.read(..));
    let mut next: BTreeMap<&str, u64> = BTreeMap::new();
    for (position, event) in (0..).zip(&events) {
        assert_eq!(event.position, position);
        let version = next.entry(&event.stream).or_default();
        assert_eq!(event.version, *version, "stream {} at position {position}", event.stream);
        *version += 1;
    }
    for (stream, count) in next {
        assert_eq!(log.stream_version(stream), Version::new(count).before());
    }
    assert_eq!(log.end(), Position::new(events.len() as u64));
    events
}

/// Asks again and again until the answer is there. The deadline is for a broken engine only.
pub(crate) fn poll_until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Runs `body` on a thread of its own and fails, instead of hanging, if it does not come back.
pub(crate) fn without_hanging<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let running = thread::spawn(body);
    let deadline = Instant::now() + LONG;
    while !running.is_finished() {
        assert!(Instant::now() < deadline, "it hangs");
        thread::sleep(Duration::from_millis(1));
    }
    running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Far longer than anything takes that works.
pub(crate) const LONG: Duration = Duration::from_secs(60);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest of runtimes: one future on one thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}

/// Every file of a directory but the lock: name, modification time, contents.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Picture(BTreeMap<String, (SystemTime, Vec<u8>)>);

impl Picture {
    pub(crate) fn of(directory: &Path) -> Self {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name != "LOCK" {
                let modified = entry.metadata().unwrap().modified().unwrap();
                files.insert(name, (modified, fs::read(entry.path()).unwrap()));
            }
        }
        Self(files)
    }

    /// Fails if anything is another than it was, and says what, without printing contents.
    pub(crate) fn assert_unchanged(&self, directory: &Path) {
        let Self(now) = Self::of(directory);
        let names = |files: &BTreeMap<String, _>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&self.0), names(&now), "names in the directory");
        for (name, (modified, bytes)) in &self.0 {
            let (modified_now, bytes_now) = &now[name];
            assert_eq!(bytes.len(), bytes_now.len(), "length of {name}");
            assert!(bytes == bytes_now, "contents of {name}");
            assert_eq!(modified, modified_now, "modification time of {name}");
        }
    }
}

/// The path of a log's segment.
pub(crate) fn segment(directory: &Path, sequence: u64) -> PathBuf {
    directory.join(format!("{sequence:020}.seg"))
}

/// A command that runs one test of this very program in another process; that test sees `value`
/// in the environment by [`child_value`].
pub(crate) fn child(program: &Path, test: &str, value: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, value);
    command
}

/// This program.
pub(crate) fn program() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// What the parent gave, if this is the child.
pub(crate) fn child_value() -> Option<String> {
    std::env::var(CHILD).ok()
}

const CHILD: &str = "QUIPU_TEST_CHILD";

/// Whether this process may do everything, so that permission bits bind nobody.
pub(crate) fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    uids.split_whitespace().nth(1) == Some("0")
}

/// Gives a path these permission bits.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
