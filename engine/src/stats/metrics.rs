//! The counts, for whoever collects metrics: feature `metrics`.
//!
//! Owns: [`Stats::record`]. Calls the `metrics` facade.

use super::Stats;

impl Stats {
    /// Gives the counts to the recorder of the `metrics` crate, labelled with `log`: to be called as
    /// often as they are collected. Counters end in `_total`; times are in seconds.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let log = quipu::Log::options().segment_bytes(1 << 20).open(dir.path())?;
    /// log.stats().record("orders");
    /// # Ok(())
    /// # }
    /// ```
    pub fn record(&self, log: &str) {
        let label = || [("log", log.to_owned())];
        for (name, value) in [
            ("quipu_batches_total", self.batches),
            ("quipu_events_total", self.events),
            ("quipu_bytes_total", self.bytes),
            ("quipu_refused_total", self.refused),
            ("quipu_groups_total", self.groups),
            ("quipu_syncs_total", self.sync_latency.count()),
        ] {
            metrics::counter!(name, &label()).absolute(value);
        }
        for (name, value) in [
            ("quipu_queue_depth", self.queue_depth as f64),
            ("quipu_group_batches_max", self.group_batches_max as f64),
            ("quipu_segments", self.segments as f64),
            ("quipu_segments_ready", self.segments_ready as f64),
            ("quipu_subscriptions_waiting", self.subscriptions_waiting as f64),
            ("quipu_sync_seconds_median", self.sync_latency.quantile(0.5).as_secs_f64()),
            ("quipu_sync_seconds_p99", self.sync_latency.quantile(0.99).as_secs_f64()),
            ("quipu_sync_seconds_longest", self.sync_latency.longest().as_secs_f64()),
        ] {
            metrics::gauge!(name, &label()).set(value);
        }
    }
}
