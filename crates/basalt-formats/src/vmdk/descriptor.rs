//! The descriptor ("The Descriptor File"): a text that says what the disk is.

use super::Options;

/// The virtual hardware that asks for the disk: that of ESXi 6.5.
const HARDWARE: u32 = 13;
/// `CID` and `parentCID` of "no parent", and of "unknown".
const NO_PARENT: u32 = u32::MAX;

/// What the disk is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adapter {
    /// LSI Logic parallel SCSI; also what a disk for a paravirtual adapter says.
    LsiLogic,
    /// Bus Logic SCSI.
    BusLogic,
    /// IDE, also for SATA.
    Ide,
}

impl Adapter {
    const fn name(self) -> &'static str {
        match self {
            Self::LsiLogic => "lsilogic",
            Self::BusLogic => "buslogic",
            Self::Ide => "ide",
        }
    }

    /// Heads and sectors of a track, and the most cylinders.
    const fn geometry(self) -> (u64, u64, u64) {
        match self {
            Self::LsiLogic | Self::BusLogic => (255, 63, 65_535),
            Self::Ide => (16, 63, 16_383),
        }
    }
}

/// The text for a disk of so many sectors.
pub(super) fn text(sectors: u64, options: Options) -> String {
    let Options { adapter, content_id } = options;
    let (heads, track, most) = adapter.geometry();
    let cylinders = (sectors / (heads * track)).clamp(1, most);
    let adapter = adapter.name();
    let content_id = content_id.min(NO_PARENT - 2);
    // The name of the extent is what a split disk would have: readers of an embedded descriptor pass it over.
    format!(
        "# Disk DescriptorFile
version=1
CID={content_id:08x}
parentCID={NO_PARENT:08x}
createType=\"streamOptimized\"

# Extent description
RW {sectors} SPARSE \"disk.vmdk\"

# The Disk Data Base
#DDB

ddb.adapterType = \"{adapter}\"
ddb.geometry.cylinders = \"{cylinders}\"
ddb.geometry.heads = \"{heads}\"
ddb.geometry.sectors = \"{track}\"
ddb.virtualHWVersion = \"{HARDWARE}\"
"
    )
}

#[cfg(test)]
mod tests {
    use super::{Adapter, Options, text};

    #[test]
    fn the_text_names_adapter_geometry_and_content() {
        let said = text(4 << 20, Options { adapter: Adapter::Ide, content_id: u32::MAX });
        for line in [
            "CID=fffffffd",
            "parentCID=ffffffff",
            "RW 4194304 SPARSE \"disk.vmdk\"",
            "ddb.adapterType = \"ide\"",
            "ddb.geometry.cylinders = \"4161\"",
        ] {
            assert!(said.lines().any(|found| found == line), "{line} in {said}");
        }
        assert!(said.len() <= 20 * 512);
    }
}
