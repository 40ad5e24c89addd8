use super::*;

#[test]
fn the_shortest_recipe_has_a_default_for_everything() {
    let text = "apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nname: edge\n";
    let recipe = Recipe::parse("recipe.yaml", text).unwrap();
    insta::assert_snapshot!(recipe.to_canonical_json());
}
