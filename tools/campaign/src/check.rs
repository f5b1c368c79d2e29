//! Comparing a log with the model.
//!
//! Owns: [`found`], quick, for every state, [`thorough`], which reads in every way there is, and
//! [`truthful`], for a log that may be damaged where it was not looked at.

use quipu::{Log, Position, ReadError, ReadErrorKind, RecordedEvent, Version};

use crate::model::{Model, Placed, Submitted};
use crate::script::{CHECKPOINTS, STREAMS, stream_name};
use crate::sought::Sought;
use crate::violation::Violation;

/// How many batches of the model's history are in the log: at least `least` of them, whole, in
/// order, as they were submitted, and nothing else.
///
/// # Errors
/// What is not so.
pub fn found(log: &Log, model: &Model, least: usize) -> Result<usize, Violation> {
    let history = model.history();
    let first = log.first_available();
    let Some(mut found) = model.batches_before(first.as_u64()) else {
        return Err(Violation::Reading(format!("it begins at {first}, where nothing was dropped")));
    };
    for batch in log.batches(first..) {
        let batch = batch.map_err(|error| Violation::Reading(error.to_string()))?;
        while is_without_events(model, found) {
            found += 1;
        }
        let Some(placed) = history.get(found) else {
            return Err(Violation::NeverSubmitted { found: found + 1, most: history.len() });
        };
        let differs = |what| Violation::Differs { batch: found, what };
        if batch.event_count() as usize != placed.submission.events.len() {
            return Err(differs("number of events"));
        }
        let events = batch.events().map_err(|error| Violation::Reading(error.to_string()))?;
        let expected = placed.submission.events.iter().zip(placed.versions.iter());
        for ((event, (submitted, version)), position) in events.zip(expected).zip(placed.first..) {
            let event = event.map_err(|error| Violation::Reading(error.to_string()))?;
            let place = (event.position().as_u64(), event.version().as_u64());
            if place != (position, *version) {
                return Err(differs("positions or versions"));
            }
            if event.stream() != stream_name(submitted.stream) || event.id() != submitted.id {
                return Err(differs("streams or ids"));
            }
            let traits = submitted.traits;
            if event.event_type() != traits.event_type() || !event.tags().iter().eq(traits.tags()) {
                return Err(differs("types or tags"));
            }
            if event.payload() != submitted.payload {
                return Err(differs("payloads"));
            }
        }
        found += 1;
    }
    // Behind the last batch with events there may be some without.
    let events_end = found;
    let Some(found) = (events_end..=history.len())
        .take_while(|count| *count == events_end || is_without_events(model, count - 1))
        .find(|count| has_checkpoints(log, model, *count))
    else {
        let (there, least) = (log.checkpoints(), model.checkpoints_of(events_end));
        return Err(Violation::Reading(format!("checkpoints {there:?}, at least {least:?}")));
    };
    if found < least {
        return Err(Violation::Lost { found, least });
    }
    let (end, expected) = (log.end().as_u64(), model.end_of(found));
    if end != expected {
        return Err(Violation::Reading(format!(
            "the log ends at {end}, its batches at {expected}"
        )));
    }
    if first > Position::ZERO {
        has_versions(log, model, found)?;
    }
    Ok(found)
}

/// Whether a log that was just opened begins where it may.
///
/// # Errors
/// That it does not.
pub fn begins(log: &Log, model: &Model) -> Result<(), Violation> {
    let first = log.first_available();
    match model.may_begin_at(first.as_u64()) {
        true => Ok(()),
        false => {
            Err(Violation::Reading(format!("it begins at {first}, not at {:?}", model.begin())))
        }
    }
}

/// Whether every stream is at the version that the first `batches` have brought it to, whether its events
/// are still there or not.
fn has_versions(log: &Log, model: &Model, batches: usize) -> Result<(), Violation> {
    for (stream, head) in STREAMS.into_iter().zip(model.heads_of(batches)) {
        let (told, expected) = (log.stream_version(stream), head.map(|head| head.version));
        if told != expected {
            return Err(Violation::Reading(format!("{stream:?} is at {told:?}, not {expected:?}")));
        }
    }
    Ok(())
}

