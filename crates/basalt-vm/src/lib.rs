//! A virtual machine as a value: QEMU, OVMF and swtpm, planned and driven.
