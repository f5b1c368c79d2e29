//! Whether the checks of the demo find a broken promise, one test for each kind.

use quipu::{Batch, Event, Log};

use super::check::{Check, Ledger, Violation};
use super::message::{Acknowledgement, Message};
use super::workload::{Order, OrderId, Part};

/// The events of an order on their way into a batch: stream and payload.
type Parts = Vec<(String, Part)>;

/// A log with three orders, and what its writer said.
struct Shop {
    log: Log,
    said: Vec<Message>,
    _directory: tempfile::TempDir,
}

fn id(number: u32) -> OrderId {
    OrderId { round: 1, thread: 0, number }
}

impl Shop {
    fn of_three_orders() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::options().segment_bytes(1 << 20).open(directory.path()).unwrap();
        let mut shop = Self { log, said: Vec::new(), _directory: directory };
        (0..3).for_each(|number| shop.place(id(number)));
        shop
    }

    fn place(&mut self, id: OrderId) {
        self.said.push(Message::Submitted(id));
        let receipt = self.log.append(Order::new(id).batch(&self.log)).unwrap();
        self.said.push(Message::Acknowledged(Acknowledgement::new(id, &receipt)));
    }

    fn check(&self) -> Result<Check, Violation> {
        let mut ledger = Ledger::default();
        self.said.iter().cloned().for_each(|message| ledger.note(message));
        let mut check = Check::default();
        check.go_on(&self.log, &ledger).map(|()| check)
    }

    /// Appends the events of an order as `change` leaves them, past the workload's own rules.
    fn append_changed(&mut self, id: OrderId, change: impl Fn(&mut Parts)) {
        let order = Order::new(id);
        let mut parts: Vec<_> = (0..)
            .zip(order.events())
            .map(|(at, (stream, _))| {
                let seen = self.log.stream_version(&stream);
                (stream, order.part(at, seen))
            })
            .collect();
        change(&mut parts);
        let mut batch = Batch::new();
        for (stream, part) in parts {
            let event_type = if part.part == 0 { "OrderPlaced" } else { "StockReserved" };
            batch.push(stream, &Event::new(event_type, serde_json::to_vec(&part).unwrap()));
        }
        self.said.push(Message::Submitted(id));
        self.log.append(batch).unwrap();
    }
}

#[test]
fn a_log_that_keeps_every_promise_passes() {
    let mut shop = Shop::of_three_orders();
    let check = shop.check().unwrap();
    assert_eq!((check.batches(), check.events()), (3, shop.log.end().as_u64()));
    // Committed and not acknowledged: the writer was killed in between.
    shop.append_changed(id(3), |_| {});
    assert_eq!(shop.check().unwrap().batches(), 4);
}

#[test]
fn a_lost_order_is_found() {
    let mut shop = Shop::of_three_orders();
    let told = Acknowledgement { id: id(9), first_position: 77, versions: Vec::new() };
    shop.said.push(Message::Acknowledged(told));
    assert!(matches!(shop.check(), Err(Violation::Lost { position: 77, .. })));
}

#[test]
fn a_log_that_became_shorter_is_found() {
    let shop = Shop::of_three_orders();
    let mut check = shop.check().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let empty = Log::options().segment_bytes(1 << 20).open(directory.path()).unwrap();
    let found = check.go_on(&empty, &Ledger::default());
    assert!(matches!(found, Err(Violation::Shorter { found: 0, .. })));
}

#[test]
fn an_order_elsewhere_than_it_was_acknowledged_is_found() {
    for wrong_version in [false, true] {
        let mut shop = Shop::of_three_orders();
        if let Some(Message::Acknowledged(told)) = shop.said.last_mut() {
            match wrong_version {
                true => told.versions[0].1 += 1,
                false => told.first_position += 1,
            }
        }
        assert!(matches!(shop.check(), Err(Violation::Moved { .. })));
    }
}

#[test]
fn a_torn_order_is_found() {
    let short = |parts: &mut Parts| drop(parts.pop());
    let swapped = |parts: &mut Parts| parts[1].1.quantity += 1;
    let mixed = |parts: &mut Parts| parts[1].1.batch = id(0).to_string();
    let stale = |parts: &mut Parts| parts[1].1.seen = Some(1 << 40);
    let elsewhere = |parts: &mut Parts| {
        parts[1].0 = "stock-77".to_owned();
        parts[1].1.seen = None;
    };
    let changes: [&dyn Fn(&mut Parts); 5] = [&short, &swapped, &mixed, &stale, &elsewhere];
    for (at, change) in changes.into_iter().enumerate() {
        let mut shop = Shop::of_three_orders();
        shop.append_changed(id(3), change);
        assert!(matches!(shop.check(), Err(Violation::Torn { .. })), "change {at}");
    }
    let shop = Shop::of_three_orders();
    shop.log.append(Batch::new().event("order-1", Event::new("OrderPlaced", "none"))).unwrap();
    assert!(matches!(shop.check(), Err(Violation::Torn { .. })));
}

#[test]
fn an_invented_order_and_one_that_is_there_twice_are_found() {
    let mut shop = Shop::of_three_orders();
    shop.append_changed(id(3), |_| {});
    shop.said.pop();
    assert!(matches!(shop.check(), Err(Violation::Invented(_))));

    let mut shop = Shop::of_three_orders();
    shop.append_changed(id(0), |_| {});
    assert!(matches!(shop.check(), Err(Violation::Twice(_))));
}
