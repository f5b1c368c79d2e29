//! What a figure was measured on.
//!
//! Owns: [`describe`], [`Device`] (the write counters of the device under a directory). Reads
//! `/proc` and `/sys` only.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Processor, kernel, file system and command, one a line.
#[must_use]
pub fn describe(directory: &Path) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("?");
    let model = model.trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read("/proc/meminfo");
    let memory = memory.lines().next().unwrap_or("?").replace("MemTotal:", "");
    let kernel = read("/proc/sys/kernel/osrelease");
    let program = std::env::args().next().unwrap_or_default();
    let program =
        Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!(
        "machine      {model}, {cores} cores, {} of memory\nkernel       Linux {}\nfile system  {}\n\
         command      {program} {}\n",
        memory.trim(),
        kernel.trim(),
        file_system(directory),
        arguments.join(" "),
    )
}

/// The type and options of the file system that holds a directory.
#[must_use]
pub fn file_system(directory: &Path) -> String {
    let Ok(path) = fs::canonicalize(directory) else { return "?".to_owned() };
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let described = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        path.starts_with(point).then(|| (point.len(), format!("{kind} ({options})")))
    });
    described.max_by_key(|(length, _)| *length).map_or("?".to_owned(), |(_, found)| found)
}

/// The block device under a directory.
#[derive(Debug, Clone)]
pub struct Device {
    stat: PathBuf,
}

impl Device {
    /// `None` where the file system has no block device of its own that counts.
    #[must_use]
    pub fn under(directory: &Path) -> Option<Self> {
        let number = fs::metadata(directory).ok()?.dev();
        let (major, minor) = (libc::major(number), libc::minor(number));
        let stat = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
        stat.exists().then_some(Self { stat })
    }

    /// Bytes written to it since it is there, by anybody.
    ///
    /// # Errors
    /// What the system says.
    pub fn written_bytes(&self) -> io::Result<u64> {
        const SECTORS_WRITTEN: usize = 6;
        const SECTOR_BYTES: u64 = 512;
        let stat = fs::read_to_string(&self.stat)?;
        let sectors = stat.split_whitespace().nth(SECTORS_WRITTEN);
        let sectors: u64 = sectors.unwrap_or("0").parse().map_err(io::Error::other)?;
        Ok(sectors * SECTOR_BYTES)
    }
}

/// Bytes that this process has caused to be written, as far as the kernel can tell.
///
/// # Errors
/// What the system says.
pub fn process_written_bytes() -> io::Result<u64> {
    let counters = fs::read_to_string("/proc/self/io")?;
    let written = counters.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    written.unwrap_or("0").parse().map_err(io::Error::other)
}

/// Asks for everything that anybody has written to be brought to the devices, and waits for it.
pub fn sync_all() {
    // By the program of that name, for want of a safe call; that it is missing only adds noise.
    let _ = std::process::Command::new("sync").status();
}
