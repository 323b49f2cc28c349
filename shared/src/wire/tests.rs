use proptest::prelude::*;
use serde_bytes::ByteBuf;

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Sample {
    name: String,
    #[serde(default)]
    sizes: Vec<u64>,
}

fn sample() -> Sample {
    Sample { name: "oar".into(), sizes: vec![1, 300, u64::MAX] }
}

#[test]
fn a_header_is_these_bytes() {
    let header = encode_header(RequestId(7), Op(0x0102), Flags::REQUEST, &sample());
    let mut expected = b"\x84\xa2id\x07\xa2op\xcd\x01\x02\xa5flags\x01\xa4args\x82".to_vec();
    expected.extend_from_slice(b"\xa4name\xa3oar\xa5sizes\x93\x01\xcd\x01\x2c\xcf");
    expected.extend_from_slice(&[0xff; 8]);
    assert_eq!(header, expected);

    let envelope = Envelope::decode(&header).unwrap();
    assert_eq!((envelope.id, envelope.op), (RequestId(7), Op(0x0102)));
    assert!(envelope.flags.is_last() && !envelope.flags.is_answer() && !envelope.flags.is_error());
    assert_eq!(decode_args::<Sample>(envelope.args).unwrap(), sample());
}

#[test]
fn order_is_free_and_unknown_fields_are_skipped() {
    let header = b"\x85\xa3new\x92\x01\x81\x05\xc4\x02hi\xa2op\x09\xa4args\x80\xa5later\xcb12345678\xa2id\x03";
    let envelope = Envelope::decode(header).unwrap();
    assert_eq!(
        envelope,
        Envelope { id: RequestId(3), op: Op(9), flags: Flags::NONE, args: NO_ARGS }
    );
}

#[test]
fn missing_args_are_an_empty_map() {
    #[derive(Deserialize)]
    struct Nothing {}

    let envelope = Envelope::decode(b"\x82\xa2id\x00\xa2op\x01").unwrap();
    assert_eq!(envelope.args, &[0x80]);
    let Nothing {} = decode_args(envelope.args).unwrap();
}

#[test]
fn unknown_fields_of_arguments_are_ignored_and_duplicates_refused() {
    let known = b"\x82\xa5later\x93\x01\x02\x03\xa4name\xa1x";
    assert_eq!(decode_args::<Sample>(known).unwrap(), Sample { name: "x".into(), sizes: vec![] });
    let twice = b"\x82\xa4name\xa1y\xa4name\xa1x";
    assert!(matches!(decode_args::<Sample>(twice), Err(DecodeError::Args(_))));
}

#[test]
fn a_signed_number_that_is_not_negative_will_do() {
    let envelope = Envelope::decode(b"\x82\xa2id\xd2\x00\x00\x00\x05\xa2op\xd0\x07").unwrap();
    assert_eq!((envelope.id, envelope.op), (RequestId(5), Op(7)));
}

