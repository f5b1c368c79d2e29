//! Orders against a stock, decided again where another was faster: `cargo run --example aggregate`.
//!
//! An aggregate is a stream. To decide, a caller reads it, and appends under the expectation that
//! nothing has come since; the order and the stock are written in one batch, whole or not at all. Who
//! is refused reads again and decides anew: with five pieces and eight customers at once, exactly five
//! orders are placed, and nobody holds a lock while thinking.

use std::error::Error;
use std::thread;

use quipu::{AppendErrorKind, Batch, Event, ExpectedVersion, Log};

const STOCK: &str = "stock-9";
const PIECES: usize = 5;
const CUSTOMERS: usize = 8;

/// What becomes of an order.
#[derive(Debug, PartialEq)]
enum Decision {
    Placed { tries: u32 },
    SoldOut,
}

/// Pieces left: what was delivered less what was reserved.
fn pieces_left(log: &Log) -> Result<usize, Box<dyn Error + Send + Sync>> {
    let mut left = 0;
    for event in log.read_stream(STOCK, ..) {
        match event?.event_type() {
            "StockDelivered" => left += PIECES,
            _ => left -= 1,
        }
    }
    Ok(left)
}

fn place_order(log: &Log, order: &str) -> Result<Decision, Box<dyn Error + Send + Sync>> {
    for tries in 1.. {
        // First what is expected, then what is read: what comes in between is refused, not missed.
        let unchanged = log.expect_unchanged(STOCK);
        if pieces_left(log)? == 0 {
            return Ok(Decision::SoldOut);
        }
        let batch = Batch::new()
            .expect(STOCK, unchanged)
            .expect(order, ExpectedVersion::NoStream)
            .event(STOCK, Event::new("StockReserved", order))
            .event(order, Event::new("OrderPlaced", r#"{"item":9}"#));
        match log.append(batch) {
            Ok(_) => return Ok(Decision::Placed { tries }),
            Err(error) if error.kind() == AppendErrorKind::Precondition => {}
            Err(error) => return Err(error.into()),
        }
    }
    unreachable!("it ends with an order or without stock")
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let directory = tempfile::tempdir()?;
    let log = Log::open(directory.path())?;
    log.append(Batch::new().event(STOCK, Event::new("StockDelivered", "")))?;
    let decisions = thread::scope(|scope| {
        let customers: Vec<_> = (0..CUSTOMERS)
            .map(|customer| {
                let log = &log;
                scope.spawn(move || place_order(log, &format!("order-{customer}")))
            })
            .collect();
        let ends = customers.into_iter().map(|customer| match customer.join() {
            Ok(decision) => decision,
            Err(_) => Err("a customer has panicked".into()),
        });
        ends.collect::<Result<Vec<_>, _>>()
    })?;
    for (customer, decision) in decisions.iter().enumerate() {
        println!("order-{customer}: {decision:?}");
    }
    let placed = decisions.iter().filter(|decision| **decision != Decision::SoldOut).count();
    let written = log.read(..).event_type("OrderPlaced").into_iter().count();
    assert_eq!((placed, written, pieces_left(&log)?), (PIECES, PIECES, 0));
    log.close()?;
    Ok(())
}

#[test]
fn as_many_orders_are_placed_as_there_are_pieces() {
    main().expect("the example runs");
}
