//! How long something took, in buckets.
//!
//! Owns: [`Latencies`], a snapshot, and [`LatencyCounters`]. Calls nothing.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::raise;

/// Up to 2^39 microseconds, six days.
const BUCKETS: usize = 40;

/// How long something took, each time: counted in buckets of which each is twice as wide as the one
/// before, from one microsecond on.
///
/// ```
/// let none = quipu::Latencies::default();
/// assert_eq!((none.count(), none.quantile(0.5)), (0, std::time::Duration::ZERO));
/// ```
#[derive(Debug, Clone)]
pub struct Latencies {
    buckets: [u64; BUCKETS],
    total: Duration,
    longest: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], total: Duration::ZERO, longest: Duration::ZERO }
    }
}

impl Latencies {
    /// How often it was done.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How long all of them took together.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.total
    }

    /// How long the longest took.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// An upper bound for the share `quantile` (0 to 1) of them, at most twice too high: 0.5 for the
    /// median, 0.99 for all but one in a hundred. Zero if there were none.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        let count = self.count();
        let wanted = (quantile.clamp(0.0, 1.0) * count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, bound) in self.buckets() {
            seen += bucket;
            if seen >= wanted {
                return bound.min(self.longest);
            }
        }
        Duration::ZERO
    }

    /// The buckets: how often it took less than this long, and not less than the one before.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, Duration)> {
        let bounds = (0..BUCKETS).map(|bucket| Duration::from_micros(1 << bucket));
        self.buckets.into_iter().zip(bounds)
    }
}

/// What is counted while it is done.
#[derive(Debug)]
pub(super) struct LatencyCounters {
    buckets: [AtomicU64; BUCKETS],
    total_nanos: AtomicU64,
    longest_nanos: AtomicU64,
}

impl Default for LatencyCounters {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            total_nanos: AtomicU64::new(0),
            longest_nanos: AtomicU64::new(0),
        }
    }
}

impl LatencyCounters {
    /// Once more, and it took so long. For one thread at a time.
    pub(super) fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        if let Some(counter) = self.buckets.get(bucket.min(BUCKETS - 1)) {
            raise(counter, 1);
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        raise(&self.total_nanos, nanos);
        self.longest_nanos.store(self.longest_nanos.load(Relaxed).max(nanos), Relaxed);
    }

    pub(super) fn snapshot(&self) -> Latencies {
        let mut buckets = [0; BUCKETS];
        for (bucket, counter) in buckets.iter_mut().zip(&self.buckets) {
            *bucket = counter.load(Relaxed);
        }
        Latencies {
            buckets,
            total: Duration::from_nanos(self.total_nanos.load(Relaxed)),
            longest: Duration::from_nanos(self.longest_nanos.load(Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: &[u64]) -> Latencies {
        let counters = LatencyCounters::default();
        micros.iter().for_each(|micros| counters.add(Duration::from_micros(*micros)));
        counters.snapshot()
    }

    #[test]
    fn a_quantile_is_bounded_from_above_and_at_most_twice_too_high() {
        let all: Vec<u64> = (1..=1_000).collect();
        let latencies = of(&all);
        assert_eq!(latencies.count(), 1_000);
        assert_eq!(latencies.total(), Duration::from_micros(500_500));
        assert_eq!(latencies.longest(), Duration::from_micros(1_000));
        for percent in [1, 10, 50, 90, 99, 100] {
            let exact = Duration::from_micros(percent * 10);
            let told = latencies.quantile(percent as f64 / 100.0);
            assert!(exact <= told && told <= exact * 2, "{percent} %: {told:?} for {exact:?}");
        }
    }

    #[test]
    fn each_duration_stands_below_the_bound_of_its_bucket_and_not_below_the_one_before() {
        for micros in [0, 1, 2, 3, 4, 1_000, 1 << 38, u64::MAX / 2_000] {
            let latencies = of(&[micros]);
            let bounds: Vec<Duration> = latencies.buckets().map(|(_, bound)| bound).collect();
            let bucket = latencies.buckets().position(|(count, _)| count == 1).unwrap();
            let took = Duration::from_micros(micros);
            assert!(took < bounds[bucket] || bucket == BUCKETS - 1, "{micros}");
            assert!(bucket == 0 || took >= bounds[bucket - 1], "{micros}");
        }
    }
}