#[test]
fn what_is_no_header_is_refused_by_situation() {
    use DecodeError as E;
    macro_rules! refused {
        ($bytes:expr, $situation:pat) => {
            let bytes: &[u8] = $bytes;
            let result = Envelope::decode(bytes);
            assert!(matches!(result, Err($situation)), "{bytes:02x?}: {result:?}");
        };
    }
    refused!(b"", E::Truncated);
    refused!(b"\x90", E::NotAMap);
    refused!(b"\xc0", E::NotAMap);
    refused!(b"\x80", E::Missing { field: "id" });
    refused!(b"\x81\xa2id\x01", E::Missing { field: "op" });
    refused!(b"\x81\x01\x01", E::KeyNotString);
    refused!(b"\x82\xa2id\x01\xa2id\x01", E::Duplicate { field: "id" });
    refused!(b"\x82\xa4args\x80\xa4args\x80", E::Duplicate { field: "args" });
    refused!(b"\x82\xa2id\x01\xa2op\x01\x00", E::TrailingBytes { count: 1 });
    refused!(b"\x82\xa2id\xff\xa2op\x01", E::NotInRange { field: "id" });
    refused!(
        b"\x82\xa2id\xcf\x00\x00\x00\x01\x00\x00\x00\x00\xa2op\x01",
        E::NotInRange { field: "id" }
    );
    refused!(b"\x82\xa2id\x01\xa2op\xce\x00\x01\x00\x00", E::NotInRange { field: "op" });
    refused!(b"\x82\xa2id\x01\xa2op\xa1x", E::NotInRange { field: "op" });
    refused!(b"\x81\xa1x\xd4\x01\x00", E::ForbiddenType { marker: 0xd4 });
    refused!(b"\x81\xa1x\xc7\x00\x00", E::ForbiddenType { marker: 0xc7 });
    refused!(b"\x81\xa1x\xc1", E::ForbiddenType { marker: 0xc1 });
    // Claims of lengths that are not there (HARDENING S12, S13).
    refused!(b"\xdf\xff\xff\xff\xff", E::Truncated);
    refused!(b"\x81\xa1x\xdd\xff\xff\xff\xff\x00", E::Truncated);
    refused!(b"\x81\xa1x\xdb\xff\xff\xff\xffab", E::Truncated);
    refused!(b"\x81\xa1x\xc6\xff\xff\xff\xffab", E::Truncated);
    refused!(b"\x81\xa1x\xcd\x01", E::Truncated);
}

/// HARDENING S13: sixteen levels are read, the seventeenth is refused, wherever it stands.
#[test]
fn s13_nesting_has_a_floor() {
    let nested = |levels: usize| {
        let mut bytes = vec![0x91; levels];
        bytes.push(0xc0);
        bytes
    };
    assert_eq!(value_length(&nested(16), MAX_NESTING).unwrap(), 17);
    assert!(matches!(value_length(&nested(17), MAX_NESTING), Err(DecodeError::TooDeep)));
    assert!(matches!(value_length(&nested(1_000_000), MAX_NESTING), Err(DecodeError::TooDeep)));

    let header = |levels| {
        let mut header = b"\x83\xa2id\x01\xa2op\x01\xa4args".to_vec();
        header.extend(nested(levels));
        header
    };
    Envelope::decode(&header(15)).unwrap();
    assert!(matches!(Envelope::decode(&header(16)), Err(DecodeError::TooDeep)));
    // The arguments alone have one level less than the header.
    assert!(matches!(decode_args::<ByteBuf>(&nested(16)), Err(DecodeError::TooDeep)));
}

#[test]
fn arguments_end_where_the_value_ends() {
    assert!(matches!(
        decode_args::<Sample>(b"\x81\xa4name\xa1x\x00"),
        Err(DecodeError::TrailingBytes { count: 1 })
    ));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        if let Ok(envelope) = Envelope::decode(&bytes) {
            prop_assert!(value_length(envelope.args, MAX_NESTING).is_ok());
        }
        if let Ok(length) = value_length(&bytes, MAX_NESTING) {
            prop_assert!((1..=bytes.len()).contains(&length));
        }
        let _ = decode_args::<Sample>(&bytes);
    }

    /// Bytes that look like MessagePack more often than random ones do.
    #[test]
    fn bent_headers_never_panic(
        at in 0_usize..64, byte in any::<u8>(), cut in 0_usize..64,
    ) {
        let mut header = encode_header(RequestId(7), Op(1), Flags::REQUEST, &sample());
        let index = at % header.len();
        header[index] = byte;
        header.truncate(header.len() - cut % header.len());
        if let Ok(envelope) = Envelope::decode(&header) {
            let _ = decode_args::<Sample>(envelope.args);
        }
    }

    #[test]
    fn what_is_written_is_read(id in any::<u32>(), op in any::<u16>(), flags in any::<u8>(), name in ".*", sizes in proptest::collection::vec(any::<u64>(), 0..20)) {
        let args = Sample { name, sizes };
        let header = encode_header(RequestId(id), Op(op), Flags(flags), &args);
        let envelope = Envelope::decode(&header).unwrap();
        prop_assert_eq!((envelope.id, envelope.op, envelope.flags), (RequestId(id), Op(op), Flags(flags)));
        prop_assert_eq!(decode_args::<Sample>(envelope.args).unwrap(), args);
    }
}
