//! Processes a payload on all cores in constant memory.
//!
//! ```text
//!            ┌─> worker ─┐
//!  reader ───┤           ├──> writer (the calling thread)
//!            └─> worker ─┘
//! ```
//!
//! The reader deals batches of 4 chunks to the workers in turn, and the writer collects them in the same order, so no
//! sorting is needed. Batches are reused: a payload of any length takes about 1 MiB per worker. Neither a batch in
//! which a chunk did not open nor any later one is written.

use std::{
    io::{self, IoSlice, Read, Write},
    num::NonZeroUsize,
    sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    thread,
};

use zeroize::Zeroize as _;

use super::payload::{CHUNK, ChunkError, PayloadKey, SEALED_CHUNK, TAG};

/// Chunks per batch: 256 KiB. Large enough that passing it on costs little, small enough that all batches of a worker
/// fit into its core's cache and many small files at once take little memory.
const CHUNKS: usize = 4;

/// Whether to seal or to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadDirection {
    /// The input is plaintext.
    Seal,
    /// The input is sealed chunks.
    Open,
}

/// Why a payload could not be processed.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The input cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Write(#[source] io::Error),
    /// A chunk does not open.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
}

/// Runs `input` through the cipher into `output`; returns the number of bytes written.
///
/// # Errors
/// When reading, writing or opening fails. What was written before is correct: opened chunks in order.
pub fn run(
    direction: PayloadDirection,
    key: &PayloadKey,
    input: impl Read + Send,
    output: &mut impl Write,
    workers: NonZeroUsize,
) -> Result<u64, PipelineError> {
    let mut source = Source { direction, input, number: 0, ahead: None };
    let first = source.next(Batch::new()).map_err(PipelineError::Read)?;
    // A payload of one batch is not worth a thread.
    if first.ends {
        return write(direction, &transform(direction, key, first)?, output);
    }
    thread::scope(|scope| {
        let workers = workers.get();
        let (spare, spares) = channel();
        // For each worker one batch in work, one waiting before and one after it, and one being read or written.
        for _ in 0..3 * workers + 1 {
            let _ = spare.send(Batch::new());
        }
        let mut to_do = Vec::new();
        let mut done = Vec::new();
        for _ in 0..workers {
            let (give, take) = sync_channel::<Batch>(1);
            let (give_back, take_back) = sync_channel(1);
            scope.spawn(move || work(direction, key, &take, &give_back));
            to_do.push(give);
            done.push(take_back);
        }
        let reading = scope.spawn(move || source.deal(first, &to_do, &spares));
        let written = collect(direction, &done, &spare, output);
        drop((done, spare));
        let read = reading.join().unwrap_or_else(|_| Err(io::Error::other("the reader ended early")));
        let (written, whole) = written?;
        read.map_err(PipelineError::Read)?;
        if whole { Ok(written) } else { Err(PipelineError::Read(io::ErrorKind::UnexpectedEof.into())) }
    })
}

/// Writes the workers' results in turn; returns the number of bytes, and whether the last batch was among them.
fn collect(
    direction: PayloadDirection,
    done: &[Receiver<Result<Batch, ChunkError>>],
    spare: &Sender<Batch>,
    output: &mut impl Write,
) -> Result<(u64, bool), PipelineError> {
    let mut written = 0;
    for lane in done.iter().cycle() {
        // The reader stopped early.
        let Ok(result) = lane.recv() else { break };
        let batch = result?;
        written += write(direction, &batch, output)?;
        if batch.ends {
            return Ok((written, true));
        }
        let _ = spare.send(batch);
    }
    Ok((written, false))
}

fn work(
    direction: PayloadDirection,
    key: &PayloadKey,
    to_do: &Receiver<Batch>,
    done: &SyncSender<Result<Batch, ChunkError>>,
) {
    for batch in to_do {
        let result = transform(direction, key, batch);
        let failed = result.is_err();
        if done.send(result).is_err() || failed {
            return;
        }
    }
}

/// Consecutive chunks in one buffer, each with room for its tag.
struct Batch {
    bytes: Vec<u8>,
    /// How many bytes are in use.
    used: usize,
    /// How many bytes were ever in use.
    touched: usize,
    /// The number of its first chunk.
    number: u64,
    /// Whether its last chunk is the payload's last.
    ends: bool,
}

impl Batch {
    fn new() -> Self {
        Self { bytes: vec![0; CHUNKS * SEALED_CHUNK], used: 0, touched: 0, number: 0, ends: false }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // Earlier, longer batches left plaintext beyond the bytes in use. Bytes never used are not even mapped, so a
        // short file costs one page.
        let touched = self.bytes.get_mut(..self.touched).unwrap_or_default();
        touched.zeroize();
    }
}

/// The input, split into batches.
struct Source<R> {
    direction: PayloadDirection,
    input: R,
    /// The number of the next chunk.
    number: u64,
    /// A byte that was read to detect the end.
    ahead: Option<u8>,
}