/// Whether a read of all is refused forward, and backward ends with that, if something was dropped.
fn tells_truncation(log: &Log, first: Position) -> Result<(), Violation> {
    let is_told = |last: Option<Result<RecordedEvent, ReadError>>| match last {
        Some(Err(ReadError::Truncated { first_available })) => first_available == first,
        _ => first == Position::ZERO,
    };
    let told = [
        is_told(log.read(..).into_iter().next()),
        is_told(log.read(..).backward().into_iter().last()),
    ];
    match told {
        [true, true] => Ok(()),
        told => Err(Violation::Reading(format!("all below {first} is gone, told: {told:?}"))),
    }
}

/// Whether the batch at a place of the model's history sets checkpoints alone: no read gives it.
fn is_without_events(model: &Model, place: usize) -> bool {
    model.history().get(place).is_some_and(|placed| placed.submission.events.is_empty())
}

/// Whether the log's named checkpoints are what the first `batches` have set.
fn has_checkpoints(log: &Log, model: &Model, batches: usize) -> bool {
    let expected = model.checkpoints_of(batches);
    let there = log.checkpoints();
    let all = there.iter().map(|(name, at)| (&**name, at.as_u64()));
    all.eq(expected.iter().map(|(name, at)| (*name, *at)))
}

/// Whether everything that can be read shows the first `batches` of the model's history.
///
/// # Errors
/// What does not.
pub fn thorough(log: &Log, model: &Model, batches: usize) -> Result<(), Violation> {
    let history = model.history().get(..batches).unwrap_or_default();
    let first = log.first_available();
    tells_truncation(log, first)?;
    let expected: Vec<Expected<'_>> = history.iter().flat_map(events_of).collect();
    let is_kept = |event: &&Expected<'_>| event.position >= first.as_u64();
    let all: Vec<&Expected<'_>> = expected.iter().filter(is_kept).collect();
    same("forward", log.read(first..).into_iter(), &all)?;
    let reversed: Vec<_> = all.iter().rev().copied().collect();
    same("backward", log.read(first..).backward().into_iter(), &reversed)?;
    for sought in Sought::several() {
        let read = || log.read(first..).matching(sought.query());
        let how = format!("{}", sought.query());
        same(&how, read().into_iter(), &matching(sought, &all))?;
        same(&how, read().backward().into_iter(), &matching(sought, &reversed))?;
    }
    for ((number, stream), head) in (0_u8..).zip(STREAMS).zip(model.heads_of(batches)) {
        let read = log.read_stream(stream, ..);
        let told = [read.current_version(), log.stream_version(stream)];
        if told != [head.map(|head| head.version); 2] {
            return Err(Violation::Reading(format!("{stream:?} is at {told:?}, not {head:?}")));
        }
        let is_of = |event: &&&Expected<'_>| event.submitted.stream == number;
        let of_stream: Vec<_> = all.iter().filter(is_of).copied().collect();
        let gone = expected.iter().filter(|event| is_of(&event)).count() - of_stream.len();
        let kept = Version::new(gone as u64)..;
        if gone > 0 && !matches!(read.into_iter().next(), Some(Err(ReadError::Truncated { .. }))) {
            return Err(Violation::Reading(format!(
                "{gone} events of {stream:?} are gone, not told"
            )));
        }
        same("a stream", log.read_stream(stream, kept.clone()).into_iter(), &of_stream)?;
        let reversed: Vec<_> = of_stream.into_iter().rev().collect();
        let read = log.read_stream(stream, kept).backward();
        same("a stream backward", read.into_iter(), &reversed)?;
        if gone == 0 {
            parts_of_stream(log, stream, &reversed)?;
        }
    }
    let expected = model.checkpoints_of(batches);
    for name in CHECKPOINTS.into_iter().chain(["order-1"]) {
        let (told, expected) = (log.checkpoint(name), expected.get(name).copied());
        if told.map(Position::as_u64) != expected {
            return Err(Violation::Reading(format!("{name:?} is at {told:?}, not {expected:?}")));
        }
    }
    let mut last = None;
    for batch in log.batches(first..) {
        let time = batch.map_err(|error| Violation::Reading(error.to_string()))?.committed_at();
        if last > Some(time) {
            return Err(Violation::Reading("commit times run backwards".to_owned()));
        }
        last = Some(time);
    }
    let backward = log.batches(first..).backward().filter(|batch| batch.is_ok()).count();
    let kept = model.batches_before(first.as_u64()).unwrap_or(0)..batches;
    let with_events = kept.filter(|place| !is_without_events(model, *place)).count();
    if backward != with_events {
        let what = format!("{with_events} batches forward, {backward} backward");
        return Err(Violation::Reading(what));
    }
    Ok(())
}

