//! Quipu, with the options that it has when nothing is chosen.
//!
//! Stores: the event, under its stream; an expectation is the stream's exact version.
//! Durable by: one fdatasync a group. Buffered: the page cache, through the mapping.

use std::collections::VecDeque;
use std::path::Path;

use quipu::{AppendErrorKind, Batch, ExpectedVersion, Log, Version};

use crate::engine::{
    Adapter, Durability, EVENT_TYPE, Engine, Event, Expect, Failure, Outcome, Setup, StreamName,
    Subscriber,
};
use crate::payloads::Supply;

pub(super) static ADAPTER: Adapter = Adapter {
    name: "quipu",
    durable_by: "fdatasync, one a group",
    lacks: &[],
    is_floor: false,
    open: |directory, setup| Ok(Box::new(Quipu { log: open(directory, setup)? })),
};

struct Quipu {
    log: Log,
}

fn open(directory: &Path, setup: Setup) -> Result<Log, Failure> {
    let durability = match setup.durability {
        Durability::Durable => quipu::Durability::Sync,
        Durability::Buffered => quipu::Durability::Buffered,
    };
    Ok(Log::options().durability(durability).open(directory.join("log"))?)
}

fn batch(events: &[Event<'_>], expect: Expect) -> Batch {
    let mut batch = Batch::new();
    if let (Expect::Last(last), Some(event)) = (expect, events.first()) {
        let expected = last.map_or(ExpectedVersion::NoStream, |version| {
            ExpectedVersion::Exact(Version::new(version))
        });
        batch = batch.expect(StreamName::new(event.stream).as_str(), expected);
    }
    for event in events {
        let name = StreamName::new(event.stream);
        batch.push(name.as_str(), &quipu::Event::new(EVENT_TYPE, event.payload));
    }
    batch
}

impl Engine for Quipu {
    fn append(&self, events: &[Event<'_>], expect: Expect) -> Result<Outcome, Failure> {
        let answer = self.log.append(batch(events, expect));
        match answer {
            Ok(receipt) => {
                let name = events.last().map(|event| StreamName::new(event.stream));
                let version = name.and_then(|name| receipt.version(name.as_str()));
                Ok(Outcome::Committed(version.map_or(0, Version::as_u64)))
            }
            Err(error) if error.kind() == AppendErrorKind::Precondition => Ok(Outcome::Refused),
            Err(error) => Err(error.into()),
        }
    }

    fn pipeline(&self, supply: &mut Supply, in_flight_max: usize) -> Result<(), Failure> {
        let mut in_flight = VecDeque::with_capacity(in_flight_max);
        while let Some(event) = supply.draw() {
            if in_flight.len() >= in_flight_max
                && let Some(ticket) = in_flight.pop_front()
            {
                quipu::Ticket::wait(ticket)?;
            }
            in_flight.push_back(self.log.submit(batch(&[event], Expect::Any))?);
        }
        for ticket in in_flight {
            ticket.wait()?;
        }
        Ok(())
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        for batch in self.log.batches(..) {
            for event in batch?.events()? {
                each(event?.payload());
            }
        }
        Ok(())
    }

    fn read_stream(&self, stream: u32, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        for event in self.log.read_stream(StreamName::new(stream).as_str(), ..) {
            each(event?.payload());
        }
        Ok(())
    }

    fn subscribe(&self, mut each: Subscriber) -> Result<(), Failure> {
        let subscription = self.log.subscribe(self.log.end()).start();
        std::thread::spawn(move || {
            for delivery in subscription {
                let Ok(delivery) = delivery else { return };
                if delivery.event().is_some_and(|event| !each(event.payload())) {
                    return;
                }
            }
        });
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(self.log.close()?)
    }
}
