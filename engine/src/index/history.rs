//! Finding a stream's events over all segments.
//!
//! Owns: [`History`], a stream as it was below some position, and [`Link`], its part in one segment.
//! May call: streams, segment. A tail here or the segment's own index says where events stand; each
//! leads to the next older segment that holds the stream, so that the others cost nothing.
//!
//! An index is believed only as far as it agrees with what led to it. One that does not is made
//! again from its segment, in memory.

use std::ops::Range;
use std::sync::Arc;

use quipu_format::sidecar::{NameHash, SidecarError};
use quipu_format::{FrameError, Position, Version};

use super::StreamIndex;
use super::streams::{Below, StreamNumber};
use crate::append::expected::StreamHead;
use crate::error::ReadError;
use crate::segment::reader::Segment;
use crate::segment::set;
use crate::segment::sidecar::SegmentIndex;

/// A stream as it was below some position.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    segments: Arc<Vec<Arc<Segment>>>,
    stream: Option<(StreamNumber, Box<str>, NameHash)>,
    head: Option<StreamHead>,
}

/// A stream's events in one segment.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    segment: Arc<Segment>,
    /// Its place among the segments.
    place: usize,
    pub(crate) versions: Range<u64>,
    previous: Option<Position>,
    indexed: bool,
}

impl History {
    /// Looks a stream up, as it was below `end`.
    pub(crate) fn open(index: &StreamIndex, name: &str, end: Position) -> Result<Self, ReadError> {
        let hash = index.hash(name);
        let (stream, found) = {
            let streams = index.read();
            match streams.find(hash, name) {
                Some(number) => (Some(number), streams.head_below(number, end)),
                None => (None, Below::None),
            }
        };
        let stream = stream.map(|number| (number, Box::from(name), NameHash::new(hash)));
        // Taken now: a segment whose tail is gone is in the list.
        let segments = index.segments().snapshot();
        let mut history = Self { segments, stream, head: None };
        history.head = match found {
            Below::None => None,
            Below::Head(head) => Some(head),
            Below::Behind(head) => history.head_below(index, head, end)?,
        };
        Ok(history)
    }

    /// The stream's last event; `None`: it has none.
    pub(crate) fn head(&self) -> Option<StreamHead> {
        self.head
    }

    /// Its name, if it is there.
    pub(crate) fn name(&self) -> Option<&str> {
        self.stream.as_ref().map(|(_, name, _)| &**name)
    }

    /// How many events it has.
    pub(crate) fn len(&self) -> u64 {
        self.head.map_or(0, |head| head.version.as_u64() + 1)
    }

    /// The part in the segment that holds the last event.
    pub(crate) fn newest(&self, index: &StreamIndex) -> Result<Option<Link>, ReadError> {
        self.head.map(|head| self.link(index, head)).transpose()
    }

    /// The part in front of another.
    pub(crate) fn older(
        &self,
        index: &StreamIndex,
        link: &Link,
    ) -> Result<Option<Link>, ReadError> {
        let head = self.head_in_front(link)?;
        head.map(|head| self.link(index, head)).transpose()
    }

    /// The part that holds `version`, going back from `from` or from the last.
    pub(crate) fn holding(
        &self,
        index: &StreamIndex,
        version: u64,
    ) -> Result<Option<Link>, ReadError> {
        let mut link = self.newest(index)?;
        while let Some(newer) = link.as_ref().filter(|link| version < link.versions.start) {
            link = self.older(index, newer)?;
        }
        Ok(link.filter(|link| link.versions.contains(&version)))
    }

    /// The position of the event with this version.
    pub(crate) fn position(
        &self,
        index: &StreamIndex,
        version: Version,
    ) -> Result<Option<Position>, ReadError> {
        let version = version.as_u64();
        let Some(link) = self.holding(index, version)? else { return Ok(None) };
        let mut found = Vec::new();
        self.positions(index, &link, version..version + 1, &mut found)?;
        Ok(found.first().copied())
    }

