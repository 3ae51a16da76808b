//! The little CBOR (RFC 8949) that authenticators write: definite lengths, shallow. What is read comes from
//! strangers, so every length is held against what is there.

/// Deepest nesting that is read.
const DEPTH_MAX: u8 = 8;

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(Vec<Value<'a>>),
    Map(Vec<(Value<'a>, Value<'a>)>),
    /// True, false, null, floats: nothing that matters here.
    Other,
}

impl<'a> Value<'a> {
    /// Reads one value from the front; with what is left.
    pub(super) fn read(input: &'a [u8]) -> Option<(Self, &'a [u8])> {
        read(input, 0)
    }

    /// The value of a map under a text.
    pub(super) fn named(&self, name: &str) -> Option<&Self> {
        self.get(|key| *key == Value::Text(name))
    }

    /// The value of a map under a number.
    pub(super) fn numbered(&self, number: i64) -> Option<&Self> {
        self.get(|key| *key == Value::Int(number))
    }

    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        if let Value::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    pub(super) fn int(&self) -> Option<i64> {
        if let Value::Int(int) = self { Some(*int) } else { None }
    }

    fn get(&self, is: impl Fn(&Self) -> bool) -> Option<&Self> {
        let Value::Map(members) = self else { return None };
        members.iter().find(|(key, _)| is(key)).map(|(_, value)| value)
    }
}

fn read(input: &[u8], depth: u8) -> Option<(Value<'_>, &[u8])> {
    if depth > DEPTH_MAX {
        return None;
    }
    let (&first, rest) = input.split_first()?;
    let (major, info) = (first >> 5, first & 0x1f);
    let (argument, rest) = argument(info, rest)?;
    let length = usize::try_from(argument).ok();
    match major {
        0 => Some((Value::Int(i64::try_from(argument).ok()?), rest)),
        1 => Some((Value::Int(-1 - i64::try_from(argument).ok()?), rest)),
        2 => rest.split_at_checked(length?).map(|(bytes, rest)| (Value::Bytes(bytes), rest)),
        3 => {
            let (bytes, rest) = rest.split_at_checked(length?)?;
            Some((Value::Text(std::str::from_utf8(bytes).ok()?), rest))
        }
        4 => {
            let (mut items, mut left) = (Vec::new(), rest);
            for _ in 0..length? {
                let (item, rest) = read(left, depth + 1)?;
                items.push(item);
                left = rest;
            }
            Some((Value::Array(items), left))
        }
        5 => {
            let (mut members, mut left) = (Vec::new(), rest);
            for _ in 0..length? {
                let (key, rest) = read(left, depth + 1)?;
                let (value, rest) = read(rest, depth + 1)?;
                members.push((key, value));
                left = rest;
            }
            Some((Value::Map(members), left))
        }
        6 => read(rest, depth + 1),
        _ => Some((Value::Other, rest)),
    }
}

/// The number in the first bytes of a value.
fn argument(info: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    let size = match info {
        0..24 => return Some((u64::from(info), rest)),
        24..=27 => 1 << (info - 24),
        // Indefinite lengths: authenticators do not write them.
        _ => return None,
    };
    let (bytes, rest) = rest.split_at_checked(size)?;
    Some((bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_whole() {
        // {1: -7, "a": [h'0102', true]} and one byte more.
        let input = [0xa2, 0x01, 0x26, 0x61, b'a', 0x82, 0x42, 1, 2, 0xf5, 0xff];
        let (map, left) = Value::read(&input).unwrap();
        assert_eq!(left, [0xff]);
        assert_eq!(map.numbered(1).and_then(Value::int), Some(-7));
        assert_eq!(map.named("a"), Some(&Value::Array(vec![Value::Bytes(&[1, 2]), Value::Other])));
    }

    #[test]
    fn what_is_cut_off_endless_or_huge_is_refused() {
        let cut: [&[u8]; 7] = [
            &[],
            &[0x42, 1],
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x5f, 0x41, 1, 0xff],
            &[0xa1, 0x01],
            &[0x61, 0xff],
            &[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ];
        for input in cut {
            assert_eq!(Value::read(input), None, "{input:?}");
        }
        assert_eq!(Value::read(&[0x81; 100]), None);
    }
}
