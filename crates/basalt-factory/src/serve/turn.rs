//! Whose turn it is: a pure decision over those that wait.

/// A build that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) id: String,
    /// The project and the account that asked.
    pub(super) owner: (i64, String),
    /// How many builds of the owner run now.
    pub(super) running: u32,
    /// When the owner's last build began, in Unix seconds.
    pub(super) last_turn: i64,
}

/// The next of those that wait, which are in the order of their coming.
///
/// Who has fewer running goes first, then who has waited longer for a turn, then who came first: fifty builds of one account
/// hold up another's first by one build.
pub(super) fn next(waiting: &[Waiting]) -> Option<&Waiting> {
    waiting.iter().min_by_key(|one| (one.running, one.last_turn))
}

#[cfg(test)]
mod tests {
    use super::{Waiting, next};

    /// Serves everybody by one worker; a letter is an account.
    fn served(asked: &str) -> String {
        let mut waiting: Vec<Waiting> = asked
            .chars()
            .enumerate()
            .map(|(index, owner)| Waiting {
                id: index.to_string(),
                owner: (1, owner.to_string()),
                running: 0,
                last_turn: 0,
            })
            .collect();
        let mut order = String::new();
        let mut clock = 0;
        while let Some(one) = next(&waiting).cloned() {
            clock += 1;
            order += &one.owner.1;
            waiting.retain(|other| other.id != one.id);
            for other in waiting.iter_mut().filter(|other| other.owner == one.owner) {
                other.last_turn = clock;
            }
        }
        order
    }

    #[test]
    fn turns_go_round() {
        assert_eq!(served("aaaabb"), "ababaa");
        assert_eq!(served("aab c".replace(' ', "").as_str()), "abca");
        assert_eq!(served("aaa"), "aaa");
        let fifty = "a".repeat(49) + "b";
        assert_eq!(served(&fifty).find('b'), Some(1), "b waits for one build");
    }

    #[test]
    fn who_has_one_running_waits_for_who_has_none() {
        let one = |id: &str, owner: &str, running| Waiting {
            id: id.to_owned(),
            owner: (1, owner.to_owned()),
            running,
            last_turn: 0,
        };
        let waiting = [one("1", "a", 1), one("2", "b", 0)];
        assert_eq!(next(&waiting).map(|one| one.id.as_str()), Some("2"));
        assert_eq!(next(&[]), None);
    }
}
