//! Places inodes: each with its inline part, so that the inline part crosses no block.

use super::format::{BLOCK, SLOT};

/// How many blocks with room left are remembered: more would hardly save space, and tear neighbours apart.
const OPEN: usize = 32;

/// Gives out places from some byte on.
#[derive(Debug)]
pub(super) struct Slots {
    /// Where the next block starts.
    end: u64,
    /// Blocks with room: the first free byte (a multiple of 32) and how many are free, the oldest first.
    open: Vec<(u64, u64)>,
}

impl Slots {
    /// The area starts at `start`, a multiple of 32.
    pub(super) fn new(start: u64) -> Self {
        let end = start.next_multiple_of(BLOCK);
        let open = if end > start { vec![(start, end - start)] } else { Vec::new() };
        Self { end, open }
    }

    /// A place for `size` bytes of which the last `inline` (at most a block less 32) must lie in one block. All lie in
    /// one block if they can.
    pub(super) fn take(&mut self, size: u64, inline: u64) -> u64 {
        let whole = size.next_multiple_of(SLOT);
        let fitting = self.open.iter().enumerate().filter(|(_, (_, free))| *free >= whole);
        if let Some((index, _)) = fitting.min_by_key(|(_, (_, free))| *free) {
            let (place, free) = self.open[index];
            self.open[index] = (place + whole, free - whole);
            return place;
        }
        let mut place = self.end;
        let before = (size - inline) % BLOCK;
        if size > BLOCK && before + inline > BLOCK {
            let skip = (BLOCK - before).next_multiple_of(SLOT);
            self.remember(place, skip);
            place += skip;
        }
        self.end = (place + whole).next_multiple_of(BLOCK);
        self.remember(place + whole, self.end - place - whole);
        place
    }

    /// The first byte behind all blocks that were taken.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    fn remember(&mut self, place: u64, free: u64) {
        self.open.retain(|(_, free)| *free > 0);
        if free > 0 {
            if self.open.len() == OPEN {
                self.open.remove(0);
            }
            self.open.push((place, free));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, SLOT, Slots};

    #[test]
    fn no_inline_part_crosses_a_block_and_no_two_slots_touch() {
        let mut slots = Slots::new(1152);
        let mut taken: Vec<(u64, u64)> = Vec::new();
        let mut state = 1_u64;
        for round in 0..5000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let inline = (state >> 33) % (BLOCK - SLOT + 1);
            let before = 32 + (state >> 20) % if round % 50 == 0 { 9000 } else { 120 };
            let place = slots.take(before + inline, inline);
            assert!(place >= 1152 && place.is_multiple_of(SLOT));
            let start = place + before;
            assert!(
                inline == 0 || start / BLOCK == (start + inline - 1) / BLOCK,
                "crosses: {place} {before} {inline}"
            );
            if before + inline <= BLOCK {
                assert_eq!(place / BLOCK, (place + before + inline - 1) / BLOCK);
            }
            assert!(place + before + inline <= slots.end());
            taken.push((place, place + before + inline));
        }
        taken.sort_unstable();
        assert!(taken.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        let used: u64 = taken.iter().map(|(start, end)| end - start).sum();
        assert!(used * 100 > slots.end() * 90, "{used} of {}", slots.end());
    }
}
