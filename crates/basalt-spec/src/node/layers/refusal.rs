use std::fmt;

use super::Layers;
use crate::diagnostic::{Problem, SpecError};

/// What is wrong with documents that are right one by one: each document's part, with its places.
#[derive(Clone, Debug)]
pub struct MergeError(Vec<SpecError>);

impl MergeError {
    pub(super) fn new(layers: &Layers, problems: &[Problem]) -> Self {
        let mut errors = Vec::new();
        for (index, source) in layers.sources.iter().enumerate() {
            let end = layers.sources.get(index + 1).map_or(usize::MAX, |next| next.base);
            let inside = |offset: usize| (source.base..end).contains(&offset);
            let own: Vec<Problem> = problems
                .iter()
                .filter(|problem| inside(problem.offset()))
                .map(|problem| {
                    problem.clone().moved(source.base, |other| {
                        let elsewhere = (!inside(other.offset)).then(|| layers.place(other)).flatten();
                        elsewhere.map(|place| place.to_string())
                    })
                })
                .collect();
            if !own.is_empty() {
                errors.push(SpecError::new(&source.name, &source.text, own));
            }
        }
        Self(errors)
    }

    /// Each document's part, by rising precedence.
    pub fn parts(&self) -> &[SpecError] {
        &self.0
    }
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the documents contradict each other")?;
        if f.alternate() {
            for part in &self.0 {
                for problem in part.problems() {
                    let (line, column) = part.position(problem);
                    write!(f, "\n{}:{line}:{column}: {problem}", part.file())?;
                }
            }
        }
        Ok(())
    }
}

impl std::error::Error for MergeError {}
