//! How an event stands in an engine that stores bytes: stream name, type and payload in one value.
//!
//! Owns: [`encode`], [`payload`], and the keys of the engines that store by key. Every such engine
//! uses the same, so that the work beside the engine is the same. Calls nothing.
//!
//! An event store on a key-value engine keeps two entries an event: the position with the record,
//! and stream name with position, without a value, to find the events of a stream. No version is
//! stored, so that an append without an expectation has nothing to look up: the cheapest layout that
//! reads streams and judges expectations.

use crate::engine::{EVENT_TYPE, Event, StreamName};

/// Writes the record of an event over what is in `into`.
pub fn encode(event: &Event<'_>, into: &mut Vec<u8>) {
    into.clear();
    into.push(StreamName::BYTES as u8);
    into.extend_from_slice(StreamName::new(event.stream).as_str().as_bytes());
    into.push(EVENT_TYPE.len() as u8);
    into.extend_from_slice(EVENT_TYPE.as_bytes());
    into.extend_from_slice(event.payload);
}

/// The payload of a record.
#[must_use]
pub fn payload(record: &[u8]) -> &[u8] {
    let after = |bytes: &'_ [u8]| usize::from(bytes.first().copied().unwrap_or(0)) + 1;
    let rest = record.get(after(record)..).unwrap_or_default();
    rest.get(after(rest)..).unwrap_or_default()
}

/// Key of an event: its position, so that keys sort as positions do.
#[must_use]
pub fn position_key(position: u64) -> [u8; 8] {
    position.to_be_bytes()
}

/// Length of a key in the index of streams.
pub const INDEX_KEY_BYTES: usize = StreamName::BYTES + 8;

/// Key in the index of streams: name, then position.
#[must_use]
pub fn index_key(stream: u32, position: u64) -> [u8; INDEX_KEY_BYTES] {
    let mut key = [0; INDEX_KEY_BYTES];
    let (name, place) = key.split_at_mut(StreamName::BYTES);
    name.copy_from_slice(StreamName::new(stream).as_str().as_bytes());
    place.copy_from_slice(&position.to_be_bytes());
    key
}

/// The position in a key of either kind.
#[must_use]
pub fn position(key: &[u8]) -> u64 {
    key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::{encode, index_key, payload, position, position_key};
    use crate::engine::Event;

    #[test]
    fn a_record_gives_its_payload_back() {
        let mut record = vec![1, 2, 3];
        for bytes in [&b""[..], b"payload"] {
            encode(&Event { stream: 7, payload: bytes }, &mut record);
            assert_eq!(payload(&record), bytes);
        }
        assert!(payload(&[]).is_empty());
    }

    #[test]
    fn keys_give_their_position_back() {
        assert_eq!(position(&position_key(77)), 77);
        assert_eq!(position(&index_key(3, 77)), 77);
        assert!(index_key(3, 1 << 40) < index_key(4, 0));
    }
}
