//! Which of two versions is newer, as systemd-boot decides it: the version format of UAPI.10, section "Comparison".

use std::cmp::Ordering;

use basalt_types::ImageVersion;

/// `Less` when `one` is older than `other`. Versions that differ in leading zeros only are equal.
pub fn compare_versions(one: &ImageVersion, other: &ImageVersion) -> Ordering {
    compare(one.as_str().as_bytes(), other.as_str().as_bytes())
}

/// The rules in their order: `~` is older than anything, even the end; the end is older than anything else; then `-`, `^`
/// and `.` are older than what is none of them; then numbers by their value, and letters by theirs.
fn compare(mut one: &[u8], mut other: &[u8]) -> Ordering {
    loop {
        let (first, second) = (one.first().copied(), other.first().copied());
        if first == Some(b'~') || second == Some(b'~') {
            match (first == Some(b'~')).cmp(&(second == Some(b'~'))) {
                Ordering::Equal => {}
                different @ (Ordering::Less | Ordering::Greater) => return different.reverse(),
            }
            (one, other) = (&one[1..], &other[1..]);
            continue;
        }
        let (Some(first), Some(second)) = (first, second) else {
            return one.len().min(1).cmp(&other.len().min(1));
        };
        if let Some(separator) = [b'-', b'^', b'.'].into_iter().find(|sign| [first, second].contains(sign)) {
            match (first == separator).cmp(&(second == separator)) {
                Ordering::Equal => {}
                different @ (Ordering::Less | Ordering::Greater) => return different.reverse(),
            }
            (one, other) = (&one[1..], &other[1..]);
            continue;
        }
        let digits = first.is_ascii_digit() || second.is_ascii_digit();
        let run = |text: &[u8]| {
            let inside = |byte: &&u8| {
                if digits { byte.is_ascii_digit() } else { byte.is_ascii_alphabetic() }
            };
            text.iter().take_while(inside).count()
        };
        let (left, one_rest) = one.split_at(run(one));
        let (right, other_rest) = other.split_at(run(other));
        let order = if digits { by_value(left, right) } else { left.cmp(right) };
        if order != Ordering::Equal {
            return order;
        }
        (one, other) = (one_rest, other_rest);
    }
}

/// Numbers of any length; no number at all is the least.
fn by_value(one: &[u8], other: &[u8]) -> Ordering {
    let significant = |text: &[u8]| text.iter().skip_while(|digit| **digit == b'0').count();
    let value = |text: &'_ [u8]| text[text.len() - significant(text)..].to_vec();
    let empty = one.is_empty().cmp(&other.is_empty()).reverse();
    let length = significant(one).cmp(&significant(other));
    empty.then(length).then_with(|| value(one).cmp(&value(other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> ImageVersion {
        text.parse().unwrap()
    }

    #[test]
    fn the_order_of_the_specification() {
        // UAPI.10, section "Examples", without what no version of ours holds.
        let ascending = [
            "0~",
            "0",
            "1~rc1",
            "1~rc2",
            "1",
            "1-1",
            "1-2",
            "1^a",
            "1.0",
            "1.1",
            "1.9",
            "1.10",
            "1.10a",
            "2",
            "122.1",
            "123~rc1-1",
            "123",
            "123-a",
            "123-a.1",
            "123-1",
            "123-1.1",
            "123^post1",
            "123.a-1",
            "123.1-1",
            "123a-1",
            "124-1",
        ];
        for (at, one) in ascending.iter().enumerate() {
            for (other_at, other) in ascending.iter().enumerate() {
                let found = compare_versions(&version(one), &version(other));
                assert_eq!(found, at.cmp(&other_at), "{one} and {other}");
            }
        }
    }

    #[test]
    fn zeros_in_front_say_nothing() {
        assert_eq!(compare_versions(&version("1.02"), &version("1.2")), Ordering::Equal);
        assert_eq!(compare_versions(&version("00"), &version("0")), Ordering::Equal);
        assert_eq!(compare_versions(&version("20261123"), &version("20261122")), Ordering::Greater);
    }
}
