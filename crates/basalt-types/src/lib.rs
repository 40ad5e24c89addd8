//! The words every other crate shares: digests, sizes, labels, slots and names.
//!
//! Each type is parsed once, at the edge, and cannot be wrong afterwards: the field is private, `FromStr` is the
//! only way in, `Display` is its inverse, serde and the JSON Schema go through the same parser.
//!
//! Not here: anything that opens a file, asks the clock or knows a format.

mod digest;
mod guid;
mod label;
mod name;
mod reference;
mod size;
mod slot;

#[cfg(test)]
mod tests;

pub use digest::{Digest, DigestError};
pub use guid::{Guid, GuidError};
pub use label::{LabelError, PartLabel};
pub use name::{Architecture, ImageName, ImageVersion, NameError};
pub use reference::{ImageRef, ImageRefError, LocalRef, RegistryRef, Tag, Wanted};
pub use size::{ByteSize, SizeError};
pub use slot::{Slot, SlotError};

/// Gives a parsed type its serde and JSON Schema implementations through `FromStr` and `Display`.
macro_rules! serde_as_string {
    ($type:ty, $schema:expr) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $schema
            }
        }
    };
}
pub(crate) use serde_as_string;
