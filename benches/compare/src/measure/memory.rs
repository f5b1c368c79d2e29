//! Memory of a process: W8, and the peak beside every other workload.
//!
//! Memory is what the process has for itself (`RssAnon`); pages of mapped files belong to the page
//! cache and go when they are needed elsewhere. The peak (`VmHWM`) has both.

use procfs::process::{Process, Status};

use super::Measured;
use crate::engine::{Adapter, Engine, Failure, Need};
use crate::workload::Fill;

/// Streams that are looked at before memory is, so that what is made on demand is there.
const LOOKS: u32 = 1_000;

/// What an open log takes for each of its streams, beyond the `before` of the process.
pub(super) fn measure(
    engine: &dyn Engine,
    adapter: &Adapter,
    before: u64,
    streams: u64,
    fill: Option<Fill>,
) -> Result<Measured, Failure> {
    let streams = fill.map_or(streams, |fill| u64::from(fill.streams));
    if adapter.lacking(&[Need::Streams]).is_none() {
        for look in 0..LOOKS.min(u32::try_from(streams)?) {
            let mut count = 0;
            engine.read_stream(look, &mut |_| count += 1)?;
            if count != 1 {
                return Err(format!("stream {look} has {count} events instead of one").into());
            }
        }
    }
    let taken = anonymous_bytes()?.saturating_sub(before);
    Ok(Measured::new(0, &[("bytes_per_stream", taken as f64 / streams.max(1) as f64)]))
}

/// Memory of this process that is no file's.
pub(super) fn anonymous_bytes() -> Result<u64, Failure> {
    Ok(status()?.rssanon.unwrap_or(0) * 1_024)
}

/// The most memory that this process has had, mapped files included.
pub(super) fn peak_mib() -> Result<f64, Failure> {
    Ok(status()?.vmhwm.unwrap_or(0) as f64 / 1_024.0)
}

fn status() -> Result<Status, Failure> {
    Ok(Process::myself()?.status()?)
}
