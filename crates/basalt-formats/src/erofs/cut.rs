//! Shortens a compressed LZ4 block, without compressing again.
//!
//! A block is a list of sequences: a token, literals, a match. It may end after any sequence, when literals follow: the
//! last five bytes are literals, and the last match starts twelve bytes before the end or earlier
//! (`doc/lz4_Block_format.md` of LZ4, "End of block conditions").

/// Literals at the end that keep the rules whatever the match before them is: a match has four bytes at least.
const LAST_LITERALS: usize = 8;

/// A cut: what of the block stays, and the literals behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    /// Bytes of the block.
    block: usize,
    /// Bytes of input that they stand for.
    input: usize,
}

/// Shortens `block`, which holds all of `input`, to at most `budget` bytes, which it fills with literals. Gives how many
/// bytes of `input` it holds then; `None` when it is not an LZ4 block or nothing fits.
pub(super) fn shorten(block: &mut Vec<u8>, input: &[u8], budget: usize) -> Option<usize> {
    let cut = last_cut(block, budget.checked_sub(1 + LAST_LITERALS)?)?;
    let room = budget - cut.block - 1;
    let literals = fitting(room).min(input.len().checked_sub(cut.input)?);
    block.truncate(cut.block);
    block.push((literals.min(15) as u8) << 4);
    if let Some(mut more) = literals.checked_sub(15) {
        while more >= 255 {
            block.push(255);
            more -= 255;
        }
        block.push(more as u8);
    }
    block.extend_from_slice(input.get(cut.input..cut.input + literals)?);
    Some(cut.input + literals)
}

/// The longest start of `block` that ends with a match and has at most `limit` bytes.
fn last_cut(block: &[u8], limit: usize) -> Option<Cut> {
    let mut cut = Cut { block: 0, input: 0 };
    let mut at = 0;
    let mut input = 0;
    loop {
        let token = *block.get(at)?;
        let literals = length(block, &mut at, token >> 4)?;
        at += literals + 2;
        if at > limit || at > block.len() {
            return Some(cut);
        }
        // Of the distance nothing is needed; the bytes of the match's length follow it.
        at -= 1;
        let matched = length(block, &mut at, token & 15)?;
        input += literals + matched + 4;
        if at > limit {
            return Some(cut);
        }
        cut = Cut { block: at, input };
    }
}

/// Reads a length whose first bits are known and goes behind it; `at` is the byte before what may follow.
fn length(block: &[u8], at: &mut usize, nibble: u8) -> Option<usize> {
    let mut length = usize::from(nibble);
    *at += 1;
    if nibble == 15 {
        loop {
            let more = *block.get(*at)?;
            *at += 1;
            length += usize::from(more);
            if more != u8::MAX {
                break;
            }
        }
    }
    Some(length)
}

/// The most literals that fit `room` bytes with the bytes of their length.
fn fitting(room: usize) -> usize {
    let mut literals = room;
    while literals >= 15 && literals + (literals - 15) / 255 + 1 > room {
        literals -= 1;
    }
    literals
}

#[cfg(test)]
mod tests;