    /// The version of the event at this position, if it is one of the stream's.
    pub(crate) fn version_at(
        &self,
        index: &StreamIndex,
        position: Position,
    ) -> Result<Option<Version>, ReadError> {
        let mut link = self.newest(index)?;
        while let Some(newer) = link.as_ref().filter(|link| position < link.segment.base_position())
        {
            if newer.previous == Some(position) {
                // Known even if the event itself has been dropped.
                return Ok(Version::new(newer.versions.start).before());
            }
            link = self.older(index, newer)?;
        }
        let Some(link) = link else { return Ok(None) };
        let mut found = Vec::new();
        self.positions(index, &link, link.versions.clone(), &mut found)?;
        let place = found.binary_search(&position).ok();
        Ok(place.map(|place| Version::new(link.versions.start + place as u64)))
    }

    /// Appends the positions of the events with these versions, all of which are in `link`.
    pub(crate) fn positions(
        &self,
        index: &StreamIndex,
        link: &Link,
        versions: Range<u64>,
        into: &mut Vec<Position>,
    ) -> Result<(), ReadError> {
        let Some((number, ..)) = &self.stream else { return Ok(()) };
        let wanted = versions.end - versions.start;
        {
            let streams = index.read();
            let list = streams.list(*number, link.segment.sequence());
            let skipped = list.and_then(|list| versions.start.checked_sub(list.first_version));
            if let (Some(list), Some(skipped)) = (list, skipped) {
                let listed =
                    list.positions.iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX));
                into.extend(listed.take(usize::try_from(wanted).unwrap_or(usize::MAX)));
                return Ok(());
            }
        }
        let start = into.len();
        for remade in [false, true] {
            into.truncate(start);
            let own = link.own_index(remade).map_err(|error| link.dropped_or(index, error))?;
            if self.read_positions(&own, &versions, into).is_ok()
                && (into.len() - start) as u64 == wanted
            {
                return Ok(());
            }
        }
        Err(link.disagrees(versions.start))
    }

    fn read_positions(
        &self,
        own: &SegmentIndex,
        versions: &Range<u64>,
        into: &mut Vec<Position>,
    ) -> Result<(), SidecarError> {
        let Some((_, name, hash)) = &self.stream else { return Ok(()) };
        let Some(found) = own.stream(*hash, name)? else { return Ok(()) };
        let Some(skipped) = versions.start.checked_sub(found.first_version.as_u64()) else {
            return Ok(());
        };
        let wanted = usize::try_from(versions.end - versions.start).unwrap_or(usize::MAX);
        for position in found.positions.iter_from(skipped)?.take(wanted) {
            into.push(position?);
        }
        Ok(())
    }

    /// The last event below `end`, going back from one that is not.
    fn head_below(
        &self,
        index: &StreamIndex,
        from: StreamHead,
        end: Position,
    ) -> Result<Option<StreamHead>, ReadError> {
        let mut newer = self.link(index, from)?;
        loop {
            if newer.segment.base_position() < end {
                let mut positions = Vec::new();
                self.positions(index, &newer, newer.versions.clone(), &mut positions)?;
                let below = positions.partition_point(|at| *at < end);
                if let Some(last) = below.checked_sub(1).and_then(|last| positions.get(last)) {
                    let version = Version::new(newer.versions.start + below as u64 - 1);
                    return Ok(Some(StreamHead { version, position: *last }));
                }
            }
            let Some(head) = self.head_in_front(&newer)? else { return Ok(None) };
            if head.position < end {
                return Ok(Some(head));
            }
            newer = self.link(index, head)?;
        }
    }

    /// The stream's last event in front of a part.
    fn head_in_front(&self, link: &Link) -> Result<Option<StreamHead>, ReadError> {
        let Some(version) = Version::new(link.versions.start).before() else { return Ok(None) };
        Ok(Some(match link.previous {
            Some(position) => StreamHead { version, position },
            None => self.search(link, version)?,
        }))
    }

    /// What is said of an event that has been dropped.
    fn truncated(&self) -> ReadError {
        ReadError::Truncated { first_available: set::start(&self.segments) }
    }

    /// The part that ends with `head`, or goes on behind it.
    fn link(&self, index: &StreamIndex, head: StreamHead) -> Result<Link, ReadError> {
        if head.position < set::start(&self.segments) {
            return Err(self.truncated());
        }
        let place = set::holding(&self.segments, head.position);
        let segment = place.and_then(|place| self.segments.get(place));
        let (Some(place), Some(segment), Some((number, ..))) = (place, segment, &self.stream)
        else {
            let fault =
                FrameError::Field { field: "first position", found: head.position.as_u64() };
            let position = head.position;
            return Err(ReadError::Damaged { file: String::new(), offset: 0, position, fault });
        };
        let end = head.version.as_u64() + 1;
        let mut link = Link {
            segment: Arc::clone(segment),
            place,
            versions: end..end,
            previous: None,
            indexed: false,
        };
        {
            let streams = index.read();
            if let Some(list) = streams.list(*number, segment.sequence()) {
                link.versions.start = list.first_version;
                link.previous = list.previous;
                return Ok(link);
            }
        }
        for remade in [false, true] {
            let own = link.own_index(remade).map_err(|error| link.dropped_or(index, error))?;
            if let Ok(Some((first_version, previous))) = self.read_link(&own, head) {
                link.versions.start = first_version;
                link.previous = previous;
                link.indexed = true;
                return Ok(link);
            }
        }
        Err(link.disagrees(head.version.as_u64()))
    }

    /// What a segment's own index says, if it says that `head` is where it is.
    fn read_link(
        &self,
        own: &SegmentIndex,
        head: StreamHead,
    ) -> Result<Option<(u64, Option<Position>)>, SidecarError> {
        let Some((_, name, hash)) = &self.stream else { return Ok(None) };
        let Some(found) = own.stream(*hash, name)? else { return Ok(None) };
        let first = found.first_version.as_u64();
        let Some(place) = head.version.as_u64().checked_sub(first) else { return Ok(None) };
        let agrees = found.positions.get(place)? == Some(head.position);
        Ok(agrees.then_some((first, found.previous)))
    }

    /// The stream's event with this version, in a segment in front of `link`: for an index that was
    /// made when that was not known any more.
    fn search(&self, link: &Link, version: Version) -> Result<StreamHead, ReadError> {
        let Some((_, name, hash)) = &self.stream else { return Err(link.disagrees(0)) };
        for segment in self.segments.iter().take(link.place).rev() {
            for remade in [false, true] {
                let own = segment.own_index(remade)?;
                let found = match own.may_hold(*hash) {
                    Ok(false) => Ok(None),
                    Ok(true) => own.stream(*hash, name),
                    Err(error) => Err(error),
                };
                match found {
                    Ok(None) => break,
                    Ok(Some(found)) if found.last_version() == version => {
                        return Ok(StreamHead { version, position: found.positions.last() });
                    }
                    Ok(Some(_)) | Err(_) => {}
                }
            }
        }
        match set::start(&self.segments) {
            Position::ZERO => Err(link.disagrees(version.as_u64())),
            // In none that is kept, each of which has said so.
            _ => Err(self.truncated()),
        }
    }
}

impl Link {
    /// Whether the segment's own index was asked.
    pub(crate) fn is_indexed(&self) -> bool {
        self.indexed
    }

    fn own_index(&self, remade: bool) -> Result<Arc<SegmentIndex>, ReadError> {
        self.segment.own_index(remade)
    }

    /// What is said where there is no index: a reader that follows a log, and was left behind, has let go of
    /// what it knew of a segment that was never sealed here.
    fn dropped_or(&self, index: &StreamIndex, error: ReadError) -> ReadError {
        let first_available = set::start(&index.segments().snapshot());
        match self.segment.base_position() < first_available {
            true => ReadError::Truncated { first_available },
            false => error,
        }
    }

    /// Segment and index do not say the same.
    fn disagrees(&self, version: u64) -> ReadError {
        let fault = FrameError::Field { field: "stream version", found: version };
        let segment = &self.segment;
        segment.damaged(Segment::FIRST_FRAME, segment.base_position(), fault)
    }
}
