//! How often somebody may try to come in.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// So many wrong passwords in a row are answered, to an address and for a name; then nobody may try for a while. Many people may
/// share an address.
const TRIES: [u32; 2] = [25, 5];
/// How long.
const PAUSE: Duration = Duration::from_secs(60);
/// So many who tried are remembered; the oldest go first.
const MOST: usize = 10_000;

/// Who tried, and how often.
#[derive(Debug, Default)]
pub(super) struct Door(Mutex<HashMap<u64, Tries>>);

#[derive(Clone, Copy, Debug)]
struct Tries {
    wrong: u32,
    last: Instant,
}

/// Whoever tries: the address and the name are counted apart, so neither one name from everywhere nor all names from one place
/// can be tried at will.
pub(super) fn keys(address: IpAddr, name: &str) -> [u64; 2] {
    let hash = |what: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        what(&mut hasher);
        hasher.finish()
    };
    [hash(&|hasher| address.hash(hasher)), hash(&|hasher| name.hash(hasher))]
}

impl Door {
    /// How long these must wait; nothing when they may try.
    pub(super) fn wait(&self, keys: [u64; 2], now: Instant) -> Option<Duration> {
        let tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = |(key, most): (&u64, u32)| {
            let Tries { wrong, last } = tries.get(key)?;
            let until = (*wrong >= most).then_some(*last + PAUSE)?;
            until.checked_duration_since(now).filter(|left| !left.is_zero())
        };
        keys.iter().zip(TRIES).filter_map(wait).max()
    }

    /// Notes a wrong try.
    pub(super) fn wrong(&self, keys: [u64; 2], now: Instant) {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tries.len() >= MOST {
            tries.retain(|_, one| now.duration_since(one.last) < PAUSE);
        }
        for key in keys {
            let one = tries.entry(key).or_insert(Tries { wrong: 0, last: now });
            // After a pause the count begins anew.
            one.wrong = if now.duration_since(one.last) >= PAUSE { 1 } else { one.wrong + 1 };
            one.last = now;
        }
    }

    /// Forgets the tries of somebody who came in.
    pub(super) fn right(&self, keys: [u64; 2]) {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            tries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{IpAddr, Ipv4Addr},
        time::{Duration, Instant},
    };

    use super::{Door, PAUSE, TRIES, keys};

    #[test]
    fn after_some_wrong_tries_one_waits() {
        let (door, start) = (Door::default(), Instant::now());
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for _ in 0..TRIES[1] {
            assert_eq!(door.wait(keys(here, "a"), start), None);
            door.wrong(keys(here, "a"), start);
        }
        let there = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(door.wait(keys(there, "a"), start), Some(PAUSE), "the name waits wherever it comes from");
        assert_eq!(door.wait(keys(here, "b"), start), None);
        for _ in TRIES[1]..TRIES[0] {
            door.wrong(keys(here, "b"), start);
        }
        assert_eq!(door.wait(keys(here, "c"), start), Some(PAUSE), "the address waits");
        assert_eq!(door.wait(keys(there, "c"), start), None);
        let later = start + PAUSE + Duration::from_secs(1);
        assert_eq!(door.wait(keys(here, "a"), later), None);
        door.wrong(keys(here, "a"), later);
        assert_eq!(door.wait(keys(here, "a"), later), None, "the count began anew");
        door.right(keys(here, "a"));
    }
}
