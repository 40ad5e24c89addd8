use std::collections::VecDeque;

use basalt_spec::node::After;
use ratatui::{backend::TestBackend, crossterm::event::KeyEvent};

use super::{super::fake::Fake, *};

/// What is typed: words, and keys in angle brackets.
fn keys(script: &str) -> VecDeque<Event> {
    let press = |code| Event::Key(KeyEvent::new(code, KeyModifiers::NONE));
    let mut events = VecDeque::new();
    let mut rest = script;
    while let Some(letter) = rest.chars().next() {
        let (code, length) = match rest.strip_prefix('<').and_then(|key| key.split_once('>')) {
            Some(("down", _)) => (KeyCode::Down, 6),
            Some(("up", _)) => (KeyCode::Up, 4),
            Some(("enter", _)) => (KeyCode::Enter, 7),
            Some(("esc", _)) => (KeyCode::Esc, 5),
            Some(("back", _)) => (KeyCode::Backspace, 6),
            _ => (KeyCode::Char(letter), letter.len_utf8()),
        };
        events.push_back(press(code));
        rest = &rest[length..];
    }
    events
}

/// Types a script; gives how it ended, and the screen before each key that is an enter.
fn drive(fake: &mut Fake, questions: Questions, script: &str) -> (AgentResult<Ended>, String) {
    let mut terminal = Terminal::new(TestBackend::new(80, 22)).unwrap();
    let form = (questions == Questions::All).then(Form::default);
    let mut model = Model::new(Machine::of(fake).unwrap(), form);
    let mut events = keys(script);
    let mut next = || events.pop_front().ok_or_else(|| io::Error::other("the script has ended"));
    let ended = talk(&mut terminal, &mut next, &mut model, fake);
    show(&mut terminal, &model).unwrap();
    (ended, terminal.backend().to_string())
}

#[test]
fn a_person_installs_with_a_few_keys() {
    let mut fake = Fake::default();
    let script = "<enter>edge-7<enter>ada<enter>ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 ada@laptop<enter>\
        ens3<enter>192.0.2.10/24<enter>192.0.2.1<enter>192.0.2.53<enter>/dev/sdb<enter>p";
    let (ended, screen) = drive(&mut fake, Questions::All, script);
    assert_eq!(ended.unwrap(), Ended::Installed(Some(After::PowerOff)));
    assert_eq!(fake.installed, ["/dev/sdb"]);
    insta::assert_snapshot!(fake.documents[0].as_ref().unwrap());
    assert!(screen.contains("edge 1.0 is on /dev/sdb."), "{screen}");
}

#[test]
fn every_screen_is_as_it_should_be() {
    let mut screens = String::new();
    for script in [
        "",
        "<up><enter>",
        "<enter>edge-7<down>a_b",
        "<enter><down><down><down>ens",
        "<enter><up><up><esc><down><enter><down><down><down><down><down><down><enter>",
    ] {
        let (ended, screen) = drive(&mut Fake::default(), Questions::All, script);
        assert!(ended.unwrap_err().to_string().contains("the script has ended"));
        screens += &format!("keys `{script}`\n{screen}\n");
    }
    insta::assert_snapshot!(screens);
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_planned() {
    let to_the_end = "<down><down><down><down><down><down><down><enter>";
    for (typed, expected) in [
        ("-x", "Name of the machine: `-x` is not"),
        ("<down>Ada", "Administrator: `Ada` is not"),
        ("<down><down>ssh-ed25519 AAAA", "SSH key: needs Administrator"),
        ("<down><down><down><down>192.0.2.1", "address: needs Network card"),
    ] {
        let mut fake = Fake::default();
        let (_, screen) = drive(&mut fake, Questions::All, &format!("<enter>{typed}{to_the_end}"));
        assert!(screen.contains(expected), "{screen}");
        assert!(fake.documents.is_empty());
    }
}

#[test]
fn nothing_is_erased_before_its_name_was_typed() {
    for agreed in ["", "yes", "/dev/sda", "/dev/sd"] {
        let mut fake = Fake::default();
        let (_, screen) = drive(&mut fake, Questions::DiskOnly, &format!("<enter>{agreed}<enter>"));
        assert!(screen.contains("type /dev/sdb to agree"), "{screen}");
        assert!(fake.installed.is_empty());
    }
    let (ended, _) = drive(&mut Fake::default(), Questions::DiskOnly, "<enter>/dev<esc><esc>");
    assert_eq!(ended.unwrap(), Ended::Stopped);
}

#[test]
fn a_failure_is_shown_and_told() {
    let mut fake = Fake { fails: true, ..Fake::default() };
    let (ended, screen) = drive(&mut fake, Questions::DiskOnly, "<enter>/dev/sdb<enter>x");
    assert!(ended.unwrap_err().to_string().contains("the disk is gone"));
    assert!(screen.contains("/dev/sdb starts nothing now."), "{screen}");
}
