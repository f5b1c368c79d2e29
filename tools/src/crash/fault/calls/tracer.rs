//! Runs the worker as its tracer, and does to one of its system calls what it likes.
//!
//! Owns: [`Tracer`], the loop over the stops of a traced process, and what is said of its end. May
//! call: `ptrace`, `/proc`, the worker.
//!
//! Calls are counted over all threads of the process, so that one fault meets exactly one call. A
//! tracer is one thread: everything here is done on the thread that has started the worker, and waits
//! for that thread's children alone.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::ValueEnum;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::site::{Fault, Site, TRANSFERS, Target};
use super::syscalls::{Call, Names, find};
use crate::crash::worker::{Line, Request};

/// A run of the worker takes some hundredths of a second.
const DEADLINE: Duration = Duration::from_secs(30);
/// Longer than any path.
const PATH_BYTES_MAX: usize = 4096;

/// Any process or thread.
const ANY: Pid = Pid::from_raw(-1);
/// Of those that this thread has started or traces.
const OWN: WaitPidFlag = WaitPidFlag::__WALL.union(WaitPidFlag::__WNOTHREAD);

/// Starts traced workers.
#[derive(Debug)]
pub(super) struct Tracer {
    executable: PathBuf,
}

/// How a traced run ended, and what it said.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) lines: Vec<Line>,
    pub(super) ending: Ending,
    /// What the process wrote to its stderr.
    pub(super) complaint: String,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Code(i32),
    Signal(Signal),
    /// Not at all, within [`DEADLINE`].
    Hung,
}

impl Tracer {
    pub(super) fn new() -> anyhow::Result<Self> {
        let executable = std::env::current_exe().context("cannot find this program")?;
        Ok(Self { executable })
    }

    /// # Errors
    /// Why nothing can be traced here.
    pub(super) fn try_out(&self) -> anyhow::Result<()> {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn()?;
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        let seized = ptrace::seize(pid, Options::PTRACE_O_EXITKILL);
        child.kill()?;
        child.wait()?;
        seized.context("processes cannot be traced here")
    }

    /// Runs a worker without a fault. Gives the sites, in the order in which it comes to them, each
    /// with the number of its calls.
    pub(super) fn observe(&self, work: &Request) -> anyhow::Result<(Ended, Vec<(Site, u32)>)> {
        let mut sites: Vec<(Site, u32)> = Vec::new();
        let ended = self.run(work, &mut |site| {
            match sites.iter_mut().find(|(known, _)| *known == site) {
                Some((_, count)) => *count += 1,
                None => sites.push((site, 1)),
            }
            None
        })?;
        Ok((ended, sites))
    }

    /// Runs a worker and does `fault` to the n-th call of a site. Gives whether there was one.
    pub(super) fn fail(
        &self,
        work: &Request,
        wanted: &Site,
        fault: Fault,
        n: u32,
    ) -> anyhow::Result<(Ended, bool)> {
        let mut count = 0;
        let ended = self.run(work, &mut |site| {
            count += u32::from(site == *wanted);
            (site == *wanted && count == n).then_some(fault)
        })?;
        Ok((ended, count >= n))
    }

    /// Runs a worker; `decide` is shown each call that touches its log.
    fn run(
        &self,
        work: &Request,
        decide: &mut dyn FnMut(Site) -> Option<Fault>,
    ) -> anyhow::Result<Ended> {
        let errors = work.dir.with_extension("stderr");
        let mut child = self.start(work, &errors)?;
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        let output = child.stdout.take().ok_or_else(|| anyhow!("the worker has no pipe"))?;
        let listening = thread::spawn(move || listen(output));
        let hung = AtomicBool::new(false);
        let (ended, watched) = mpsc::channel::<()>();
        let traced = thread::scope(|scope| {
            let hung = &hung;
            scope.spawn(move || {
                if watched.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
                    hung.store(true, Ordering::Relaxed);
                    let _ = kill(pid, Signal::SIGKILL);
                }
            });
            let traced = Traced::new(pid, &work.dir, decide).and_then(|traced| {
                // Until now it waits for this line.
                let mut begin = child.stdin.take().ok_or_else(|| anyhow!("it has no stdin"))?;
                begin.write_all(b"begin\n")?;
                traced.follow()
            });
            drop(ended);
            traced
        });
        if traced.is_err() {
            // Dead or alive: what it says is to have an end.
            let _ = kill(pid, Signal::SIGKILL);
            // All its threads, each of which waits to be taken down; there is no other child.
            while waitpid(ANY, Some(OWN)).is_ok() {}
        }
        let lines = listening.join().map_err(|_| anyhow!("the listening thread panicked"))?;
        let ending = if hung.load(Ordering::Relaxed) { Ending::Hung } else { traced? };
        let complaint = fs::read_to_string(&errors)?.trim().replace('\n', " ");
        Ok(Ended { lines: lines?, ending, complaint })
    }

    fn start(&self, work: &Request, errors: &Path) -> anyhow::Result<Child> {
        let mut command = Command::new(&self.executable);
        command.args(["crash", "worker", "--dir"]).arg(&work.dir);
        let script = work.script.to_possible_value().ok_or_else(|| anyhow!("a hidden script"))?;
        command.args(["--script", script.get_name(), "--round", &work.round.to_string()]);
        command.args(work.variant.arguments());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(errors)?);
        command.spawn().context("cannot start the worker")
    }
}

