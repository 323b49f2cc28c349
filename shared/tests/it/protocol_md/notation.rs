//! A header in words: MessagePack as people write JSON, with bytes as `h'0102'` or, where they are
//! text, `b"text"`.

/// Columns that a note may take beside its `# `.
const COLUMNS: usize = 96;

/// The notes of a frame, wrapped.
pub(crate) fn lines_of(header: &[u8], body_length: usize) -> Vec<String> {
    let mut at = 0;
    let mut text = value(header, &mut at);
    assert_eq!(at, header.len(), "the header is one value");
    if body_length > 0 {
        text = format!("{text} and a body of {body_length} bytes");
    }
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one at least");
        if !line.is_empty() && line.len() + 1 + word.len() > COLUMNS {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// Notes as one text, however they were wrapped.
pub(crate) fn unwrapped(lines: &[String]) -> String {
    lines.join(" ")
}

fn value(bytes: &[u8], at: &mut usize) -> String {
    let marker = take(bytes, at, 1)[0];
    match marker {
        0x00..=0x7f => marker.to_string(),
        0x80..=0x8f => map(bytes, at, usize::from(marker & 0x0f)),
        0x90..=0x9f => array(bytes, at, usize::from(marker & 0x0f)),
        0xa0..=0xbf => text(take(bytes, at, usize::from(marker & 0x1f))),
        0xc0 => "nil".into(),
        0xc2 => "false".into(),
        0xc3 => "true".into(),
        0xc4..=0xc6 => {
            let length = number(bytes, at, 1 << (marker - 0xc4));
            binary(take(bytes, at, length))
        }
        0xcc..=0xcf => number_wide(bytes, at, 1 << (marker - 0xcc)).to_string(),
        0xd0..=0xd3 => {
            let width = 1_usize << (marker - 0xd0);
            let shift = 64 - 8 * width;
            let signed = (number_wide(bytes, at, width) << shift).cast_signed() >> shift;
            signed.to_string()
        }
        0xd9..=0xdb => {
            let length = number(bytes, at, 1 << (marker - 0xd9));
            text(take(bytes, at, length))
        }
        0xdc | 0xdd => {
            let count = number(bytes, at, 2 << (marker - 0xdc));
            array(bytes, at, count)
        }
        0xde | 0xdf => {
            let count = number(bytes, at, 2 << (marker - 0xde));
            map(bytes, at, count)
        }
        0xe0..=0xff => marker.cast_signed().to_string(),
        _ => panic!("{marker:#04x} is not of this protocol"),
    }
}

fn map(bytes: &[u8], at: &mut usize, count: usize) -> String {
    let pair = |at: &mut usize| {
        let key = value(bytes, at);
        format!("{}: {}", key.trim_matches('"'), value(bytes, at))
    };
    let pairs: Vec<_> = (0..count).map(|_| pair(at)).collect();
    format!("{{{}}}", pairs.join(", "))
}

fn array(bytes: &[u8], at: &mut usize, count: usize) -> String {
    let values: Vec<_> = (0..count).map(|_| value(bytes, at)).collect();
    format!("[{}]", values.join(", "))
}

fn text(bytes: &[u8]) -> String {
    format!("{:?}", std::str::from_utf8(bytes).expect("text of this protocol is UTF-8"))
}

fn binary(bytes: &[u8]) -> String {
    let is_text = !bytes.is_empty() && bytes.iter().all(|byte| (0x20..0x7f).contains(byte));
    match std::str::from_utf8(bytes) {
        Ok(text) if is_text => format!("b{text:?}"),
        _ => {
            let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("h'{}'", digits.concat())
        }
    }
}

fn number(bytes: &[u8], at: &mut usize, width: usize) -> usize {
    usize::try_from(number_wide(bytes, at, width)).expect("a length fits memory")
}

fn number_wide(bytes: &[u8], at: &mut usize, width: usize) -> u64 {
    take(bytes, at, width).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn take<'a>(bytes: &'a [u8], at: &mut usize, count: usize) -> &'a [u8] {
    let taken = &bytes[*at..*at + count];
    *at += count;
    taken
}
