//! The rows. Where each fact is from: the distribution's own kernel package and the manual of its package manager.

use super::{Distribution, PackageManager};

/// UAPI.9, which Fedora, openSUSE and Arch follow.
const WITH_MODULES: &str = "/usr/lib/modules/VERSION/vmlinuz";
/// Debian's place, which all of its relatives keep.
const IN_BOOT: &str = "/boot/vmlinuz-VERSION";
/// Modules before and after the merge of `/usr`.
const MODULES: &[&str] = &["/usr/lib/modules", "/lib/modules"];

/// Debian's: apt-get(8). `--no-install-recommends`, because an image holds what was asked for; configuration files keep
/// what the image has (dpkg(1), `--force-confold`).
pub const APT: PackageManager = PackageManager {
    program: "/usr/bin/apt-get",
    update: &["apt-get", "-q", "update"],
    install: &[
        "apt-get",
        "-q",
        "--yes",
        "--no-install-recommends",
        "-o",
        "Dpkg::Options::=--force-confdef",
        "-o",
        "Dpkg::Options::=--force-confold",
        "install",
    ],
    clean: &["apt-get", "clean"],
    environment: &[("DEBIAN_FRONTEND", "noninteractive"), ("DEBCONF_NONINTERACTIVE_SEEN", "true")],
    leftovers: &["/var/lib/apt/lists", "/var/cache/apt"],
};

/// Fedora's: dnf(8).
pub const DNF: PackageManager = PackageManager {
    program: "/usr/bin/dnf",
    update: &["dnf", "-q", "makecache"],
    install: &["dnf", "-q", "-y", "--setopt=install_weak_deps=False", "--nodocs", "install"],
    clean: &["dnf", "-q", "clean", "all"],
    environment: &[],
    leftovers: &["/var/cache/dnf", "/var/cache/libdnf5", "/var/lib/dnf/history.sqlite"],
};

/// openSUSE's: zypper(8).
pub const ZYPPER: PackageManager = PackageManager {
    program: "/usr/bin/zypper",
    update: &["zypper", "--non-interactive", "refresh"],
    install: &["zypper", "--non-interactive", "install", "--no-recommends", "--auto-agree-with-licenses"],
    clean: &["zypper", "--non-interactive", "clean", "--all"],
    environment: &[],
    leftovers: &["/var/cache/zypp"],
};

/// Alpine's: apk(8).
pub const APK: PackageManager = PackageManager {
    program: "/sbin/apk",
    update: &["apk", "--quiet", "update"],
    install: &["apk", "--quiet", "--no-interactive", "add"],
    clean: &["apk", "--quiet", "cache", "clean"],
    environment: &[],
    leftovers: &["/var/cache/apk"],
};

/// Arch's: pacman(8). An index that is newer than what is installed may only come with an upgrade of all (Arch has no
/// partial upgrades), so learning upgrades too.
pub const PACMAN: PackageManager = PackageManager {
    program: "/usr/bin/pacman",
    update: &["pacman", "--noconfirm", "-Syu"],
    install: &["pacman", "--noconfirm", "--needed", "-S"],
    clean: &["pacman", "--noconfirm", "-Scc"],
    environment: &[],
    leftovers: &["/var/cache/pacman/pkg", "/var/lib/pacman/sync"],
};

/// Every distribution that is known. More special ones come first: the first row with an `ID` counts.
pub const TABLE: &[Distribution] = &[
    Distribution {
        name: "Basalt Linux",
        ids: &["basalt"],
        kernels: &[WITH_MODULES, IN_BOOT],
        modules: MODULES,
        packages: &APT,
        kernel_packages: &["linux-image-amd64", "linux-image-arm64"],
    },
    Distribution {
        name: "Ubuntu",
        ids: &["ubuntu"],
        kernels: &[IN_BOOT, WITH_MODULES],
        modules: MODULES,
        packages: &APT,
        kernel_packages: &["linux-image-virtual", "linux-image-generic"],
    },
    Distribution {
        name: "Debian",
        ids: &["debian"],
        kernels: &[IN_BOOT, WITH_MODULES],
        modules: MODULES,
        packages: &APT,
        kernel_packages: &["linux-image-amd64", "linux-image-arm64", "linux-image-cloud-amd64"],
    },
    Distribution {
        name: "Fedora",
        ids: &["fedora"],
        kernels: &[WITH_MODULES, IN_BOOT],
        modules: MODULES,
        packages: &DNF,
        kernel_packages: &["kernel-core", "kernel"],
    },
    Distribution {
        name: "Red Hat Enterprise Linux and its relatives",
        ids: &["rhel", "centos", "rocky", "almalinux", "ol"],
        kernels: &[WITH_MODULES, IN_BOOT],
        modules: MODULES,
        packages: &DNF,
        kernel_packages: &["kernel-core", "kernel"],
    },
    Distribution {
        name: "openSUSE",
        ids: &[
            "opensuse",
            "opensuse-leap",
            "opensuse-tumbleweed",
            "opensuse-microos",
            "opensuse-slowroll",
            "sles",
            "suse",
        ],
        kernels: &[WITH_MODULES, IN_BOOT],
        modules: MODULES,
        packages: &ZYPPER,
        kernel_packages: &["kernel-default", "kernel-default-base"],
    },
    Distribution {
        name: "Alpine",
        ids: &["alpine"],
        // Its boot images are named by flavour: vmlinuz-lts goes with the modules of 6.12.1-0-lts.
        kernels: &["/boot/vmlinuz-FLAVOUR", IN_BOOT],
        modules: MODULES,
        packages: &APK,
        kernel_packages: &["linux-virt", "linux-lts"],
    },
    Distribution {
        name: "Arch Linux",
        ids: &["arch", "archarm"],
        kernels: &[WITH_MODULES, IN_BOOT],
        modules: MODULES,
        packages: &PACMAN,
        kernel_packages: &["linux", "linux-lts"],
    },
];