/// Whether parts of a stream are what they are of the whole, which is given from its end.
fn parts_of_stream(log: &Log, stream: &str, reversed: &[&Expected<'_>]) -> Result<(), Violation> {
    let count = reversed.len() as u64;
    for (first, limit) in [(1, 1), (count / 2, 2), (count / 3, u64::MAX), (count, 1)] {
        let read = || log.read_stream(stream, Version::new(first)..).limit(limit);
        let part = reversed.iter().rev().skip(first as usize).take(limit.min(count) as usize);
        same("part of a stream", read().into_iter(), &part.copied().collect::<Vec<_>>())?;
        let read = || log.read_stream(stream, ..Version::new(first)).backward().limit(limit);
        let part = reversed.iter().skip((count - first.min(count)) as usize);
        let part: Vec<_> = part.take(limit.min(count) as usize).copied().collect();
        same("part of a stream backward", read().into_iter(), &part)?;
    }
    Ok(())
}

/// How far a log that may be damaged can be read from its start, and whether all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readable {
    /// Batches with events in front of the first error, or all.
    pub batches: usize,
    /// Batches, those without events too, that the end of the log and its checkpoints tell of.
    pub committed: usize,
    /// Whether there was no error.
    pub is_all: bool,
}

/// Reads a log that was opened without a look at all of it: whatever is read is true, and where it
/// cannot be read, that is said to be damage.
///
/// # Errors
/// A lie, or an end without an error.
pub fn truthful(log: &Log, model: &Model) -> Result<Readable, Violation> {
    let history = model.history();
    let end = log.end().as_u64();
    let is_there =
        |count: &usize| model.end_of(*count) == end && has_checkpoints(log, model, *count);
    let Some(there) = (0..=history.len()).find(is_there) else {
        let checkpoints = log.checkpoints();
        let what = format!("the log ends at {end}, {checkpoints:?}, where no batch ends so");
        return Err(Violation::Reading(what));
    };
    let expected: Vec<Expected<'_>> =
        history.get(..there).unwrap_or_default().iter().flat_map(events_of).collect();
    let first = log.first_available();
    let is_kept = |event: &&Expected<'_>| event.position >= first.as_u64();
    let all: Vec<&Expected<'_>> = expected.iter().filter(is_kept).collect();
    let reversed: Vec<_> = all.iter().rev().copied().collect();
    same_so_far("forward", log.read(first..).into_iter(), &all)?;
    same_so_far("backward", log.read(first..).backward().into_iter(), &reversed)?;
    for sought in Sought::several() {
        let read = || log.read(first..).matching(sought.query());
        let how = format!("{}", sought.query());
        same_so_far(&how, read().into_iter(), &matching(sought, &all))?;
        same_so_far(&how, read().backward().into_iter(), &matching(sought, &reversed))?;
    }
    for (number, stream) in (0_u8..).zip(STREAMS) {
        let is_of = |event: &&&Expected<'_>| event.submitted.stream == number;
        let of_stream: Vec<_> = all.iter().filter(is_of).copied().collect();
        let told = log.read_stream(stream, ..).current_version().map(Version::as_u64);
        let last = expected.iter().rev().find(|event| is_of(&event));
        if told != last.map(|last| last.version) {
            return Err(Violation::Reading(format!("{stream:?} is at {told:?}")));
        }
        let gone = expected.iter().filter(|event| is_of(&event)).count() - of_stream.len();
        let kept = Version::new(gone as u64)..;
        same_so_far("a stream", log.read_stream(stream, kept.clone()).into_iter(), &of_stream)?;
        let reversed: Vec<_> = of_stream.into_iter().rev().collect();
        let read = log.read_stream(stream, kept).backward();
        same_so_far("a stream backward", read.into_iter(), &reversed)?;
    }
    let mut batches = 0;
    for batch in log.batches(first..) {
        match batch.and_then(|batch| batch.events().map(drop)) {
            Ok(()) => batches += 1,
            Err(_) => return Ok(Readable { batches, committed: there, is_all: false }),
        }
    }
    Ok(Readable { batches, committed: there, is_all: true })
}

