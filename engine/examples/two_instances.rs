//! One entity, changed through two instances: `cargo run --example two_instances`.
//!
//! An instance is the state made from a stream, and the version that it was made of. Saving expects
//! that version. The instance that comes second is refused, changes nothing, refreshes itself with
//! what it had not seen, and is saved then.

use std::error::Error;

use quipu::{AppendError, Batch, Event, ExpectedVersion, Log, ReadError, Version};

/// A cart as one caller has it.
#[derive(Debug)]
struct Cart<'a> {
    log: &'a Log,
    stream: String,
    items: Vec<String>,
    /// The last event that it knows of.
    version: Option<Version>,
}

impl<'a> Cart<'a> {
    fn load(log: &'a Log, stream: &str) -> Result<Self, ReadError> {
        let mut cart = Self { log, stream: stream.to_owned(), items: Vec::new(), version: None };
        cart.refresh()?;
        Ok(cart)
    }

    /// Takes in what has come since.
    fn refresh(&mut self) -> Result<(), ReadError> {
        let next = self.version.map_or(Version::ZERO, |version| version.plus(1));
        for event in self.log.read_stream(&self.stream, next..) {
            let event = event?;
            self.items.push(String::from_utf8_lossy(event.payload()).into_owned());
            self.version = Some(event.version());
        }
        Ok(())
    }

    /// Adds an item, if the cart is as this instance knows it.
    fn add(&mut self, item: &str) -> Result<(), AppendError> {
        let expected = self.version.map_or(ExpectedVersion::NoStream, ExpectedVersion::Exact);
        let batch = Batch::new()
            .expect(&self.stream, expected)
            .event(&self.stream, Event::new("ItemAdded", item));
        let receipt = self.log.append(batch)?;
        self.items.push(item.to_owned());
        self.version = receipt.version(&self.stream);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let log = Log::open(directory.path())?;
    let mut one = Cart::load(&log, "cart-1")?;
    let mut other = Cart::load(&log, "cart-1")?;
    one.add("a book")?;

    let refused = other.add("a pen").err().ok_or("the second was not refused")?;
    println!("refused: {refused}");
    let AppendError::PreconditionFailed(failed) = &refused else { return Err(refused.into()) };
    let now = failed.first().and_then(|failed| failed.actual).map(|head| head.version);
    assert_eq!((now, other.items.len()), (one.version, 0), "told where the stream is; unchanged");

    other.refresh()?;
    other.add("a pen")?;
    println!("refreshed, then saved: {:?}", other.items);
    assert_eq!(Cart::load(&log, "cart-1")?.items, ["a book", "a pen"]);
    log.close()?;
    Ok(())
}

#[test]
fn the_second_instance_is_refused_until_it_is_refreshed() {
    main().expect("the example runs");
}
