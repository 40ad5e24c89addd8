use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use basalt_node::upgrade::{HISTORY, Happened, Record};

use crate::observe::now;

/// Adds to the history; on the medium when this returns. Every record begins with a line break of its own if the one before
/// was torn.
pub(crate) fn record(events: Vec<Happened>) -> io::Result<()> {
    append(Path::new(HISTORY), events)
}

fn append(path: &Path, events: Vec<Happened>) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let torn = match fs::read(path) {
        Ok(bytes) => bytes.last().is_some_and(|last| *last != b'\n'),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    let mut text = if torn { vec![b'\n'] } else { Vec::new() };
    let time = now();
    for event in events {
        serde_json::to_writer(&mut text, &Record { time, event })?;
        text.push(b'\n');
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(&text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_added_behind_a_torn_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("basalt/history.jsonl");
        let event = Happened::Booted { version: "1.0".parse().unwrap(), slot: basalt_types::Slot::A };
        append(&path, vec![event.clone()]).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, whole.trim_end()).unwrap();
        append(&path, vec![event.clone(), event]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let records: Vec<Record> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records.len(), 3);
    }
}
