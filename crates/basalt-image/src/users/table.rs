use std::{collections::BTreeMap, fmt};

/// A file of lines with fields between colons, such as `/etc/passwd`. Lines that are not entries stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    lines: Vec<Vec<String>>,
    changed: bool,
}

impl Table {
    /// Reads the lines of such a file.
    pub fn parse(text: &str) -> Self {
        let fields = |line: &str| line.split(':').map(str::to_owned).collect();
        Self { lines: text.lines().map(fields).collect(), changed: false }
    }

    /// Whether anything was set since the text was read.
    pub const fn changed(&self) -> bool {
        self.changed
    }

    /// The fields of the entry `name`.
    pub fn find(&self, name: &str) -> Option<&[String]> {
        self.lines.iter().find(|fields| fields.first().is_some_and(|first| first == name)).map(Vec::as_slice)
    }

    /// The fields of the entry `name`, to change.
    pub fn find_mut(&mut self, name: &str) -> Option<&mut Vec<String>> {
        let entry = self.lines.iter_mut().find(|fields| fields.first().is_some_and(|first| first == name))?;
        self.changed = true;
        Some(entry)
    }

    /// Puts an entry in place of the one of the same name, or at the end.
    pub fn set(&mut self, fields: Vec<String>) {
        self.changed = true;
        match self.lines.iter_mut().find(|line| line.first() == fields.first()) {
            Some(line) => *line = fields,
            None => self.lines.push(fields),
        }
    }

    /// Takes the entry `name` away, if there is one.
    pub fn remove(&mut self, name: &str) {
        let before = self.lines.len();
        self.lines.retain(|line| line.first().is_none_or(|first| first != name));
        self.changed |= self.lines.len() != before;
    }

    /// The names of all entries.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries().filter_map(|fields| fields.first().map(String::as_str))
    }

    /// The third field of the entry `name`: its number in passwd(5) and group(5).
    pub fn number(&self, name: &str) -> Option<u32> {
        self.find(name)?.get(2)?.parse().ok()
    }

    /// Every number, and whose it is.
    pub fn numbers(&self) -> BTreeMap<u32, String> {
        let number = |fields: &Vec<String>| Some((fields.get(2)?.parse().ok()?, fields.first()?.clone()));
        self.entries().filter_map(number).collect()
    }

    /// Adds `user` to the last field of the entry `group`, a list with commas.
    pub fn add_member(&mut self, group: &str, user: &str) {
        let Some(members) = self.find_mut(group).and_then(|fields| fields.last_mut()) else { return };
        if members.split(',').any(|member| member == user) {
            return;
        }
        if !members.is_empty() {
            members.push(',');
        }
        members.push_str(user);
    }

    /// Takes `user` out of the last field of the entry `group`.
    pub fn remove_member(&mut self, group: &str, user: &str) {
        let Some(members) = self.find_mut(group).and_then(|fields| fields.last_mut()) else { return };
        *members = members.split(',').filter(|member| *member != user).collect::<Vec<_>>().join(",");
    }

    /// The groups that have `user` as a member.
    pub fn groups_of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a str> {
        let is_member = move |fields: &&Vec<String>| {
            fields.last().is_some_and(|members| members.split(',').any(|member| member == user))
        };
        self.entries().filter(is_member).filter_map(|fields| fields.first().map(String::as_str))
    }

    /// Adds `name:start:count` behind every range that is there (subuid(5)).
    pub fn add_range(&mut self, name: &str, (first, count): (u64, u64)) {
        let end = |fields: &Vec<String>| {
            Some(fields.get(1)?.parse::<u64>().ok()?.saturating_add(fields.get(2)?.parse::<u64>().ok()?))
        };
        let start = self.entries().filter_map(end).max().unwrap_or(first).max(first);
        self.set(vec![name.to_owned(), start.to_string(), count.to_string()]);
    }

    fn entries(&self) -> impl Iterator<Item = &Vec<String>> {
        self.lines.iter().filter(|fields| fields.len() > 1)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|fields| writeln!(f, "{}", fields.join(":")))
    }
}
