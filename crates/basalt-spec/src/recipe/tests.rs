use super::*;

#[test]
fn the_shortest_recipe_has_a_default_for_everything() {
    let text = "apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nname: edge\n";
    let recipe = Recipe::parse("recipe.yaml", text).unwrap();
    insta::assert_snapshot!(recipe.to_canonical_json());
}

#[test]
fn the_edge_example_is_valid() {
    let text = include_str!("../../../../examples/edge/recipe.yaml");
    let recipe = Recipe::parse("examples/edge/recipe.yaml", text).unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(recipe.name.as_str(), "edge");
    let implied: Vec<String> =
        recipe.implied_packages().into_iter().map(|implied| implied.package.to_string()).collect();
    assert_eq!(
        implied,
        [
            "linux-image-amd64",
            "systemd-sysv",
            "udev",
            "dbus",
            "kmod",
            "systemd-boot-efi",
            "e2fsprogs",
            "sudo"
        ]
    );
}
