use super::{Challenge, challenges, percent_encoded};

#[track_caller]
fn check(header: &str, expected: &[Challenge]) {
    assert_eq!(challenges([header].into_iter()), expected, "{header}");
}

#[test]
fn challenges_are_read_as_rfc_9110_writes_them() {
    let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| Challenge::Bearer {
        realm: realm.to_owned(),
        service: service.map(str::to_owned),
        scope: scope.map(str::to_owned),
    };
    check("Basic realm=\"a, b\"", &[Challenge::Basic]);
    check("basic", &[Challenge::Basic]);
    check(
        r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push""#,
        &[bearer("https://auth.example/token", Some("r.example"), Some("repository:a/b:pull,push"))],
    );
    check(
        r#"Negotiate, Bearer error="x\"y" , realm = "https://a.example/t" , Basic realm=x"#,
        &[bearer("https://a.example/t", None, None), Challenge::Basic],
    );
    check("Bearer service=\"without a realm\"", &[]);
    check("Bearer realm=\"never closed", &[bearer("never closed", None, None)]);
    for nothing in ["", ",,", "=", "\"", "a=b=c", "Digest nonce=1"] {
        check(nothing, &[]);
    }
}

#[test]
fn what_goes_into_a_query_is_escaped() {
    assert_eq!(percent_encoded("repository:a/b:pull,push"), "repository%3Aa%2Fb%3Apull%2Cpush");
    assert_eq!(percent_encoded("a&b=c d"), "a%26b%3Dc%20d");
}
