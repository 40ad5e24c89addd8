use std::path::PathBuf;

use super::{Chroot, Ending, Step, chroot::Order, mounts};

#[test]
fn nothing_volatile_lands_in_the_tree() {
    for path in ["/etc/x", "/run/../etc/x", "run/x", "/runner/x", "/run"] {
        let refusal = mounts::below_volatile(std::path::Path::new("/nowhere"), &PathBuf::from(path));
        assert!(refusal.is_err(), "{path}");
    }
}

#[test]
fn an_order_survives_the_wire() {
    let chroot = Chroot {
        root: "/tree".into(),
        hostname: "localhost".to_owned(),
        environment: vec![("A".to_owned(), "b".to_owned())],
        files: Vec::new(),
        copies: Vec::new(),
        covers: Vec::new(),
        step_seconds: 1,
    };
    let step = Step { argv: vec!["/bin/true".to_owned()], environment: Vec::new(), directory: "/".into() };
    let order = Order { chroot: chroot.clone(), steps: vec![step.clone()] };
    let back: Order = serde_json::from_str(&serde_json::to_string(&order).unwrap()).unwrap();
    assert_eq!((back.chroot, back.steps), (chroot, vec![step]));
}

#[test]
fn endings_read_as_sentences() {
    assert_eq!(Ending::Code(2).to_string(), "ended with exit status 2");
    assert_eq!(
        Ending::NotStarted(2).to_string(),
        "could not be started: No such file or directory (os error 2)"
    );
}
