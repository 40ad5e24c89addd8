//! A disk with a write cache that loses its power.

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, MutexGuard},
};

use basalt_formats::{ReadAt, WriteAt};
use basalt_types::ByteSize;

use crate::MachineId;

const SECTOR: usize = 512;

type Sectors = BTreeMap<u64, [u8; SECTOR]>;

/// Sectors that were flushed, sectors that were not, and how many operations are left.
pub(super) struct ModelDisk {
    size: u64,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    flushed: Sectors,
    cached: Vec<(u64, [u8; SECTOR])>,
    credential: Option<MachineId>,
    operations: usize,
    left: Option<usize>,
}

impl ModelDisk {
    pub(super) fn new(size: ByteSize) -> Self {
        Self { size: size.get(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Writes and flushes so far.
    pub(super) fn operations(&self) -> usize {
        self.state().operations
    }

    /// From now on so many operations work.
    pub(super) fn cut_after(&self, operations: usize) {
        self.state().left = Some(operations);
    }

    /// The disk at the next power-on; `kept` says of each sector that was written and not flushed whether it was kept.
    pub(super) fn after_power_cut(&self, kept: impl Fn(usize) -> bool) -> Self {
        let mut state = self.state().clone();
        for (index, (sector, bytes)) in std::mem::take(&mut state.cached).into_iter().enumerate() {
            if kept(index) {
                state.flushed.insert(sector, bytes);
            }
        }
        state.left = None;
        Self { size: self.size, state: Mutex::new(state) }
    }

    pub(super) fn resized(&self, size: ByteSize) -> Self {
        Self { size: size.get(), state: Mutex::new(self.state().clone()) }
    }

    /// Gives false when the power is off.
    pub(super) fn flush(&self) -> bool {
        let mut state = self.state();
        if !state.is_on() {
            return false;
        }
        for (sector, bytes) in std::mem::take(&mut state.cached) {
            state.flushed.insert(sector, bytes);
        }
        true
    }

    pub(super) fn credential(&self) -> Option<MachineId> {
        self.state().credential
    }

    /// The file system's rename is one operation, whole or not at all.
    pub(super) fn write_credential(&self, id: MachineId) -> bool {
        let mut state = self.state();
        let on = state.is_on();
        if on {
            state.credential = Some(id);
        }
        on
    }
}

impl State {
    fn is_on(&mut self) -> bool {
        let on = self.left != Some(0);
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.operations += usize::from(on);
        on
    }
}

impl ReadAt for ModelDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        assert!(offset.is_multiple_of(SECTOR as u64), "whole sectors only");
        let state = self.state();
        for (sector, chunk) in (offset / SECTOR as u64..).zip(buffer.chunks_mut(SECTOR)) {
            let cached = state.cached.iter().rev().find(|(at, _)| *at == sector).map(|(_, bytes)| bytes);
            match cached.or_else(|| state.flushed.get(&sector)) {
                Some(bytes) => chunk.copy_from_slice(&bytes[..chunk.len()]),
                None => chunk.fill(0),
            }
        }
        Ok(())
    }
}

impl WriteAt for ModelDisk {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        assert!(
            offset.is_multiple_of(SECTOR as u64) && bytes.len().is_multiple_of(SECTOR),
            "whole sectors only"
        );
        let mut state = self.state();
        if !state.is_on() {
            return Err(io::Error::other("the power is off"));
        }
        for (sector, chunk) in (offset / SECTOR as u64..).zip(bytes.chunks_exact(SECTOR)) {
            state.cached.push((sector, chunk.try_into().unwrap()));
        }
        Ok(())
    }
}
