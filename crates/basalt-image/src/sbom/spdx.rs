//! SPDX 2.3, JSON (the specification's clauses 6 to 11). The document describes the image, which contains packages, which
//! contain files; files of nobody are the image's own.

use std::collections::BTreeMap;

use serde::Serialize;
use sha1::Digest as _;

use super::{Contact, Extracted, File, Inventory, Package, SbomError, files::hex};

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";
const NO_ASSERTION: &str = "NOASSERTION";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    document_namespace: String,
    creation_info: CreationInfo,
    packages: Vec<PackageEntry<'a>>,
    files: Vec<FileEntry>,
    relationships: Vec<Relationship>,
    has_extracted_licensing_infos: Vec<LicenceText<'a>>,
}

#[derive(Serialize)]
struct CreationInfo {
    created: String,
    creators: [String; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PackageEntry<'a> {
    #[serde(rename = "SPDXID")]
    id: String,
    name: &'a str,
    version_info: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    originator: Option<String>,
    download_location: &'a str,
    files_analyzed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    package_verification_code: Option<VerificationCode>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Option::is_none")]
    homepage: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<String>,
    license_concluded: &'static str,
    license_declared: &'a str,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalReference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_package_purpose: Option<&'static str>,
}

#[derive(Serialize)]
struct VerificationCode {
    #[serde(rename = "packageVerificationCodeValue")]
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalReference<'a> {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileEntry {
    #[serde(rename = "SPDXID")]
    id: String,
    file_name: String,
    checksums: [Checksum; 2],
    license_concluded: &'static str,
    copyright_text: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LicenceText<'a> {
    license_id: &'a str,
    name: &'a str,
    extracted_text: &'a str,
}

/// The document: one line of JSON and a newline.
///
/// # Errors
/// Never in practice: it holds only text and numbers.
pub fn document(inventory: &Inventory) -> Result<Vec<u8>, SbomError> {
    let Inventory { about, distribution: _, packages, files } = inventory;
    let mut entries = vec![image(inventory)];
    entries.extend((0..).zip(packages).map(|(index, one)| package(inventory, index, one)));
    let texts: BTreeMap<&str, &Extracted> = packages
        .iter()
        .filter_map(|package| package.licence.as_ref())
        .flat_map(|licence| licence.extracted.iter().map(|text| (text.id.as_str(), text)))
        .collect();
    let mut bytes = serde_json::to_vec(&Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        name: format!("{}-{}", about.name, about.version),
        document_namespace: format!("urn:uuid:{}", about.document_id("spdx")),
        creation_info: CreationInfo {
            created: about.timestamp(),
            creators: [format!("Tool: basalt-{}", about.tool)],
        },
        packages: entries,
        files: files.iter().enumerate().map(|(index, one)| file(index, one)).collect(),
        relationships: relationships(inventory),
        has_extracted_licensing_infos: texts
            .into_values()
            .map(|one| LicenceText { license_id: &one.id, name: &one.name, extracted_text: &one.text })
            .collect(),
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn image(inventory: &Inventory) -> PackageEntry<'_> {
    let about = &inventory.about;
    PackageEntry {
        id: IMAGE.to_owned(),
        name: &about.name,
        version_info: &about.version,
        supplier: None,
        originator: None,
        download_location: NO_ASSERTION,
        files_analyzed: true,
        package_verification_code: verification_code(inventory.files.iter()),
        checksums: Vec::new(),
        homepage: None,
        source_info: Some(format!("the image with the id {}", about.id)),
        license_concluded: NO_ASSERTION,
        license_declared: NO_ASSERTION,
        copyright_text: NO_ASSERTION,
        summary: None,
        external_refs: Vec::new(),
        primary_package_purpose: Some("OPERATING-SYSTEM"),
    }
}

fn package<'a>(inventory: &'a Inventory, index: usize, package: &'a Package) -> PackageEntry<'a> {
    let Package { installed, sha256, address, licence, size: _, purl } = package;
    let (source, version) = &installed.source;
    let code = verification_code(inventory.files_of(Some(index)));
    let distribution = &inventory.distribution.name;
    let web = |url: &&str| url.starts_with("https://") || url.starts_with("http://");
    PackageEntry {
        id: package_id(index),
        name: &installed.name,
        version_info: &installed.version,
        supplier: address.as_ref().map(|_| format!("Organization: {distribution}")),
        originator: installed.maintainer.as_ref().map(originator),
        download_location: address.as_deref().unwrap_or(NO_ASSERTION),
        files_analyzed: code.is_some(),
        package_verification_code: code,
        checksums: sha256
            .iter()
            .map(|digest| Checksum { algorithm: "SHA256", checksum_value: digest.hex() })
            .collect(),
        homepage: installed.homepage.as_deref().filter(web),
        source_info: Some(format!("built from the source package {source} {version}")),
        license_concluded: NO_ASSERTION,
        license_declared: licence.as_ref().map_or(NO_ASSERTION, |licence| &licence.expression),
        copyright_text: NO_ASSERTION,
        summary: Some(installed.summary.as_str()).filter(|text| !text.is_empty()),
        external_refs: vec![ExternalReference {
            reference_category: "PACKAGE-MANAGER",
            reference_type: "purl",
            reference_locator: purl,
        }],
        primary_package_purpose: None,
    }
}

/// Whether a maintainer is a person can't be told from the name; these words say that it is not.
fn originator(contact: &Contact) -> String {
    const TEAMS: [&str; 7] =
        ["team", "maintainers", "developers", "group", "project", "packagers", "debian "];
    let folded = contact.name.to_ascii_lowercase();
    let kind = if TEAMS.iter().any(|word| folded.contains(word)) { "Organization" } else { "Person" };
    match &contact.email {
        Some(email) => format!("{kind}: {} ({email})", contact.name),
        None => format!("{kind}: {}", contact.name),
    }
}

/// SHA-1 over the sorted SHA-1s of the files (section 7.9); `None` when there are no files.
fn verification_code<'a>(files: impl Iterator<Item = &'a File>) -> Option<VerificationCode> {
    let mut digests: Vec<String> = files.map(|file| hex(&file.digest.sha1)).collect();
    digests.sort_unstable();
    (!digests.is_empty()).then(|| VerificationCode { value: hex(&sha1::Sha1::digest(digests.concat())) })
}

fn file(index: usize, file: &File) -> FileEntry {
    let checksum = |algorithm, checksum_value| Checksum { algorithm, checksum_value };
    FileEntry {
        id: file_id(index),
        file_name: format!(".{}", file.path),
        checksums: [checksum("SHA1", hex(&file.digest.sha1)), checksum("SHA256", file.digest.sha256.hex())],
        license_concluded: NO_ASSERTION,
        copyright_text: NO_ASSERTION,
    }
}

fn relationships(inventory: &Inventory) -> Vec<Relationship> {
    let mut relationships = Vec::new();
    let mut relate = |from: &str, kind, to: String| {
        relationships.push(Relationship {
            spdx_element_id: from.to_owned(),
            relationship_type: kind,
            related_spdx_element: to,
        });
    };
    relate(DOCUMENT, "DESCRIBES", IMAGE.to_owned());
    for (index, package) in inventory.packages.iter().enumerate() {
        relate(IMAGE, "CONTAINS", package_id(index));
        for needed in package.installed.depends.iter().filter(|needed| **needed != index) {
            relate(&package_id(index), "DEPENDS_ON", package_id(*needed));
        }
    }
    for (index, file) in inventory.files.iter().enumerate() {
        relate(&file.owner.map_or_else(|| IMAGE.to_owned(), package_id), "CONTAINS", file_id(index));
    }
    relationships
}

fn package_id(index: usize) -> String {
    format!("SPDXRef-Package-{index}")
}

fn file_id(index: usize) -> String {
    format!("SPDXRef-File-{index}")
}
