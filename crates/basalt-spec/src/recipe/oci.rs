use basalt_types::ImageRef;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// An OCI image to start from, instead of a Debian archive: its tree is the image's tree.
///
/// The short form `oci: REF` is the reference alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OciBase {
    /// Which image: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`, `oci:FOLDER[:NAME]` or `oci-archive:FILE[:NAME]`. The lock says
    /// which bytes a tag means; folders and files are found from the recipe's own folder.
    #[serde(rename = "ref")]
    pub reference: ImageRef,
    /// Speak plain HTTP with the registry.
    pub insecure: bool,
    /// Registries to ask before the one that the reference names: `HOST[:PORT][/PREFIX]`.
    pub mirrors: Vec<String>,
}

/// The long form.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenOciBase {
    /// Which image: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`, `oci:FOLDER[:NAME]` or `oci-archive:FILE[:NAME]`. The lock says
    /// which bytes a tag means; folders and files are found from the recipe's own folder.
    #[serde(rename = "ref")]
    reference: ImageRef,
    /// Speak plain HTTP with the registry.
    #[serde(default)]
    insecure: bool,
    /// Registries to ask before the one that the reference names: `HOST[:PORT][/PREFIX]`.
    #[serde(default)]
    mirrors: Vec<String>,
}

impl<'de> Deserialize<'de> for OciBase {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OciBaseVisitor)
    }
}

struct OciBaseVisitor;

impl<'de> de::Visitor<'de> for OciBaseVisitor {
    type Value = OciBase;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an image's reference or `ref: REFERENCE`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<OciBase, E> {
        let reference = text.parse().map_err(E::custom)?;
        Ok(OciBase { reference, insecure: false, mirrors: Vec::new() })
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<OciBase, A::Error> {
        let WrittenOciBase { reference, insecure, mirrors } =
            WrittenOciBase::deserialize(de::value::MapAccessDeserializer::new(map))?;
        // With a repository behind it, a mirror is a reference.
        let names_host = |mirror: &&String| {
            let read = format!("{}/x", mirror.trim_end_matches('/')).parse();
            let host = mirror.split('/').next().unwrap_or_default();
            matches!(read, Ok(ImageRef::Registry(found)) if found.host() == host)
        };
        if let Some(wrong) = mirrors.iter().find(|mirror| !names_host(mirror)) {
            let message = format!("`{wrong}` is no mirror: expected HOST[:PORT][/PREFIX] without `http://`");
            return Err(de::Error::custom(message));
        }
        Ok(OciBase { reference, insecure, mirrors })
    }
}

impl JsonSchema for OciBase {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OciBase".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "An OCI image to start from, instead of a Debian archive: its tree is the image's tree.",
            "anyOf": [{ "type": "string", "minLength": 1 }, generator.subschema_for::<WrittenOciBase>()],
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::Recipe;

    fn parse(base: &str) -> Result<Recipe, String> {
        let text = format!("apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nname: edge\nbase:\n  {base}\n");
        Recipe::parse("recipe.yaml", &text).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn both_forms_mean_the_same() {
        let short = parse("oci: images.example.org/edge:1").unwrap();
        let long = parse("oci: {ref: 'images.example.org/edge:1'}").unwrap();
        assert_eq!(short, long);
        assert!(short.implied_packages().is_empty(), "an image has what it has");
        let full = parse("oci: {ref: edge, insecure: true, mirrors: ['127.0.0.1:5000/cache']}").unwrap();
        let oci = full.base.oci.clone().unwrap();
        assert_eq!(
            (oci.reference.to_string(), oci.insecure),
            ("docker.io/library/edge:latest".to_owned(), true)
        );
        assert_ne!(full.resolution_digest(), short.resolution_digest());
        let again: Recipe = serde_json::from_str(&full.to_canonical_json()).unwrap();
        assert_eq!(again.base.oci, full.base.oci);
    }

    #[test]
    fn what_is_no_image_is_refused_where_it_stands() {
        assert!(parse("oci: Edge").unwrap_err().contains("names no OCI image"));
        assert!(
            parse("oci: {ref: edge, mirrors: ['http://x.example']}").unwrap_err().contains("is no mirror")
        );
        assert!(parse("oci: {ref: edge, mirrors: [cache]}").unwrap_err().contains("is no mirror"));
        assert!(parse("oci: {reference: edge}").is_err());
        assert!(
            parse("oci: {ref: edge}\n  debian: {suite: sid}")
                .unwrap_err()
                .contains("starts from an OCI image")
        );
        assert!(parse("oci: edge\npackages: [nano]").unwrap_err().contains("starts from an OCI image"));
    }
}