/// As [`same`], up to the first error, which is damage.
fn same_so_far(
    how: &str,
    read: impl Iterator<Item = Result<RecordedEvent, ReadError>>,
    expected: &[&Expected<'_>],
) -> Result<(), Violation> {
    let mut count = 0;
    let mut failed = None;
    let until_error = read.map_while(|event| {
        let event = event.map_err(|error| failed = Some(error)).ok()?;
        count += 1;
        Some(Ok::<_, ReadError>(event))
    });
    let read: Vec<_> = until_error.collect();
    match failed {
        Some(error) if error.kind() != ReadErrorKind::Damage => {
            Err(Violation::Reading(format!("{how}: {error}")))
        }
        Some(_) => same(how, read.into_iter(), expected.get(..count).unwrap_or(expected)),
        None => same(how, read.into_iter(), expected),
    }
}

/// An event in its place.
struct Expected<'a> {
    position: u64,
    version: u64,
    submitted: &'a Submitted,
}

/// Those that a query matches, in their order.
fn matching<'a>(sought: Sought, events: &[&'a Expected<'a>]) -> Vec<&'a Expected<'a>> {
    let matches = |event: &&&Expected<'_>| sought.matches(event.submitted.traits);
    events.iter().filter(matches).copied().collect()
}

fn events_of(placed: &Placed) -> impl Iterator<Item = Expected<'_>> {
    let versions = placed.submission.events.iter().zip(placed.versions.iter());
    versions.zip(placed.first..).map(|((submitted, version), position)| Expected {
        position,
        version: *version,
        submitted,
    })
}

fn same<E: std::fmt::Display>(
    how: &str,
    read: impl Iterator<Item = Result<RecordedEvent, E>>,
    expected: &[&Expected<'_>],
) -> Result<(), Violation> {
    let wrong = |what: String| Violation::Reading(format!("{how}: {what}"));
    let mut count = 0;
    for event in read {
        let event = event.map_err(|error| wrong(error.to_string()))?;
        let Some(Expected { position, version, submitted }) = expected.get(count) else {
            return Err(wrong(format!("more than {count} events")));
        };
        let is_same = event.position().as_u64() == *position
            && event.version().as_u64() == *version
            && event.stream() == stream_name(submitted.stream)
            && event.id() == submitted.id
            && event.event_type() == submitted.traits.event_type()
            && event.tags().iter().eq(submitted.traits.tags())
            && event.payload() == submitted.payload;
        if !is_same {
            return Err(wrong(format!("another event at position {position}")));
        }
        count += 1;
    }
    if count != expected.len() {
        return Err(wrong(format!("{count} events of {}", expected.len())));
    }
    Ok(())
}
