//! Small disks of a campaign's own: some that are full, some that fail.
//!
//! Owns: [`SmallDisk`], [`FailingDisk`], and the mounts under them, which go with these values,
//! whatever happens. Uses the system's own `mount`, `umount`, `mkfs.ext4` and `fallocate`; who may not
//! mount is told so by them.
//!
//! A failing device needs no driver of its own. It is a loop device over a sparse image on a tmpfs:
//! once the tmpfs is full, a store into a block that the image has no page for fails. Blocks of zeros
//! are given back first (`fallocate --dig-holes`), which loses nothing, so that exactly what is new
//! fails. The kernel then does what it does on any device: it tells of the failure once, takes the
//! pages for clean, and shows bytes that the device does not have. Its requests are cut to one page,
//! since a loop device takes a request for done of which its file had room for the first pages only.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// A kind of small file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Tmpfs,
    Ext4,
}

/// A file system that is easily filled.
#[derive(Debug)]
pub(super) struct SmallDisk {
    kind: Kind,
    root: PathBuf,
    mounted: Option<Mounted>,
}

const SMALL_TMPFS: &str = "size=4m";
const SMALL_EXT4_BYTES: u64 = 12 << 20;

impl SmallDisk {
    /// Makes one below `root`.
    pub(super) fn new(kind: Kind, root: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(root)?;
        let mut disk = Self { kind, root: root.to_owned(), mounted: None };
        if kind == Kind::Ext4 {
            make_ext4(&disk.image(), SMALL_EXT4_BYTES, true)?;
        }
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> PathBuf {
        self.root.join("disk")
    }

    /// Takes all the room that is left.
    pub(super) fn fill(&self) -> anyhow::Result<()> {
        fill(&self.path())
    }

    /// Gives it back.
    pub(super) fn make_room(&self) -> anyhow::Result<()> {
        make_room(&self.path())
    }

    /// Drops the page cache, where there is a device under it.
    pub(super) fn remount(&mut self) -> anyhow::Result<()> {
        if self.kind == Kind::Tmpfs {
            return Ok(());
        }
        unmount(&mut self.mounted)?;
        self.mount()
    }

    fn mount(&mut self) -> anyhow::Result<()> {
        let mounted = match self.kind {
            Kind::Tmpfs => Mounted::tmpfs(SMALL_TMPFS, &self.path()),
            Kind::Ext4 => Mounted::image(&self.image(), &self.path(), Requests::Long),
        };
        self.mounted = Some(mounted?);
        Ok(())
    }

    fn image(&self) -> PathBuf {
        self.root.join("image")
    }
}

/// How a device fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failing {
    /// It refuses to write a block.
    Writes,
    /// It takes blocks and then cannot keep them: its flush fails.
    Flushes,
}

/// An ext4 on a device that can be made to fail, and to work again.
#[derive(Debug)]
pub(super) struct FailingDisk {
    root: PathBuf,
    how: Failing,
    // Unmounted in this order.
    mounted: Option<Mounted>,
    lower: Option<Mounted>,
    _memory: Mounted,
}

const FAILING_BYTES: u64 = 20 << 20;
const LOWER_BYTES: u64 = 32 << 20;
const MEMORY: &str = "size=48m";

impl FailingDisk {
    /// Makes one below `root`. `journal`: whether its file system has one, and goes read-only once it
    /// cannot write it.
    pub(super) fn new(how: Failing, journal: bool, root: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(root)?;
        let memory = Mounted::tmpfs(MEMORY, &root.join("memory"))?;
        let mut disk =
            Self { root: root.to_owned(), how, mounted: None, lower: None, _memory: memory };
        if how == Failing::Flushes {
            // One file system below takes the blocks into its page cache; a flush is its fsync.
            let image = disk.root.join("memory/image");
            make_ext4(&image, LOWER_BYTES, false)?;
            disk.lower =
                Some(Mounted::image(&image, &disk.root.join("lower"), Requests::OfOnePage)?);
            // With blocks: what fails is to be their contents, not their allocation.
            let zeros = vec![0; 1 << 20];
            let mut image = File::create(disk.image())?;
            for _ in 0..FAILING_BYTES >> 20 {
                image.write_all(&zeros)?;
            }
            image.sync_all()?;
        }
        make_ext4(&disk.image(), FAILING_BYTES, journal)?;
        disk.mounted = Some(Mounted::image(&disk.image(), &disk.path(), Requests::OfOnePage)?);
        Ok(disk)
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> PathBuf {
        self.root.join("disk")
    }

    /// From now on the device fails.
    pub(super) fn fail(&self) -> anyhow::Result<()> {
        sync(&self.path())?;
        if self.how == Failing::Flushes {
            sync(&self.root.join("lower"))?;
        }
        let image = self.root.join("memory/image");
        run("fallocate", &[OsStr::new("--dig-holes")], &image)?;
        fill(&self.root.join("memory"))
    }

    /// The device works again. What it refused stays lost.
    pub(super) fn work(&self) -> anyhow::Result<()> {
        make_room(&self.root.join("memory"))
    }

    /// Drops the page cache: what is there afterwards is on the device.
    pub(super) fn remount(&mut self) -> anyhow::Result<()> {
        unmount(&mut self.mounted)?;
        if self.how == Failing::Flushes {
            unmount(&mut self.lower)?;
            let image = self.root.join("memory/image");
            self.lower =
                Some(Mounted::image(&image, &self.root.join("lower"), Requests::OfOnePage)?);
        }
        self.mounted = Some(Mounted::image(&self.image(), &self.path(), Requests::OfOnePage)?);
        Ok(())
    }

    /// What its own file system lies in.
    fn image(&self) -> PathBuf {
        let folder = if self.how == Failing::Flushes { "lower" } else { "memory" };
        self.root.join(folder).join("image")
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        // So that nothing is left that cannot be written out; the mounts go after this.
        let _ = self.work();
    }
}

/// How much a device is asked to store at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Requests {
    /// As the system likes it.
    Long,
    /// One page.
    OfOnePage,
}

