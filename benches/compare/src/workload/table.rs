//! The workloads by name, in the order in which they run.
//!
//! Owns: [`ALL`]. Calls nothing.

use super::{BATCH_EVENTS, Kind, PAYLOAD_BYTES, Workload};
use crate::engine::Durability::{self, Buffered, Durable};

const fn appends(
    id: &'static str,
    about: &'static str,
    payload_bytes: usize,
    (durability, threads, batch): (Durability, usize, usize),
) -> Workload {
    let kind = Kind::Append { durability, threads, batch };
    Workload { id, about, kind, payload_bytes, large: false }
}

const fn other(id: &'static str, about: &'static str, kind: Kind) -> Workload {
    Workload { id, about, kind, payload_bytes: PAYLOAD_BYTES, large: false }
}

const MILLION: u64 = 1_000_000;

/// In the order in which they run: those that read the same log stand together.
pub const ALL: &[Workload] = &[
    appends("W1", "durable, one at a time, 1 thread", 256, (Durable, 1, 1)),
    appends("W1-64B", "W1 with 64 B", 64, (Durable, 1, 1)),
    appends("W1-4KiB", "W1 with 4 KiB", 4 << 10, (Durable, 1, 1)),
    appends("W1-64KiB", "W1 with 64 KiB", 64 << 10, (Durable, 1, 1)),
    appends("W2-16", "durable, one at a time, 16 threads", 256, (Durable, 16, 1)),
    appends("W2-64", "durable, one at a time, 64 threads", 256, (Durable, 64, 1)),
    appends("W2-256", "durable, one at a time, 256 threads", 256, (Durable, 256, 1)),
    other("W2p", "durable, 1 thread, 8,192 in flight", Kind::Pipeline),
    appends("W3", "durable, batches of 1,000, 1 thread", 256, (Durable, 1, BATCH_EVENTS)),
    appends("W3-64B", "W3 with 64 B", 64, (Durable, 1, BATCH_EVENTS)),
    appends("W3-4KiB", "W3 with 4 KiB", 4 << 10, (Durable, 1, BATCH_EVENTS)),
    appends("W3-64KiB", "W3 with 64 KiB, batches of 100", 64 << 10, (Durable, 1, 100)),
    appends("W4", "buffered, one at a time, 1 thread", 256, (Buffered, 1, 1)),
    appends("W4m", "buffered, one at a time, 4 threads", 256, (Buffered, 4, 1)),
    other("W9", "durable append to subscriber", Kind::Subscribe { durability: Durable }),
    other("W9b", "buffered append to subscriber", Kind::Subscribe { durability: Buffered }),
    other(
        "W10-0",
        "16 threads, expectations, no conflicts",
        Kind::Conditional { conflicts_percent: 0 },
    ),
    other(
        "W10-10",
        "16 threads, expectations, 10 % conflicts",
        Kind::Conditional { conflicts_percent: 10 },
    ),
    other(
        "W10-50",
        "16 threads, expectations, 50 % conflicts",
        Kind::Conditional { conflicts_percent: 50 },
    ),
    other(
        "W5-clean-1M",
        "open 1 million events after a close",
        Kind::Open { events: MILLION, after_crash: false },
    ),
    other("W6", "scan 1 million events", Kind::Scan { events: MILLION }),
    other(
        "W8-batches",
        "bytes on disk, batches of 1,000",
        Kind::Bytes { events: MILLION, batch: BATCH_EVENTS },
    ),
    other(
        "W5-crash-1M",
        "open 1 million events after a crash",
        Kind::Open { events: MILLION, after_crash: true },
    ),
    Workload {
        payload_bytes: 64,
        ..other("W6-64B", "W6 with 64 B", Kind::Scan { events: MILLION })
    },
    Workload {
        payload_bytes: 4 << 10,
        ..other("W6-4KiB", "W6 with 4 KiB, 100,000 events", Kind::Scan { events: MILLION / 10 })
    },
    Workload {
        payload_bytes: 64 << 10,
        ..other("W6-64KiB", "W6 with 64 KiB, 10,000 events", Kind::Scan { events: MILLION / 100 })
    },
    other(
        "W7",
        "read streams of 100 events, 1 million in all",
        Kind::ReadStreams { events: MILLION },
    ),
    other(
        "W8-lone",
        "bytes on disk, events one by one",
        Kind::Bytes { events: MILLION / 10, batch: 1 },
    ),
    Workload {
        payload_bytes: 64,
        ..other("W8-memory-1M", "memory with 1 million streams", Kind::Memory { streams: MILLION })
    },
    Workload {
        large: true,
        ..other(
            "W5-clean-10M",
            "open 10 million events after a close",
            Kind::Open { events: 10 * MILLION, after_crash: false },
        )
    },
    Workload {
        large: true,
        ..other(
            "W5-crash-10M",
            "open 10 million events after a crash",
            Kind::Open { events: 10 * MILLION, after_crash: true },
        )
    },
    Workload {
        payload_bytes: 64,
        large: true,
        ..other(
            "W8-memory-10M",
            "memory with 10 million streams",
            Kind::Memory { streams: 10 * MILLION },
        )
    },
];
