//! umadb-core: an event store of copy-on-write pages, whose consistency boundaries are queries over
//! tags.
//!
//! Stores: each event with the stream's name as its one tag. An expectation is the condition that no
//! event with that tag stands after the position of the stream's last one.
//! Durable by: its writer thread, as its server runs it, which commits what requests it finds
//! together: an fsync of the pages and one of the header. It has no buffered appends. A read gives
//! all its events as one list.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};
use umadb_core::db::UmaDb;
use umadb_core::mvcc::{Mvcc, StorageOptions};
use umadb_core::writer_thread_blocking::writer_thread_blocking;
use umadb_core::writer_thread_request::WriterThreadRequest;
use umadb_dcb::{
    DcbAppendCondition, DcbError, DcbEvent, DcbEventStoreSync, DcbQuery, DcbQueryItem, DcbResult,
};

use crate::engine::{
    Adapter, EVENT_TYPE, Engine, Event, Expect, Failure, Need, Outcome, StreamName,
};
use crate::payloads::Supply;

pub(super) static ADAPTER: Adapter = Adapter {
    name: "umadb",
    durable_by: "its writer thread: syncs of pages and header, one a group",
    lacks: &[
        (Need::Buffered, "has durable appends only"),
        (Need::Subscriptions, "those of its server, not of its core"),
    ],
    is_floor: false,
    open: |directory, _| Ok(Box::new(Uma::open(directory)?)),
};

struct Uma {
    database: UmaDb,
    requests: mpsc::Sender<WriterThreadRequest>,
    writer: JoinHandle<()>,
}

/// Requests that wait for the writer.
const QUEUE_REQUESTS: usize = 16_384;

/// Events of one commit.
const COMMIT_EVENTS_MAX: usize = 8_192;

type Answer = oneshot::Receiver<DcbResult<u64>>;

impl Uma {
    fn open(directory: &Path) -> Result<Self, Failure> {
        let mvcc = Arc::new(Mvcc::new(false, StorageOptions::default().db_path(directory))?);
        let (requests, queue) = mpsc::channel(QUEUE_REQUESTS);
        let for_writer = Arc::clone(&mvcc);
        let writer = std::thread::spawn(move || {
            let (head, _kept) = watch::channel(None);
            writer_thread_blocking(for_writer, queue, head, COMMIT_EVENTS_MAX);
        });
        Ok(Self { database: UmaDb::from_arc(mvcc), requests, writer })
    }

    fn submit(
        &self,
        events: Vec<DcbEvent>,
        condition: Option<DcbAppendCondition>,
    ) -> Result<Answer, Failure> {
        let (response_tx, answer) = oneshot::channel();
        self.requests
            .blocking_send(WriterThreadRequest::Append {
                events,
                condition,
                tracking_info: None,
                response_tx,
                cancel: None,
            })
            .map_err(|_| "the writer has ended")?;
        Ok(answer)
    }

    fn read(&self, query: Option<DcbQuery>, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        for event in self.database.read(query, None, false, None)? {
            each(&event?.event.data);
        }
        Ok(())
    }
}

fn event(event: &Event<'_>) -> DcbEvent {
    DcbEvent {
        event_type: EVENT_TYPE.to_owned(),
        tags: vec![StreamName::new(event.stream).as_str().to_owned()],
        data: event.payload.to_vec(),
        ..DcbEvent::default()
    }
}

fn of_stream(stream: u32) -> DcbQuery {
    DcbQuery::new().item(DcbQueryItem::new().tags([StreamName::new(stream).as_str()]))
}

impl Engine for Uma {
    fn append(&self, batch: &[Event<'_>], expect: Expect) -> Result<Outcome, Failure> {
        let condition = match (expect, batch.first()) {
            (Expect::Last(last), Some(event)) => {
                Some(DcbAppendCondition::new(of_stream(event.stream)).after(last))
            }
            _ => None,
        };
        match self.submit(batch.iter().map(event).collect(), condition)?.blocking_recv()? {
            Ok(position) => Ok(Outcome::Committed(position)),
            Err(DcbError::IntegrityError(_)) => Ok(Outcome::Refused),
            Err(error) => Err(error.into()),
        }
    }

    fn pipeline(&self, supply: &mut Supply, in_flight_max: usize) -> Result<(), Failure> {
        let mut in_flight: VecDeque<Answer> = VecDeque::with_capacity(in_flight_max);
        while let Some(next) = supply.draw() {
            let events = vec![event(&next)];
            if in_flight.len() >= in_flight_max
                && let Some(answer) = in_flight.pop_front()
            {
                answer.blocking_recv()??;
            }
            in_flight.push_back(self.submit(events, None)?);
        }
        for answer in in_flight {
            answer.blocking_recv()??;
        }
        Ok(())
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        self.read(None, each)
    }

    fn read_stream(&self, stream: u32, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        self.read(Some(of_stream(stream)), each)
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        self.requests.blocking_send(WriterThreadRequest::Shutdown).map_err(|_| "it has ended")?;
        self.writer.join().map_err(|_| Failure::from("the writer panicked"))
    }
}
