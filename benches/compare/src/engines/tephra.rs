//! tephra: an event store with a global order, whose consistency boundaries are queries over tags.
//!
//! Stores: each event with the stream's name as its one tag. An expectation is the condition that no
//! event with that tag stands after the position of the stream's last one.
//! Durable by: its writer thread, one fdatasync a group of requests. It has no buffered appends.
//! Segments of 256 MiB, as in its documentation.

use std::path::Path;

use tephra::{
    AppendCondition, AppendError, EventType, Position, PositionRange, Query, QueryItem,
    SegmentConfig, SegmentSet, Tag, Tags, WriteCoordinator, WriteHandle, WriterConfig,
};

use crate::engine::{
    Adapter, EVENT_TYPE, Engine, Event, Expect, Failure, Need, Outcome, StreamName, Subscriber,
};
use crate::payloads::Supply;

pub(super) static ADAPTER: Adapter = Adapter {
    name: "tephra",
    durable_by: "its writer thread: fdatasync, one a group",
    lacks: &[(Need::Buffered, "has durable appends only")],
    is_floor: false,
    open: |directory, _| Ok(Box::new(Tephra::open(directory)?)),
};

struct Tephra {
    coordinator: WriteCoordinator,
    handle: WriteHandle,
    event_type: EventType,
}

const SEGMENT_BYTES: usize = 256 << 20;

impl Tephra {
    fn open(directory: &Path) -> Result<Self, Failure> {
        let set = SegmentSet::open(directory.join("tephra"), SegmentConfig::new(SEGMENT_BYTES))?;
        let (coordinator, handle) = WriteCoordinator::start(set, WriterConfig::default())?;
        Ok(Self { coordinator, handle, event_type: EventType::new(EVENT_TYPE)? })
    }

    fn event(&self, event: &Event<'_>) -> Result<tephra::Event, Failure> {
        Ok(tephra::Event::new(&self.event_type, &tags(event.stream)?, event.payload)?)
    }

    fn read(&self, query: &Query, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let mut reads = self.handle.read(query, Position::ZERO, None);
        while let Some(event) = reads.next() {
            each(event?.event.data());
        }
        Ok(())
    }
}

fn tags(stream: u32) -> Result<Tags, Failure> {
    Ok(Tags::new([Tag::new(StreamName::new(stream).as_str())?])?)
}

fn of_stream(stream: u32) -> Result<Query, Failure> {
    Ok(Query::item(QueryItem::with_tags(tags(stream)?)))
}

impl Engine for Tephra {
    fn append(&self, batch: &[Event<'_>], expect: Expect) -> Result<Outcome, Failure> {
        let condition = match (expect, batch.first()) {
            (Expect::Last(last), Some(event)) => {
                let after = last.map_or(Position::ZERO, Position::new);
                Some(AppendCondition::new(of_stream(event.stream)?).after(after))
            }
            _ => None,
        };
        let events = batch.iter().map(|event| self.event(event)).collect::<Result<_, _>>()?;
        match self.handle.append(events, condition) {
            Ok(range) => Ok(Outcome::Committed(range.last.get())),
            Err(AppendError::Conflict { .. }) => Ok(Outcome::Refused),
            Err(error) => Err(error.into()),
        }
    }

    fn pipeline(&self, supply: &mut Supply, in_flight_max: usize) -> Result<(), Failure> {
        type Reply = (u64, Result<PositionRange, AppendError>);
        let (reply, replies) = flume::unbounded::<Reply>();
        let mut in_flight = 0;
        while let Some(event) = supply.draw() {
            let event = self.event(&event)?;
            if in_flight == in_flight_max {
                replies.recv()?.1?;
                in_flight -= 1;
            }
            self.handle.append_submit(vec![event], None, 0, reply.clone())?;
            in_flight += 1;
        }
        for _ in 0..in_flight {
            replies.recv()?.1?;
        }
        Ok(())
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        self.read(&Query::all(), each)
    }

    fn read_stream(&self, stream: u32, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        self.read(&of_stream(stream)?, each)
    }

    fn subscribe(&self, mut each: Subscriber) -> Result<(), Failure> {
        let mut subscription = self.handle.subscribe(Query::all(), self.handle.head());
        std::thread::spawn(move || {
            while let Some(Ok(events)) = subscription.next_batch() {
                for (_, event) in events {
                    if !each(event.data()) {
                        return;
                    }
                }
            }
        });
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        drop(self.coordinator.shutdown());
        Ok(())
    }
}
