use std::cmp::Ordering::{self, Equal, Greater, Less};

use proptest::prelude::*;

use super::*;

/// Pairs whose order policy states or that have caught other implementations out.
const TABLE: [(&str, Ordering, &str); 20] = [
    ("1.0", Less, "1.1"),
    ("1.0", Equal, "1.0-0"),
    ("1.0", Equal, "0:1.0"),
    ("1.00", Equal, "1.0"),
    ("1.0~rc1", Less, "1.0"),
    ("1.0~~", Less, "1.0~~a"),
    ("1.0~~a", Less, "1.0~"),
    ("1.0~", Less, "1.0"),
    ("1.0", Less, "1.0a"),
    ("1.0a", Less, "1.0+"),
    ("1.0+deb13u1", Greater, "1.0"),
    ("1.10", Greater, "1.9"),
    ("1:0", Greater, "999"),
    ("2:1.0", Greater, "10"),
    ("1.2.3-4", Less, "1.2.3-10"),
    ("1.2-3-4", Greater, "1.2-3"),
    ("1a", Less, "1b"),
    ("1Z", Less, "1a"),
    ("007", Equal, "7"),
    ("99999999999999999999999999999999999998", Less, "99999999999999999999999999999999999999"),
];

#[test]
fn known_pairs_are_in_order() {
    for (left, order, right) in TABLE {
        assert_eq!(compare(left, right), order, "{left} {right}");
        assert_eq!(compare(right, left), order.reverse(), "{right} {left}");
    }
}

#[test]
fn forms_that_policy_forbids_are_refused() {
    assert_eq!("a:1".parse::<Version>().unwrap_err(), VersionError::Epoch("a:1".into()));
    assert_eq!("".parse::<Version>().unwrap_err(), VersionError::Empty(String::new()));
    assert_eq!("1-".parse::<Version>().unwrap_err(), VersionError::Empty("1-".into()));
    assert_eq!("1 2".parse::<Version>().unwrap_err(), VersionError::Character("1 2".into(), ' '));
    assert_eq!("1.0".parse::<Version>().unwrap(), "0:1.0-0".parse().unwrap());
}

proptest! {
    #[test]
    fn the_order_is_total(a in "[0-9a-c.~+-]{0,6}", b in "[0-9a-c.~+-]{0,6}", c in "[0-9a-c.~+-]{0,6}") {
        prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        if compare(&a, &b) != Greater && compare(&b, &c) != Greater {
            prop_assert_ne!(compare(&a, &c), Greater);
        }
    }
}
