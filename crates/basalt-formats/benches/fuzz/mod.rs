//! What the fuzzers share: changed bytes, as many times as asked for, on all processors.
//!
//! The process may have 1 GiB of address space: whoever asks for more dies. An execution is named by its number and the seed, so
//! that one that fails can be done again. Without arguments nothing runs, so that `cargo test --benches` stays quick.
#![allow(clippy::expect_used, clippy::panic, reason = "a program for developers")]

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// The address space of the process.
const MEMORY: u64 = 1 << 30;
/// Executions between two looks at the shared counter.
const BATCH: u64 = 1000;
/// Words that mean something as sizes and offsets.
const WORDS: [u32; 8] = [0, 1, 0xff, 0x1000, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, u32::MAX];

/// Runs `execute` as often as the first argument of the program says, with random numbers that begin with the second. Gives what is
/// to be said of it; none when there was no argument.
pub(crate) fn run(execute: &(dyn Fn(&mut Random) + Sync)) -> Option<String> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let executions: u64 = arguments.first()?.parse().expect("a number");
    let seed: u64 = arguments.get(1).map_or(1, |text| text.parse().expect("a seed"));
    let limit = rustix::process::Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) };
    rustix::process::setrlimit(rustix::process::Resource::As, limit).expect("the limit is set");
    let (next, began) = (AtomicU64::new(0), Instant::now());
    let work = || {
        loop {
            let first = next.fetch_add(BATCH, Ordering::Relaxed);
            if first >= executions {
                return;
            }
            for number in first..(first + BATCH).min(executions) {
                let mut random = Random::of(seed, number);
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| execute(&mut random)));
                done.unwrap_or_else(|_| panic!("execution {number} of seed {seed} panicked"));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    Some(format!("{executions} executions in {:.0} s, none with a panic", began.elapsed().as_secs_f64()))
}

/// xorshift64*: the same numbers everywhere.
pub(crate) struct Random(u64);

impl Random {
    fn of(seed: u64, number: u64) -> Self {
        Self(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed.wrapping_mul(0xd134_2543_de82_ef95) | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let word = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        word as usize % limit.max(1)
    }

    /// One to eight changes of these bytes, each where `place` says for a length; now and then the end is cut off.
    pub(crate) fn changed(
        &mut self,
        seed: &[u8],
        place: &mut dyn FnMut(&mut Self, usize) -> usize,
    ) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(8) {
            let at = place(self, bytes.len()).min(bytes.len() - 1);
            match self.below(4) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.below(256) as u8,
                2 if at + 4 <= bytes.len() => {
                    let word = WORDS[self.below(WORDS.len())];
                    bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
                }
                _ => {
                    let length = (1 + self.below(64)).min(bytes.len() - at);
                    let from = self.below(bytes.len() - length + 1);
                    bytes.copy_within(from..from + length, at);
                }
            }
        }
        if self.below(32) == 0 {
            bytes.truncate(self.below(seed.len()));
        }
        bytes
    }
}