impl<R: Read> Source<R> {
    /// Reads the next batch into `batch`, and notes whether it is the last.
    fn next(&mut self, mut batch: Batch) -> io::Result<Batch> {
        batch.number = self.number;
        batch.used = 0;
        for slot in batch.bytes.chunks_exact_mut(SEALED_CHUNK) {
            let (room, tag) = match self.direction {
                PayloadDirection::Seal => (slot.get_mut(..CHUNK).unwrap_or_default(), TAG),
                PayloadDirection::Open => (slot, 0),
            };
            // Set before reading, because a failing read may have written some bytes.
            batch.touched = batch.touched.max(batch.used + SEALED_CHUNK);
            let ahead = self.ahead.take();
            let read = read_full(&mut ahead.as_slice().chain(&mut self.input), room)?;
            // An empty payload is one empty chunk.
            if read > 0 || (self.number == 0 && self.direction == PayloadDirection::Seal) {
                batch.used += read + tag;
                self.number += 1;
            }
            if read < room.len() {
                batch.ends = true;
                return Ok(batch);
            }
        }
        let mut byte = [0];
        match read_full(&mut self.input, &mut byte)? {
            0 => batch.ends = true,
            _ => self.ahead = byte.first().copied(),
        }
        Ok(batch)
    }

    /// Deals `first` and all later batches to the workers in turn.
    fn deal(mut self, first: Batch, lanes: &[SyncSender<Batch>], spares: &Receiver<Batch>) -> io::Result<()> {
        let mut batch = first;
        for lane in lanes.iter().cycle() {
            let ends = batch.ends;
            // A closed lane means that the worker stopped; the writer returns the reason.
            if lane.send(batch).is_err() || ends {
                return Ok(());
            }
            let Ok(spare) = spares.recv() else { return Ok(()) };
            batch = self.next(spare)?;
        }
        Ok(())
    }
}

