use super::*;

fn device() -> DmDevice {
    DmDevice {
        name: "root".into(),
        uuid: "CRYPT-VERITY-0-root".into(),
        target: "verity".into(),
        sectors: 8,
        parameters: "1 254:2 254:3 4096 4096 1 1 sha256 aa bb".into(),
    }
}

fn at(request: &Request, offset: usize, length: usize) -> &[u8] {
    &request.bytes()[offset..offset + length]
}

#[test]
fn a_table_is_laid_out_as_the_kernel_reads_it() {
    let request = Request::new(&device(), DM_READONLY).unwrap().with_target(&device()).unwrap();
    assert_eq!(at(&request, 0, 4), 4u32.to_ne_bytes());
    assert_eq!(at(&request, 12, 4), 4096u32.to_ne_bytes());
    assert_eq!(at(&request, 16, 4), 312u32.to_ne_bytes());
    assert_eq!(at(&request, 20, 4), 1u32.to_ne_bytes());
    assert_eq!(at(&request, 28, 4), 1u32.to_ne_bytes());
    assert_eq!(at(&request, 48, 5), b"root\0");
    assert_eq!(at(&request, 312, 8), 0u64.to_ne_bytes());
    assert_eq!(at(&request, 320, 8), 8u64.to_ne_bytes());
    assert_eq!(at(&request, 336, 7), b"verity\0");
    assert_eq!(at(&request, 352, 8), b"1 254:2 ");
}

#[test]
fn the_identity_is_given_once() {
    let request = Request::new(&device(), 0).unwrap();
    assert_eq!(at(&request, 176, 1), b"\0");
    let request = request.with_identity(&device()).unwrap();
    assert_eq!(at(&request, 176, 20), b"CRYPT-VERITY-0-root\0");
}

#[test]
fn texts_that_do_not_fit_are_refused() {
    let long = DmDevice { name: "x".repeat(128), ..device() };
    assert!(matches!(Request::new(&long, 0), Err(DmError::TooLong(name)) if name.len() == 128));
    let long = DmDevice { parameters: "x".repeat(4096), ..device() };
    assert!(Request::new(&long, 0).unwrap().with_target(&long).is_err());
    let nul = DmDevice { name: "a\0b".into(), ..device() };
    assert!(Request::new(&nul, 0).is_err());
}

#[test]
fn an_answer_gives_the_number_and_the_state() {
    let mut bytes = [0; 4096];
    bytes[16..20].copy_from_slice(&312u32.to_ne_bytes());
    bytes[20..24].copy_from_slice(&1u32.to_ne_bytes());
    bytes[40..48].copy_from_slice(&(253u64 << 8 | 5 | 1 << 20).to_ne_bytes());
    bytes[352..354].copy_from_slice(b"V\0");
    let answer = Request::answer(bytes);
    assert_eq!(answer.node(), DmNode { major: 253, minor: 261 });
    assert_eq!(answer.status().as_deref(), Some("V"));
}

#[test]
fn an_answer_that_points_outside_gives_nothing() {
    let mut bytes = [0xff; 4096];
    bytes[28..32].fill(0);
    assert_eq!(Request::answer(bytes).status(), None);
    bytes[16..20].copy_from_slice(&4090u32.to_ne_bytes());
    assert_eq!(Request::answer(bytes).status(), None);
}
