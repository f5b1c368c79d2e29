//! What the writing process tells its parent, line by line through a pipe.
//!
//! Owns: [`Message`], [`Acknowledgement`]. A line is written by one call and is shorter than what a
//! pipe takes whole, so that a killed writer leaves no half of one.

use std::fmt;
use std::str::FromStr;

use quipu::Receipt;

use super::workload::OrderId;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The order is about to be appended: from here on it may be in the log.
    Submitted(OrderId),
    /// Somebody else was faster; the order is placed again against the new stock.
    Refused(OrderId),
    /// The append has returned.
    Acknowledged(Acknowledgement),
}

/// What an append has returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The order.
    pub id: OrderId,
    /// The position of its first event.
    pub first_position: u64,
    /// The new version of each of its streams.
    pub versions: Vec<(String, u64)>,
}

impl Acknowledgement {
    /// What `receipt` says of an order.
    #[must_use]
    pub fn new(id: OrderId, receipt: &Receipt) -> Self {
        let versions = receipt.versions();
        Self {
            id,
            first_position: receipt.first_position().as_u64(),
            versions: versions.map(|(name, version)| (name.to_owned(), version.as_u64())).collect(),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Submitted(id) => write!(f, "submitted {id}"),
            Self::Refused(id) => write!(f, "refused {id}"),
            Self::Acknowledged(Acknowledgement { id, first_position, versions }) => {
                write!(f, "acknowledged {id} {first_position}")?;
                versions.iter().try_for_each(|(stream, version)| write!(f, " {stream}={version}"))
            }
        }
    }
}

impl FromStr for Message {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let mut words = line.split(' ');
        let kind = words.next().ok_or(())?;
        let id = words.next().ok_or(())?.parse()?;
        match kind {
            "submitted" => Ok(Self::Submitted(id)),
            "refused" => Ok(Self::Refused(id)),
            "acknowledged" => {
                let first_position = words.next().and_then(|word| word.parse().ok()).ok_or(())?;
                let version = |word: &str| {
                    let (stream, version) = word.split_once('=')?;
                    Some((stream.to_owned(), version.parse().ok()?))
                };
                let versions = words.map(|word| version(word).ok_or(()));
                let versions = versions.collect::<Result<_, _>>()?;
                Ok(Self::Acknowledged(Acknowledgement { id, first_position, versions }))
            }
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_goes_both_ways() {
        let id = OrderId { round: 1, thread: 2, number: 3 };
        let versions = vec![("order-1-2-3".to_owned(), 0), ("stock-5".to_owned(), 77)];
        for message in [
            Message::Submitted(id),
            Message::Refused(id),
            Message::Acknowledged(Acknowledgement { id, first_position: 12, versions }),
        ] {
            assert_eq!(message.to_string().parse(), Ok(message));
        }
        for line in ["", "submitted", "submitted 1-2", "lost 1-2-3", "acknowledged 1-2-3 x"] {
            assert_eq!(line.parse::<Message>(), Err(()), "{line}");
        }
    }
}
