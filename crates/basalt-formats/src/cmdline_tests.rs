use proptest::prelude::*;

use super::*;

/// The kernel's `next_arg`, written after its description: name and value of each word.
fn kernel_view(line: &str) -> Vec<(String, Option<String>)> {
    let bytes: Vec<char> = line.chars().collect();
    let mut at = 0;
    let mut found = Vec::new();
    loop {
        while at < bytes.len() && is_space(bytes[at]) {
            at += 1;
        }
        if at == bytes.len() {
            return found;
        }
        let quoted = bytes[at] == '"';
        let (start, mut in_quote, mut equals) = (at + usize::from(quoted), quoted, None);
        at = start;
        while at < bytes.len() && (in_quote || !is_space(bytes[at])) {
            if equals.is_none() && at > start && bytes[at] == '=' {
                equals = Some(at);
            }
            in_quote ^= bytes[at] == '"';
            at += 1;
        }
        let mut end = at;
        let text = |from: usize, to: usize| bytes[from.min(to)..to].iter().collect::<String>();
        let closes = |end: usize, from: usize| end > from && bytes[end - 1] == '"';
        match equals {
            None => {
                end -= usize::from(quoted && closes(end, start));
                found.push((text(start, end), None));
            }
            Some(equals) => {
                let value_quoted = bytes.get(equals + 1) == Some(&'"') && equals + 1 < end;
                let from = equals + 1 + usize::from(value_quoted);
                end -= usize::from((quoted || value_quoted) && closes(end, from));
                found.push((text(start, equals), Some(text(from, end))));
            }
        }
    }
}

proptest! {
    #[test]
    fn lines_round_trip(args in prop::collection::vec(r#"[a-z.]{1,6}(="[ a-z=]{0,6}"|=[a-z0-9,]{0,6}|)"#, 0..6)) {
        let line: CommandLine = args.iter().map(|arg| arg.parse::<KernelArg>().unwrap()).collect();
        prop_assert_eq!(line.to_string().parse::<CommandLine>().unwrap(), line);
    }

    #[test]
    fn names_and_values_are_those_of_the_kernel(line in r#"[ab="\- ]{0,20}"#) {
        if let Ok(parsed) = line.parse::<CommandLine>() {
            let ours: Vec<_> = parsed.args().iter()
                .map(|arg| (arg.name().to_owned(), arg.value().map(str::to_owned)))
                .collect();
            prop_assert_eq!(ours, kernel_view(&line), "{}", line);
        }
    }

    #[test]
    fn assignments_come_back(name in "[a-z.]{1,8}", value in "[ !#-~]{0,12}") {
        let arg = KernelArg::assignment(&name, &value).unwrap();
        prop_assert_eq!((arg.name(), arg.value()), (name.as_str(), Some(value.as_str())));
        let json = serde_json::to_string(&arg).unwrap();
        prop_assert_eq!(serde_json::from_str::<KernelArg>(&json).unwrap(), arg);
    }

    #[test]
    fn parsing_never_panics(text: String) {
        drop((text.parse::<CommandLine>(), text.parse::<KernelArg>()));
    }
}

#[test]
fn values_are_found() {
    let line: CommandLine =
        "roothash=ab gpt console=tty0 console=ttyS0 dyn_dbg=\"file a.c +p\" \"x=y z\"\n".parse().unwrap();
    assert_eq!(line.get("roothash"), Some("ab"));
    assert_eq!(line.get("console"), Some("ttyS0"));
    assert_eq!(line.values("console").collect::<Vec<_>>(), [Some("tty0"), Some("ttyS0")]);
    assert_eq!((line.has("gpt"), line.get("gpt")), (true, None));
    assert_eq!(line.get("dyn-dbg"), Some("file a.c +p"));
    assert_eq!(line.get("x"), Some("y z"));
    assert_eq!(line.get("absent"), None);
}

#[test]
fn what_would_smuggle_is_refused() {
    use CommandLineError::*;
    let refused = |text: &str| text.parse::<KernelArg>().unwrap_err();
    assert_eq!(refused(""), Empty);
    assert_eq!(refused("a\nb"), Character { text: "a\nb".into(), character: '\n' });
    assert_eq!(refused("a\0"), Character { text: "a\0".into(), character: '\0' });
    assert_eq!(refused("ä"), Character { text: "ä".into(), character: 'ä' });
    assert_eq!(refused("a=\"b"), Quote("a=\"b".into()));
    assert_eq!(refused("a b"), Several("a b".into()));
    assert!(matches!(KernelArg::assignment("a", "b\" c"), Err(Quote(_))));
    assert!(matches!(KernelArg::assignment("a b", "c"), Err(Several(_))));
}

#[test]
fn a_line_that_the_kernel_would_cut_is_refused() {
    let line = |length: usize| "a".repeat(length).parse::<CommandLine>().unwrap();
    assert_eq!(line(2047).check_length(), Ok(()));
    assert_eq!(line(2048).check_length(), Err(CommandLineError::Length(2048)));
}
