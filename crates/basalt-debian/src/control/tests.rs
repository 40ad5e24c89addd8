use proptest::prelude::*;

use super::*;

fn fields(text: &str) -> Vec<Vec<(&str, &str)>> {
    Paragraphs::new(text)
        .map(|p| p.fields().map(|f| f.map(|f| (f.name, f.value)).unwrap()).collect())
        .collect()
}

#[test]
fn paragraphs_and_continuations_are_borrowed_as_written() {
    let text =
        "\n\nPackage: a\nDepends: b,\n c (>= 1)\n# why\nSize: 3\n \t\nPackage: b\nDescription: x\n .\n y\n";
    assert_eq!(
        fields(text),
        vec![
            vec![("Package", "a"), ("Depends", "b,\n c (>= 1)"), ("Size", "3")],
            vec![("Package", "b"), ("Description", "x\n .\n y")],
        ]
    );
}

#[test]
fn names_are_compared_without_case_and_lines_are_counted() {
    let text = "A: 1\n\nPackage: a\nSHA256:\n x\n y\n";
    let second = Paragraphs::new(text).nth(1).unwrap();
    assert_eq!(second.line(), 3);
    assert_eq!(second.get("package"), Some("a"));
    assert_eq!(second.get("missing"), None);
    let field = second.fields().nth(1).unwrap().unwrap();
    assert_eq!(field.lines().collect::<Vec<_>>(), ["x", "y"]);
}

#[test]
fn a_line_without_a_name_is_an_error_with_its_number() {
    let paragraph = Paragraphs::new("A: 1\n\nB: 2\nbroken\n").nth(1).unwrap();
    let errors: Vec<_> = paragraph.fields().filter_map(Result::err).collect();
    assert_eq!(errors, vec![ControlError { line: 4, text: "broken".into() }]);
    assert_eq!(errors[0].to_string(), "line 4 is neither `Name: value` nor a continuation of it: `broken`");
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic_and_in_full(text in "[a-c:# \t\r\n]{0,80}") {
        let read: usize = Paragraphs::new(&text).map(|p| p.text().len() + p.fields().count()).sum();
        prop_assert!(read <= 2 * text.len());
    }

    #[test]
    fn what_is_written_is_read_again(values in proptest::collection::vec("[a-z0-9]{1,8}", 1..20)) {
        let text: String = values.iter().map(|value| format!("Key: {value}\nOther: x\n\n")).collect();
        let read: Vec<_> = Paragraphs::new(&text).filter_map(|p| p.get("Key")).collect();
        prop_assert_eq!(read, values);
    }
}