/// A process that is being traced.
struct Traced<'a> {
    leader: Pid,
    log: &'a Path,
    decide: &'a mut dyn FnMut(Site) -> Option<Fault>,
    /// Threads that are in a call, and what is to be done when they leave it.
    inside: HashMap<Pid, Option<Leaving>>,
    /// The fault has been done, and the rest is of no interest.
    done: bool,
    memory: File,
}

/// What is done when a call is left.
enum Leaving {
    /// It answers this error.
    Fails(i32),
    /// The argument is what it was before.
    Gives(libc::c_ulonglong),
    /// So is the memory that it was told to use.
    Restores(libc::c_ulonglong, u64, [u8; 8]),
}

impl<'a> Traced<'a> {
    /// Begins to trace a process that waits.
    fn new(
        leader: Pid,
        log: &'a Path,
        decide: &'a mut dyn FnMut(Site) -> Option<Fault>,
    ) -> anyhow::Result<Self> {
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            // It dies with its tracer.
            | Options::PTRACE_O_EXITKILL;
        ptrace::seize(leader, options).context("the worker cannot be traced")?;
        ptrace::interrupt(leader).context("the worker cannot be stopped")?;
        let memory = File::options().read(true).write(true).open(format!("/proc/{leader}/mem"))?;
        Ok(Self { leader, log, decide, inside: HashMap::new(), done: false, memory })
    }

    /// Follows it to its end.
    fn follow(mut self) -> anyhow::Result<Ending> {
        loop {
            let (thread, signal) = match waitpid(ANY, Some(OWN)).context("waitpid")? {
                WaitStatus::Exited(pid, code) if pid == self.leader => {
                    return Ok(Ending::Code(code));
                }
                WaitStatus::Signaled(pid, signal, _) if pid == self.leader => {
                    return Ok(Ending::Signal(signal));
                }
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => continue,
                WaitStatus::PtraceSyscall(thread) => {
                    if !self.done {
                        self.at_call(thread).or_else(gone)?;
                    }
                    (thread, None)
                }
                // A new thread, in the one that has made it and in itself; or the first stop.
                WaitStatus::PtraceEvent(thread, ..) => (thread, None),
                WaitStatus::Stopped(thread, signal) => (thread, Some(signal)),
                other => bail!("the worker is {other:?}"),
            };
            let resumed = match self.done {
                true => ptrace::cont(thread, signal),
                false => ptrace::syscall(thread, signal),
            };
            resumed.map_err(anyhow::Error::from).or_else(gone)?;
        }
    }

    /// A thread enters a call, or leaves it.
    fn at_call(&mut self, thread: Pid) -> anyhow::Result<()> {
        match self.inside.remove(&thread) {
            Some(None) => Ok(()),
            Some(Some(leaving)) => {
                self.done = true;
                self.leave(thread, leaving)
            }
            None => {
                let leaving = self.enter(thread)?;
                self.inside.insert(thread, leaving);
                Ok(())
            }
        }
    }

    fn enter(&mut self, thread: Pid) -> anyhow::Result<Option<Leaving>> {
        let mut registers = ptrace::getregs(thread)?;
        let number = registers.orig_rax.cast_signed();
        let (call, names) = match find(number) {
            Call::OnFile(call, names) => (call, names),
            Call::Other => return Ok(None),
            Call::Unknown => bail!("the worker makes system call {number}, which is not listed"),
        };
        let regs = &registers;
        let arguments = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
        let Some(target) = self.target(names, &arguments)? else { return Ok(None) };
        let Some(fault) = (self.decide)(Site { call, target }) else { return Ok(None) };
        let error = match fault {
            Fault::Eio => libc::EIO,
            Fault::Enospc => libc::ENOSPC,
            Fault::Eintr => libc::EINTR,
            Fault::Kill => {
                self.done = true;
                kill(self.leader, Signal::SIGKILL)?;
                return Ok(None);
            }
            Fault::Short => {
                let (leaving, count) = self.shorten(call, registers.rsi, registers.rdx)?;
                registers.rdx = count;
                ptrace::setregs(thread, registers)?;
                return Ok(Some(leaving));
            }
        };
        // On Linux a descriptor is gone whatever `close` answers: that one is carried out.
        if call != "close" {
            registers.orig_rax = u64::MAX;
            ptrace::setregs(thread, registers)?;
        }
        Ok(Some(Leaving::Fails(error)))
    }