/// Reads until `room` is full or the input ends; returns the number of bytes.
fn read_full(input: &mut impl Read, mut room: &mut [u8]) -> io::Result<usize> {
    let mut total = 0;
    while !room.is_empty() {
        match input.read(room) {
            Ok(0) => break,
            Ok(read) => {
                total += read;
                room = room.get_mut(read..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// Seals or opens every chunk of a batch in place.
fn transform(direction: PayloadDirection, key: &PayloadKey, mut batch: Batch) -> Result<Batch, ChunkError> {
    let (first, ends) = (batch.number, batch.ends);
    let used = batch.bytes.get_mut(..batch.used).unwrap_or_default();
    let count = used.len().div_ceil(SEALED_CHUNK) as u64;
    if count == 0 {
        return Err(ChunkError { number: first });
    }
    for (number, chunk) in (first..).zip(used.chunks_mut(SEALED_CHUNK)) {
        let last = ends && number + 1 == first + count;
        match direction {
            PayloadDirection::Seal => {
                let (text, tag) =
                    chunk.split_at_mut_checked(chunk.len().wrapping_sub(TAG)).ok_or(ChunkError { number })?;
                key.seal(number, last, text, tag)?;
            }
            // Only an empty payload has an empty chunk.
            PayloadDirection::Open if key.open(number, last, chunk)?.is_empty() && number > 0 => {
                return Err(ChunkError { number });
            }
            PayloadDirection::Open => {}
        }
    }
    Ok(batch)
}

/// Writes the content of a batch.
fn write(direction: PayloadDirection, batch: &Batch, output: &mut impl Write) -> Result<u64, PipelineError> {
    let used = batch.bytes.get(..batch.used).unwrap_or_default();
    match direction {
        PayloadDirection::Seal => {
            output.write_all(used).map_err(PipelineError::Write)?;
            Ok(used.len() as u64)
        }
        PayloadDirection::Open => {
            let text = |chunk: &'_ [u8]| chunk.len().saturating_sub(TAG);
            let mut pieces: Vec<_> = used
                .chunks(SEALED_CHUNK)
                .map(|chunk| IoSlice::new(chunk.get(..text(chunk)).unwrap_or_default()))
                .collect();
            let written = pieces.iter().map(|piece| piece.len() as u64).sum();
            write_all_vectored(output, &mut pieces).map_err(PipelineError::Write)?;
            Ok(written)
        }
    }
}

/// Writes all pieces, as many at once as the output accepts.
fn write_all_vectored(output: &mut impl Write, mut pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut pieces, 0);
    while !pieces.is_empty() {
        match output.write_vectored(pieces) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut pieces, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::age::header::file_key;

    fn key() -> PayloadKey {
        PayloadKey::new(&file_key(&[3; 16]).unwrap(), &[4; 16]).unwrap()
    }

    fn workers(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    fn through(direction: PayloadDirection, input: &[u8], count: usize) -> Result<Vec<u8>, PipelineError> {
        let mut output = Vec::new();
        let written = run(direction, &key(), input, &mut output, workers(count))?;
        assert_eq!(written, output.len() as u64);
        Ok(output)
    }

    /// Bytes of which no two chunks are alike.
    fn text(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]).collect()
    }

    #[test]
    fn every_length_around_the_edges_comes_back() {
        let batch = CHUNKS * CHUNK;
        for length in
            [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, batch - 1, batch, batch + 1, 5 * batch, 5 * batch + 9]
        {
            let text = text(length);
            for count in [1, 2, 3] {
                let sealed = through(PayloadDirection::Seal, &text, count).unwrap();
                assert_eq!(sealed.len(), length + length.div_ceil(CHUNK).max(1) * TAG, "{length}");
                assert!(through(PayloadDirection::Open, &sealed, 4 - count).unwrap() == text, "{length}");
            }
        }
    }

    #[test]
    fn how_the_input_comes_in_pieces_makes_no_difference() {
        /// Gives 1, 2, 3, … bytes at a time, and is interrupted before each.
        struct Dribble<'a>(&'a [u8], usize, bool);
        impl Read for Dribble<'_> {
            fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
                self.2 = !self.2;
                if self.2 {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                self.1 += 1;
                let length = self.1.min(room.len());
                self.0.read(&mut room[..length])
            }
        }
        let text = text(3 * CHUNKS * CHUNK + 17);
        let mut output = Vec::new();
        run(PayloadDirection::Seal, &key(), Dribble(&text, 0, false), &mut output, workers(2)).unwrap();
        assert!(output == through(PayloadDirection::Seal, &text, 1).unwrap());
    }

    #[test]
    fn a_file_that_was_cut_off_gives_whole_chunks_and_an_error() {
        let text = text(40 * CHUNK + 5);
        let sealed = through(PayloadDirection::Seal, &text, 2).unwrap();
        for length in [
            0,
            1,
            TAG,
            SEALED_CHUNK,
            SEALED_CHUNK + 1,
            16 * SEALED_CHUNK,
            33 * SEALED_CHUNK,
            sealed.len() - 1,
        ] {
            let mut output = Vec::new();
            let cut = run(PayloadDirection::Open, &key(), &sealed[..length], &mut output, workers(2));
            assert!(matches!(cut, Err(PipelineError::Chunk(_))), "{length}");
            assert!(output.len().is_multiple_of(CHUNK) && text.starts_with(&output), "{length}");
        }
    }

    #[test]
    fn an_empty_chunk_at_the_end_is_refused() {
        // As one who knows the key would write it: it opens, but no writer of the format makes it.
        let text = text(CHUNK);
        let mut sealed = vec![0; SEALED_CHUNK + TAG];
        sealed[..CHUNK].copy_from_slice(&text);
        let (first, last) = sealed.split_at_mut(SEALED_CHUNK);
        let (words, tag) = first.split_at_mut(CHUNK);
        key().seal(0, false, words, tag).unwrap();
        key().seal(1, true, &mut [], last).unwrap();
        let refused = through(PayloadDirection::Open, &sealed, 1);
        assert!(matches!(refused, Err(PipelineError::Chunk(ChunkError { number: 1 }))));
    }

    #[test]
    fn a_reader_or_writer_that_fails_ends_it() {
        struct Fails(usize);
        impl Read for Fails {
            fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::TimedOut)?;
                Ok(room.len())
            }
        }
        impl Write for Fails {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for good in [0, 1, 16, 17, 18, 100] {
            let read = run(PayloadDirection::Seal, &key(), Fails(good), &mut Vec::new(), workers(2));
            assert!(matches!(read, Err(PipelineError::Read(_))), "{good}");
            let written = run(
                PayloadDirection::Seal,
                &key(),
                text(20 * CHUNKS * CHUNK).as_slice(),
                &mut Fails(good.min(18)),
                workers(2),
            );
            assert!(matches!(written, Err(PipelineError::Write(_))), "{good}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn no_changed_byte_yields_another_text(length in 0..3 * CHUNK, at: prop::sample::Index, bit in 0..8u8) {
            let text = text(length);
            let mut sealed = through(PayloadDirection::Seal, &text, 1).unwrap();
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            let mut output = Vec::new();
            prop_assert!(run(PayloadDirection::Open, &key(), sealed.as_slice(), &mut output, workers(2)).is_err());
            prop_assert!(text.starts_with(&output));
        }

        #[test]
        fn chunks_in_another_order_do_not_open(one in 0..20usize, other in 0..20usize) {
            prop_assume!(one != other);
            let text = text(20 * CHUNK);
            let sealed = through(PayloadDirection::Seal, &text, 2).unwrap();
            let mut chunks: Vec<_> = sealed.chunks(SEALED_CHUNK).collect();
            chunks.swap(one, other);
            let mut output = Vec::new();
            prop_assert!(run(PayloadDirection::Open, &key(), chunks.concat().as_slice(), &mut output, workers(2)).is_err());
            prop_assert!(text.starts_with(&output));
        }
    }
}
