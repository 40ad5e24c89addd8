use std::collections::BTreeMap;

use super::{ModuleIndex, module_name};

/// The aliases of an index, by bus, so that a lookup meets a few hundred patterns and not all.
#[derive(Debug)]
pub struct AliasTable<'a> {
    /// Pattern and module, by what stands before the first `:`.
    by_bus: BTreeMap<&'a str, Vec<(&'a str, usize)>>,
    /// Those with a `*`, `?` or `[` before the first `:`, such as `acpi*:PNP0A03:*`.
    any_bus: Vec<(&'a str, usize)>,
    index: &'a ModuleIndex,
}

impl<'a> AliasTable<'a> {
    /// Sorts the aliases of `index` by bus.
    pub fn new(index: &'a ModuleIndex) -> Self {
        let mut table = Self { by_bus: BTreeMap::new(), any_bus: Vec::new(), index };
        for (place, module) in index.modules.iter().enumerate() {
            for alias in &module.aliases {
                let bus = bus_of(alias);
                if bus.contains(['*', '?', '[']) {
                    table.any_bus.push((alias, place));
                } else {
                    table.by_bus.entry(bus).or_default().push((alias, place));
                }
            }
        }
        table
    }

    /// The names of the modules for a device with this `modalias`, in the order of the index, each once.
    pub fn lookup(&self, modalias: &str) -> Vec<String> {
        let own = self.by_bus.get(bus_of(modalias)).map_or(&[][..], Vec::as_slice);
        let matching = |(pattern, place): &(&str, usize)| glob_matches(pattern, modalias).then_some(*place);
        let mut places: Vec<usize> = own.iter().chain(&self.any_bus).filter_map(matching).collect();
        places.sort_unstable();
        places.dedup();
        let module = |place: usize| self.index.modules.get(place);
        places.into_iter().filter_map(module).map(|module| module_name(&module.path)).collect()
    }
}

fn bus_of(alias: &str) -> &str {
    alias.split_once(':').map_or("", |(bus, _)| bus)
}

/// Whether `text` matches a pattern of `modules.alias`: `*`, `?` and `[abc]`, `[a-c]`, `[!a]`, as fnmatch(3) without
/// flags. A `[` that is never closed stands for itself.
///
/// Takes at most the product of both lengths: only the last `*` is ever tried again.
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p + 1, t));
            p += 1;
        } else if let Some(length) = one_matches(&pattern[p..], text[t]) {
            p += length;
            t += 1;
        } else if let Some((after_star, from)) = retry {
            retry = Some((after_star, from + 1));
            (p, t) = (after_star, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// How many bytes of the pattern match this one byte of the text.
fn one_matches(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern.first()? {
        b'?' => Some(1),
        b'[' => match class_matches(&pattern[1..], byte) {
            Some((true, length)) => Some(length + 1),
            Some((false, _)) => None,
            None => (byte == b'[').then_some(1),
        },
        literal => (*literal == byte).then_some(1),
    }
}

/// Whether the class that begins after its `[` holds the byte, and its length with the `]`; nothing if it is not closed.
fn class_matches(class: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(class.first(), Some(b'!' | b'^'));
    let start = usize::from(negated);
    // A `]` that stands first is a member.
    let end = start + 1 + class.get(start + 1..)?.iter().position(|b| *b == b']')?;
    let members = &class[start..end];
    let mut found = false;
    let mut at = 0;
    while at < members.len() {
        let low = members[at];
        if members.get(at + 1) == Some(&b'-') && at + 2 < members.len() {
            found |= (low..=members[at + 2]).contains(&byte);
            at += 3;
        } else {
            found |= low == byte;
            at += 1;
        }
    }
    Some((found != negated, end + 1))
}
