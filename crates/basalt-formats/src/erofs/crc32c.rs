//! CRC-32C (Castagnoli, RFC 3720 section 12.1), as Linux's `crc32c(~0, …)`: reflected, and *without* the final
//! inversion. EROFS protects its superblock with it.

/// The Castagnoli polynomial, bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// What one byte does to the register, for each byte.
const TABLE: [u32; 256] = table();

/// The register after all of `bytes`, started with all ones, not inverted at the end.
pub(super) fn register_after(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |register, byte| {
        let index = (register & 0xff) as u8 ^ byte;
        TABLE[usize::from(index)] ^ (register >> 8)
    })
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut register = index as u32;
        let mut bit = 0;
        while bit < 8 {
            let carry = register & 1 != 0;
            register >>= 1;
            if carry {
                register ^= POLYNOMIAL;
            }
            bit += 1;
        }
        table[index] = register;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::register_after;

    #[test]
    fn gives_the_check_value_of_the_catalogue() {
        assert_eq!(!register_after(b"123456789"), 0xe306_9283);
        assert_eq!(register_after(b""), u32::MAX);
        assert_eq!(!register_after(&[0; 32]), 0x8a91_36aa, "RFC 3720 appendix B.4");
    }
}
