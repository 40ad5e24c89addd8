//! CycloneDX 1.6, JSON (ECMA-424, 1st edition). Packages are components with their files nested in them; files of nobody
//! are components of their own; `dependencies` tells which package needs which.

use serde::Serialize;

use super::{Contact, File, Inventory, Package, SbomError};

/// The reference of the image itself.
const IMAGE: &str = "image";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata<'a>,
    components: Vec<Component<'a>>,
    dependencies: Vec<Dependency<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    timestamp: String,
    tools: Tools<'a>,
    component: Component<'a>,
}

#[derive(Serialize)]
struct Tools<'a> {
    components: [Component<'a>; 1],
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Component<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref", skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<Organisation<'a>>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<LicenceChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pedigree: Option<Pedigree<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<ExternalReference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<Component<'a>>,
}

#[derive(Serialize)]
struct Organisation<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contact: Vec<Address<'a>>,
}

#[derive(Serialize)]
struct Address<'a> {
    email: &'a str,
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
struct LicenceChoice<'a> {
    expression: &'a str,
    acknowledgement: &'static str,
}

#[derive(Serialize)]
struct Pedigree<'a> {
    ancestors: Vec<Component<'a>>,
}

#[derive(Serialize)]
struct ExternalReference<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    url: &'a str,
}

#[derive(Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency<'a> {
    #[serde(rename = "ref")]
    reference: &'a str,
    depends_on: Vec<&'a str>,
}

/// The document: one line of JSON and a newline.
///
/// # Errors
/// Never in practice: it holds only text and numbers.
pub fn document(inventory: &Inventory) -> Result<Vec<u8>, SbomError> {
    let Inventory { about, distribution: _, packages, files: _ } = inventory;
    let tool =
        Component { kind: "application", name: "basalt", version: Some(&about.tool), ..Default::default() };
    let image = Component {
        kind: "operating-system",
        reference: Some(IMAGE.to_owned()),
        name: &about.name,
        version: Some(&about.version),
        properties: vec![Property { name: "basalt:image:id", value: about.id.to_string() }],
        ..Default::default()
    };
    let mut components: Vec<Component<'_>> =
        packages.iter().enumerate().map(|(index, one)| package(inventory, index, one)).collect();
    components.extend(inventory.files_of(None).map(file));
    let mut bytes = serde_json::to_vec(&Document {
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: format!("urn:uuid:{}", about.document_id("cyclonedx")),
        version: 1,
        metadata: Metadata {
            timestamp: about.timestamp(),
            tools: Tools { components: [tool] },
            component: image,
        },
        components,
        dependencies: dependencies(packages),
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn dependencies(packages: &[Package]) -> Vec<Dependency<'_>> {
    let all = packages.iter().map(|package| package.purl.as_str()).collect();
    let mut dependencies = vec![Dependency { reference: IMAGE, depends_on: all }];
    dependencies.extend(packages.iter().map(|package| {
        Dependency {
            reference: &package.purl,
            depends_on: package
                .installed
                .depends
                .iter()
                .filter_map(|index| packages.get(*index))
                .map(|needed| needed.purl.as_str())
                .filter(|needed| *needed != package.purl)
                .collect(),
        }
    }));
    dependencies
}

fn package<'a>(inventory: &'a Inventory, index: usize, package: &'a Package) -> Component<'a> {
    let Package { installed, sha256, address, licence, size, purl } = package;
    let (source, source_version) = &installed.source;
    let web = |url: &&str| url.starts_with("https://") || url.starts_with("http://");
    let website = installed.homepage.as_deref().filter(web).map(|url| ("website", url));
    let distribution = address.as_deref().map(|url| ("distribution", url));
    Component {
        kind: "library",
        reference: Some(purl.clone()),
        supplier: installed.maintainer.as_ref().map(organisation),
        name: &installed.name,
        version: Some(&installed.version),
        description: Some(installed.summary.as_str()).filter(|text| !text.is_empty()),
        hashes: sha256.iter().map(|digest| Hash { alg: "SHA-256", content: digest.hex() }).collect(),
        licenses: licence
            .iter()
            .map(|one| LicenceChoice { expression: &one.expression, acknowledgement: "declared" })
            .collect(),
        purl: Some(purl),
        pedigree: Some(Pedigree {
            ancestors: vec![Component {
                kind: "library",
                name: source,
                version: Some(source_version),
                ..Default::default()
            }],
        }),
        external_references: website
            .into_iter()
            .chain(distribution)
            .map(|(kind, url)| ExternalReference { kind, url })
            .collect(),
        properties: vec![Property { name: "basalt:package:size", value: size.to_string() }],
        components: inventory.files_of(Some(index)).map(file).collect(),
    }
}

fn organisation(contact: &Contact) -> Organisation<'_> {
    Organisation {
        name: &contact.name,
        contact: contact.email.iter().map(|email| Address { email }).collect(),
    }
}

fn file(file: &File) -> Component<'_> {
    Component {
        kind: "file",
        reference: Some(format!("file:{}", file.path)),
        name: &file.path,
        hashes: vec![
            Hash { alg: "SHA-256", content: file.digest.sha256.hex() },
            Hash { alg: "SHA-1", content: super::files::hex(&file.digest.sha1) },
        ],
        ..Default::default()
    }
}
