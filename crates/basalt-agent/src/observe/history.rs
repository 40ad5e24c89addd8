//! What was recorded of this machine's releases.

use std::path::Path;

use basalt_node::upgrade::{HISTORY, Record};

use crate::error::{AgentResult, Kind, OrFail as _};

/// A line of the history: a record, or what another release of this program wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Known(Record),
    Other(String),
}

/// Every line, the oldest first; none when nothing was recorded yet.
pub(crate) fn history() -> AgentResult<Vec<Line>> {
    let text = super::text_if_present(Path::new(HISTORY)).or_fail(Kind::Host)?;
    Ok(lines(&text.unwrap_or_default()))
}

/// A loss of power may have torn the last line; it is shown as it is.
fn lines(text: &str) -> Vec<Line> {
    let line = |line: &str| match serde_json::from_str(line) {
        Ok(record) => Line::Known(record),
        Err(_) => Line::Other(line.to_owned()),
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(line).collect()
}

/// The records among the lines.
pub(crate) fn records(lines: Vec<Line>) -> Vec<Record> {
    let record = |line| match line {
        Line::Known(record) => Some(record),
        Line::Other(_) => None,
    };
    lines.into_iter().filter_map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_nobody_understands_are_kept() {
        let found =
            lines("{\"time\":0,\"event\":\"booted\",\"version\":\"1\",\"slot\":\"a\"}\n\n{\"time\":1,\"ev");
        assert!(
            matches!(&found[..], [Line::Known(_), Line::Other(text)] if text == "{\"time\":1,\"ev"),
            "{found:?}"
        );
        assert_eq!(records(found).len(), 1);
    }
}