    fn leave(&self, thread: Pid, leaving: Leaving) -> anyhow::Result<()> {
        let mut registers = ptrace::getregs(thread)?;
        match leaving {
            Leaving::Fails(error) => registers.rax = (-i64::from(error)).cast_unsigned(),
            Leaving::Gives(count) => registers.rdx = count,
            Leaving::Restores(count, address, bytes) => {
                registers.rdx = count;
                self.memory.write_all_at(&bytes, address)?;
            }
        }
        Ok(ptrace::setregs(thread, registers)?)
    }

    /// Makes a call transfer about half of what it is asked for. Gives its new third argument, and how
    /// to undo the change.
    fn shorten(&self, call: &str, buffers: u64, count: u64) -> anyhow::Result<(Leaving, u64)> {
        if TRANSFERS.contains(&call) {
            return Ok((Leaving::Gives(count), half(count)));
        }
        if count > 1 {
            return Ok((Leaving::Gives(count), count / 2));
        }
        // One buffer: an address and a length, of which the length is changed.
        let (address, mut length) = (buffers + 8, [0; 8]);
        self.memory.read_exact_at(&mut length, address)?;
        let shorter = half(u64::from_ne_bytes(length)).to_ne_bytes();
        self.memory.write_all_at(&shorter, address)?;
        Ok((Leaving::Restores(count, address, length), count))
    }

    /// What of the log a call is about.
    fn target(&self, names: Names, arguments: &[u64; 6]) -> anyhow::Result<Option<Target>> {
        let argument = |at: usize| arguments.get(at).copied().unwrap_or(0);
        let path = match names {
            Names::Descriptor(at) => self.descriptor(argument(at)),
            Names::Path(at) => Some(self.working_directory()?.join(self.string(argument(at)))),
            Names::PathAt(directory, at) => {
                let path = self.string(argument(at));
                let from = match path.is_absolute() {
                    true => Some(PathBuf::new()),
                    false => self.descriptor(argument(directory)),
                };
                from.map(|from| if path.as_os_str().is_empty() { from } else { from.join(path) })
            }
            Names::Mapping(at) => self.mapped(argument(at))?,
        };
        Ok(path.and_then(|path| Target::of(&path, self.log)))
    }

    /// What a descriptor stands for; `None`: nothing.
    fn descriptor(&self, descriptor: u64) -> Option<PathBuf> {
        // Only its lower half counts.
        match descriptor as libc::c_int {
            libc::AT_FDCWD => self.working_directory().ok(),
            number => fs::read_link(format!("/proc/{}/fd/{number}", self.leader)).ok(),
        }
    }

    fn working_directory(&self) -> anyhow::Result<PathBuf> {
        Ok(fs::read_link(format!("/proc/{}/cwd", self.leader))?)
    }

    /// The path at an address of the process; an address that it cannot read itself is no path.
    fn string(&self, address: u64) -> PathBuf {
        let mut bytes = vec![0; PATH_BYTES_MAX];
        // As much as is there: what is mapped may end behind the path.
        let read = self.memory.read_at(&mut bytes, address).unwrap_or(0);
        let read = bytes.get(..read).unwrap_or_default();
        let path = read.split(|byte| *byte == 0).next().unwrap_or_default();
        PathBuf::from(OsStr::from_bytes(path))
    }

    /// The file that is mapped at an address.
    fn mapped(&self, address: u64) -> anyhow::Result<Option<PathBuf>> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.leader))?;
        Ok(maps.lines().find_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let (from, to) = words.next()?.split_once('-')?;
            let from = u64::from_str_radix(from, 16).ok()?;
            let to = u64::from_str_radix(to, 16).ok()?;
            // Access, offset, device and inode stand between.
            let path = line.get(line.find('/')?..)?;
            (from..to).contains(&address).then(|| PathBuf::from(path))
        }))
    }
}

/// Fewer than so many, and whole blocks where these are asked for: a direct write takes no other.
fn half(count: u64) -> u64 {
    const BLOCK: u64 = 4096;
    let half = count / 2;
    if half >= BLOCK { half - half % BLOCK } else { half }
}

/// A thread that dies while it is looked at is followed no more.
fn gone(error: anyhow::Error) -> anyhow::Result<()> {
    match error.downcast_ref::<nix::errno::Errno>() {
        Some(nix::errno::Errno::ESRCH) => Ok(()),
        _ => Err(error),
    }
}

/// Takes down what a process says, to its end.
fn listen(output: ChildStdout) -> anyhow::Result<Vec<Line>> {
    let lines = BufReader::new(output).lines().map(|line| {
        let line = line.context("cannot read from the worker")?;
        line.parse().map_err(|()| anyhow!("the worker said {line:?}"))
    });
    lines.collect()
}