const PAGE_KIB: &str = "4";

/// Something mounted; unmounted when dropped.
#[derive(Debug)]
struct Mounted {
    at: PathBuf,
}

impl Mounted {
    fn tmpfs(options: &str, at: &Path) -> anyhow::Result<Self> {
        let arguments = ["-t", "tmpfs", "-o", options, "quipu-crash"].map(OsStr::new);
        Self::mount(&arguments, at)
    }

    /// A file system in a file, through a loop device that goes with the mount.
    fn image(image: &Path, at: &Path, requests: Requests) -> anyhow::Result<Self> {
        let shown = run("losetup", &["--find", "--show"].map(OsStr::new), image)?;
        let device = Path::new(shown.trim());
        let name = device.file_name().unwrap_or_default();
        let limit = Path::new("/sys/block").join(name).join("queue/max_sectors_kb");
        let limited = match requests {
            Requests::Long => Ok(()),
            Requests::OfOnePage => fs::write(&limit, PAGE_KIB),
        };
        let limited = limited.with_context(|| format!("cannot write {}", limit.display()));
        let mounted = limited.and_then(|()| Self::mount(&[device.as_ref()], at));
        // It stays for as long as it is mounted.
        run("losetup", &[OsStr::new("--detach")], device)?;
        mounted
    }

    fn mount(arguments: &[&OsStr], at: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(at)?;
        run("mount", arguments, at)?;
        Ok(Self { at: at.to_owned() })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if run("umount", &[], &self.at).is_err() {
            // Somebody is still in it: it goes when they do.
            let _ = run("umount", &[OsStr::new("-l")], &self.at);
        }
    }
}

fn unmount(mounted: &mut Option<Mounted>) -> anyhow::Result<()> {
    if let Some(mounted) = mounted.take() {
        let answer = run("umount", &[], &mounted.at);
        if answer.is_ok() {
            // Done; nothing is left for the drop to do.
            std::mem::forget(mounted);
        }
        answer?;
    }
    Ok(())
}

/// Writes out a file system. The first attempt may tell of a failure that is over.
fn sync(path: &Path) -> anyhow::Result<()> {
    let sync = || run("sync", &[OsStr::new("-f")], path);
    sync().or_else(|_| sync()).map(drop)
}

fn make_ext4(image: &Path, bytes: u64, journal: bool) -> anyhow::Result<()> {
    let file = File::options().create(true).truncate(false).write(true).open(image)?;
    file.set_len(bytes)?;
    let features = if journal { "has_journal" } else { "^has_journal" };
    // No discarding: an image that was written out stays so.
    let arguments = ["-q", "-F", "-b", "4096", "-E", "nodiscard", "-O", features].map(OsStr::new);
    run("mkfs.ext4", &arguments, image)?;
    Ok(())
}

/// A broken case, with what it leaves of the log copied to a place that stays.
pub(super) fn or_left<T>(held: anyhow::Result<T>, disk: &Path, root: &Path) -> anyhow::Result<T> {
    held.map_err(|error| {
        let (log, left) = (disk.join("log"), root.join("left"));
        let copy = || -> anyhow::Result<()> {
            fs::create_dir_all(&left)?;
            for entry in fs::read_dir(&log)? {
                let entry = entry?;
                fs::copy(entry.path(), left.join(entry.file_name()))?;
            }
            Ok(())
        };
        match copy() {
            Ok(()) => error.context(format!("left in {}", left.display())),
            // What is broken says more than that it cannot be kept.
            Err(_) => error,
        }
    })
}

/// The files that take up room.
const BALLAST: &str = "ballast-";

/// Takes all the room of a file system, to the last byte.
fn fill(directory: &Path) -> anyhow::Result<()> {
    let name = |number: usize| directory.join(format!("{BALLAST}{number}"));
    let path = (0..).map(name).find(|path| !path.exists()).context("no name is free")?;
    let mut file = File::create(path)?;
    // The last blocks go in small pieces.
    for length in [64 << 10, 4096, 512, 1] {
        while file.write_all(&vec![1; length]).is_ok() {}
    }
    // Some file systems find only now that the last of it has no place.
    let _ = file.sync_all();
    Ok(())
}

fn make_room(directory: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(BALLAST) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Runs a program of the system, with a path behind its arguments; gives what it says. What it says
/// when it fails is the error.
fn run(program: &str, arguments: &[&OsStr], path: &Path) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).arg(path).output();
    let output = output.with_context(|| format!("{program} cannot be run"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program}: {}", said.trim().replace('\n', ", "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
